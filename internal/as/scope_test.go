package as_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
)

// admin makes admin entries of patterns, each followed by its permissions.
func admin(pairs ...any) []byte {
	var s ace.Scope
	for i := 0; i < len(pairs); i += 2 {
		s.Admins = append(s.Admins, ace.AdminEntry{Groups: pairs[i].(ace.Pattern), Perm: ace.Perm(pairs[i+1].(int))})
	}
	return s.Encode()
}

// describeAll is a scope with entries of both kinds in one line.
func describeAll(data []byte) string {
	s, err := ace.ParseScope(data)
	if err != nil {
		return err.Error()
	}
	var parts []string
	for _, e := range s.Users {
		parts = append(parts, fmt.Sprintf("%s:%d", e.Group, e.Roles))
	}
	for _, e := range s.Admins {
		parts = append(parts, fmt.Sprintf("%s:%d", e.Groups, e.Perm))
	}
	return strings.Join(parts, " ")
}

var (
	anyGroup = ace.AnyGroup
	literal  = ace.NamedGroup
	pattern  = ace.RegexpGroups
)

// The Tperm of a user entry is even and that of an admin entry odd: the lowest bit,
// which is List, tells them apart in one scope. KGO, Section 3; GMA, Section 3.
func TestStatement012_UserAndAdminEntriesInOneScope(t *testing.T) {
	p := newSite(t).enrolled("anna", as.AllGroups("hall"))
	asked := ace.Scope{
		Users:  []ace.ScopeEntry{{Group: "hall", Roles: req}},
		Admins: []ace.AdminEntry{{Groups: literal("hall"), Perm: ace.PermAll}},
	}
	tok, c := p.token(ace.TokenRequest{Scope: asked.Encode()})
	if tok.Scope != nil || describeAll(c.Scope.Scope) != "hall:2 hall:31" {
		t.Errorf("told %x, the token has %s", tok.Scope, describeAll(c.Scope.Scope))
	}
	var entries [][2]any
	if err := cbor.Unmarshal(c.Scope.Scope, &entries); err != nil || len(entries) != 2 {
		t.Fatal(entries, err)
	}
	if entries[0][1].(uint64)%2 != 0 || entries[1][1].(uint64)%2 != 1 {
		t.Errorf("entries %v", entries)
	}
	// The default scope has both kinds, too.
	if _, c = p.token(ace.TokenRequest{}); describeAll(c.Scope.Scope) != "hall:2 hall:31" {
		t.Errorf("by default %s", describeAll(c.Scope.Scope))
	}
	for _, tperm := range []int{0, 3 + 32, 32, 64 + 1} {
		p.denied(map[int]any{9: cbor.MustMarshal([]any{[]any{"hall", tperm}})}, ace.ErrorInvalidScope)
	}
}

// An admin entry without List is never issued, whatever is asked for and whatever a
// policy says. GMA, Section 3.
func TestStatement013_NoAdminEntryWithoutList(t *testing.T) {
	s := newSite(t)
	for _, perm := range []ace.Perm{ace.PermRead, ace.PermCreate | ace.PermDelete, 32 | ace.PermList} {
		if _, err := s.as.Invite(t.Context(), "x", as.Policy{Rules: []as.Rule{{Group: "*", Admin: perm}}}); err == nil {
			t.Errorf("a policy with %s", perm)
		}
	}
	p := s.enrolled("anna", as.Policy{Rules: []as.Rule{{Group: "hall", Self: req, Admin: ace.PermList | ace.PermRead}}})
	p.denied(map[int]any{9: cbor.MustMarshal([]any{[]any{"hall", 8}})}, ace.ErrorInvalidScope) // a user entry for monitors
	p.denied(map[int]any{9: cbor.MustMarshal([]any{[]any{true, 4}})}, ace.ErrorInvalidScope)   // Read without List
	for perm := 1; perm <= 31; perm += 2 {
		_, c := p.token(ace.TokenRequest{Scope: admin(literal("hall"), perm)})
		scope, err := ace.ParseScope(c.Scope.Scope)
		if err != nil || len(scope.Admins) != 1 || scope.Admins[0].Perm != ace.Perm(perm)&(ace.PermList|ace.PermRead) {
			t.Errorf("asked for %d, got %s", perm, describeAll(c.Scope.Scope))
		}
	}
}

// Patterns of two semantics in one request, or of one that is not supported, are
// refused: 4.00 with invalid_scope. GMA, Section 4 (whose error_description is an
// error that RFC 9200, Section 5.8.3, numbers 6).
func TestStatement014_PatternSemantics(t *testing.T) {
	p := newSite(t).enrolled("anna", as.AllGroups())
	tagged := func(tag uint64, s string) cbor.Tag { return cbor.Tag{Number: tag, Content: s} }
	for name, entries := range map[string][]any{
		"two semantics":  {[]any{tagged(21065, "a.*"), 5}, []any{tagged(35, "b.*"), 5}},
		"an unknown one": {[]any{tagged(35, "a.*"), 5}},
		"no expression":  {[]any{tagged(21065, "a(b"), 5}},
		"not even text":  {[]any{cbor.Tag{Number: 21065, Content: 7}, 5}},
		"false":          {[]any{false, 5}},
	} {
		t.Run(name, func(t *testing.T) { p.denied(map[int]any{9: cbor.MustMarshal(entries)}, ace.ErrorInvalidScope) })
	}
	if _, c := p.token(ace.TokenRequest{Scope: admin(pattern("a.*"), 5, pattern("b[0-9]"), 5)}); describeAll(c.Scope.Scope) != "/a.*/:5 /b[0-9]/:5" {
		t.Errorf("one semantics: %s", describeAll(c.Scope.Scope))
	}
}

// The extended scope claim is a tag around the same byte string, and only the claim
// has it. RFC 9594, Section 7.
func TestStatement015_ExtendedScope(t *testing.T) {
	for _, extended := range []bool{false, true} {
		s := newSite(t, func(c *as.Config) { c.Audiences = map[string]as.Audience{audience: {ExtendedScope: extended}} })
		p := s.enrolled("anna", as.Policy{})
		tok, c := p.token(ace.TokenRequest{Scope: scope("hall", req, "cellar", req)})
		want := scope("hall", req)
		if c.Scope.Extended != extended || !bytes.Equal(c.Scope.Scope, want) || !bytes.Equal(tok.Scope, want) {
			t.Errorf("claim %+v, answer %x", c.Scope, tok.Scope)
		}
		plain := cbor.AppendBytes(nil, want)
		if extended {
			plain = append([]byte{0xda, 0x63, 0x74, 0x02, 0x29}, plain...) // 1668547113
		}
		if got := cbor.MustMarshal(c.Scope); !bytes.Equal(got, plain) {
			t.Errorf("the claim is %x, want %x", got, plain)
		}
		rs := s.resourceServer()
		if a := rs.introspect(tok.AccessToken); !bytes.Equal(a.Scope, want) {
			t.Errorf("introspection says %x", a.Scope)
		}
	}
}

// The evaluation of admin entries: policies that cover what is asked for, that lie
// inside it, and that meet it. GMA, Appendix A.
func TestAdminScopes(t *testing.T) {
	policy := as.Policy{Rules: []as.Rule{
		{Group: "gp1", Admin: 31},
		{Group: "floor-*", Admin: 5},
		{Group: "/floor-1-.*/", Admin: 1 + 8},
		{Group: "/[a-k][0-9]/", Admin: 13},
		{Group: "/.*-lamps/", Admin: 3, Audience: audience},
		{Group: "elsewhere", Admin: 31, Audience: "other.example"},
	}}
	p := newSite(t).enrolled("anna", policy)
	for _, tt := range []struct {
		asked []byte
		got   string // empty: invalid_scope
	}{
		{admin(literal("gp1"), 31), "gp1:31"},
		{admin(literal("gp1"), 5), "gp1:5"},
		{admin(literal("gp2"), 31), ""},
		{admin(literal("elsewhere"), 31), ""},
		{admin(literal("floor-2"), 31), "floor-2:5"},
		{admin(literal("floor-1-a"), 31), "floor-1-a:13"},         // two policies add up
		{admin(literal("floor-1-lamps"), 31), "floor-1-lamps:15"}, // three
		{admin(pattern("floor-1-.*"), 31), "/floor-1-.*/:13 /floor-1-.*-lamps/:3"},
		{admin(pattern("[a-k][0-9]"), 31), "/[a-k][0-9]/:13"},
		{admin(literal("b7"), 31), "b7:13"},
		{admin(literal("b77"), 31), ""},
		{admin(pattern("attic-.*"), 31), "/attic-.*-lamps/:3"},
		{admin(anyGroup, 7), "gp1:7 /floor-.*/:5 /floor-1-.*/:1 /[a-k][0-9]/:5 /.*-lamps/:3"},
		{admin(literal("gp1"), 31, literal("gp2"), 31, literal("b7"), 1), "gp1:31 b7:1"},
		{nil, "gp1:31 /floor-.*/:5 /floor-1-.*/:9 /[a-k][0-9]/:13 /.*-lamps/:3"},
	} {
		if tt.got == "" {
			p.denied(ace.TokenRequest{Scope: tt.asked}, ace.ErrorInvalidScope)
			continue
		}
		tok, c := p.token(ace.TokenRequest{Scope: tt.asked})
		if got := describeAll(c.Scope.Scope); got != tt.got {
			t.Errorf("asked for %s: %s, want %s", describeAll(tt.asked), got, tt.got)
		}
		if same := bytes.Equal(tt.asked, c.Scope.Scope); same != (tok.Scope == nil) || !same && !bytes.Equal(tok.Scope, c.Scope.Scope) {
			t.Errorf("asked for %s: told %x", describeAll(tt.asked), tok.Scope)
		}
	}
	// Devices administrate nothing.
	both := newSite(t).enrolled("bert", as.AllGroups("hall"))
	both.expect(both.register(hallLamp, 7, "lamp"), coap.Created)
	both.denied(ace.TokenRequest{ClientID: hallLamp, Scope: admin(literal("hall"), 5)}, ace.ErrorInvalidScope)
	if _, c := both.token(ace.TokenRequest{ClientID: hallLamp}); describeAll(c.Scope.Scope) != "hall:14" {
		t.Errorf("a device's default scope is %s", describeAll(c.Scope.Scope))
	}
}

// Rules are for classes of devices, for one device, for groups by an expression,
// and until a time.
func TestRules(t *testing.T) {
	s := newSite(t)
	soon := uint64(s.clock.Now().Unix()) + 3600
	p := s.enrolled("anna", as.Policy{Rules: []as.Rule{
		{Group: "hall", Devices: resp, Model: "lamp-*"},
		{Group: "hall", Devices: req, Model: "switch"},
		{Group: "safe", Devices: resp, Device: otherLamp},
		{Group: "/floor-[0-9]/", Self: req},
		{Group: "today", Self: req, Until: soon},
	}})
	p.expect(p.register(hallLamp, 7, "lamp-dim"), coap.Created)
	p.expect(p.register(otherLamp, 8, "switch"), coap.Created)
	all := scope("hall", req|resp, "safe", resp)
	if _, c := p.token(ace.TokenRequest{ClientID: hallLamp, Scope: all}); describe(c.Scope.Scope) != "hall:4" {
		t.Errorf("a lamp gets %s", describe(c.Scope.Scope))
	}
	if _, c := p.token(ace.TokenRequest{ClientID: otherLamp, Scope: all}); describe(c.Scope.Scope) != "hall:2 safe:4" {
		t.Errorf("the switch gets %s", describe(c.Scope.Scope))
	}
	if _, c := p.token(ace.TokenRequest{Scope: scope("floor-1", req, "floor-10", req)}); describe(c.Scope.Scope) != "floor-1:2" {
		t.Errorf("by expression: %s", describe(c.Scope.Scope))
	}
	// A token does not outlast what allows it.
	if tok, _ := p.token(ace.TokenRequest{Scope: scope("today", req, "floor-1", req)}); tok.ExpiresIn != 3600 {
		t.Errorf("expires_in %d", tok.ExpiresIn)
	}
	if tok, _ := p.token(ace.TokenRequest{Scope: scope("floor-1", req)}); tok.ExpiresIn != 86400 {
		t.Errorf("expires_in %d", tok.ExpiresIn)
	}
	s.clock.advance(time.Hour)
	p.denied(ace.TokenRequest{Scope: scope("today", req)}, ace.ErrorInvalidScope)

	for name, rule := range map[string]as.Rule{
		"no expression": {Group: "/a(/", Self: req}, "an empty one": {Group: "//", Self: req}, "a star in a model": {Group: "hall", Devices: resp, Model: "a*b"},
		"no device": {Group: "hall", Devices: resp, Device: "lamp"},
	} {
		if _, err := s.as.Invite(t.Context(), "x", as.Policy{Rules: []as.Rule{rule}}); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// A person's access ends when it says: no token outlasts it, and no session is
// listened to afterwards. The devices' tokens go on.
func TestPersonUntil(t *testing.T) {
	s := newSite(t)
	p := s.party("anna")
	inv, err := s.as.InvitePerson(t.Context(), as.InviteParams{Name: "anna", Groups: []string{"hall"}, Until: s.clock.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	p.accept(inv)
	p.enroll()
	p.expect(p.register(hallLamp, 7, "lamp"), coap.Created)
	if tok, _ := p.token(ace.TokenRequest{}); tok.ExpiresIn != 3600 {
		t.Errorf("expires_in %d", tok.ExpiresIn)
	}
	if tok, _ := p.token(ace.TokenRequest{ClientID: hallLamp}); tok.ExpiresIn != 365*86400 {
		t.Errorf("a device's token lasts %d seconds", tok.ExpiresIn)
	}
	people, err := s.as.People(t.Context())
	if err != nil || len(people) != 1 || !people[0].Expires.Equal(s.clock.Now().Add(time.Hour)) {
		t.Errorf("%+v, %v", people, err)
	}
	s.clock.advance(time.Hour)
	p.expectDenial(p.do(p.call, coap.POST, "/token", ace.FormatACE, ace.TokenRequest{}), coap.Unauthorized, ace.ErrorInvalidClient)
	p.expect(p.do(p.call, coap.GET, "/devices/"+hallLamp, -1, nil), coap.Unauthorized)
}
