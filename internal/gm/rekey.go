package gm

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/store"
)

// Reason is why a group was rekeyed, or a member evicted.
type Reason string

// Reasons. KGO, Sections 7, 10 and 11.
const (
	ReasonLeft     Reason = "a member left"
	ReasonEvicted  Reason = "members were evicted"
	ReasonExpired  Reason = "an authorization expired"
	ReasonRevoked  Reason = "an authorization was revoked"
	ReasonReduced  Reason = "an authorization was reduced"
	ReasonElder    Reason = "a Gid comes round again"
	ReasonBarred   Reason = "who obtained associations was revoked"
	ReasonJoined   Reason = "a member joined"
	ReasonPeriod   Reason = "the rekeying period has passed"
	ReasonLifetime Reason = "the keys expire"
	ReasonStale    Reason = "many Sender IDs are stale"
	ReasonAsked    Reason = "an administrator asked for it"
	ReasonConfig   Reason = "the configuration was changed"
)

// maxJoined bounds of how many who joined one rekeying message tells.
const maxJoined = 16

// cause is what a rekeying is for.
type cause struct {
	reason Reason
	joined string // NODENAME of who joined; it has the new keys from its answer
}

// rekey moves a group to the next version of its keys and makes the durable job
// that tells its members. Whoever removes a member does so in the same transaction.
// The caller saves the record. KGO, Section 11.
func (s *Server) rekey(tx store.Tx, g *groupRecord, c cause) error {
	if err := s.evictElders(tx, g); err != nil {
		return err
	}
	now := s.cfg.Now()
	if err := g.nextKeys(tx, s.rand, now); err != nil {
		return err
	}
	job := &rekeyJob{Num: g.Num, Reason: c.reason, Started: now.UnixMilli(), EXI: g.Lifetime}
	old, err := load[rekeyJob](tx, jobKey(g.Name))
	if err != nil {
		return err
	}
	if old != nil && old.Ended == 0 && len(old.Joined) < maxJoined { // not all were told of them yet
		job.Joined = old.Joined
	}
	if c.joined != "" {
		job.Joined = append(job.Joined, c.joined)
	}
	if err := s.plant(tx, g, job); err != nil {
		return err
	}
	if err := save(tx, jobKey(g.Name), job); err != nil {
		return err
	}
	name, num, gid := g.Name, g.Num, hex.EncodeToString(g.GID)
	afterwards(tx, func() {
		s.count(EventRekey)
		s.log.Info("rekeyed a group", "group", name, "num", num, "gid", gid, "reason", string(c.reason))
		s.jobs.add(name)
	})
	return nil
}

// Rekey moves a group to its next keys and tells its members. KGO, Section 11.
func (s *Server) Rekey(ctx context.Context, name, reason string) error {
	if reason == "" {
		reason = "asked for"
	}
	return s.changeGroup(ctx, "rekey", name, func(tx store.Tx, g *groupRecord) error {
		return s.rekey(tx, g, cause{reason: Reason(reason)})
	})
}

// evictElders removes the members whose Birth Gid is the Gid that comes next, and
// remembers them until the rekeying after it. Only groups that reassign Gids have
// such. KGO, Section 11; RFC 10021, Section 12.2.1.1.
func (s *Server) evictElders(tx store.Tx, g *groupRecord) error {
	if g.GIDs == 0 {
		return nil
	}
	var past []string
	prefix := elderKey(g.Name, "")
	if err := tx.Scan(prefix, func(key string, _ []byte) bool { past = append(past, key); return true }); err != nil {
		return err
	}
	for _, key := range past {
		if err := tx.Delete(key); err != nil {
			return err
		}
	}
	next := g.gidAt(g.Num + 1)
	var elders []*memberRecord
	if err := eachMember(tx, g.Name, func(m *memberRecord) bool {
		if bytes.Equal(m.BirthGID, next) {
			elders = append(elders, m)
		}
		return true
	}); err != nil {
		return err
	}
	for _, m := range elders {
		if err := s.expel(tx, g, m, ReasonElder); err != nil {
			return err
		}
		if err := tx.Put(elderKey(g.Name, m.Subject), nil); err != nil {
			return err
		}
	}
	return nil
}

// isElder says whether a joining node was evicted because of its Birth Gid at the
// latest rekeying: its re-join causes none. KGO, Section 11.
func isElder(tx store.Tx, g *groupRecord, subject string) (bool, error) {
	if g.GIDs == 0 {
		return false, nil
	}
	found := false
	key := elderKey(g.Name, subject)
	err := tx.Scan(key, func(k string, _ []byte) bool { found = k == key; return false })
	return found, err
}

// elderKey names a member that was evicted for its Birth Gid.
func elderKey(name, subject string) string { return "e/" + name + "/" + hexString(subject) }

// gidAt is the Gid of a version of the keys. Gids come round only in a group that
// reassigns them.
func (g *groupRecord) gidAt(num uint64) []byte {
	if g.GIDs > 0 {
		num %= g.GIDs
	}
	return gidOf(g.Prefix, num)
}

// clockSlack is how far a clock is set back without its meaning anything; seconds.
const clockSlack = 300

// due says whether a group's keys are to be changed by now, and why. Keys are
// changed before they expire. KGO, Section 7.
func (g *groupRecord) due(now time.Time) (Reason, bool) {
	seconds := uint64(now.Unix())
	switch ahead := min(g.Lifetime/10, 3600); {
	case g.Inactive:
		return "", false
	case seconds+ahead >= g.Expires:
		return ReasonLifetime, true
	case g.Period > 0 && (seconds >= g.RekeyedAt+g.Period || seconds+clockSlack < g.RekeyedAt):
		return ReasonPeriod, true // or nobody knows how old the keys are: the clock was set back
	}
	return "", false
}

// trimStale keeps the newest stale sets, at most as many as the group may have. KGO,
// Section 7.1.
func (g *groupRecord) trimStale() {
	if n := len(g.Stale) - g.MaxStaleSets; n > 0 {
		g.Stale = slices.Delete(g.Stale, 0, n)
	}
}

// refresh rekeys groups whose keys expire, or whose rekeying period has passed.
func (s *Server) refresh(ctx context.Context) error {
	var due []string
	now := s.cfg.Now()
	err := s.cfg.Store.View(ctx, func(tx store.Tx) error {
		due = nil
		return tx.Scan(groupKey(""), func(key string, data []byte) bool {
			if g, err := ace.Decode[groupRecord](data); err == nil {
				if _, ok := g.due(now); ok && occupied(tx, g.Name) {
					due = append(due, g.Name)
				}
			}
			return true
		})
	})
	if err != nil {
		return err
	}
	for _, name := range due {
		err := s.changeGroup(ctx, "rekey", name, func(tx store.Tx, g *groupRecord) error {
			why, ok := g.due(s.cfg.Now())
			if !ok {
				return nil
			}
			return s.rekey(tx, g, cause{reason: why})
		})
		if err != nil {
			return fmt.Errorf("rekeying %q: %w", name, err)
		}
	}
	return nil
}

// occupied says whether a group has members.
func occupied(tx store.Tx, name string) bool {
	found := false
	_ = tx.Scan(memberKey(name, ""), func(string, []byte) bool { found = true; return false })
	return found
}
