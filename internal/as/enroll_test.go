package as_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/store"
)

func (s *site) records(prefixes ...string) (n int) {
	s.t.Helper()
	for _, prefix := range prefixes {
		err := s.store.View(context.Background(), func(tx store.Tx) error {
			return tx.Scan(prefix, func(string, []byte) bool { n++; return true })
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return n
}

// closed holds that there is no session any more: not that it is refused.
func (p *party) closed(through coap.Caller, path string) {
	p.t.Helper()
	m, err := p.try(through, coap.POST, path, ace.FormatCBOR, map[int]any{1: p.cred, 2: "installer"})
	if err == nil {
		p.t.Fatalf("there still is a session; it is answered %s", coap.CodeString(m.Code))
	}
}

func TestEnrol(t *testing.T) {
	s := newSite(t)
	p := s.invited("anna", as.Policy{})
	m := p.expect(p.postEnrolment(p.cred), coap.Created)
	var answer map[int][]byte
	if err := cbor.Unmarshal(m.Payload, &answer); err != nil || !bytes.Equal(answer[1], s.as.Credential()) {
		t.Fatalf("got %x, %v", m.Payload, err)
	}
	if again := p.postEnrolment(p.cred); again.Code != coap.Created || !bytes.Equal(again.Payload, m.Payload) {
		t.Errorf("a repeated enrolment: %s %x", coap.CodeString(again.Code), again.Payload)
	}
	p.open()
	if s.records("invitation/") != 1 {
		t.Error("the invitation ended before its installer key was used")
	}
	p.token(ace.TokenRequest{})
	if s.records("invitation/") != 0 {
		t.Error("the invitation is still on record")
	}
	p.closed(p.guest, "/enroll")
	s.start()
	p.closed(p.guest, "/enroll")
	p.token(ace.TokenRequest{})

	installers, err := s.as.Installers(t.Context())
	if err != nil || len(installers) != 1 {
		t.Fatalf("%v, %v", installers, err)
	}
	for id, i := range installers {
		if i.ID != id || i.Name != "anna" || !bytes.Equal(i.Credential, p.cred) || !i.Since.Equal(s.clock.Now()) {
			t.Errorf("installer %+v", i)
		}
	}
}

// Every kind of first request ends the invitation, not just one for a token.
func TestFirstUseByADevice(t *testing.T) {
	s := newSite(t)
	p := s.enrolled("anna", as.Policy{})
	p.expect(p.register(hallLamp, 7, "lamp"), coap.Created)
	if s.records("invitation/") != 0 {
		t.Error("the invitation is still on record")
	}
}

func TestInvitationOfSomebodyElse(t *testing.T) {
	s := newSite(t)
	anna, eve := s.invited("anna", as.Policy{}), s.party("eve")
	anna.expect(anna.postEnrolment(anna.cred), coap.Created)
	eve.accept(anna.inv) // she saw the link
	eve.expect(eve.postEnrolment(eve.cred), coap.Conflict)
	// Naming anna's credential helps her nothing: the key needs anna's private key.
	eve.expect(eve.postEnrolment(anna.cred), coap.Created)
	eve.open()
	eve.closed(eve.call, "/token")
	anna.open()
	anna.token(ace.TokenRequest{})
}

func TestEnrolRefuses(t *testing.T) {
	s := newSite(t)
	p := s.invited("anna", as.Policy{})
	small := make(ed25519.PublicKey, ed25519.PublicKeySize)
	small[0] = 1 // y = 1
	for name, body := range map[string]any{
		"nothing":         nil,
		"no CBOR":         []byte{0xff},
		"no credential":   map[int]any{2: "anna"},
		"no CCS":          map[int]any{1: []byte("anna"), 2: "anna"},
		"a bad point":     map[int]any{1: cose.NewCCS("anna", small), 2: "anna"},
		"the AS's own":    map[int]any{1: s.as.Credential(), 2: "anna"},
		"a long name":     map[int]any{1: p.cred, 2: strings.Repeat("a", 65)},
		"a bell as name":  map[int]any{1: p.cred, 2: "\a"},
		"the AS's key":    map[int]any{1: cose.NewCCS("anna", key("authorization server").Public().(ed25519.PublicKey)), 2: "anna"},
		"another type":    map[int]any{1: p.cred, 2: 7},
		"a trailing byte": append(cbor.MustMarshal(map[int]any{1: p.cred, 2: "anna"}), 0),
	} {
		t.Run(name, func(t *testing.T) {
			p.expect(p.do(p.guest, coap.POST, "/enroll", ace.FormatCBOR, body), coap.BadRequest)
		})
	}
	good := map[int]any{1: p.cred, 2: "anna"}
	p.expect(p.do(p.guest, coap.POST, "/enroll", ace.FormatACE, good), coap.BadRequest)
	p.expect(p.do(coap.To(p.wire, asAddr), coap.POST, "/enroll", ace.FormatCBOR, good), coap.Unauthorized)
	if s.records("installer/") != 0 {
		t.Error("somebody was enrolled")
	}
	p.enroll()
	p.expect(p.do(p.call, coap.POST, "/enroll", ace.FormatCBOR, good), coap.Unauthorized)
}

func TestInvitationExpires(t *testing.T) {
	s := newSite(t)
	early, late := s.invited("anna", as.Policy{}), s.invited("bert", as.Policy{})
	s.clock.advance(7*24*time.Hour - time.Second)
	early.enroll()
	s.clock.advance(time.Second)
	late.expect(late.postEnrolment(late.cred), coap.Forbidden)
	// Who enrolled in time and comes back late is an installer all the same.
	early.token(ace.TokenRequest{})

	carl := s.invited("carl", as.Policy{}) // sweeps
	late.closed(late.guest, "/enroll")
	if n := s.records("invitation/"); n != 1 {
		t.Errorf("%d invitations on record", n)
	}
	s.clock.advance(8 * 24 * time.Hour)
	s.start()
	carl.closed(carl.guest, "/enroll")
}

// A new invitation for the same person replaces a lost installer key; one for
// somebody else does not.
func TestEnrolAgain(t *testing.T) {
	s := newSite(t)
	p := s.enrolled("anna", as.Policy{})
	p.token(ace.TokenRequest{})
	p.expect(p.register(hallLamp, 7, "lamp"), coap.Created)
	old := p.call

	eve := s.invited("eve", as.Policy{})
	eve.expect(eve.postEnrolment(p.cred), coap.Conflict)
	p.token(ace.TokenRequest{})

	first, err := s.as.Invite(t.Context(), "anna", as.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	p.accept(first)
	p.enroll() // and is interrupted before the key is used
	second, err := s.as.Invite(t.Context(), "anna", as.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	guest := p.guest
	p.accept(second)
	p.enroll()
	p.closed(guest, "/enroll")
	p.token(ace.TokenRequest{ClientID: hallLamp}) // the devices stayed
	p.closed(old, "/token")
	if n := s.records("invitation/"); n != 1 { // eve's
		t.Errorf("%d invitations on record", n)
	}
}

func TestRevoke(t *testing.T) {
	s := newSite(t)
	p := s.enrolled("anna", as.Policy{Site: "house"})
	p.expect(p.register(hallLamp, 7, "lamp"), coap.Created)
	ghost := s.enrolled("ghost", as.Policy{}) // never came back
	installers, err := s.as.Installers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for id := range installers {
		if err := s.as.Revoke(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if err := s.as.Revoke(t.Context(), id); !errors.Is(err, as.ErrAbsent) {
			t.Errorf("revoked twice: %v", err)
		}
	}
	for _, who := range []*party{p, ghost} {
		who.closed(who.call, "/token")
		who.closed(who.guest, "/enroll")
	}
	s.start()
	p.closed(p.call, "/token")
	// The site's devices are there for its next installer.
	next := s.enrolled("bert", as.Policy{Site: "house"})
	next.token(ace.TokenRequest{Scope: scope("hall", resp), ClientID: hallLamp})
}

func TestPolicies(t *testing.T) {
	s := newSite(t)
	p := s.enrolled("anna", as.Policy{Rules: []as.Rule{{Group: "hall", Self: req}}})
	p.denied(ace.TokenRequest{Scope: scope("attic", req)}, ace.ErrorInvalidScope)
	installers, _ := s.as.Installers(t.Context())
	for id := range installers {
		if err := s.as.SetPolicy(t.Context(), id, as.AllGroups("attic")); err != nil {
			t.Fatal(err)
		}
	}
	p.token(ace.TokenRequest{Scope: scope("attic", req)})
	p.denied(ace.TokenRequest{Scope: scope("hall", req)}, ace.ErrorInvalidScope)
	inv, err := s.as.Invite(t.Context(), "bob", as.AllGroups("hall"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.as.SetPolicy(t.Context(), inv.ID, as.AllGroups("attic")); err != nil {
		t.Errorf("policy of an invitation: %v", err)
	}
	if p, err := s.as.PolicyOf(t.Context(), inv.ID); err != nil || p.Rules[0].Group != "attic" {
		t.Errorf("policy of an invitation: %+v, %v", p, err)
	}
	bob := s.party("bob")
	bob.accept(inv)
	bob.enroll()
	bob.token(ace.TokenRequest{Scope: scope("attic", req)})
	bob.denied(ace.TokenRequest{Scope: scope("hall", req)}, ace.ErrorInvalidScope)
	for what, id := range map[string]string{"nobody": "nobody", "a used invitation": inv.ID} {
		if err := s.as.SetPolicy(t.Context(), id, as.AllGroups()); !errors.Is(err, as.ErrAbsent) {
			t.Errorf("policy of %s: %v", what, err)
		}
		if _, err := s.as.PolicyOf(t.Context(), id); !errors.Is(err, as.ErrAbsent) {
			t.Errorf("policy of %s: %v", what, err)
		}
	}
	for name, rule := range map[string]as.Rule{
		"no group": {Self: req}, "no roles": {Group: "hall"}, "admin": {Group: "hall", Self: 3}, "unknown role": {Group: "hall", Devices: 32},
		"a star inside": {Group: "h*ll", Self: req}, "a path": {Group: "a/b", Self: req}, "two stars": {Group: "**", Self: req},
	} {
		bad := as.Policy{Rules: []as.Rule{rule}}
		if _, err := s.as.Invite(t.Context(), "x", bad); !errors.Is(err, as.ErrPolicy) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", strings.Repeat("a", 65), "a\nb", "\xff"} {
		if _, err := s.as.Invite(t.Context(), name, as.Policy{}); !errors.Is(err, as.ErrName) {
			t.Errorf("name %q: %v", name, err)
		}
	}
}

func TestConfig(t *testing.T) {
	good := newSite(t).cfg
	for name, change := range map[string]func(*as.Config){
		"no store":        func(c *as.Config) { c.Store = nil },
		"no key":          func(c *as.Config) { c.Key = nil },
		"no name":         func(c *as.Config) { c.Issuer = "" },
		"no GM":           func(c *as.Config) { c.GMs = nil },
		"a short key":     func(c *as.Config) { c.GMs = map[string]ace.TokenKey{"gm": {Key: cose.Secret("short")}} },
		"another default": func(c *as.Config) { c.Audience = "printer" },
		"a bad policy":    func(c *as.Config) { c.Policy = as.Policy{Rules: []as.Rule{{}}} },
	} {
		cfg := good
		change(&cfg)
		if _, err := as.New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
