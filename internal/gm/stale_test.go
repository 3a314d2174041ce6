package gm

import (
	"bytes"
	"slices"
	"testing"

	"lamplighter/internal/join"
)

// staleModel says exactly what the stale sets have to hold: under each version of the
// keys the Sender IDs that had a holder then and lost it before the next, and nothing
// else. KGO, Section 7.1.
type staleModel struct {
	num  uint64
	held map[string]bool
	sets map[uint64]map[string]bool
}

// follow takes one step, of which it knows who holds what before and after, and holds
// the group to the model. What is never told any more is not kept.
func (m *staleModel) follow(t testing.TB, g *groupRecord, members []Member) {
	t.Helper()
	held := map[string]bool{}
	for _, mem := range members {
		held[string(mem.SenderID)] = true
	}
	if m.sets == nil {
		m.sets = map[uint64]map[string]bool{}
	}
	for sid := range m.held {
		if !held[sid] {
			if m.sets[m.num] == nil {
				m.sets[m.num] = map[string]bool{}
			}
			m.sets[m.num][sid] = true
		}
	}
	m.num, m.held = g.Num, held
	if want := min(g.Num+1, uint64(g.MaxStaleSets)); uint64(len(g.Stale)) != want {
		t.Errorf("%d stale sets at version %d, want %d", len(g.Stale), g.Num, want)
	}
	for i, set := range g.Stale {
		if want := g.Num + 1 - uint64(len(g.Stale)) + uint64(i); set.Num != want {
			t.Errorf("stale set %d is of version %d, want %d", i, set.Num, want)
		}
		want := m.sets[set.Num]
		for _, sid := range set.SIDs {
			if !want[string(sid)] {
				t.Errorf("version %d: Sender ID %x is called stale, which did not become so under it", set.Num, sid)
			}
		}
		if len(set.SIDs) != len(want) {
			t.Errorf("version %d: stale are %x, want %d", set.Num, set.SIDs, len(want))
		}
	}
}

// A request whose answer is lost has made a Sender ID stale under its version, or has
// not; in that case the Sender ID becomes stale when its holder goes, under the version
// of that moment, as late as that may be. A member is told of it since then.
func TestStaleAfterALostRequest(t *testing.T) {
	for _, when := range []crash{beforeCommit, afterCommit} {
		m := newModel(t, 1)
		m.joinOrRejoin(m.people[0])
		m.joinOrRejoin(m.people[1])
		asks, lost := m.people[0], m.people[1]
		sid := lost.sid
		m.store.next = when // under version 0
		m.renew(lost)
		m.store.dead, m.store.next = false, never
		m.w.restart()
		for range 2 {
			if err := m.w.s.Rekey(t.Context(), testGroup, ""); err != nil {
				t.Fatal(err)
			}
		}
		i := slices.IndexFunc(m.w.members(), func(mem Member) bool { return mem.Subject == lost.subject })
		if err := m.w.s.Evict(t.Context(), testGroup, m.w.members()[i].Node); err != nil { // under version 2
			t.Fatal(err)
		}
		last := m.w.members()
		if len(last) != 1 || m.w.group().Num != 3 {
			t.Fatalf("%d members at version %d", len(last), m.w.group().Num)
		}
		client := join.NewMember(asks.gm, testGroup, asks.path)
		for v, want := range map[uint64]bool{1: when == beforeCommit, 2: when == beforeCommit} {
			told, err := client.StaleSIDs(t.Context(), v)
			if is := slices.ContainsFunc(told.SIDs, func(s []byte) bool { return bytes.Equal(s, sid) }); err != nil || is != want {
				t.Errorf("crash %d, since version %d: told %x (%v), which has %x: %v", when, v, told.SIDs, err, sid, is)
			}
		}
	}
}
