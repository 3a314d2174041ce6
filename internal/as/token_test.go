package as_test

import (
	"bytes"
	"errors"
	"fmt"
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

const (
	req  = ace.RoleRequester
	resp = ace.RoleResponder
)

func ptr[T any](v T) *T { return &v }

// A request without grant_type is one for client_credentials; other grants than that
// and refresh_token are not supported. RFC 9200, Section 5.8.1.
func TestStatement001_GrantTypeDefault(t *testing.T) {
	p := newSite(t).enrolled("anna", as.Policy{})
	p.token(ace.TokenRequest{Scope: scope("hall", req)})
	p.token(ace.TokenRequest{Scope: scope("hall", req), GrantType: ptr(uint(ace.GrantClientCredentials))})
	for _, g := range []uint{ace.GrantPassword, ace.GrantAuthorizationCode, 99} {
		p.denied(ace.TokenRequest{Scope: scope("hall", req), GrantType: ptr(g)}, ace.ErrorUnsupportedGrantType)
	}
}

// Success is 2.01 with Content-Format 19 and integer keys only. RFC 9200, Sections
// 5.8.2 and 5.8.5.
func TestStatement002_Success(t *testing.T) {
	p := newSite(t).enrolled("anna", as.Policy{})
	m := p.expect(p.do(p.call, coap.POST, "/token", ace.FormatACE, ace.TokenRequest{}), coap.Created)
	if format, ok := coap.ContentFormat(m); !ok || format != 19 {
		t.Errorf("content format %d", format)
	}
	var keys map[int64]cbor.RawMessage
	if err := cbor.Unmarshal(m.Payload, &keys); err != nil {
		t.Errorf("a key is no integer: %v", err)
	}
}

// Errors are 4.00 with {30: int}, and 4.01 for who is no client. RFC 9200, Section
// 5.8.3.
func TestStatement003_Errors(t *testing.T) {
	s := newSite(t)
	p := s.enrolled("anna", as.Policy{})
	guest := s.invited("guest", as.Policy{})
	body := ace.TokenRequest{Scope: scope("hall", req)}
	p.expectDenial(p.do(coap.To(p.wire, asAddr), coap.POST, "/token", ace.FormatACE, body), coap.Unauthorized, ace.ErrorInvalidClient)
	guest.expectDenial(guest.do(guest.guest, coap.POST, "/token", ace.FormatACE, body), coap.Unauthorized, ace.ErrorInvalidClient)
	p.expectDenial(p.do(p.call, coap.POST, "/token", ace.FormatCBOR, body), coap.BadRequest, ace.ErrorInvalidRequest)

	for name, garbage := range map[string][]byte{
		"nothing":       nil,
		"no CBOR":       {0xff},
		"no map":        {0x80},
		"a key twice":   {0xa2, 0x05, 0x61, 'a', 0x05, 0x61, 'b'},
		"truncated":     {0xa1, 0x05, 0x63, 'a'},
		"trailing":      {0xa0, 0x00},
		"wrong type":    {0xa1, 0x05, 0x01},
		"a long cnonce": cbor.MustMarshal(map[int]any{39: make([]byte, 65)}),
		"no client_id":  cbor.MustMarshal(map[int]any{24: "printer"}),
		"upper case":    cbor.MustMarshal(map[int]any{24: strings.ToUpper(hallLamp)}),
	} {
		t.Run(name, func(t *testing.T) { p.denied(garbage, ace.ErrorInvalidRequest) })
	}
	p.denied(ace.TokenRequest{Audience: "printer.example"}, ace.ErrorInvalidRequest)
	p.denied(map[int]any{9: "hall"}, ace.ErrorInvalidScope)
	p.denied(map[int]any{9: []byte("hall")}, ace.ErrorInvalidScope)
	p.denied(map[int]any{9: []byte{0x80}}, ace.ErrorInvalidScope)
	p.denied(ace.TokenRequest{Scope: scope("cellar", req)}, ace.ErrorInvalidScope)
	p.expect(p.do(p.call, coap.GET, "/token", -1, nil), coap.MethodNotAllowed)
	p.denied(append(ace.Encode(ace.TokenRequest{Scope: scope("hall", req)}), make([]byte, 5000)...), ace.ErrorInvalidRequest)
}

// The form of errors can be switched to Concise Problem Details.
func TestProblems(t *testing.T) {
	p := newSite(t, func(c *as.Config) { c.Problems = true }).enrolled("anna", as.Policy{})
	for name, m := range map[string]*coap.Message{
		"denied":    p.do(p.call, coap.POST, "/token", ace.FormatACE, ace.TokenRequest{Audience: "printer"}),
		"no client": p.do(coap.To(p.wire, asAddr), coap.POST, "/token", ace.FormatACE, ace.TokenRequest{}),
	} {
		want := map[string]ace.ASErrorCode{"denied": ace.ErrorInvalidRequest, "no client": ace.ErrorInvalidClient}[name]
		format, _ := coap.ContentFormat(m)
		if body, ok := ace.ParseASError(m); !ok || body.Code != want || format != ace.FormatProblem {
			t.Errorf("%s: %s %x", name, coap.CodeString(m.Code), m.Payload)
		}
	}
}

// ace_profile null in the request makes ace_profile present in the answer, as an
// integer. RFC 9200, Section 5.8.2.
func TestStatement004_ProfileAsked(t *testing.T) {
	p := newSite(t).enrolled("anna", as.Policy{})
	tok, claims := p.token(ace.TokenRequest{Profile: ace.ProfileParam{Asked: true}})
	if tok.Profile != ace.ProfileOSCORE || claims.Profile != ace.ProfileOSCORE {
		t.Errorf("profile %d, in the token %d", tok.Profile, claims.Profile)
	}
	update := ace.TokenRequest{ReqCnf: &ace.Confirmation{KID: tok.Cnf.OSCORE.ID}}
	if tok, _ = p.token(update); tok.Profile != 0 {
		t.Errorf("an update whose client did not ask: profile %d", tok.Profile)
	}
	update.Profile.Asked = true
	if tok, _ = p.token(update); tok.Profile != ace.ProfileOSCORE {
		t.Errorf("an update whose client asked: profile %d", tok.Profile)
	}
}

// cnonce comes back as claim 39. RFC 9200, Section 5.3.1.
func TestStatement007_CNonce(t *testing.T) {
	p := newSite(t).enrolled("anna", as.Policy{})
	if _, claims := p.token(ace.TokenRequest{CNonce: []byte("fresh")}); string(claims.CNonce) != "fresh" {
		t.Errorf("cnonce %q", claims.CNonce)
	}
	if _, claims := p.token(ace.TokenRequest{}); claims.CNonce != nil {
		t.Errorf("a cnonce that nobody sent: %q", claims.CNonce)
	}
}

// A token for a group has cnf, exp and scope. RFC 9594, Section 3.2.
func TestStatement008_ClaimsOfAGroupToken(t *testing.T) {
	s := newSite(t)
	p := s.enrolled("anna", as.Policy{})
	tok, c := p.token(ace.TokenRequest{Scope: scope("hall", req)})
	thumb := cose.Thumbprint(p.cred)
	now := uint64(s.clock.Now().Unix())
	if c.CNF == nil || c.CNF.OSCORE == nil || describe(c.Scope.Scope) != "hall:2" || c.EXP != now+86400 || tok.ExpiresIn != 86400 {
		t.Errorf("claims %+v, expires_in %d", c, tok.ExpiresIn)
	}
	if c.ISS != "as.example" || c.AUD != audience || c.IAT != now || len(c.CTI) == 0 || c.Scope.Extended {
		t.Errorf("claims %+v", c)
	}
	if !strings.HasPrefix(c.SUB, "installer/") || c.Actor != "" || !bytes.Equal(c.CredThumbprint, thumb[:]) {
		t.Errorf("subject %q, actor %q, thumbprint %x", c.SUB, c.Actor, c.CredThumbprint)
	}
	if c.Expired(s.clock.Now()) || !c.Expired(s.clock.Now().Add(24*time.Hour)) {
		t.Error("the token does not end when it says")
	}
}

// The answer for a group always says how long the token lasts, for a new key, an
// update and a refresh alike. KGO, Section 5.2.
func TestStatement009_ExpiresIn(t *testing.T) {
	s := newSite(t)
	p := s.enrolled("anna", as.Policy{})
	p.expect(p.register(hallLamp, 7, "lamp"), coap.Created)
	tok, _ := p.token(ace.TokenRequest{})
	if tok.ExpiresIn != 86400 {
		t.Errorf("expires_in %d", tok.ExpiresIn)
	}
	m := p.do(p.call, coap.POST, "/token", ace.FormatACE, ace.TokenRequest{})
	if age, ok := coap.OptionUint(m, coap.OptionMaxAge); !ok || age != 86400 { // RFC 9202, Section 3.2.1
		t.Errorf("Max-Age %d", age)
	}
	s.clock.advance(time.Hour)
	for name, body := range map[string]ace.TokenRequest{
		"an update":  {ReqCnf: &ace.Confirmation{KID: tok.Cnf.OSCORE.ID}},
		"a refresh":  {GrantType: ptr(uint(ace.GrantRefreshToken)), Refresh: tok.Refresh},
		"a device's": {ClientID: hallLamp},
	} {
		again, claims := p.token(body)
		if again.ExpiresIn == 0 || claims.EXP != uint64(s.clock.Now().Unix())+again.ExpiresIn {
			t.Errorf("%s: expires_in %d, exp %d", name, again.ExpiresIn, claims.EXP)
		}
	}
}

// A granted scope that is the one that was asked for is left out of the answer. RFC
// 9594, Section 3.2.
func TestStatement011_SameScope(t *testing.T) {
	p := newSite(t).enrolled("anna", as.AllGroups("hall", "attic"))
	for _, asked := range [][]byte{scope("hall", req), scope("attic", req, "hall", req|ace.RoleMonitor), admin(literal("hall"), 31)} {
		tok, c := p.token(ace.TokenRequest{Scope: asked})
		if tok.Scope != nil || !bytes.Equal(c.Scope.Scope, asked) {
			t.Errorf("asked for %x: told %x, the token has %x", asked, tok.Scope, c.Scope.Scope)
		}
	}
}

// A granted scope that is not the one that was asked for stands in the answer, a
// byte string of entries each with its Tperm. KGO, Section 5.2.
func TestStatement010_ScopeInTheAnswer(t *testing.T) {
	policy := as.Policy{Rules: []as.Rule{
		{Group: "hall", Self: req | resp}, {Group: "attic", Self: ace.RoleMonitor}, {Group: "hall", Self: ace.RoleMonitor},
		{Group: "floor-*", Self: req}, {Group: "lamps", Devices: resp}, {Group: "away", Self: req, Audience: "other.example"},
	}}
	p := newSite(t).enrolled("anna", policy)
	for _, tt := range []struct {
		asked []byte
		told  string // empty: nothing
		got   string // in the token
	}{
		{scope("hall", req), "", "hall:2"},
		{scope("attic", ace.RoleMonitor, "hall", req|resp|ace.RoleMonitor), "", "attic:8 hall:14"},
		{scope("attic", req|ace.RoleMonitor, "cellar", req), "attic:8", "attic:8"},
		{scope("floor-1", req|resp, "floor-2", req, "floo", req), "floor-1:2 floor-2:2", "floor-1:2 floor-2:2"},
		{nil, "hall:2 attic:8", "hall:2 attic:8"}, // the default: groups with a name, as a requester where that is allowed
	} {
		tok, claims := p.token(ace.TokenRequest{Scope: tt.asked})
		told := ""
		if tok.Scope != nil {
			told = describe(tok.Scope)
		}
		if told != tt.told || describe(claims.Scope.Scope) != tt.got {
			t.Errorf("asked for %s: told %q, the token has %q", describe(tt.asked), told, describe(claims.Scope.Scope))
		}
	}
	p.denied(ace.TokenRequest{Scope: scope("lamps", resp)}, ace.ErrorInvalidScope)
	p.denied(ace.TokenRequest{Scope: scope("away", req)}, ace.ErrorInvalidScope)

	p = newSite(t).enrolled("anna", as.Policy{Rules: []as.Rule{{Group: "*", Self: req}}})
	p.denied(ace.TokenRequest{}, ace.ErrorInvalidScope) // no group has a name here
	p.token(ace.TokenRequest{Scope: scope("anything", req)})
}

// An assisted join: the token is for the device, with its thumbprint, and says
// who got it.
func TestAssistedToken(t *testing.T) {
	s := newSite(t)
	p := s.enrolled("anna", as.Policy{})
	p.expect(p.register(hallLamp, 7, "lamp-dim-1"), coap.Created)
	tok, c := p.token(ace.TokenRequest{Scope: scope("hall", resp), ClientID: hallLamp})
	if c.SUB != hallLamp || !bytes.Equal(c.CredThumbprint, thumbprint(7)) || !strings.HasPrefix("installer/"+c.Actor, "installer/") || len(c.Actor) != 32 {
		t.Errorf("claims %+v", c)
	}
	if _, self := p.token(ace.TokenRequest{}); self.SUB != "installer/"+c.Actor {
		t.Errorf("the actor %q is not the subject %q of the installer's own tokens", c.Actor, self.SUB)
	}
	if tok.ExpiresIn != 365*86400 {
		t.Errorf("a device's token lasts %d seconds", tok.ExpiresIn)
	}
	// Without a scope: all that the policy allows devices.
	if _, c = p.token(ace.TokenRequest{ClientID: hallLamp}); describe(c.Scope.Scope) != "hall:14 attic:14" {
		t.Errorf("default scope %s", describe(c.Scope.Scope))
	}
}

// A foreign device and an unknown one are refused, each in its way.
func TestForeignAndUnknownDevices(t *testing.T) {
	s := newSite(t)
	anna, bert := s.enrolled("anna", as.Policy{}), s.enrolled("bert", as.Policy{})
	anna.expect(anna.register(hallLamp, 7, "lamp"), coap.Created)
	bert.denied(ace.TokenRequest{Scope: scope("hall", resp), ClientID: hallLamp}, ace.ErrorUnauthorizedClient)
	bert.denied(ace.TokenRequest{Scope: scope("hall", resp), ClientID: otherLamp}, ace.ErrorInvalidRequest)
	anna.token(ace.TokenRequest{Scope: scope("hall", resp), ClientID: hallLamp})

	// Who may command may not therefore equip.
	carl := s.enrolled("carl", as.Policy{Rules: []as.Rule{{Group: "hall", Self: req}}})
	carl.expect(carl.register(otherLamp, 8, "lamp"), coap.Created)
	carl.denied(ace.TokenRequest{Scope: scope("hall", resp), ClientID: otherLamp}, ace.ErrorInvalidScope)
	carl.token(ace.TokenRequest{Scope: scope("hall", req)})
}

// Expired tokens leave the records, a few with each new one.
func TestSweep(t *testing.T) {
	s := newSite(t)
	p := s.enrolled("anna", as.Policy{})
	const n = 40
	for range n {
		p.token(ace.TokenRequest{})
	}
	before := s.records("token/", "expiry/")
	if before != 2*n {
		t.Fatalf("%d records, want %d", before, 2*n)
	}
	s.clock.advance(25 * time.Hour)
	for range 3 {
		p.token(ace.TokenRequest{})
	}
	if after := s.records("token/", "expiry/"); after != 2*3 {
		t.Errorf("%d records are left, want %d", after, 2*3)
	}
}

// The tokens of a subject that have not expired are bounded, which is in nobody
// else's way.
func TestTooManyTokens(t *testing.T) {
	s := newSite(t)
	p := s.enrolled("anna", as.Policy{})
	p.expect(p.register(hallLamp, 7, "lamp"), coap.Created)
	p.token(ace.TokenRequest{})
	subject := as.OwnerPrefix("installer/" + s.id("anna"))
	fill := func(change func(tx store.Tx, key string) error) {
		t.Helper()
		if err := s.store.Update(t.Context(), func(tx store.Tx) (err error) {
			for i := range 4096 {
				err = errors.Join(err, change(tx, fmt.Sprintf("%s%066x", subject, i)))
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(n int) (refused int) {
		t.Helper()
		for range n {
			switch m := p.do(p.call, coap.POST, "/token", ace.FormatACE, ace.TokenRequest{}); m.Code {
			case coap.TooManyRequests:
				refused++
			case coap.Created:
			default:
				t.Fatal(coap.CodeString(m.Code))
			}
		}
		return refused
	}
	fill(func(tx store.Tx, key string) error { return tx.Put(key, []byte{0xa0}) })
	if ask(500) == 0 { // one of 32 counts
		t.Error("nothing was refused")
	}
	for range 100 {
		p.token(ace.TokenRequest{ClientID: hallLamp})
	}
	fill(func(tx store.Tx, key string) error { return tx.Delete(key) })
	if ask(200) != 0 {
		t.Error("a token was refused")
	}
}

// Nothing that is secret is logged.
func TestStatementS7_NoSecretsInTheLog(t *testing.T) {
	s := newSite(t)
	p := s.enrolled("anna", as.Policy{})
	tok, _ := p.token(ace.TokenRequest{})
	p.expect(p.register(hallLamp, 7, "lamp"), coap.Created)
	p.token(ace.TokenRequest{ClientID: hallLamp})
	p.denied(ace.TokenRequest{Scope: scope("cellar", req)}, ace.ErrorInvalidScope)
	p.token(refreshing(tok))
	boss := s.enrolled("boss", as.PolicyFor(as.RoleAdmin))
	second := boss.invite("eve", map[int]any{1: "eve", 2: "viewer"})
	s.resourceServer().introspect(tok.AccessToken)
	if err := s.as.Revoke(t.Context(), s.id("anna")); err != nil {
		t.Fatal(err)
	}
	log := s.log.String()
	for name, secret := range map[string][]byte{
		"invitation secret": p.inv.Secret, "Master Secret": tok.Cnf.OSCORE.MasterSecret, "salt": tok.Cnf.OSCORE.Salt, "token": tok.AccessToken[:16],
		"refresh token": tok.Refresh[1:], "token key": tokenKey.Key, "second invitation": second.inv.Secret,
	} {
		for _, form := range []string{string(secret), fmt.Sprintf("%x", secret), fmt.Sprint(secret), fmt.Sprintf("%q", secret)} {
			if strings.Contains(log, form) {
				t.Errorf("the log shows the %s", name)
			}
		}
	}
	if !strings.Contains(log, "issued a token") || !strings.Contains(log, "denied a token") {
		t.Errorf("the log says nothing:\n%s", log)
	}
	if out := fmt.Sprintf("%v %+v %s", p.inv, p.inv, p.inv); strings.Contains(out, string(p.inv.Secret)) || strings.Contains(out, fmt.Sprint([]byte(p.inv.Secret))) {
		t.Errorf("an invitation prints as %s", out)
	}
}
