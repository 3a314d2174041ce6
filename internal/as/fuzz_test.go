package as_test

import (
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
	s := newSite(f)
	p, guest := s.enrolled("anna", as.AllGroups("hall")), s.invited("guest", as.Policy{})
	p.expect(p.register(hallLamp, 7, "lamp"), coap.Created)
	f.Fuzz(func(t *testing.T, to uint8, payload []byte) {
		if len(payload) > 1024 {
			return
		}
		p.t, guest.t = t, t
		var m *coap.Message
		switch to % 3 {
		case 0:
			m = p.do(p.call, coap.POST, "/token", ace.FormatACE, payload)
		case 1:
			m = p.do(p.call, coap.PUT, "/devices/"+otherLamp, ace.FormatCBOR, payload)
		case 2:
			m = guest.do(guest.guest, coap.POST, "/enroll", ace.FormatCBOR, payload)
		}
		if c := coap.Class(m.Code); c != 2 && c != 4 {
			t.Fatalf("%x: %s %q", payload, coap.CodeString(m.Code), m.Payload)
		}
	})
}
