package gm

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

const cf261 = ace.FormatACEGroupcomm

// admin is an administrator with a token for these entries.
func (w *world) admin(entries ...ace.AdminEntry) *direct {
	w.t.Helper()
	c := w.claims("boss")
	c.Scope.Scope = ace.Scope{Admins: entries}.Encode()
	_, gm := w.transfer(w.seal(c))
	return gm
}

// chief may do everything with every group.
func (w *world) chief() *direct { return w.admin(may(ace.AnyGroup, ace.PermAll)) }

func may(groups ace.Pattern, perm ace.Perm) ace.AdminEntry {
	return ace.AdminEntry{Groups: groups, Perm: perm}
}

// ask makes a request whose payload is a configuration.
func (w *world) ask(gm coap.Caller, method coap.Code, path string, c ace.Configuration) *coap.Message {
	w.t.Helper()
	return w.call(gm, method, path, cf261, ace.Encode(c))
}

// named is a configuration with a name.
func named(name string) ace.Configuration {
	return ace.Configuration{GroupName: ace.Is(ace.NamedGroup(name))}
}

// must checks that a request went well and returns the answer.
func (w *world) must(gm coap.Caller, method coap.Code, path string, c ace.Configuration, want coap.Code) ace.Configuration {
	w.t.Helper()
	resp := w.ask(gm, method, path, c)
	wantCode(w.t, coap.CodeString(method)+" "+path, resp, want)
	return wantConfiguration(w.t, resp)
}

func wantConfiguration(t testing.TB, m *coap.Message) ace.Configuration {
	t.Helper()
	if format, ok := coap.ContentFormat(m); !ok || format != cf261 {
		t.Fatalf("%s with Content-Format %d (%q), want 261", coap.CodeString(m.Code), format, m.Payload)
	}
	c, err := ace.DecodeConfiguration(m.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return *c
}

// configurationOf reads a group's configuration and its ETag.
func (w *world) configurationOf(gm coap.Caller, name string) (ace.Configuration, []byte) {
	w.t.Helper()
	resp := w.call(gm, coap.GET, "/manage/"+name, -1, nil)
	wantCode(w.t, "GET "+name, resp, coap.Content)
	etag := coap.GetOption(resp, coap.OptionETag)
	if len(etag) == 0 {
		w.t.Error("no ETag")
	}
	return wantConfiguration(w.t, resp), etag
}

// names reads links to group configurations.
func linkNames(t testing.TB, m *coap.Message) []string {
	t.Helper()
	wantCode(t, "list", m, coap.Content)
	if format, _ := coap.ContentFormat(m); format != coap.FormatLink {
		t.Errorf("Content-Format %d, want 40", format)
	}
	links, err := coap.ParseLinks(m.Payload)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, l := range links {
		if rt, _ := l.Get("rt"); rt != "core.osc.gconf" {
			t.Errorf("link with rt %q", rt)
		}
		names = append(names, strings.TrimPrefix(l.Target, "/manage/"))
	}
	return names
}

func (w *world) wantNames(gm coap.Caller, f ace.Configuration, want ...string) {
	w.t.Helper()
	if got := linkNames(w.t, w.ask(gm, coap.FETCH, "/manage", f)); !slices.Equal(got, want) {
		w.t.Errorf("filter %x: %q, want %q", ace.Encode(f), got, want)
	}
}

// Methods that an admin resource does not know are 4.05 for who may see it, paths
// that nobody knows 4.04, and 4.03 comes before both.
func TestManageMethods(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	other := w.admin(may(ace.NamedGroup("other"), ace.PermAll))
	for path, methods := range map[string][]coap.Code{
		"/manage":              {coap.PUT, coap.DELETE, coap.PATCH, coap.IPATCH},
		"/manage/hall":         {coap.PUT},
		"/manage/hall/members": {coap.POST, coap.PUT, coap.DELETE, coap.FETCH, coap.PATCH},
		"/manage/hall/evict":   {coap.GET, coap.PUT},
		"/manage/hall/rekey":   {coap.PUT, coap.DELETE, coap.FETCH},
	} {
		for _, m := range methods {
			wantCode(t, path, w.call(boss, m, path, -1, nil), coap.MethodNotAllowed)
			if path != "/manage" {
				wantCode(t, path, w.call(other, m, path, -1, nil), coap.Forbidden)
			}
		}
	}
	wantCode(t, "another path", w.call(boss, coap.GET, "/manage/hall/nothing", -1, nil), coap.NotFound)
	wantCode(t, "a longer path", w.call(boss, coap.GET, "/manage/hall/members/n0", -1, nil), coap.NotFound)
	for _, path := range []string{"/manage/", "/manage//rekey", "/manage/hall/", "/manage//"} {
		for _, m := range []coap.Code{coap.GET, coap.POST, coap.DELETE} {
			wantCode(t, path, w.call(boss, m, path, ace.FormatCBOR, []byte{0xa0}), coap.NotFound)
		}
	}
	wantCode(t, "no group", w.call(boss, coap.GET, "/manage/nowhere", -1, nil), coap.NotFound)
	wantCode(t, "no group, not permitted", w.call(other, coap.GET, "/manage/nowhere", -1, nil), coap.Forbidden)
}

// Every operation has its permission, for every kind of pattern.
func TestManagePermissions(t *testing.T) {
	type op struct {
		need   ace.Perm
		method coap.Code
		path   string
		body   []byte
	}
	conf := func(c ace.Configuration) []byte { return ace.Encode(c) }
	ops := []op{
		{ace.PermList, coap.GET, "/manage", nil},
		{ace.PermList, coap.FETCH, "/manage", conf(ace.Configuration{})},
		{ace.PermCreate, coap.POST, "/manage", conf(named("gp7"))},
		{ace.PermRead, coap.GET, "/manage/gp1", nil},
		{ace.PermRead, coap.FETCH, "/manage/gp1", ace.Encode(ace.ConfFilter{Labels: []int{-12}})},
		{ace.PermRead, coap.GET, "/manage/gp1/members", nil},
		{ace.PermRead, coap.GET, "/manage/gp1/rekey", nil},
		{ace.PermWrite, coap.POST, "/manage/gp1", conf(ace.Configuration{})},
		{ace.PermWrite, coap.PATCH, "/manage/gp1", conf(ace.Configuration{Active: ace.Is(false)})},
		{ace.PermWrite, coap.IPATCH, "/manage/gp1", conf(ace.Configuration{Active: ace.Is(false)})},
		{ace.PermDelete, coap.DELETE, "/manage/gp1", nil},
	}
	for _, groups := range []ace.Pattern{ace.AnyGroup, ace.RegexpGroups("gp[0-9]"), ace.NamedGroup("gp1")} {
		for perm := ace.PermList; perm <= ace.PermAll; perm += 2 {
			w := newEmptyWorld(t)
			w.must(w.chief(), coap.POST, "/manage", named("gp1"), coap.Created)
			gm := w.admin(may(groups, perm), may(ace.NamedGroup("other"), ace.PermAll))
			for _, o := range ops {
				resp := w.call(gm, o.method, o.path, cf261, o.body)
				allowed := perm.Has(o.need) && !(o.need == ace.PermCreate && groups.Kind == ace.PatternName)
				if got := coap.Class(resp.Code) == 2; got != allowed || !got && resp.Code != coap.Forbidden {
					t.Errorf("%s %s with %s on %s: %s", o.method, o.path, perm, groups, coap.CodeString(resp.Code))
				}
			}
		}
	}
}

// Evicting and rekeying take the permission to write.
func TestManageMembersPermissions(t *testing.T) {
	w := newWorld(t)
	w.join("dev", both)
	reader, writer := w.admin(may(ace.AnyGroup, ace.PermList|ace.PermRead)), w.admin(may(ace.AnyGroup, ace.PermList|ace.PermWrite))
	for path, body := range map[string]any{"evict": ace.EvictRequest{Nodes: []string{"n0"}, Preview: true}, "rekey": ace.RekeyRequest{Preview: true}} {
		wantCode(t, path, w.cborTo(reader, "/manage/hall/"+path, body), coap.Forbidden)
		wantCode(t, path, w.cborTo(writer, "/manage/hall/"+path, body), coap.Changed)
	}
	wantCode(t, "progress", w.call(writer, coap.GET, "/manage/hall/rekey", -1, nil), coap.Forbidden)
}

// The permissions of all entries that match a name add up.
func TestManagePermissionsAddUp(t *testing.T) {
	w := newWorld(t)
	gm := w.admin(may(ace.AnyGroup, ace.PermList), may(ace.NamedGroup("hall"), ace.PermList|ace.PermRead), may(ace.RegexpGroups("h.*"), ace.PermList|ace.PermWrite))
	w.configurationOf(gm, "hall")
	w.must(gm, coap.PATCH, "/manage/hall", ace.Configuration{Active: ace.Is(false)}, coap.Changed)
	wantCode(t, "delete", w.call(gm, coap.DELETE, "/manage/hall", -1, nil), coap.Forbidden)
}

func TestManageFormats(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	body := ace.Encode(ace.Configuration{Active: ace.Is(true)})
	for _, m := range []coap.Code{coap.POST, coap.PATCH, coap.IPATCH} {
		wantCode(t, "no Content-Format", w.call(boss, m, "/manage/hall", -1, body), coap.BadRequest)
		wantCode(t, "another Content-Format", w.call(boss, m, "/manage/hall", 60, body), coap.UnsupportedFormat)
		wantCode(t, "no CBOR", w.call(boss, m, "/manage/hall", cf261, []byte{0xff}), coap.BadRequest)
	}
	wantCode(t, "filter", w.call(boss, coap.FETCH, "/manage", 60, body), coap.UnsupportedFormat)
	wantCode(t, "conf_filter", w.call(boss, coap.FETCH, "/manage/hall", 60, body), coap.UnsupportedFormat)
	wantCode(t, "conf_filter is a configuration", w.call(boss, coap.FETCH, "/manage/hall", cf261, body), coap.BadRequest)
	for path, format := range map[string]uint32{"/manage": 40, "/manage/hall": 261} {
		for _, want := range []uint32{format, 60} {
			req := request(coap.GET, path, -1, nil)
			coap.AddUint(req, coap.OptionAccept, want)
			resp, _ := boss.Call(t.Context(), req)
			code := coap.Content
			if want != format {
				code = coap.NotAcceptable
			}
			wantCode(t, path, resp, code)
		}
	}
}

// If-Match is acted on at group configurations only.
func TestIfMatchElsewhere(t *testing.T) {
	w := newWorld(t)
	a := w.join("dev", both)
	for path, want := range map[string]coap.Code{"/ace-group/hall/num": coap.BadOption, "/authz-info": coap.BadOption, "/manage": coap.Unauthorized} {
		req := request(coap.GET, path, -1, nil)
		coap.AddOption(req, coap.OptionIfMatch, []byte{1})
		resp, _ := a.gm.Call(t.Context(), req)
		wantCode(t, path, resp, want)
	}
	req := request(coap.POST, "/manage", cf261, ace.Encode(named("x")))
	coap.AddOption(req, coap.OptionIfMatch, []byte{1})
	resp, _ := w.chief().Call(t.Context(), req)
	wantCode(t, "the collection has no such representation", resp, coap.PreconditionFailed)
	if !coap.Understands(w.s.Handler(), coap.OptionIfMatch) || coap.Understands(w.s.Handler(), coap.OptionIfNoneMatch) {
		t.Error("what the Group Manager says to understand")
	}
}

// match makes a request with If-Match.
func (w *world) match(gm coap.Caller, method coap.Code, path string, body []byte, etags ...[]byte) *coap.Message {
	w.t.Helper()
	req := request(method, path, cf261, body)
	for _, e := range etags {
		coap.AddOption(req, coap.OptionIfMatch, e)
	}
	resp, err := gm.Call(w.t.Context(), req)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

// Two administrators read the same configuration; who writes second is told.
func TestIfMatch(t *testing.T) {
	w := newWorld(t)
	first, second := w.chief(), w.chief()
	_, etag := w.configurationOf(first, "hall")
	on, off := ace.Encode(ace.Configuration{GroupDescription: ace.Is("one")}), ace.Encode(ace.Configuration{GroupDescription: ace.Is("two")})
	wantCode(t, "first", w.match(first, coap.PATCH, "/manage/hall", on, etag), coap.Changed)
	for _, m := range []coap.Code{coap.POST, coap.PATCH, coap.IPATCH, coap.DELETE} {
		wantCode(t, "second", w.match(second, m, "/manage/hall", off, etag), coap.PreconditionFailed)
	}
	c, newer := w.configurationOf(second, "hall")
	if c.GroupDescription != ace.Is("one") || bytes.Equal(newer, etag) {
		t.Errorf("%v, ETag %x", c.GroupDescription, newer)
	}
	wantCode(t, "one of several", w.match(second, coap.IPATCH, "/manage/hall", off, etag, newer), coap.Changed)
	wantCode(t, "any", w.match(second, coap.POST, "/manage/hall", ace.Encode(ace.Configuration{}), nil), coap.Changed)
	wantCode(t, "any of none", w.match(second, coap.POST, "/manage/nowhere", ace.Encode(ace.Configuration{}), nil), coap.NotFound)
	_, newest := w.configurationOf(second, "hall")
	wantCode(t, "delete", w.match(second, coap.DELETE, "/manage/hall", nil, newest), coap.Deleted)
}

// A representation that the administrator has is not sent again.
func TestETagValidates(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	_, etag := w.configurationOf(boss, "hall")
	get := func() *coap.Message {
		req := request(coap.GET, "/manage/hall", -1, nil)
		coap.AddOption(req, coap.OptionETag, []byte{9})
		coap.AddOption(req, coap.OptionETag, etag)
		resp, _ := boss.Call(t.Context(), req)
		return resp
	}
	if resp := get(); resp.Code != coap.Valid || len(resp.Payload) != 0 || !bytes.Equal(coap.GetOption(resp, coap.OptionETag), etag) {
		t.Errorf("%s %x", coap.CodeString(resp.Code), resp.Payload)
	}
	w.must(boss, coap.PATCH, "/manage/hall", ace.Configuration{GroupDescription: ace.Is("x")}, coap.Changed)
	wantCode(t, "changed", get(), coap.Content)
}

func TestDiscovery(t *testing.T) {
	w := newWorld(t)
	boss := w.chief()
	w.must(boss, coap.POST, "/manage", named("attic"), coap.Created)
	dev := w.join("dev", both)
	get := func(c coap.Caller, query string) string {
		req := request(coap.GET, "/.well-known/core", -1, nil)
		if query != "" {
			coap.AddOption(req, coap.OptionURIQuery, []byte(query))
		}
		resp, err := c.Call(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, "discovery", resp, coap.Content)
		return string(resp.Payload)
	}
	open := coap.To(plain{w}, gmAddr)
	const collection = `</manage>;rt="core.osc.gcoll";ct="40";obs`
	if got := get(open, "rt=core.osc.gcoll"); got != collection {
		t.Errorf("collection: %s", got)
	}
	if got := get(open, ""); strings.Contains(got, "hall") || !strings.Contains(got, collection) || !strings.Contains(got, `</ace-group>;if="ace.groups"`) {
		t.Errorf("anybody: %s", got)
	}
	if got := get(dev.gm, "rt=core.osc.gm"); got != `</ace-group/hall>;rt="core.osc.gm";if="ace.group"` {
		t.Errorf("a member: %s", got)
	}
	if got := get(boss, "rt=core.osc.gm"); !strings.Contains(got, "/attic>") || !strings.Contains(got, "/hall>") {
		t.Errorf("an administrator: %s", got)
	}
	resp, _ := open.Call(t.Context(), request(coap.POST, "/.well-known/core", -1, nil))
	wantCode(t, "POST", resp, coap.MethodNotAllowed)
}

// The members of a group as its administrators see them.
func TestManageMembers(t *testing.T) {
	w := newWorld(t)
	a := w.join("dev", both)
	wantAnswer(t, w.applicant("mon", ace.RoleMonitor).send(ace.JoinRequest{
		Scope: ace.EncodeJoinScope(scope(testGroup, ace.RoleMonitor)), CNonce: draw(w.rand, 8),
	}), coap.Created)
	resp := w.call(w.chief(), coap.GET, "/manage/hall/members", -1, nil)
	wantCode(t, "members", resp, coap.Content)
	got, err := ace.Decode[ace.MembersResponse](resp.Payload)
	if err != nil || len(*got) != 2 {
		t.Fatalf("%v %+v", err, got)
	}
	first, second := (*got)[0], (*got)[1]
	if first.Subject != "dev" || first.Node != "n0" || !bytes.Equal(first.SenderID, a.m.SenderID) || first.Roles != both ||
		!bytes.Equal(first.Thumbprint, thumbprint(a.cred)) || first.Joined != uint64(w.clock().Unix()) {
		t.Errorf("%+v", first)
	}
	if second.Subject != "mon" || second.SenderID != nil || second.Thumbprint != nil || second.Roles != ace.RoleMonitor {
		t.Errorf("%+v", second)
	}
}

// watcher is an observer of an admin resource, past OSCORE.
type watcher struct {
	first *coap.Message
	got   chan *coap.Message
}

func (w *world) watch(gm *direct, method coap.Code, path, token string, body []byte) *watcher {
	w.t.Helper()
	x := &watcher{got: make(chan *coap.Message, 100)}
	req := request(method, path, cf261, body)
	req.Token = []byte(token)
	coap.AddUint(req, coap.OptionObserve, coap.ObserveRegister)
	x.first = w.s.serve(context.Background(), &coap.Request{
		Message: req, Peer: coap.Peer{Kind: coap.PeerACE, Name: gm.id},
		Push: func(m *coap.Message) error { x.got <- m; return nil },
	})
	return x
}

// next is what the observer was told next; nil for nothing.
func (x *watcher) next() *coap.Message {
	select {
	case m := <-x.got:
		return m
	default:
		return nil
	}
}
