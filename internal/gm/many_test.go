//go:build !js

package gm

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/join"
	"lamplighter/internal/store/bolt"
)

// A hundred at once on a real disk: everybody gets in with a Sender ID of its own,
// and the commits are shared.
func TestHundredConcurrentJoins(t *testing.T) {
	db, err := bolt.Open(filepath.Join(t.TempDir(), "gm.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	l := newLine(t, func(c *Config) { c.Store = db })
	l.store = db
	const n = 100
	people := make([]*node, n)
	for i := range people {
		people[i] = l.node(fmt.Sprint("dev", i))
	}
	start := time.Now()
	var wg sync.WaitGroup
	for _, p := range people {
		wg.Go(func() {
			a, gm := l.connect(l.seal(l.claims(p.subject, scope(testGroup, both))), []byte{1})
			if _, _, err := join.Self(t.Context(), gm, l.self(p, both, a.NS)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	t.Logf("%d joins took %v", n, took)
	if took > 10*time.Second {
		t.Errorf("%d joins took %v", n, took)
	}
	members := l.members()
	if len(members) != n {
		t.Fatalf("%d members", len(members))
	}
	seen := map[string]bool{}
	for _, m := range members {
		if seen[string(m.SenderID)] {
			t.Errorf("Sender ID %x twice", m.SenderID)
		}
		seen[string(m.SenderID)] = true
	}
	l.reboot()
	if len(l.members()) != n {
		t.Error("members were lost in a restart")
	}
}
