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

// Observe over sockets: a server that has lost its window, a renewal under the
// same token, a cancellation, and the end with the association.
func TestObserveOverUDP(t *testing.T) {
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
	opener := oscore.NewServer(rand.Reader)
	opener.Add("a", nil, newContext(2, 1))
	observers := coap.NewObservers(8)
	requests := make(chan *coap.Request, 8)
	h := coap.HandlerFunc(func(_ context.Context, req *coap.Request) *coap.Message {
		requests <- req
		return observers.Register(time.Now(), req, coap.Respond(coap.Content, coap.NoFormat, []byte("now")))
	})
	loopback := netip.MustParseAddrPort("127.0.0.1:0")
	listen := func(h coap.Handler) *endpoint.UDP {
		u, err := endpoint.ListenUDP(loopback, h, endpoint.UDPOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = u.Close() })
		return u
	}
	server, ex := listen(coap.Secure(h, opener)), listen(nil)

	heard := make(chan string, 8)
	next := func(want string) {
		t.Helper()
		select {
		case got := <-heard:
			if got != want {
				t.Fatalf("heard %q, want %q", got, want)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("nothing is heard, want %q", want)
		}
	}
	request := func(value uint32) *coap.Message {
		req := coap.NewRequest(coap.GET, "/a", nil)
		coap.AddUint(req, coap.OptionObserve, value)
		return req
	}
	o, err := oscore.NewClient(newContext(1, 2), ex, server.Addr()).Observe(t.Context(), request(0), func(m *coap.Message, err error) {
		if err != nil {
			heard <- "error: " + err.Error()
			return
		}
		heard <- string(m.Payload)
	})
	if err != nil {
		t.Fatal(err)
	}
	notify := func(payload string) {
		observers.Notify(time.Now(), func(*coap.Request) *coap.Message {
			return coap.Respond(coap.Content, coap.NoFormat, []byte(payload))
		})
	}
	next("now")
	first := <-requests
	for i := range 5 {
		notify(fmt.Sprint(i))
		next(fmt.Sprint(i))
	}
	if err := o.Again(request(0)); err != nil {
		t.Fatal(err)
	}
	next("now")
	if again := <-requests; string(again.Token) != string(first.Token) || observers.Len() != 1 {
		t.Errorf("renewed under %x, not %x; %d observers", again.Token, first.Token, observers.Len())
	}
	notify("renewed")
	next("renewed")
	if err := o.Again(request(1)); err != nil {
		t.Fatal(err)
	}
	next("now")
	if observers.Len() != 0 {
		t.Errorf("%d observers after the cancellation", observers.Len())
	}
	last := <-requests
	opener.Remove("a")
	if err := last.Push(coap.Respond(coap.Content, coap.NoFormat, nil)); !errors.Is(err, coap.ErrNoContext) {
		t.Errorf("pushed without the association: %v", err)
	}
	if err := o.Again(request(0)); err == nil {
		t.Error("renewed after the end")
	}
}
