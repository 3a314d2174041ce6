package oscore

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/netip"
	"testing"
	"time"

	"lamplighter/internal/coap"
)

// pskWorld is a server of sessions that can be rebooted, with a clock.
type pskWorld struct {
	t      *testing.T
	psk    PSK
	server *PSKServer
	now    time.Time
	h      *echoHandler
	link   *link
}

func newPSKWorld(t *testing.T) *pskWorld {
	w := &pskWorld{t: t, psk: NewPSK(randomBytes(8), randomBytes(16), SaltLabel), now: time.Unix(1e9, 0), h: &echoHandler{}}
	w.link = &link{t: t}
	w.boot()
	return w
}

// boot starts the server anew: all sessions are lost.
func (w *pskWorld) boot() {
	w.server = NewPSKServer(rand.Reader, func() time.Time { return w.now })
	w.server.Set("label", w.psk, 7)
	w.link.handler = coap.Secure(w.h, w.server)
}

func (w *pskWorld) client() *PSKClient { return NewPSKClient(w.psk, w.link, peerAddr, rand.Reader) }

// replay delivers an earlier request again and says what the server did.
func (w *pskWorld) replay(i int) *coap.Message {
	return w.link.handler.Serve(w.t.Context(), &coap.Request{Message: over(w.t, w.link.log[i])})
}

func TestPSK(t *testing.T) {
	w := newPSKWorld(t)
	c := w.client()
	for _, payload := range []string{"a", "b", "c"} {
		called(t, c, payload)
	}
	if w.link.requests() != 4 || w.h.served() != 3 {
		t.Errorf("%d requests, %d acted on", w.link.requests(), w.h.served())
	}
	p := w.h.peers[0]
	if p.Kind != coap.PeerPSK || p.Name != "label" || p.Data != 7 || !bytes.Equal(p.KID, w.psk.KID) {
		t.Errorf("peer %+v", p)
	}
	elsewhere := netip.MustParseAddrPort("127.1.0.9:5683")
	c.SetPeer(elsewhere)
	called(t, c, "d")
	if w.link.to[4] != elsewhere {
		t.Errorf("sent to %v", w.link.to[4])
	}
}

func TestNewPSK(t *testing.T) {
	name := sha256.Sum256([]byte("name"))
	psk := NewPSK([]byte("name"), []byte("secret"), SaltOwner)
	if !bytes.Equal(psk.KID, name[:7]) || string(psk.Salt) != "lamplighter/owner" || string(psk.Secret) != "secret" {
		t.Errorf("%x %q", psk.KID, psk.Salt)
	}
}

// The bytes on the wire: RFC 8613, Appendix B.2, Figure 14.
func TestPSKMessages(t *testing.T) {
	w := newPSKWorld(t)
	var r2 []byte
	w.link.after = func(n int, m *coap.Message) *coap.Message {
		o, err := MessageOption(m)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			id, ok := unwrapID(o.KIDContext)
			if !ok || o.PIV == nil || o.KID != nil {
				t.Fatalf("response #1: %+v", o)
			}
			r2 = id
		} else if o.KIDContext != nil {
			t.Errorf("response #2: %+v", o)
		}
		return m
	}
	called(t, w.client(), "a")
	first, _ := MessageOption(w.link.log[0])
	second, _ := MessageOption(w.link.log[1])
	r1, ok := unwrapID(first.KIDContext)
	if !ok || len(r1) != 8 || len(first.KIDContext) != 9 || first.KIDContext[0] != 0x48 {
		t.Errorf("request #1: kid context %x", first.KIDContext)
	}
	id3, ok := unwrapID(second.KIDContext)
	if !ok || len(id3) != 24 || !bytes.HasPrefix(id3, r2) {
		t.Errorf("request #2: kid context %x, R2 %x", second.KIDContext, r2)
	}
	for _, o := range []Option{first, second} {
		if !bytes.Equal(o.KID, w.psk.KID) || !bytes.Equal(o.PIV, []byte{0}) {
			t.Errorf("option %+v", o)
		}
	}
}

// Several clients with one secret (tabs) do not disturb each other.
func TestPSKSessionsSideBySide(t *testing.T) {
	w := newPSKWorld(t)
	clients := []*PSKClient{w.client(), w.client(), w.client()}
	for range 3 {
		for _, c := range clients {
			called(t, c, "x")
		}
	}
	if w.link.requests() != 3*4 {
		t.Errorf("%d requests for 9 calls of 3 clients", w.link.requests())
	}
}

// The server reboots, the client reboots: each time a new session, by itself.
func TestPSKReboots(t *testing.T) {
	w := newPSKWorld(t)
	c := w.client()
	called(t, c, "a")
	w.boot()
	called(t, c, "b")
	if w.link.requests() != 2+2 {
		t.Errorf("%d requests", w.link.requests())
	}
	called(t, c, "c")
	c = w.client()
	called(t, c, "d")
	if w.h.served() != 4 {
		t.Errorf("%d acted on", w.h.served())
	}
}

// A server that forgot the sessions and says so without protection.
func TestPSKPlain401(t *testing.T) {
	w := newPSKWorld(t)
	c := w.client()
	called(t, c, "a")
	lost := true
	w.link.before = func(_ int, m *coap.Message) *coap.Message {
		return m
	}
	serve := w.link.handler
	w.link.handler = coap.HandlerFunc(func(ctx context.Context, req *coap.Request) *coap.Message {
		if lost {
			lost = false
			return ErrorResponse(coap.ErrNoContext)
		}
		return serve.Serve(ctx, req)
	})
	called(t, c, "b")
	if w.h.served() != 2 {
		t.Errorf("%d acted on", w.h.served())
	}
	// It never knows: an error, after a bounded number of requests.
	w.server.Remove("label")
	w.link.handler = serve
	before := w.link.requests()
	if _, err := c.Call(t.Context(), get("/x")); !errors.Is(err, coap.ErrNoContext) {
		t.Errorf("got %v", err)
	}
	if n := w.link.requests() - before; n != 2 {
		t.Errorf("%d requests", n)
	}
}

func TestPSKWrongSecret(t *testing.T) {
	w := newPSKWorld(t)
	for name, psk := range map[string]PSK{
		"secret": {KID: w.psk.KID, Secret: randomBytes(16), Salt: w.psk.Salt},
		"salt":   {KID: w.psk.KID, Secret: w.psk.Secret, Salt: []byte(SaltOwner)},
		"name":   {KID: []byte("nobody"), Secret: w.psk.Secret, Salt: w.psk.Salt},
	} {
		c := NewPSKClient(psk, w.link, peerAddr, rand.Reader)
		_, err := c.Call(t.Context(), get("/x"))
		if _, ok := errors.AsType[*UnprotectedError](err); !ok {
			t.Errorf("wrong %s: %v", name, err)
		}
	}
	// A server that does not know the secret cannot answer either.
	other := newPSKWorld(t)
	other.psk = PSK{KID: w.psk.KID, Secret: randomBytes(16), Salt: w.psk.Salt}
	other.boot()
	forger := other.client()
	w.link.after = func(_ int, m *coap.Message) *coap.Message {
		outer, _, err := forger.psk.mustClient(t).ProtectRequest(get("/x"))
		if err != nil {
			t.Fatal(err)
		}
		return over(t, other.link.handler.Serve(t.Context(), &coap.Request{Message: over(t, outer)}))
	}
	if _, err := w.client().Call(t.Context(), get("/x")); !errors.Is(err, ErrVerify) {
		t.Errorf("a forged response #1: %v", err)
	}
	if w.h.served() != 0 {
		t.Error("something was acted on")
	}
}

func (p PSK) mustClient(t *testing.T) *Context {
	t.Helper()
	c, err := p.client(randomBytes(8))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPSKSet(t *testing.T) {
	w := newPSKWorld(t)
	c := w.client()
	called(t, c, "a")
	w.server.Set("label", w.psk, 8) // the same: the session goes on
	called(t, c, "b")
	if w.link.requests() != 3 || w.h.peers[1].Data != 8 {
		t.Errorf("%d requests, data %v", w.link.requests(), w.h.peers[1].Data)
	}
	// Two secrets under one kid: the one that verifies.
	other := PSK{KID: w.psk.KID, Secret: randomBytes(16), Salt: w.psk.Salt}
	w.server.Set("other", other, 9)
	called(t, NewPSKClient(other, w.link, peerAddr, rand.Reader), "c")
	if w.h.peers[2].Name != "other" {
		t.Errorf("peer %+v", w.h.peers[2])
	}
	w.server.Set("label", PSK{KID: w.psk.KID, Secret: randomBytes(16), Salt: w.psk.Salt}, 8)
	if _, err := c.Call(t.Context(), get("/x")); err == nil {
		t.Error("the replaced secret still opens")
	}
	w.server.Remove("label")
	w.server.Remove("label")
	called(t, NewPSKClient(other, w.link, peerAddr, rand.Reader), "d")
}

func TestPSKServerRefuses(t *testing.T) {
	w := newPSKWorld(t)
	outer, _, err := w.psk.mustClient(t).ProtectRequest(get("/x"))
	if err != nil {
		t.Fatal(err)
	}
	for name, kidContext := range map[string][]byte{
		"none": nil, "not CBOR": {0xff}, "a text string": {0x61, 0x61}, "short": wrapID(make([]byte, 7)),
		"long": wrapID(make([]byte, 65)), "trailing bytes": append(wrapID(make([]byte, 8)), 0), "empty": {},
	} {
		m := over(t, outer)
		coap.SetOption(m, coap.OptionOSCORE, AppendOption(nil, Option{PIV: []byte{0}, KID: w.psk.KID, KIDContext: kidContext}))
		if opened, _, err := w.server.Open(t.Context(), &coap.Request{Message: m}); opened != nil || !errors.Is(err, coap.ErrNoContext) {
			t.Errorf("kid context %s: %v", name, err)
		}
	}
	if _, _, err := w.server.Open(t.Context(), &coap.Request{Message: outer, Multicast: true}); !errors.Is(err, coap.ErrNoContext) {
		t.Errorf("to a group address: %v", err)
	}
	broken := over(t, outer)
	coap.SetOption(broken, coap.OptionOSCORE, []byte{0x80})
	if _, reply, err := w.server.Open(t.Context(), &coap.Request{Message: broken}); !errors.Is(err, ErrDecode) || reply.Code != coap.BadOption {
		t.Errorf("malformed: %v", err)
	}
	w.server.rand = failing{}
	if _, reply, err := w.server.Open(t.Context(), &coap.Request{Message: outer}); !errors.Is(err, errBroken) || reply.Code != coap.ServiceUnavailable {
		t.Errorf("no randomness: %v, %v", reply, err)
	}
}

// A response #1 that is not one.
func TestPSKClientRefuses(t *testing.T) {
	w := newPSKWorld(t)
	for name, option := range map[string]Option{
		"not CBOR": {KIDContext: []byte{0xff}, PIV: []byte{0}},
		"empty":    {KIDContext: wrapID(nil), PIV: []byte{0}},
		"long":     {KIDContext: wrapID(make([]byte, 65)), PIV: []byte{0}},
		"forged":   {KIDContext: wrapID(make([]byte, 16)), PIV: []byte{0}},
	} {
		w.link.after = func(_ int, m *coap.Message) *coap.Message {
			coap.SetOption(m, coap.OptionOSCORE, AppendOption(nil, option))
			return m
		}
		if _, err := w.client().Call(t.Context(), get("/x")); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	w.link.after = func(_ int, m *coap.Message) *coap.Message {
		coap.SetOption(m, coap.OptionOSCORE, []byte{0x80})
		return m
	}
	if _, err := w.client().Call(t.Context(), get("/x")); !errors.Is(err, ErrDecode) {
		t.Errorf("malformed: %v", err)
	}
	w.link.after = nil
	if _, err := NewPSKClient(w.psk, w.link, peerAddr, failing{}).Call(t.Context(), get("/x")); !errors.Is(err, errBroken) {
		t.Errorf("no randomness: %v", err)
	}
	if _, err := w.client().Call(t.Context(), content("x")); err == nil {
		t.Error("a response was sent as a request")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := w.client()
	c.establishing <- struct{}{}
	if _, err := c.Call(ctx, get("/x")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A server that asks to start anew for ever.
func TestPSKNoEnd(t *testing.T) {
	w := newPSKWorld(t)
	w.link.before = func(_ int, m *coap.Message) *coap.Message {
		w.boot()
		return m
	}
	if _, err := w.client().Call(t.Context(), get("/x")); !errors.Is(err, errNoSession) || w.link.requests() != handshakes {
		t.Errorf("%v after %d requests", err, w.link.requests())
	}
}
