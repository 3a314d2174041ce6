package as_test

import (
	"bytes"
	"crypto/rand"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// resourceServer is a Group Manager's session.
func (s *site) resourceServer() *party {
	return s.resourceServerOf(audience)
}

func (s *site) resourceServerOf(audience string) *party {
	p := s.party("rs " + audience)
	p.call = oscore.NewPSKClient(ace.RSSession(s.cfg.GMs[audience], audience), p.wire, asAddr, rand.Reader)
	return p
}

func (p *party) introspect(token []byte) *ace.IntrospectionResponse {
	p.t.Helper()
	m := p.expect(p.do(p.call, coap.POST, "/introspect", ace.FormatACE, ace.IntrospectionRequest{Token: token}), coap.Created)
	if format, ok := coap.ContentFormat(m); !ok || format != ace.FormatACE {
		p.t.Fatalf("content format %d", format)
	}
	a, err := ace.Decode[ace.IntrospectionResponse](m.Payload)
	if err != nil {
		p.t.Fatal(err)
	}
	return a
}

// A token that is expired, revoked or none is answered 2.01 {10: false}; one that is
// active with its claims. RFC 9200, Sections 5.9.2 and 5.9.3.
func TestStatement021_IntrospectionOfADeadToken(t *testing.T) {
	s := newSite(t)
	p, rs := s.enrolled("anna", as.AllGroups("hall")), s.resourceServer()
	p.expect(p.register(hallLamp, 7, "lamp"), coap.Created)
	tok, c := p.token(ace.TokenRequest{CNonce: []byte("n"), ClientID: hallLamp})
	want := ace.Introspection(c)
	if got := rs.introspect(tok.AccessToken); !got.Active || !reflect.DeepEqual(*got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	dead := func(name string, token []byte) {
		t.Helper()
		m := rs.expect(rs.do(rs.call, coap.POST, "/introspect", ace.FormatACE, ace.IntrospectionRequest{Token: token}), coap.Created)
		if !bytes.Equal(m.Payload, []byte{0xa1, 0x0a, 0xf4}) {
			t.Errorf("%s: %x", name, m.Payload)
		}
	}
	dead("garbage", []byte("token"))
	changed := bytes.Clone(tok.AccessToken)
	changed[len(changed)-1] ^= 1
	dead("a changed one", changed)
	foreign, err := ace.SealToken(ace.TokenKey{KID: []byte("x"), Key: cose.Secret("some other key..")}, c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dead("another server's", foreign)
	s.start()
	if !rs.introspect(tok.AccessToken).Active {
		t.Error("it died in a restart")
	}
	if err := s.as.RevokeDevice(t.Context(), hallLamp); err != nil {
		t.Fatal(err)
	}
	dead("a revoked one", tok.AccessToken)
	tok, _ = p.token(ace.TokenRequest{})
	s.clock.advance(24 * time.Hour)
	dead("an expired one", tok.AccessToken)
}

// Introspection is refused to who has no right to it: 4.03 without payload. RFC
// 9200, Section 5.9.3.
func TestStatement022_IntrospectionWithoutRight(t *testing.T) {
	const second = "second.example"
	s := newSite(t, func(c *as.Config) {
		c.GMs[second] = ace.TokenKey{KID: []byte("2"), Key: cose.Secret("another key, 16B")}
		c.Audience = audience
	})
	p, other := s.enrolled("anna", as.AllGroups("hall")), s.resourceServerOf(second)
	boss := s.enrolled("boss", as.PolicyFor(as.RoleAdmin))
	tok, _ := p.token(ace.TokenRequest{})
	body := ace.IntrospectionRequest{Token: tok.AccessToken}
	for name, who := range map[string]*party{"another Group Manager": other, "an installer": p} {
		m := who.expect(who.do(who.call, coap.POST, "/introspect", ace.FormatACE, body), coap.Forbidden)
		if len(m.Payload) != 0 {
			t.Errorf("%s: payload %x", name, m.Payload)
		}
	}
	byBoss, byRS := boss.introspect(tok.AccessToken), s.resourceServer().introspect(tok.AccessToken)
	if !byBoss.Active || !byRS.Active {
		t.Error("who has the right is not answered")
	}
	if byBoss.CNF != nil || byBoss.SUB != byRS.SUB || byRS.CNF.OSCORE == nil {
		t.Errorf("an administrator is told %+v, the Group Manager %+v", byBoss, byRS)
	}
	guest := s.invited("guest", as.Policy{})
	guest.expectDenial(guest.do(guest.guest, coap.POST, "/introspect", ace.FormatACE, body), coap.Unauthorized, ace.ErrorInvalidClient)
	p.expectDenial(p.do(coap.To(p.wire, asAddr), coap.POST, "/introspect", ace.FormatACE, body), coap.Unauthorized, ace.ErrorInvalidClient)
	for name, bad := range map[string]any{"nothing": nil, "no token": map[int]any{}, "no CBOR": []byte{0xff}, "a long one": map[int]any{11: make([]byte, 9000)}} {
		if m := boss.do(boss.call, coap.POST, "/introspect", ace.FormatACE, bad); m.Code != coap.BadRequest && m.Code != coap.RequestEntityTooLarge {
			t.Errorf("%s: %s", name, coap.CodeString(m.Code))
		}
	}
	boss.expect(boss.do(boss.call, coap.POST, "/introspect", ace.FormatCBOR, body), coap.BadRequest)
	boss.expect(boss.do(boss.call, coap.GET, "/introspect", -1, nil), coap.MethodNotAllowed)
}

// The session of a Group Manager takes the token key of its audience.
func TestResourceServerSession(t *testing.T) {
	s := newSite(t)
	wire := s.net.From(netip.MustParseAddrPort("127.0.0.1:45000"))
	for name, psk := range map[string]oscore.PSK{
		"another key":      ace.RSSession(ace.TokenKey{Key: cose.Secret("another key, 16B")}, audience),
		"another audience": ace.RSSession(tokenKey, "second.example"),
		"the key itself":   oscore.NewPSK([]byte("rs/"+audience), tokenKey.Key, oscore.SaltRS),
	} {
		client := oscore.NewPSKClient(psk, wire, asAddr, rand.Reader)
		if m, err := client.Call(t.Context(), coap.NewRequest(coap.GET, "/revoke/trl", nil)); err == nil {
			t.Errorf("%s: %s", name, coap.CodeString(m.Code))
		}
	}
	rs := s.resourceServer()
	rs.expect(rs.do(rs.call, coap.GET, "/revoke/trl", -1, nil), coap.Content)
	// It is no client, and manages nobody.
	rs.expectDenial(rs.do(rs.call, coap.POST, "/token", ace.FormatACE, ace.TokenRequest{}), coap.Unauthorized, ace.ErrorInvalidClient)
	rs.expect(rs.do(rs.call, coap.PUT, "/devices/"+hallLamp, ace.FormatCBOR, cbor.MustMarshal(map[int]any{1: thumbprint(1)})), coap.Unauthorized)
	rs.expect(rs.do(rs.call, coap.GET, "/people", -1, nil), coap.Unauthorized)
}
