package as_test

import (
	"bytes"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

func refreshing(tok *ace.TokenResponse) ace.TokenRequest {
	return ace.TokenRequest{GrantType: ptr(uint(ace.GrantRefreshToken)), Refresh: tok.Refresh}
}

// A refresh token changes neither the audience nor the key of its token, and is
// good for nobody else. RFC 9200, Section 5.8.1.
func TestStatement023_RefreshChangesNeitherAudienceNorKey(t *testing.T) {
	s := newSite(t, func(c *as.Config) {
		c.GMs["second.example"] = ace.TokenKey{KID: []byte("2"), Key: cose.Secret("another key, 16B")}
		c.Audience = audience
	})
	anna, bert := s.enrolled("anna", as.Policy{}), s.enrolled("bert", as.Policy{})
	tok, c1 := anna.token(ace.TokenRequest{Scope: scope("hall", req, "attic", req)})
	if len(tok.Refresh) == 0 {
		t.Fatal("no refresh token")
	}
	s.clock.advance(20 * time.Hour)
	id := tok.Cnf.OSCORE.ID
	again, c2 := anna.token(refreshing(tok))
	if again.Cnf != nil || again.Refresh != nil || !bytes.Equal(c2.CNF.KID, id) || c2.CNF.OSCORE != nil || c2.AUD != c1.AUD || c2.SUB != c1.SUB ||
		c2.EXP != c1.EXP+20*3600 || describe(again.Scope) != "hall:2 attic:2" {
		t.Errorf("answer %+v, claims %+v", again, c2)
	}

	for name, change := range map[string]func(*ace.TokenRequest){
		"another audience": func(r *ace.TokenRequest) { r.Audience = "second.example" },
		"another key":      func(r *ace.TokenRequest) { r.ReqCnf = &ace.Confirmation{KID: []byte{9}} },
		"a public key":     func(r *ace.TokenRequest) { r.ReqCnf = &ace.Confirmation{COSEKey: &ace.COSEKey{KTY: 1}} },
		"another subject":  func(r *ace.TokenRequest) { r.ClientID = hallLamp },
	} {
		t.Run(name, func(t *testing.T) {
			r := refreshing(tok)
			change(&r)
			anna.denied(r, ace.ErrorInvalidRequest)
		})
	}
	same := refreshing(tok)
	same.Audience, same.ReqCnf = audience, &ace.Confirmation{KID: id}
	anna.token(same)

	bert.denied(refreshing(tok), ace.ErrorInvalidGrant)
	anna.denied(ace.TokenRequest{GrantType: ptr(uint(ace.GrantRefreshToken))}, ace.ErrorInvalidGrant)
	wrong := refreshing(tok)
	wrong.Refresh = bytes.Clone(wrong.Refresh)
	wrong.Refresh[len(wrong.Refresh)-1] ^= 1
	anna.denied(wrong, ace.ErrorInvalidGrant)

	s.start() // durable
	anna.token(refreshing(tok))
	s.clock.advance(24 * time.Hour)
	anna.denied(refreshing(tok), ace.ErrorInvalidGrant) // it ends with the key
}

// A refresh gives no more than was granted with the key last, and no more than the
// policy still allows.
func TestRefreshIsBounded(t *testing.T) {
	s := newSite(t)
	p := s.enrolled("anna", as.Policy{})
	tok, _ := p.token(ace.TokenRequest{Scope: scope("hall", req)})
	narrow := refreshing(tok)
	narrow.Scope = scope("attic", req)
	p.denied(narrow, ace.ErrorInvalidScope)
	narrow.Scope = scope("hall", req|ace.RoleMonitor)
	p.denied(narrow, ace.ErrorInvalidScope)

	installers, _ := s.as.Installers(t.Context())
	for id := range installers {
		if err := s.as.SetPolicy(t.Context(), id, as.AllGroups("attic")); err != nil {
			t.Fatal(err)
		}
	}
	p.denied(refreshing(tok), ace.ErrorInvalidScope)

	p = s.enrolled("bert", as.Policy{})
	p.expect(p.register(hallLamp, 7, "lamp"), coap.Created)
	tok, _ = p.token(ace.TokenRequest{ClientID: hallLamp, Scope: scope("hall", resp)})
	if _, c := p.token(refreshing(tok)); c.SUB != hallLamp || !bytes.Equal(c.CredThumbprint, thumbprint(7)) {
		t.Errorf("a device's token, refreshed: %+v", c)
	}
	p.expect(p.do(p.call, coap.DELETE, "/devices/"+hallLamp, -1, nil), coap.Deleted)
	p.denied(refreshing(tok), ace.ErrorInvalidRequest)
}
