package gm

import (
	"errors"
	"fmt"
	"testing"

	"lamplighter/internal/store"
)

// A list of revocations at which the Group Manager dies is taken wholly or not at
// all, and when it comes again nothing is done twice: who was evicted is told, the
// others get the new keys, and who was joined by somebody who was revoked gets none.
func TestRevocationCrashes(t *testing.T) {
	for _, after := range []bool{false, true} {
		for name, revoke := range map[string]func(*fleet, *lamp) error{
			"a token": func(f *fleet, l *lamp) error {
				hash := stored[associationRecord](f, associationKey(fmt.Sprintf("%x", l.assoc.SenderID))).Hash
				return f.s.Revoked(f.t.Context(), [][]byte{hash})
			},
			"a person": func(f *fleet, _ *lamp) error { return f.s.Bar(f.t.Context(), []string{"ann"}) },
		} {
			t.Run(fmt.Sprint(name, ", after ", after), func(t *testing.T) {
				m := &mortal{Store: store.NewMemory()}
				m.left.Store(-1)
				f := newFleet(t, GroupConfig{}, func(c *Config) { c.Store = m })
				f.store = m
				hit, other := f.add(assisted), f.add(controlled)
				revoked := func() error { return revoke(f, hit) }
				f.dies(m, after, revoked)
				want := uint64(0)
				if after {
					want = 1
				}
				if g := f.group(); g.Num != want {
					t.Fatalf("version %d after the crash, want %d", g.Num, want)
				}
				f.settle()
				f.inStep(other)
				if name == "a token" && (len(f.members()) == 1) != after {
					t.Errorf("members %+v", f.members())
				}
				if err := revoked(); err != nil {
					t.Fatal(err)
				}
				f.settle()
				if g := f.group(); g.Num != 1 {
					t.Errorf("version %d after the list came again", g.Num)
				}
				f.inStep(other)
				f.behind(hit)
				if told := hit.ended == "DELETE"; told != (name == "a token") {
					t.Errorf("it heard %q", hit.ended)
				}
			})
		}
	}
}

// dies has the Group Manager die at the change that fn makes, and starts it anew.
func (f *fleet) dies(m *mortal, after bool, fn func() error) {
	f.t.Helper()
	m.after.Store(after)
	m.left.Store(1)
	if err := fn(); !errors.Is(err, errCrash) {
		f.t.Fatal("no crash:", err)
	}
	m.left.Store(-1)
	m.dead.Store(false)
	f.restarted()
}
