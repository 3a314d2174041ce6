package device

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/gm"
	"lamplighter/internal/sim"
	"lamplighter/internal/store"
)

// Addresses of the world under test.
var (
	gmAddr      = netip.MustParseAddrPort("127.0.0.1:5690")
	asAddr      = netip.MustParseAddrPort("127.0.0.1:5689")
	lampAddr    = netip.MustParseAddrPort("127.1.0.1:5683")
	groupAddr   = netip.MustParseAddrPort("224.0.1.187:5683")
	browserAddr = netip.MustParseAddrPort("127.0.0.1:40000")
)

var lampID = [8]byte{0, 0x0b, 0x57, 0xff, 0xfe, 0x40, 0x1a, 1}

// clock is a clock that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) Advance(by time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(by) }

// world is a network with an Authorization Server, a Group Manager, one lamp and
// installers.
type world struct {
	t     testing.TB
	net   *sim.Network
	clock *clock
	rand  io.Reader

	as      *as.Server
	gm      *gm.Server
	gmStore store.Store
	gmCred  []byte
	tokens  ace.TokenKey

	cfg  Config // of the lamp under test
	lamp *Device
	addr netip.AddrPort

	controls uint64 // how many pretended to be the Group Manager
	tells    bool   // the Group Manager tells members by itself
}

func key(b byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = b
	return ed25519.NewKeyFromSeed(seed)
}

func credOf(name string, key ed25519.PrivateKey) []byte {
	return cose.NewCCS(name, key.Public().(ed25519.PublicKey))
}

// worlds counts them: each has keys of its own, so that the nonces of all can be
// held against each other.
var worlds atomic.Uint64

// newWorld starts everything; edits change the lamp's configuration.
func newWorld(t testing.TB, edits ...func(*Config)) *world {
	t.Helper()
	w := &world{
		t: t, net: sim.NewNetwork(1), addr: lampAddr, clock: &clock{now: time.Unix(1_800_000_000, 0)},
		rand: cose.SharedRandom(rand.NewChaCha8([32]byte{byte(worlds.Add(1)), byte(worlds.Load() >> 8)})),
	}
	w.startGM()
	w.startAS()
	w.cfg = Config{
		ID: lampID, Model: "lamp-dim-1", HW: "1", FW: "1.0.0",
		LabelSecret: []byte("label secret 016"), Store: store.NewMemory(), GroupAddr: groupAddr,
		Now: w.clock.Now, Rand: w.rand,
	}
	for _, edit := range edits {
		edit(&w.cfg)
	}
	w.net.JoinGroup(groupAddr, w.addr)
	w.boot()
	return w
}

// startGM starts the Group Manager, or starts it again on the same store.
func (w *world) startGM() {
	k := key(90)
	w.gmCred = credOf("gm", k)
	w.tokens = ace.TokenKey{KID: []byte{1}, Key: make([]byte, ace.TokenKeySize)}
	if w.gmStore == nil {
		w.gmStore = store.NewMemory()
	}
	cfg := gm.Config{
		Store: w.gmStore, Now: w.clock.Now, Rand: w.rand, Key: k, Credential: w.gmCred,
		Audience: "gm", TokenKey: w.tokens,
	}
	if w.tells {
		cfg.Exchange, cfg.ControlURI, cfg.Pace = w.net.From(gmAddr), func(string, string) bool { return true }, time.Millisecond
	}
	server, err := gm.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, name := range []string{"hall", "attic"} {
		if err := server.CreateGroup(w.t.Context(), gm.GroupConfig{Name: name}); err != nil {
			w.t.Fatal(err)
		}
	}
	w.gm = server
	w.net.Attach(gmAddr, server.Handler())
}

// boot starts the lamp over its store: at first, or again.
func (w *world) boot() {
	w.t.Helper()
	if w.lamp != nil {
		w.lamp.Close()
	}
	lamp, err := New(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	lamp.Bind(w.net.From(w.addr))
	w.lamp = lamp
	w.net.Attach(w.addr, lamp.Handler())
	w.t.Cleanup(lamp.Close)
}

// requestsTo records the requests that reach an address.
func (w *world) requestsTo(to netip.AddrPort, sent *[][]byte) func(sim.Datagram) {
	var mu sync.Mutex
	return func(d sim.Datagram) {
		mu.Lock()
		defer mu.Unlock()
		if d.Kind == sim.Request && d.To == to {
			*sent = append(*sent, bytes.Clone(d.Bytes))
		}
	}
}

// members lists who the Group Manager has in the hall, by subject.
func (w *world) members() map[string]gm.Member {
	w.t.Helper()
	list, err := w.gm.Members(w.t.Context(), "hall")
	if err != nil {
		w.t.Fatal(err)
	}
	by := map[string]gm.Member{}
	for _, m := range list {
		if _, twice := by[m.Subject]; twice {
			w.t.Fatalf("%s is in the group twice", m.Subject)
		}
		by[m.Subject] = m
	}
	return by
}

func (w *world) startAS() {
	server, err := as.New(as.Config{
		Store: store.NewMemory(), Now: w.clock.Now, Rand: w.rand, Key: key(91), Issuer: "as",
		GMs: map[string]ace.TokenKey{"gm": w.tokens},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.as = server
	w.net.Attach(asAddr, server.Handler())
}

func (w *world) lampKey() ed25519.PublicKey {
	cred, err := cose.ParseCCS(w.lamp.Credential())
	if err != nil {
		w.t.Fatal(err)
	}
	return cred.Public.Bytes()
}

// do makes one request; body nil sends no payload, out nil ignores the answer's.
func do(c coap.Caller, method coap.Code, path string, body, out any) error {
	var payload []byte
	if body != nil {
		payload = cbor.MustMarshal(body)
	}
	req := coap.NewRequest(method, path, payload)
	if body != nil {
		coap.AddUint(req, coap.OptionContentFormat, formatCBOR)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	resp, err := c.Call(ctx, req)
	if err != nil {
		return err
	}
	if err := coap.CheckResponse(resp); err != nil {
		return err
	}
	if out != nil {
		return cbor.Unmarshal(resp.Payload, out)
	}
	return nil
}

// wantCode fails unless err is an answer with the code.
func wantCode(t *testing.T, what string, err error, code coap.Code) {
	t.Helper()
	var resp *coap.ResponseError
	if !errors.As(err, &resp) || resp.Code != code {
		t.Errorf("%s: %v, want %s", what, err, coap.CodeString(code))
	}
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func ed25519Verify(w *world, message, sig []byte) bool {
	return ed25519.Verify(w.lampKey(), message, sig)
}
