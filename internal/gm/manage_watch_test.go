package gm

import (
	"bytes"
	"fmt"
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

// The list of groups is made anew when a configuration has changed, not when a group
// gains a member.
func TestWatchCollectionIsCheap(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	x := w.watch(boss, coap.GET, "/manage", "a", nil)
	w.join("first", both) // nothing is known of the group yet
	if w.s.watched.shows(w.s, []string{testGroup}) || !w.s.watched.shows(w.s, []string{testGroup, "gone"}) {
		t.Error("what is known is not known")
	}
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{Active: ace.Is(false)}, coap.Changed)
	if w.s.watched.shows(w.s, []string{testGroup}) || x.next() != nil {
		t.Error("told of what the list does not show")
	}
	w.must(boss, coap.POST, "/manage", named("attic"), coap.Created)
	if x.next() == nil {
		t.Error("not told of a new group")
	}
	wantCode(t, "delete", w.call(boss, coap.DELETE, "/manage/attic", -1, nil), coap.Deleted)
	if x.next() == nil {
		t.Error("not told of a deleted group")
	}
}

// Registrations that come and go leave nothing behind.
func TestWatchForgets(t *testing.T) {
	w := newWorld(t)
	boss, other := w.chief(), w.chief()
	w.watch(other, coap.GET, "/manage/hall", "stays", nil)
	for i := range 100 {
		token := fmt.Sprint("t", i)
		if !coap.IsNotification(w.watch(boss, coap.GET, "/manage/hall", token, nil).first) {
			t.Fatal("no room")
		}
		req := request(coap.GET, "/manage/hall", -1, nil)
		req.Token = []byte(token)
		coap.AddUint(req, coap.OptionObserve, coap.ObserveDeregister)
		w.s.serve(t.Context(), &coap.Request{Message: req, Peer: coap.Peer{Kind: coap.PeerACE, Name: boss.id}})
	}
	if n := len(w.s.watched.list["hall"].told); n != 1 {
		t.Errorf("%d are remembered", n)
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

// A revoked token ends its observations at once, and administers nothing more.
func TestRevokedAdministrator(t *testing.T) {
	w := newWorld(t)
	c := w.claims("boss")
	c.Scope.Scope = ace.Scope{Admins: []ace.AdminEntry{may(ace.AnyGroup, ace.PermAll)}}.Encode()
	token := w.seal(c)
	_, boss := w.transfer(token)
	other := w.watch(w.chief(), coap.GET, "/manage/hall", "o", nil)
	x, y := w.watch(boss, coap.GET, "/manage/hall", "x", nil), w.watch(boss, coap.GET, "/manage", "y", nil)
	if err := w.s.Revoked(t.Context(), [][]byte{ace.TokenHash(token.AccessToken)}); err != nil {
		t.Fatal(err)
	}
	for _, o := range []*watcher{x, y} {
		if m := o.next(); m == nil || m.Code != coap.Unauthorized {
			t.Errorf("told %v", m)
		}
	}
	if other.next() != nil {
		t.Error("somebody else was told")
	}
	wantCode(t, "read", w.call(boss, coap.GET, "/manage/hall", -1, nil), coap.Unauthorized)
	wantCode(t, "change", w.ask(boss, coap.PATCH, "/manage/hall", ace.Configuration{Active: ace.Is(false)}), coap.Unauthorized)
	resp := w.call(boss, coap.GET, "/.well-known/core", -1, nil)
	if bytes.Contains(resp.Payload, []byte("hall")) {
		t.Errorf("discovery: %s", resp.Payload)
	}
}

// What administrators do and read is logged, without what may be private in a
// configuration. GMA, Section 9.2.
func TestManageLog(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t, func(c *Config) { c.Logger = textLogger(&log) })
	boss := w.chief()
	w.must(boss, coap.POST, "/manage", named("gp1").With(ace.Configuration{GroupDescription: ace.Is("private words"), AppGroups: ace.Is([]string{"private rooms"})}), coap.Created)
	w.configurationOf(boss, "gp1")
	w.must(boss, coap.PATCH, "/manage/gp1", ace.Configuration{MaxStaleSets: ace.Is[uint64](9)}, coap.Changed)
	w.must(boss, coap.POST, "/manage/gp1", ace.Configuration{}, coap.Changed)
	wantCode(t, "delete", w.call(boss, coap.DELETE, "/manage/gp1", -1, nil), coap.Deleted)
	wantCode(t, "delete again", w.call(boss, coap.DELETE, "/manage/gp1", -1, nil), coap.NotFound)
	for _, want := range []string{"created a group", "an administrator read", "updated a group's configuration", "overwrote a group's configuration", "deleted a group", "refused a request"} {
		if !bytes.Contains(log.Bytes(), []byte(want)) {
			t.Errorf("%q is not in the log", want)
		}
	}
	if bytes.Contains(log.Bytes(), []byte("private")) {
		t.Error("private words are in the log")
	}
}
