package gm

import (
	"bytes"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

// An observer of a configuration is told each change once, with its ETag, nothing
// that does not change it, and the end.
func TestWatchConfiguration(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	x := w.watch(boss, coap.GET, "/manage/hall", "t", nil)
	wantCode(t, "registration", x.first, coap.Content)
	if !coap.IsNotification(x.first) {
		t.Fatal("not registered")
	}
	w.join("dev", both) // nothing of the configuration
	if m := x.next(); m != nil {
		t.Errorf("told of a join: %x", m.Payload)
	}
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{Active: ace.Is(false)}, coap.Changed)
	m := x.next()
	if m == nil || !coap.IsNotification(m) || wantConfiguration(t, m).Active != ace.Is(false) {
		t.Fatalf("told %v of the change", m)
	}
	if _, etag := w.configurationOf(boss, "hall"); !bytes.Equal(coap.GetOption(m, coap.OptionETag), etag) {
		t.Error("another ETag")
	}
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{Active: ace.Is(false)}, coap.Changed)
	if m := x.next(); m != nil {
		t.Errorf("told of no change: %x", m.Payload)
	}
	if err := w.s.SetActive(t.Context(), testGroup, true); err != nil { // not through the interface
		t.Fatal(err)
	}
	if m := x.next(); m == nil || wantConfiguration(t, m).Active != ace.Is(true) {
		t.Error("not told of what the operator did")
	}
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{Active: ace.Is(false)}, coap.Changed)
	x.next()
	wantCode(t, "delete", w.call(boss, coap.DELETE, "/manage/hall", -1, nil), coap.Deleted)
	if m := x.next(); m == nil || m.Code != coap.NotFound || coap.HasOption(m, coap.OptionObserve) {
		t.Errorf("told %v of the end", m)
	}
	if len(w.s.watched.list) != 0 {
		t.Error("a resource without observers is kept")
	}
}

// The collection tells of groups that come and go, as far as the token speaks of
// them, and of what a filter is about.
func TestWatchCollection(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	all := w.watch(boss, coap.GET, "/manage", "a", nil)
	some := w.watch(w.admin(may(ace.RegexpGroups("gp.*"), ace.PermList)), coap.GET, "/manage", "b", nil)
	active := w.watch(boss, coap.FETCH, "/manage", "c", ace.Encode(ace.Configuration{Active: ace.Is(true)}))
	w.must(boss, coap.POST, "/manage", named("attic"), coap.Created)
	if m := all.next(); m == nil || len(linkNames(t, m)) != 2 {
		t.Errorf("all: %v", m)
	}
	if some.next() != nil || active.next() != nil {
		t.Error("told of what is not theirs")
	}
	w.must(boss, coap.POST, "/manage", named("gp1"), coap.Created)
	if m := some.next(); m == nil || len(linkNames(t, m)) != 1 {
		t.Errorf("some: %v", m)
	}
	w.must(boss, coap.PATCH, "/manage/gp1", ace.Configuration{Active: ace.Is(true)}, coap.Changed)
	if m := active.next(); m == nil || len(linkNames(t, m)) != 2 {
		t.Errorf("active: %v", m)
	}
}

// Observations end with the token, and with a cancellation; who cannot be reached
// and what is refused is not registered.
func TestWatchEnds(t *testing.T) {
	w := newWorld(t)
	boss, other := w.chief(), w.chief()
	x := w.watch(boss, coap.GET, "/manage/hall", "t", nil)
	y := w.watch(other, coap.GET, "/manage/hall", "t", nil)
	req := request(coap.GET, "/manage/hall", -1, nil)
	req.Token = []byte("t")
	coap.AddUint(req, coap.OptionObserve, coap.ObserveDeregister)
	resp := w.s.serve(t.Context(), &coap.Request{Message: req, Peer: coap.Peer{Kind: coap.PeerACE, Name: other.id}})
	wantCode(t, "cancel", resp, coap.Content)
	w.pass(2 * time.Hour)
	w.must(w.chief(), coap.PATCH, "/manage/hall", ace.Configuration{GroupDescription: ace.Is("x")}, coap.Changed)
	if m := x.next(); m == nil || m.Code != coap.Unauthorized {
		t.Errorf("with an expired token: %v", m)
	}
	if m := y.next(); m != nil {
		t.Errorf("after a cancellation: %v", m)
	}
	for path, want := range map[string]coap.Code{"/manage/nowhere": coap.NotFound, "/manage/hall/nothing": coap.NotFound} {
		z := w.watch(w.chief(), coap.GET, path, "z", nil)
		wantCode(t, path, z.first, want)
	}
	if m := w.watch(w.chief(), coap.GET, "/manage/hall/members", "m", nil).first; m.Code != coap.Content || coap.IsNotification(m) {
		t.Errorf("members: %v", m)
	}
	if len(w.s.watched.list) != 0 {
		t.Errorf("%d resources are kept", len(w.s.watched.list))
	}
}
