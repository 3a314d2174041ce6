package gm

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"lamplighter/internal/join"
	"lamplighter/internal/store"
	"lamplighter/internal/store/storetest"
)

// restoredFrom goes on with a backup.
func (l *line) restoreFrom(backup store.Store, made time.Time) {
	l.t.Helper()
	if err := Restored(l.t.Context(), backup, made, l.clock(), l.rand); err != nil {
		l.t.Fatal(err)
	}
	l.store, l.cfg.Store = backup, backup
	l.reboot()
}

// What was issued after a backup is never issued again by a Group Manager that was
// restored from it, nor by a second one restored from the same: no Gid, no Master
// Secret, no version, no Sender ID under a Gid, no NODENAME of another. DESIGN S4.
func TestRestoreReusesNothing(t *testing.T) {
	l := newLine(t)
	kept := l.joinOver("kept")
	leaver := l.joinOver("leaver")
	made, backup := l.clock(), storetest.Copy(t, l.store)
	again := storetest.Copy(t, backup)

	type issued struct{ gid, secret, sid string }
	seen := map[string]issued{}
	nodes := map[string]string{}
	top := uint64(0)
	note := func() {
		g := l.group()
		if other, ok := seen[string(g.GID)]; ok && other.secret != string(g.MasterSecret) {
			t.Errorf("Gid %x has a second Master Secret", g.GID)
		}
		if g.Num < top {
			t.Errorf("version %d after %d", g.Num, top)
		}
		top = g.Num
		seen[string(g.GID)] = issued{gid: string(g.GID), secret: string(g.MasterSecret)}
		for _, m := range l.members() {
			if owner := nodes[m.Node]; owner != "" && owner != m.Subject {
				t.Errorf("%s was %s and is %s", m.Node, owner, m.Subject)
			}
			nodes[m.Node] = m.Subject
		}
	}
	// After the backup: one leaves, keys change, Sender IDs are renewed, others come.
	if err := leaver.client.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	note()
	for i := range 20 {
		if err := l.s.Rekey(t.Context(), testGroup, ""); err != nil {
			t.Fatal(err)
		}
		l.joinOver(fmt.Sprint("late", i))
		note()
	}
	if _, err := kept.client.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := l.group()
	l.pass(time.Minute)
	for round, copied := range []store.Store{backup, again} {
		l.restoreFrom(copied, made)
		g := l.group()
		if _, used := seen[string(g.GID)]; used || g.Num <= top || bytes.Equal(g.MasterSecret, before.MasterSecret) {
			t.Errorf("round %d: Gid %x, version %d", round, g.GID, g.Num)
		}
		if n := len(l.members()); n != 0 {
			t.Errorf("round %d: %d members", round, n)
		}
		note()
		for i := range 5 {
			l.joinOver(fmt.Sprint("new", round, i))
			if err := l.s.Rekey(t.Context(), testGroup, ""); err != nil {
				t.Fatal(err)
			}
			note()
		}
		l.pass(time.Minute)
	}
}

// Who was a member at the backup joins again over the same association; whoever
// joined later needs a token first. Neither learns stale Sender IDs that nobody
// can know.
func TestMembersComeBackAfterRestore(t *testing.T) {
	l := newLine(t)
	old := l.joinOver("old")
	made, backup := l.clock(), storetest.Copy(t, l.store)
	late := l.joinOver("late")
	l.pass(time.Hour / 2)
	l.restoreFrom(backup, made)
	if _, err := old.client.Num(t.Context()); !errors.Is(err, join.ErrNotMember) {
		t.Errorf("a member of before: %v", err)
	}
	if _, err := late.client.Num(t.Context()); err == nil {
		t.Error("an association that the backup does not know works")
	}
	gm := l.client(&join.Association{
		MasterSecret: old.assoc.MasterSecret, MasterSalt: old.assoc.MasterSalt, IDContext: old.assoc.IDContext,
		SenderID: old.assoc.SenderID, RecipientID: old.assoc.RecipientID, NextSSN: 1000,
	})
	m, _, err := join.Self(t.Context(), gm, l.self(old.node, both, old.assoc.NS))
	if err != nil {
		t.Fatal(err)
	}
	if m.NodePath == old.m.NodePath {
		t.Error("the NODENAME of before was given out again")
	}
	if purge, err := join.NewMember(gm, testGroup, m.NodePath).StaleSIDs(t.Context(), old.m.Num); err != nil || !purge.All {
		t.Errorf("stale Sender IDs since before the backup are told: %+v %v", purge, err)
	}
}

// Sequence numbers go on above all that can have been used, and an association
// without any left ends.
func TestRestoreSkipsSequenceNumbers(t *testing.T) {
	l := newLine(t)
	a, b := l.joinOver("a"), l.joinOver("b")
	key := func(n *admitted) string { return sequenceKey(fmt.Sprintf("%x", n.assoc.SenderID)) }
	if err := l.store.Update(t.Context(), func(tx store.Tx) error {
		if err := saveCounter(tx, key(b), 1<<40-1<<29); err != nil {
			return err
		}
		return saveCounter(tx, key(a), 256)
	}); err != nil {
		t.Fatal(err)
	}
	made := l.clock()
	l.pass(time.Hour)
	l.restoreFrom(storetest.Copy(t, l.store), made)
	if err := l.store.View(t.Context(), func(tx store.Tx) error {
		n, err := loadCounter(tx, key(a))
		if want := uint64(256 + 1<<20 + 3600<<12); n != want {
			t.Errorf("goes on at %d, want %d", n, want)
		}
		gone, err2 := tx.Get(associationKey(fmt.Sprintf("%x", b.assoc.SenderID)))
		if gone != nil {
			t.Error("an association without numbers is still there")
		}
		return errors.Join(err, err2)
	}); err != nil {
		t.Fatal(err)
	}
}

func TestRestoreWithAWrongClock(t *testing.T) {
	l := newLine(t)
	if err := Restored(t.Context(), storetest.Copy(t, l.store), l.clock().Add(time.Minute), l.clock(), l.rand); !errors.Is(err, ErrClock) {
		t.Errorf("%v", err)
	}
}
