package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/ace"
)

// kill ends one of the servers or both at a random moment, and starts them again.
func (s *killSite) kill() {
	s.t.Helper()
	time.Sleep(time.Duration(s.rng.Int64N(int64(400 * time.Millisecond))))
	dice := s.rng.IntN(10)
	if dice < 8 {
		s.gm.kill()
		s.checkStore()
	}
	if dice >= 6 {
		s.as.kill()
		s.startAS()
	}
	if dice < 8 {
		s.startGM()
	}
}

// TestKillServers ends Authorization Server and Group Manager with SIGKILL at random
// moments while people enrol and are revoked, devices join, renew and leave, and an
// administrator creates, changes, pauses and deletes groups, evicts and rekeys.
// Nothing that was acknowledged is lost or comes back, no Sender ID is given out
// twice under a Gid, no Gid has two Master Secrets, versions of keys only rise, the
// stale Sender IDs are those that became stale, and every member can decrypt what
// the others send, or knows that its keys are old and gets the new ones by asking.
// After each kill the store is looked at, after every fifth everything.
func TestKillServers(t *testing.T) {
	s := startKillSite(t)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	s.settle(ctx)
	begun := time.Now()
	kills := rounds(50, 1000)
	for k := range kills {
		s.kill()
		if k%5 == 4 {
			s.check(ctx)
		}
		for _, wrong := range s.ledger.taken() {
			t.Errorf("kill %d: %s", k+1, wrong)
		}
		if t.Failed() {
			break
		}
		if k%100 == 99 {
			t.Logf("%d kills, %s", k+1, time.Since(begun).Round(time.Second))
		}
	}
	s.end(ctx, stop)
	for _, wrong := range s.ledger.taken() {
		t.Errorf("at the end: %s", wrong)
	}
	t.Logf("%d kills in %s: %s", kills, time.Since(begun).Round(time.Second), s.ledger.summary())
	failed := t.Failed()
	for _, what := range vital {
		if s.ledger.counts[what] == 0 && !failed {
			t.Errorf("never %s: the test shows little", what)
		}
	}
}

// vital is what has to happen in every run.
var vital = []string{
	"joined", "renewed", "left", "evicted", "rekeyed", "created", "changed", "paused", "enrolled", "revoked", "token",
	"told by POST", "told by multicast", "told by a notification", "recovered by asking", "stale sets", "decrypted", "stores", "checks",
}

// end lets everybody finish, checks all once more, and ends the load.
func (s *killSite) end(ctx context.Context, stop func()) {
	s.check(ctx)
	stop()
	s.busy.Wait()
	s.checkRevoked()
	s.gm.kill()
	s.checkStore()
}

// checkRevoked: who was revoked is a member of no group any more, soon.
func (s *killSite) checkRevoked() {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	gone := map[string]bool{}
	for _, x := range s.people.list() {
		gone["installer/"+x.id] = x.revoked.Load()
	}
	for _, g := range s.admin.some() {
		for {
			left := ""
			err := s.admin.connect(ctx)
			var members []ace.MemberInfo
			if err == nil {
				members, err = s.admin.client.Members(ctx, g.name)
				err = s.admin.failed(err)
			}
			for _, m := range members {
				if gone[m.Subject] {
					left = m.Subject
				}
			}
			if err == nil && left == "" {
				break
			}
			if !sleep(ctx, 200*time.Millisecond) {
				s.ledger.fail("group %s: %s was revoked and is a member still (%v)", g.name, left, err)
				return
			}
		}
	}
}

// summary says how often everything happened.
func (l *ledger) summary() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for what, n := range l.counts {
		all = append(all, fmt.Sprintf("%s %d", what, n))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
