//go:build !js

package oscore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/oscore"
)

// watched is an observable resource behind a socket, whose server has lost its
// window.
type watched struct {
	t         *testing.T
	opener    *oscore.Server
	observers *coap.Observers
	requests  chan *coap.Request
	server    *endpoint.UDP
	client    *oscore.Client
	heard     chan string
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	secret := make([]byte, 16)
	_, _ = rand.Read(secret)
	newContext := func(own, peer byte) *oscore.Context {
		c, err := oscore.New(oscore.Params{
			MasterSecret: secret, SenderID: []byte{own}, RecipientID: []byte{peer}, EchoFirst: own == 2, Rand: rand.Reader,
		})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	w := &watched{
		t: t, opener: oscore.NewServer(rand.Reader), observers: coap.NewObservers(8),
		requests: make(chan *coap.Request, 8), heard: make(chan string, 8),
	}
	w.opener.Add("a", nil, newContext(2, 1))
	w.server = w.listen(coap.Secure(coap.HandlerFunc(func(_ context.Context, req *coap.Request) *coap.Message {
		w.requests <- req
		return w.observers.Register(time.Now(), req, state("now"))
	}), w.opener))
	w.client = oscore.NewClient(newContext(1, 2), w.listen(nil), w.server.Addr())
	return w
}

func (w *watched) listen(h coap.Handler) *endpoint.UDP {
	w.t.Helper()
	u, err := endpoint.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"), h, endpoint.UDPOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = u.Close() })
	return u
}

func state(payload string) *coap.Message {
	return coap.Respond(coap.Content, coap.NoFormat, []byte(payload))
}

func watchRequest(value uint32) *coap.Message {
	req := coap.NewRequest(coap.GET, "/a", nil)
	coap.AddUint(req, coap.OptionObserve, value)
	return req
}

func (w *watched) each(m *coap.Message, err error) {
	if err != nil {
		w.heard <- "error: " + err.Error()
		return
	}
	w.heard <- string(m.Payload)
}

func (w *watched) hears(want string) {
	w.t.Helper()
	select {
	case got := <-w.heard:
		if got != want {
			w.t.Fatalf("heard %q, want %q", got, want)
		}
	case <-time.After(30 * time.Second):
		w.t.Fatalf("nothing is heard, want %q", want)
	}
}

// says notifies and waits until it is heard.
func (w *watched) says(payload string) {
	w.t.Helper()
	w.observers.Notify(time.Now(), func(*coap.Request) *coap.Message { return state(payload) })
	w.hears(payload)
}

// Observe over sockets: after a challenge, renewed under the same token,
// cancelled, and not heard from once the association has gone.
func TestObserveOverUDP(t *testing.T) {
	w := newWatched(t)
	o, err := w.client.Observe(t.Context(), watchRequest(0), w.each)
	if err != nil {
		t.Fatal(err)
	}
	w.hears("now")
	first := <-w.requests
	for i := range 5 {
		w.says(fmt.Sprint(i))
	}
	if err := o.Again(watchRequest(0)); err != nil {
		t.Fatal(err)
	}
	w.hears("now")
	if again := <-w.requests; string(again.Token) != string(first.Token) || w.observers.Len() != 1 {
		t.Errorf("renewed under %x, not %x; %d observers", again.Token, first.Token, w.observers.Len())
	}
	w.says("renewed")
	if err := o.Again(watchRequest(1)); err != nil {
		t.Fatal(err)
	}
	w.hears("now")
	if w.observers.Len() != 0 {
		t.Errorf("%d observers after the cancellation", w.observers.Len())
	}
	last := <-w.requests
	w.opener.Remove("a")
	if err := last.Push(state("")); !errors.Is(err, coap.ErrNoContext) {
		t.Errorf("pushed without the association: %v", err)
	}
	if err := o.Again(watchRequest(0)); err == nil {
		t.Error("renewed after the end")
	}
}
