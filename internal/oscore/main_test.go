package oscore

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

// nonces watches all AEADs of this test binary: no key and nonce may make two
// ciphertexts. Tests therefore draw their secrets at random.
var nonces = struct {
	sync.Mutex
	seen   map[[32]byte][32]byte
	repeat int
}{seen: map[[32]byte][32]byte{}}

func record(key, nonce, _, ciphertext []byte) {
	nonces.Lock()
	defer nonces.Unlock()
	pair := sha256.Sum256(append(append([]byte(nil), key...), nonce...))
	sum := sha256.Sum256(ciphertext)
	if old, ok := nonces.seen[pair]; ok && old != sum {
		nonces.repeat++
	}
	nonces.seen[pair] = sum
}

func TestMain(m *testing.M) {
	cose.Recorder = record
	code := m.Run()
	if nonces.repeat > 0 {
		fmt.Printf("FAIL: %d nonces were used for two ciphertexts\n", nonces.repeat)
		code = 1
	}
	os.Exit(code)
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// newPair makes both sides of a context with fresh keys.
func newPair(t testing.TB, edit ...func(client, server *Params)) (client, server *Context) {
	t.Helper()
	secret := randomBytes(16)
	cp := Params{MasterSecret: secret, MasterSalt: []byte{1, 2}, SenderID: []byte{1}, RecipientID: []byte{2}, Rand: rand.Reader}
	sp := cp
	sp.SenderID, sp.RecipientID = cp.RecipientID, cp.SenderID
	for _, f := range edit {
		f(&cp, &sp)
	}
	var err error
	if client, err = New(cp); err != nil {
		t.Fatal(err)
	}
	if server, err = New(sp); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// over passes a message through its encoding.
func over(t testing.TB, m *coap.Message) *coap.Message {
	t.Helper()
	c := *m
	c.MessageID, c.Type = 1, 0 // the message layer's
	b, err := coap.MarshalUDP(&c)
	if err != nil {
		t.Fatal(err)
	}
	out, err := coap.UnmarshalUDP(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// exchange is a request and its response through both contexts.
func exchange(t testing.TB, client, server *Context, req, resp *coap.Message) (gotReq, gotResp *coap.Message) {
	t.Helper()
	outer, cb, err := client.ProtectRequest(req)
	if err != nil {
		t.Fatal(err)
	}
	gotReq, sb, err := server.UnprotectRequest(over(t, outer))
	if err != nil {
		t.Fatal(err)
	}
	outer, err = server.ProtectResponse(resp, sb)
	if err != nil {
		t.Fatal(err)
	}
	gotResp, err = client.UnprotectResponse(over(t, outer), cb)
	if err != nil {
		t.Fatal(err)
	}
	return gotReq, gotResp
}

func sameMessage(t testing.TB, what string, got, want *coap.Message) {
	t.Helper()
	if got.Code != want.Code || !bytes.Equal(got.Payload, want.Payload) || len(got.Options) != len(want.Options) {
		t.Fatalf("%s: got %v %q %v, want %v %q %v", what, got.Code, got.Payload, got.Options, want.Code, want.Payload, want.Options)
	}
	for i := range want.Options {
		if got.Options[i].ID != want.Options[i].ID || !bytes.Equal(got.Options[i].Value, want.Options[i].Value) {
			t.Fatalf("%s: option %v, want %v", what, got.Options[i], want.Options[i])
		}
	}
}

// link is an Exchanger that delivers to a handler.
type link struct {
	t       testing.TB
	handler coap.Handler
	// before may change or lose (nil) a request, after a response.
	before, after func(n int, m *coap.Message) *coap.Message

	mu    sync.Mutex
	count int
	log   []*coap.Message // requests as they were sent
	to    []netip.AddrPort
}

func (l *link) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	l.mu.Lock()
	n := l.count
	l.count++
	sent := over(l.t, req)
	l.log = append(l.log, sent)
	l.to = append(l.to, to)
	before, after := l.before, l.after
	l.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m := over(l.t, req)
	if before != nil {
		m = before(n, m)
	}
	if m == nil {
		return nil, coap.ErrTimeout
	}
	resp := l.handler.Serve(ctx, &coap.Request{Message: m})
	if resp != nil {
		resp = over(l.t, resp)
	}
	if after != nil && resp != nil {
		resp = after(n, resp)
	}
	if resp == nil {
		return nil, coap.ErrTimeout
	}
	return resp, nil
}

func (l *link) Multicast(context.Context, netip.AddrPort, *coap.Message, time.Duration, func(*coap.Message, netip.AddrPort)) error {
	return errors.New("not here")
}

func (l *link) requests() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// echoHandler answers with the payload, and counts.
type echoHandler struct {
	mu    sync.Mutex
	count int
	peers []coap.Peer
}

func (h *echoHandler) Serve(_ context.Context, req *coap.Request) *coap.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count++
	h.peers = append(h.peers, req.Peer)
	return coap.Respond(coap.Content, coap.NoFormat, append([]byte("re "), req.Payload...))
}

func (h *echoHandler) served() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count
}

func parse(plaintext []byte) (*coap.Message, error) { return parsePlaintext(plaintext, new(Room)) }

func newBinding(c *Context, kid, piv []byte) *Binding {
	b := new(Binding)
	b.init(c, kid, piv)
	return b
}
