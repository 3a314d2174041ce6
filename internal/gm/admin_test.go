package gm

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/join"
)

// Keys that have expired are renewed by whoever asks next.
func TestExpiredKeys(t *testing.T) {
	for _, path := range []string{"/ace-group/hall/num", "/ace-group/hall", ""} {
		w := newEmptyWorld(t)
		if err := w.s.CreateGroup(t.Context(), GroupConfig{Name: testGroup, KeyLifetime: time.Minute}); err != nil {
			t.Fatal(err)
		}
		a := w.join("dev", both)
		w.pass(time.Minute)
		if path == "" {
			w.join("next", both)
		} else {
			wantCode(t, path, w.call(a.gm, coap.GET, path, -1, nil), coap.Content)
		}
		if g := w.group(); g.Num != 1 || g.Expires <= uint64(w.clock().Unix()) {
			t.Errorf("%s: num %d, expires %d", path, g.Num, g.Expires)
		}
		if cur, _, changed, err := a.client.Update(t.Context(), a.m); err != nil || !changed || cur.Num != 1 {
			t.Errorf("%s: update %v %v", path, changed, err)
		}
	}
}

func TestEvictAndSweep(t *testing.T) {
	w := newWorld(t)
	a, b := w.join("a", both), w.join("b", both)
	if err := w.s.Evict(t.Context(), testGroup, "n0"); err != nil {
		t.Fatal(err)
	}
	if err := w.s.Evict(t.Context(), testGroup, "n0"); !errors.Is(err, ErrNoMember) {
		t.Errorf("evicting twice: %v", err)
	}
	if _, err := a.client.Num(t.Context()); !errors.Is(err, join.ErrNotMember) {
		t.Errorf("the evicted member: %v", err)
	}
	w.pass(30 * time.Minute)
	w.join("c", both) // its token lives longer than b's
	w.pass(31 * time.Minute)
	if err := w.s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m := w.members(); len(m) != 1 || m[0].Subject != "c" {
		t.Errorf("members %+v", m)
	}
	if _, err := b.client.Num(t.Context()); !errors.Is(err, join.ErrNoToken) {
		t.Errorf("the expired member: %v", err)
	}
	if g := w.group(); g.Num != 2 {
		t.Errorf("num %d after one eviction and one sweep", g.Num)
	}
}

func TestCreateGroup(t *testing.T) {
	w := newWorld(t)
	before := w.group()
	if err := w.s.CreateGroup(t.Context(), GroupConfig{Name: testGroup, SenderIDs: 5}); err != nil {
		t.Fatal(err)
	}
	if g := w.group(); !bytes.Equal(g.MasterSecret, before.MasterSecret) || g.SenderIDs != before.SenderIDs {
		t.Error("creating it again changed it")
	}
	for _, bad := range []GroupConfig{
		{Name: ""}, {Name: "a/b"}, {Name: ".."}, {Name: "x", MaxStaleSets: 1}, {Name: "x", KeyLifetime: time.Millisecond},
	} {
		if err := w.s.CreateGroup(t.Context(), bad); err == nil {
			t.Errorf("%+v was created", bad)
		}
	}
	if _, err := w.s.Members(t.Context(), "nowhere"); !errors.Is(err, ErrNoGroup) {
		t.Errorf("members of no group: %v", err)
	}
}

// Renewing without end rekeys the group now and then, and what the members hold
// stays true.
func TestEndlessRenewal(t *testing.T) {
	w := newWorld(t)
	a, b := w.join("a", both), w.join("b", both)
	for range maxStaleSIDs + 3 {
		sid, err := a.client.Renew(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a.m.SenderID = sid
	}
	if g := w.group(); g.Num != 1 || len(g.current().SIDs) != 3 {
		t.Errorf("num %d, %d stale Sender IDs", g.Num, len(g.current().SIDs))
	}
	for _, p := range []*admitted{a, b} {
		cur, purged, changed, err := p.client.Update(t.Context(), p.m)
		if err != nil || !changed || !bytes.Equal(cur.SenderID, p.m.SenderID) || len(purged.SIDs) < maxStaleSIDs {
			t.Errorf("update: %v %v, %d purged", changed, err, len(purged.SIDs))
		}
	}
}
