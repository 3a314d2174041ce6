package gm

import (
	"maps"
	"sync"
	"testing"

	"lamplighter/internal/coap"
)

// Each event is counted once, when it has happened.
func TestCounts(t *testing.T) {
	var mu sync.Mutex
	got := map[Event]int{}
	w := newWorld(t, func(c *Config) {
		c.Count = func(e Event) {
			mu.Lock()
			defer mu.Unlock()
			got[e]++
		}
	})
	a, b := w.join("a", both), w.join("b", both)
	w.joinAs(a.node, both)
	if _, err := b.client.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "another's node", w.call(b.gm, coap.GET, a.answer.NodePath, -1, nil), coap.Forbidden)
	if err := b.client.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	members := w.members()
	if err := w.s.Evict(t.Context(), testGroup, members[0].Node); err != nil {
		t.Fatal(err)
	}
	want := map[Event]int{EventToken: 3, EventJoin: 2, EventRejoin: 1, EventRenewal: 1, EventRefused: 1, EventLeave: 1, EventEvict: 1, EventRekey: 2}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	w.join("c", both)
	totals, err := w.s.Totals(t.Context())
	if err != nil || totals.Groups != 1 || totals.Members != 1 || totals.Largest != 1 || totals.Associations == 0 || totals.InMemory == 0 {
		t.Errorf("%+v %v", totals, err)
	}
}
