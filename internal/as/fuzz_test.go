package as_test

import (
	"strings"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
)

// FuzzPayloads sends any payload to every resource as an enrolled installer and
// as a guest: it is served or refused, and nothing fails.
func FuzzPayloads(f *testing.F) {
	f.Add(uint8(0), ace.Encode(ace.TokenRequest{Scope: scope("hall", req), ClientID: hallLamp, CNonce: []byte("n")}))
	f.Add(uint8(0), ace.Encode(ace.TokenRequest{ReqCnf: &ace.Confirmation{KID: []byte{1}}, Profile: ace.ProfileParam{Asked: true}}))
	f.Add(uint8(1), cbor.MustMarshal(map[int]any{1: thumbprint(7), 2: "lamp"}))
	f.Add(uint8(2), cbor.MustMarshal(map[int]any{1: []byte("no credential"), 2: "anna"}))
	f.Add(uint8(0), ace.Encode(ace.TokenRequest{Scope: admin(anyGroup, 5, pattern("a.*"), 31)}))
	f.Add(uint8(0), ace.Encode(ace.TokenRequest{GrantType: ptr(uint(ace.GrantRefreshToken)), Refresh: make([]byte, 17)}))
	f.Add(uint8(3), ace.Encode(ace.IntrospectionRequest{Token: []byte("token")}))
	f.Add(uint8(4), cbor.MustMarshal(map[int]any{1: "bert", 2: "viewer", 3: 60, 4: []string{"hall"}}))
	s := newSite(f)
	p, guest := s.enrolled("anna", as.AllGroups("hall")), s.invited("guest", as.Policy{})
	boss := s.enrolled("boss", as.PolicyFor(as.RoleAdmin))
	p.expect(p.register(hallLamp, 7, "lamp"), coap.Created)
	f.Fuzz(func(t *testing.T, to uint8, payload []byte) {
		if len(payload) > 1024 {
			return
		}
		p.t, guest.t, boss.t = t, t, t
		var m *coap.Message
		switch to % 5 {
		case 0:
			m = p.do(p.call, coap.POST, "/token", ace.FormatACE, payload)
		case 1:
			m = p.do(p.call, coap.PUT, "/devices/"+otherLamp, ace.FormatCBOR, payload)
		case 2:
			m = guest.do(guest.guest, coap.POST, "/enroll", ace.FormatCBOR, payload)
		case 3:
			m = boss.do(boss.call, coap.POST, "/introspect", ace.FormatACE, payload)
		case 4:
			m = boss.do(boss.call, coap.POST, "/people/invite", ace.FormatCBOR, payload)
		}
		if c := coap.Class(m.Code); c != 2 && c != 4 {
			t.Fatalf("%x: %s %q", payload, coap.CodeString(m.Code), m.Payload)
		}
	})
}

// FuzzQuery: whatever is asked of the revocation list gets the list or a refusal.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{"diff=0", "cursor=1", "diff=-1", "diff=0&cursor=4294967295", "x"} {
		f.Add(q)
	}
	s := newSite(f)
	p, rs := s.enrolled("anna", as.AllGroups("hall")), s.resourceServer()
	p.expect(p.register(hallLamp, 7, "lamp"), coap.Created)
	s.revocations(p, 3)
	f.Fuzz(func(t *testing.T, query string) {
		if len(query) > 255 {
			return
		}
		rs.t = t
		m := rs.query(strings.Split(query, "&")...)
		switch m.Code {
		case coap.Content:
			if _, err := ace.Decode[ace.TRL](m.Payload); err != nil {
				t.Fatalf("%q: %x", query, m.Payload)
			}
		case coap.BadRequest:
			if _, _, ok := ace.ParseTRLProblem(m); !ok {
				t.Fatalf("%q: %q", query, m.Payload)
			}
		default:
			t.Fatalf("%q: %s", query, coap.CodeString(m.Code))
		}
	})
}
