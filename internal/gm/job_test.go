package gm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/sim"
	"lamplighter/internal/store"
)

// mortal is a store whose process dies after some more changes: before one is
// durable, or when it is and nobody was told.
type mortal struct {
	store.Store
	left  atomic.Int64 // changes until then; negative: never
	after atomic.Bool
	dead  atomic.Bool
}

func (m *mortal) View(ctx context.Context, fn func(store.Tx) error) error {
	if m.dead.Load() {
		return errCrash
	}
	return m.Store.View(ctx, fn)
}

func (m *mortal) Update(ctx context.Context, fn func(store.Tx) error) error {
	if m.dead.Load() {
		return errCrash
	}
	if m.left.Add(-1) != 0 {
		return m.Store.Update(ctx, fn)
	}
	m.dead.Store(true)
	if !m.after.Load() {
		return errCrash
	}
	return errors.Join(m.Store.Update(ctx, fn), errCrash)
}

// restarted makes a new Group Manager over the store, as after a crash.
func (f *fleet) restarted() {
	f.t.Helper()
	f.reboot()
	f.next = map[string]time.Time{}
	if err := f.store.View(f.t.Context(), func(tx store.Tx) error {
		names, err := openJobs(tx)
		f.s.jobs.add(append(names, forNotices)...)
		return err
	}); err != nil {
		f.t.Fatal(err)
	}
}

// A Group Manager that dies again and again in the middle of a rekeying, over a link
// that loses and repeats, brings it to its end all the same: every member has the new
// keys, who was evicted has none and was told.
func TestRekeyingSurvivesCrashes(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	for _, cfg := range []GroupConfig{{}, toMany} {
		t.Run(fmt.Sprint(cfg.OneToMany), func(t *testing.T) {
			m := &mortal{Store: store.NewMemory()}
			f := newFleet(t, cfg, func(c *Config) { c.Store, c.Posts = m, 4 })
			f.store = m
			for range 50 + rounds {
				f.add(controlled)
			}
			f.settle()
			rng := rand.New(rand.NewPCG(5, 6))
			f.net.SetFaults(sim.Faults{Loss: 0.1, Dup: 0.1})
			crashes := 0
			for round := range rounds {
				victim := f.lamps[round]
				f.evict(fmt.Sprintf("n%d", round))
				for range 6 {
					m.after.Store(rng.IntN(2) == 0)
					m.left.Store(1 + rng.Int64N(4))
					_ = f.work()
					if m.dead.Load() {
						crashes++
					}
					m.dead.Store(false)
					m.left.Store(-1)
					f.restarted()
				}
				f.settle()
				f.ask()
				if victim.ended != "DELETE" {
					t.Errorf("round %d: the evicted member heard %q", round, victim.ended)
				}
				f.behind(victim)
				for _, l := range f.lamps[round+1:] {
					f.inStep(l)
				}
				p := f.progress()
				if p.Ended.IsZero() || p.Total != len(f.lamps)-round-1 || p.Num != uint64(round+1) {
					t.Errorf("round %d: %+v", round, p)
				}
				if t.Failed() {
					return
				}
			}
			if crashes < rounds/2 {
				t.Errorf("only %d crashes", crashes)
			}
		})
	}
}

// ask lets lamps that were told nothing ask, as they do when they hear of a Gid that
// they do not know.
func (f *fleet) ask() {
	f.t.Helper()
	for _, l := range f.lamps {
		if l.ended != "" || l.m.Num == f.group().Num {
			continue
		}
		resp, err := l.gm.Call(f.t.Context(), coap.NewRequest(coap.GET, l.m.NodePath, nil))
		if err != nil {
			f.t.Fatal(err)
		}
		r, err := ace.Decode[ace.KeyResponse](resp.Payload)
		if err != nil {
			f.t.Fatal(err)
		}
		next := *l.m
		next.GID, next.MasterSecret, next.MasterSalt, next.Num = r.Key.GID, r.Key.MasterSecret, r.Key.Salt, r.Num
		l.m = &next
		l.takeMaterial(r.MgtKeyMaterial)
	}
}

// A newer rekeying takes the place of one under way: who was not reached by the
// first is told of the second alone.
func TestNewerRekeyingSupersedes(t *testing.T) {
	f := newFleet(t, GroupConfig{})
	a, b := f.add(controlled), f.add(controlled)
	f.net.Down(b.addr, true)
	f.rekey()
	if err := f.work(); err != nil {
		t.Fatal(err)
	}
	if p := f.progress(); p.Confirmed != 1 || p.Total != 2 || !p.Ended.IsZero() {
		t.Errorf("progress %+v", p)
	}
	f.net.Down(b.addr, false)
	f.rekey()
	f.settle()
	f.inStep(a)
	f.inStep(b)
	if len(a.heard) != 2 || len(b.heard) != 1 {
		t.Errorf("%d and %d messages", len(a.heard), len(b.heard))
	}
}

// Who joined while members are still told of others is named with these in the next
// message: nobody has to ask for credentials.
func TestJoinsInARow(t *testing.T) {
	f := newFleet(t, GroupConfig{RekeyOnJoin: true})
	a := f.add(controlled)
	f.settle()
	f.net.Down(a.addr, true)
	b := f.add(controlled)
	if err := f.work(); err != nil {
		t.Fatal(err)
	}
	f.net.Down(a.addr, false)
	c := f.add(controlled)
	f.settle()
	msg := a.heard[len(a.heard)-1]
	if len(a.heard) != 1 || len(msg.Creds) != 2 || !bytes.Equal(msg.Creds[0], b.cred) || !bytes.Equal(msg.Creds[1], c.cred) {
		t.Errorf("%d messages, the last with %d credentials", len(a.heard), len(msg.Creds))
	}
	f.rekey()
	f.settle()
	if msg := a.heard[len(a.heard)-1]; msg.Creds != nil {
		t.Errorf("after all were told: %d credentials", len(msg.Creds))
	}
}

// Who does not answer, or refuses, is tried five times with growing pauses and then
// left to ask.
func TestRekeyingGivesUp(t *testing.T) {
	f := newFleet(t, GroupConfig{})
	a, b := f.add(controlled), f.add(controlled)
	a.refuses = true
	f.rekey()
	begun := f.clock()
	f.settle()
	p := f.progress()
	if len(p.Failed) != 1 || p.Failed[0] != "n0" || p.Confirmed != 1 || p.Ended.IsZero() {
		t.Errorf("progress %+v", p)
	}
	if took := f.clock().Sub(begun); took < 10*time.Minute || took > time.Hour {
		t.Errorf("given up after %v", took)
	}
	f.inStep(b)
	if _, err := a.client.Keys(t.Context(), a.m); err != nil {
		t.Fatal(err)
	}
	if p := f.progress(); len(p.Failed) != 0 || p.Confirmed != 2 {
		t.Errorf("after it has asked: %+v", p)
	}
}

// The notice of an eviction that has not arrived is taken back when its addressee
// joins again.
func TestNoticeIsTakenBack(t *testing.T) {
	f := newFleet(t, GroupConfig{})
	a := f.add(controlled)
	f.add(controlled)
	f.net.Down(a.addr, true)
	f.evict("n0")
	if err := f.work(); err != nil {
		t.Fatal(err)
	}
	f.net.Down(a.addr, false)
	a.connect(controlled) // the former token is of no use any more
	a.join(controlled)
	f.settle()
	if a.ended != "" || len(f.members()) != 2 {
		t.Errorf("it heard %q; members %+v", a.ended, f.members())
	}
	if n := stored[notice](f, noticeKey(testGroup, a.subject)); n != nil {
		t.Errorf("the notice is kept: %+v", n)
	}
}

// Who did not answer is tried again after a while, also when the clock was set back
// meanwhile: the time that was set lies too far ahead then.
func TestTriedAgainAfterAClockStep(t *testing.T) {
	f := newFleet(t, GroupConfig{})
	a, b := f.add(controlled), f.add(controlled)
	for _, step := range []time.Duration{0, -24 * time.Hour} {
		f.net.Down(a.addr, true)
		f.rekey()
		if err := f.work(); err != nil {
			t.Fatal(err)
		}
		f.behind(a)
		f.inStep(b)
		f.net.Down(a.addr, false)
		if step == 0 {
			if err := f.work(); err != nil {
				t.Fatal(err)
			}
			f.behind(a) // it is left alone for some seconds
			f.pass(maxWait)
		} else {
			f.pass(step)
			f.s.jobs.add(testGroup) // as the worker does, at the latest after maxWait
		}
		if err := f.work(); err != nil {
			t.Fatal(err)
		}
		f.inStep(a)
	}
	for at, later := range map[time.Duration]bool{0: false, -time.Second: false, time.Second: true, maxWait: true, maxWait + time.Second: false, 9000 * time.Hour: false} {
		if now := f.clock(); isLater(now.Add(at).UnixMilli(), now) != later {
			t.Errorf("%v ahead", at)
		}
	}
}

// Run does by itself what there is to be done, and WatchProgress sees it.
func TestRun(t *testing.T) {
	f := newFleet(t, GroupConfig{})
	for range 30 {
		f.add(controlled)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	done := make(chan Progress, 64)
	var seen atomic.Int64
	f.s.WatchProgress(ctx, func(p Progress) {
		seen.Add(1)
		if !p.Ended.IsZero() {
			done <- p
		}
	})
	go func() { ended <- f.s.Run(ctx) }()
	wait := func(num uint64, total int) {
		t.Helper()
		for {
			select {
			case p := <-done:
				if p.Num != num {
					continue
				}
				if p.Confirmed != total || p.Group != testGroup {
					t.Errorf("%+v", p)
				}
				return
			case <-time.After(30 * time.Second):
				t.Fatal("no rekeying has ended")
			}
		}
	}
	f.evict("n3", "n4")
	wait(1, 28)
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { _ = f.s.Rekey(ctx, testGroup, "test") })
	}
	both.Wait()
	wait(3, 28)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for i, l := range f.lamps {
		if i == 3 || i == 4 {
			f.behind(l)
		} else {
			f.inStep(l)
		}
	}
	if seen.Load() < 2 {
		t.Errorf("%d calls of who watches", seen.Load())
	}
}

// Registrations and changes at the same time: every observer ends up with the newest
// version.
func TestObserversMissNothing(t *testing.T) {
	f := newFleet(t, GroupConfig{})
	a := f.add(lampKind{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _ = f.s.Run(ctx) }()
	defer cancel()
	var changes sync.WaitGroup
	changes.Go(func() {
		for range 20 {
			_ = f.s.Rekey(ctx, testGroup, "test")
		}
	})
	news := a.observe("/ace-group/hall")
	changes.Wait()
	deadline := time.After(30 * time.Second)
	for num := uint64(0); num != 20; {
		select {
		case m := <-news:
			var head struct {
				Num uint64 `cbor:"9,keyasint"`
			}
			r, err := ace.Decode[ace.KeyResponse](m.Payload)
			if err != nil {
				t.Fatal(err)
			}
			head.Num = r.Num
			if head.Num < num {
				t.Errorf("version %d after %d", head.Num, num)
			}
			num = head.Num
		case <-deadline:
			t.Fatal("the observer did not hear of the last version")
		}
	}
}

// A member that observes nothing but its own resource hears of new keys there, with
// its Sender ID. RFC 9594, Section 4.8.1; RFC 7641, Section 1.3.
func TestOwnResourceIsObserved(t *testing.T) {
	f := newFleet(t, GroupConfig{})
	a, b := f.add(lampKind{}), f.add(controlled)
	own, other := a.observe(a.m.NodePath), b.observe(b.m.NodePath)
	f.get(own)
	f.get(other)
	f.rekey()
	f.settle()
	r, err := ace.Decode[ace.KeyResponse](f.get(own).Payload)
	g := f.group()
	if err != nil || r.Num != g.Num || !bytes.Equal(r.Key.MasterSecret, g.MasterSecret) || !bytes.Equal(r.Key.SenderID, a.m.SenderID) {
		t.Errorf("%+v (%v)", r, err)
	}
	f.quiet(other) // it was told at its control_uri
	f.inStep(b)
	if p := f.progress(); p.Told != 1 || p.Confirmed != 1 || p.Ended.IsZero() {
		t.Errorf("progress %+v", p)
	}
}

// The group's end is told at control_uris and to observers, each way to its own.
func TestGroupDeletionIsTold(t *testing.T) {
	f := newFleet(t, GroupConfig{})
	a, b := f.add(controlled), f.add(lampKind{})
	group, active := b.observe("/ace-group/hall"), b.observe("/ace-group/hall/active")
	wantCode(t, "registration", f.get(group), coap.Content)
	if m := f.get(active); !bytes.Equal(m.Payload, []byte{0xf5}) {
		t.Errorf("active: %x", m.Payload)
	}
	if err := f.s.SetActive(t.Context(), testGroup, false); err != nil {
		t.Fatal(err)
	}
	if m := f.get(active); !bytes.Equal(m.Payload, []byte{0xf4}) || !coap.HasOption(m, coap.OptionObserve) {
		t.Errorf("active: %v", m)
	}
	err := f.s.changeGroup(t.Context(), "test", testGroup, func(tx store.Tx, g *groupRecord) error { return f.s.tellDeleted(tx, g) })
	if err != nil {
		t.Fatal(err)
	}
	f.settle()
	if a.ended != "deleted" {
		t.Errorf("at its control_uri: %q", a.ended)
	}
	last := f.get(group)
	wantProblem(t, "the observer", last, coap.NotFound, ace.ErrorDeleted)
	if coap.HasOption(last, coap.OptionObserve) {
		t.Error("the last word has an Observe Option")
	}
}

// A token with fewer roles takes the membership that it does not cover any more.
func TestReducedRights(t *testing.T) {
	f := newFleet(t, GroupConfig{})
	a, b := f.add(controlled), f.add(controlled)
	update := func(roles ace.Role) {
		claims := f.claims(a.subject, scope(testGroup, roles))
		claims.CNF = &ace.Confirmation{KID: a.claims.CNF.OSCORE.ID}
		req := request(coap.POST, "/authz-info", ace.FormatACE, ace.Encode(ace.AuthzInfoRequest{AccessToken: f.seal(claims).AccessToken}))
		if resp, err := a.gm.Call(t.Context(), req); err != nil || resp.Code != coap.Created {
			t.Fatal(resp, err)
		}
	}
	update(both)
	f.settle()
	if len(f.members()) != 2 || f.group().Num != 0 {
		t.Fatal("the same rights have changed the group")
	}
	update(ace.RoleRequester)
	f.settle()
	if m := f.members(); len(m) != 1 || f.group().Num != 1 {
		t.Errorf("members %+v, version %d", m, f.group().Num)
	}
	f.behind(a)
	f.inStep(b)
}

// Every event of a member's life stands in the log, with its reason, and no secret.
// KGO, Section 15.1.
func TestSecurityEventsAreLogged(t *testing.T) {
	var log lockedBuffer
	f := newFleet(t, toMany, func(c *Config) { c.Logger = textLogger(&log) })
	a, b := f.add(controlled), f.add(controlled)
	if _, err := b.client.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "leaving", f.call(a.gm, coap.DELETE, a.m.NodePath, -1, nil), coap.Deleted)
	f.evict("n1")
	f.settle()
	f.call(a.gm, coap.GET, "/ace-group/hall/num", -1, nil)
	f.call(a.gm, coap.GET, "/ace-group/elsewhere/num", -1, nil)
	for _, active := range []bool{false, true} {
		if err := f.s.SetActive(t.Context(), testGroup, active); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.s.Bar(t.Context(), []string{"somebody"}); err != nil {
		t.Fatal(err)
	}
	text := log.String()
	for _, want := range []string{
		`"created a group" group=hall num=0 gid=`, `"admitted a member" node=n1 sid=01 `, `"renewed a Sender ID" node=n1 sid=02 `,
		`"a member left" node=n0 sid=00 `, `"evicted a member" group=hall num=1 node=n1 sid=02 `, `reason="members were evicted"`, `reason="a member left"`,
		`"rekeyed a group"`, `"a rekeying has ended"`, `"told a member"`, `"refused a request"`, "gid=", "num=2",
		`why="The token is not for this group."`, `"set a group's status" group=hall active=false`, `"barred what a revoked person obtained" actor=somebody`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in the log", want)
		}
	}
	g := f.group()
	for _, secret := range [][]byte{g.MasterSecret, g.Tree.Secret, a.m.MasterSecret, a.assoc.MasterSecret, a.mat.Keys[0], a.mat.Keys[1]} {
		if strings.Contains(text, string(secret)) || strings.Contains(text, fmt.Sprintf("%x", []byte(secret))) {
			t.Error("a secret stands in the log")
		}
	}
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
