package as_test

import (
	"bytes"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
)

func TestDevices(t *testing.T) {
	s := newSite(t)
	anna, bert := s.enrolled("anna", as.Policy{}), s.enrolled("bert", as.Policy{})
	path := "/devices/" + hallLamp

	anna.expect(anna.do(anna.call, coap.GET, path, -1, nil), coap.NotFound)
	anna.expect(anna.register(hallLamp, 7, "lamp-1"), coap.Created)
	anna.expect(anna.register(hallLamp, 7, "lamp-1"), coap.Changed)
	anna.expect(anna.register(hallLamp, 7, "lamp-2"), coap.Changed)
	m := anna.expect(anna.do(anna.call, coap.GET, path, -1, nil), coap.Content)
	if want := cbor.MustMarshal(map[int]any{1: thumbprint(7), 2: "lamp-2"}); !bytes.Equal(m.Payload, want) {
		t.Errorf("got %x, want %x", m.Payload, want)
	}

	// Another thumbprint for the own device: 4.09, and nothing changes.
	anna.expect(anna.register(hallLamp, 8, "lamp-1"), coap.Conflict)
	if _, c := anna.token(ace.TokenRequest{ClientID: hallLamp}); !bytes.Equal(c.CredThumbprint, thumbprint(7)) {
		t.Errorf("the token is bound to %x", c.CredThumbprint)
	}

	// A foreign device: 4.03, whatever is tried.
	bert.expect(bert.register(hallLamp, 7, "lamp-1"), coap.Forbidden)
	bert.expect(bert.register(hallLamp, 9, "lamp-1"), coap.Forbidden)
	bert.expect(bert.do(bert.call, coap.GET, path, -1, nil), coap.Forbidden)
	bert.expect(bert.do(bert.call, coap.DELETE, path, -1, nil), coap.Forbidden)
	anna.token(ace.TokenRequest{ClientID: hallLamp})

	// Released, it is free for anybody, with a credential of its next life.
	anna.expect(anna.do(anna.call, coap.DELETE, path, -1, nil), coap.Deleted)
	anna.expect(anna.do(anna.call, coap.DELETE, path, -1, nil), coap.Deleted)
	anna.denied(ace.TokenRequest{ClientID: hallLamp}, ace.ErrorInvalidRequest)
	bert.expect(bert.register(hallLamp, 9, "lamp-1"), coap.Created)
	anna.expect(anna.register(hallLamp, 9, "lamp-1"), coap.Forbidden)
	anna.denied(ace.TokenRequest{ClientID: hallLamp}, ace.ErrorUnauthorizedClient)
}

// Of all who register a device at the same time one gets it.
func TestDeviceRace(t *testing.T) {
	s := newSite(t)
	var wg sync.WaitGroup
	var created, refused atomic.Int32
	for i := range 8 {
		p := s.enrolled(string(rune('a'+i)), as.Policy{})
		wg.Go(func() {
			m, err := p.try(p.call, coap.PUT, "/devices/"+hallLamp, ace.FormatCBOR, map[int]any{1: thumbprint(byte(i)), 2: "lamp"})
			switch {
			case err != nil:
				t.Error(err)
			case m.Code == coap.Created:
				created.Add(1)
			case m.Code == coap.Forbidden:
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	if created.Load() != 1 || refused.Load() != 7 {
		t.Errorf("%d got the device and %d were refused", created.Load(), refused.Load())
	}
}

// Installers of one site share its devices; the thumbprint stays bound.
func TestDevicesOfASite(t *testing.T) {
	s := newSite(t)
	anna, bert := s.enrolled("anna", as.Policy{Site: "house"}), s.enrolled("bert", as.Policy{Site: "house"})
	anna.expect(anna.register(hallLamp, 7, "lamp"), coap.Created)
	bert.expect(bert.register(hallLamp, 7, "lamp"), coap.Changed)
	bert.expect(bert.register(hallLamp, 8, "lamp"), coap.Conflict)
	_, a := anna.token(ace.TokenRequest{ClientID: hallLamp})
	_, b := bert.token(ace.TokenRequest{ClientID: hallLamp})
	if a.SUB != b.SUB || a.Actor == b.Actor {
		t.Errorf("subjects %q and %q, actors %q and %q", a.SUB, b.SUB, a.Actor, b.Actor)
	}
	// A site cannot be called like an installer's own.
	carl := s.enrolled("carl", as.Policy{})
	installers, _ := s.as.Installers(t.Context())
	for id, i := range installers {
		if i.Name == "carl" {
			eve := s.enrolled("eve", as.Policy{Site: id})
			carl.expect(carl.register(otherLamp, 7, "lamp"), coap.Created)
			eve.expect(eve.register(otherLamp, 7, "lamp"), coap.Forbidden)
		}
	}
}

func TestDevicesRefuse(t *testing.T) {
	s := newSite(t)
	p := s.enrolled("anna", as.Policy{})
	guest := s.invited("guest", as.Policy{})
	good := map[int]any{1: thumbprint(7), 2: "lamp"}
	path := "/devices/" + hallLamp
	for _, method := range []coap.Code{coap.GET, coap.PUT, coap.DELETE} {
		p.expect(p.do(coap.To(p.wire, asAddr), method, path, ace.FormatCBOR, good), coap.Unauthorized)
		guest.expect(guest.do(guest.guest, method, path, ace.FormatCBOR, good), coap.Unauthorized)
	}
	for _, id := range []string{"lamp", "000B57FFFE401AC2", "000b57fffe401ac", "000b57fffe401ac200", "zzzzzzzzzzzzzzzz"} {
		p.expect(p.do(p.call, coap.PUT, "/devices/"+id, ace.FormatCBOR, good), coap.BadRequest)
	}
	for name, body := range map[string]any{
		"nothing":            nil,
		"no CBOR":            []byte{0xff},
		"no thumbprint":      map[int]any{2: "lamp"},
		"a short thumbprint": map[int]any{1: make([]byte, 31), 2: "lamp"},
		"a long model":       map[int]any{1: thumbprint(7), 2: strings.Repeat("m", 65)},
		"a control":          map[int]any{1: thumbprint(7), 2: "a\nb"},
		"a number":           map[int]any{1: thumbprint(7), 2: 5},
	} {
		t.Run(name, func(t *testing.T) {
			p.expect(p.do(p.call, coap.PUT, path, ace.FormatCBOR, body), coap.BadRequest)
		})
	}
	p.expect(p.do(p.call, coap.POST, path, ace.FormatCBOR, good), coap.MethodNotAllowed)
	p.expect(p.do(p.call, coap.GET, "/devices", -1, nil), coap.NotFound)
	if s.records("device/") != 0 {
		t.Error("something was registered")
	}
}
