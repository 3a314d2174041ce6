package oscore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
	"lamplighter/internal/sim"
)

var counterAddr = netip.MustParseAddrPort("127.0.0.1:5690")

// counter is an observable resource behind sessions on a pre-shared secret.
type counter struct {
	net   *sim.Network
	psk   oscore.PSK
	known bool // the secret

	mu   sync.Mutex
	n    int
	list *coap.Observers
}

func newCounter(t *testing.T) *counter {
	t.Helper()
	secret := make([]byte, 16)
	rand.Read(secret)
	c := &counter{net: sim.NewNetwork(1), psk: oscore.NewPSK([]byte("counter"), secret, "test"), known: true}
	c.restart()
	return c
}

// restart makes the server lose its sessions and its observers.
func (c *counter) restart() {
	c.mu.Lock()
	c.list = coap.NewObservers(64)
	c.mu.Unlock()
	server := oscore.NewPSKServer(rand.Reader, time.Now)
	if c.known {
		server.Set("counter", c.psk, nil)
	}
	c.net.Attach(counterAddr, coap.Secure(c, server))
}

func (c *counter) Serve(_ context.Context, req *coap.Request) *coap.Message {
	if req.Peer.Kind != coap.PeerPSK {
		return coap.Problem(coap.Unauthorized, "Who are you?")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.list.Register(time.Now(), req, coap.Respond(coap.Content, coap.NoFormat, fmt.Append(nil, c.n)))
}

func (c *counter) count() {
	c.mu.Lock()
	c.n++
	n, list := c.n, c.list
	c.mu.Unlock()
	list.Notify(time.Now(), func(*coap.Request) *coap.Message {
		return coap.Respond(coap.Content, coap.NoFormat, fmt.Append(nil, n))
	})
}

func (c *counter) client(port uint16) *oscore.PSKClient {
	from := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
	return oscore.NewPSKClient(c.psk, c.net.From(from), counterAddr, rand.Reader)
}

// ear hears an observation.
type ear struct {
	t *testing.T
	c chan string
}

func (e *ear) each(m *coap.Message, err error) {
	if err != nil {
		e.c <- "error: " + err.Error()
		return
	}
	e.c <- string(m.Payload)
}

func (e *ear) hears(want string) {
	e.t.Helper()
	select {
	case got := <-e.c:
		if got != want && want != "" {
			e.t.Fatalf("heard %q, want %q", got, want)
		}
	case <-time.After(10 * time.Second):
		e.t.Fatalf("heard nothing, want %q", want)
	}
}

func (e *ear) hearsNothing() {
	e.t.Helper()
	select {
	case got := <-e.c:
		e.t.Fatalf("heard %q", got)
	case <-time.After(20 * time.Millisecond):
	}
}

func observeCounter() *coap.Message {
	req := coap.NewRequest(coap.GET, "/count", nil)
	coap.AddUint(req, coap.OptionObserve, coap.ObserveRegister)
	return req
}

func observing(t *testing.T, client *oscore.PSKClient) (coap.Observation, *ear) {
	t.Helper()
	e := &ear{t, make(chan string, 64)}
	o, err := client.Observe(t.Context(), observeCounter(), e.each)
	if err != nil {
		t.Fatal(err)
	}
	return o, e
}

func TestPSKObserve(t *testing.T) {
	c := newCounter(t)
	client := c.client(40001)
	o, e := observing(t, client)
	e.hears("0")
	for i := range 5 {
		c.count()
		e.hears(fmt.Sprint(i + 1))
	}
	if err := o.Again(observeCounter()); err != nil {
		t.Fatal(err)
	}
	e.hears("5")
	if _, err := client.Call(t.Context(), coap.NewRequest(coap.GET, "/count", nil)); err != nil {
		t.Fatal(err)
	}
	c.count()
	e.hears("6")
	o.Close()
	c.count()
	e.hearsNothing()
	if err := o.Again(observeCounter()); !errors.Is(err, oscore.ErrCannotObserve) {
		t.Errorf("renewed after it was closed: %v", err)
	}
	if _, err := client.Observe(t.Context(), coap.NewRequest(coap.GET, "/count", nil), e.each); !errors.Is(err, oscore.ErrCannotObserve) {
		t.Errorf("observed without asking for it: %v", err)
	}
}

// The server loses its sessions: the observation goes on when it is renewed, and
// when any other request finds out.
func TestPSKObserveAfterARestart(t *testing.T) {
	c := newCounter(t)
	client := c.client(40001)
	o, e := observing(t, client)
	e.hears("0")

	c.restart()
	c.count()
	e.hearsNothing() // nobody knows yet
	if err := o.Again(observeCounter()); err != nil {
		t.Fatal(err)
	}
	e.hears("1")
	c.count()
	e.hears("2")

	c.restart()
	if _, err := client.Call(t.Context(), coap.NewRequest(coap.GET, "/count", nil)); err != nil {
		t.Fatal(err)
	}
	e.hears("2")
	c.count()
	e.hears("3")
}

// Several observations of one client all follow it into the next session.
func TestPSKObserveTogether(t *testing.T) {
	c := newCounter(t)
	client := c.client(40001)
	var ears []*ear
	for range 3 {
		_, e := observing(t, client)
		e.hears("0")
		ears = append(ears, e)
	}
	c.restart()
	if _, err := client.Call(t.Context(), coap.NewRequest(coap.GET, "/count", nil)); err != nil {
		t.Fatal(err)
	}
	for _, e := range ears {
		e.hears("0")
	}
	c.count()
	for _, e := range ears {
		e.hears("1")
	}
}

// A server that does not know the secret any more ends the observation.
func TestPSKObserveWithoutSecret(t *testing.T) {
	c := newCounter(t)
	o, e := observing(t, c.client(40001))
	e.hears("0")
	c.known = false
	c.restart()
	if err := o.Again(observeCounter()); err != nil {
		t.Fatal(err)
	}
	c.count()
	e.hearsNothing() // what is not protected ends nothing; the caller's own requests fail
	if _, err := c.client(40001).Observe(t.Context(), observeCounter(), e.each); err == nil {
		t.Error("observed without a session")
	}
	c.net.Unobserve(netip.MustParseAddrPort("127.0.0.1:40001"))
	e.hears("") // the link broke
	if err := o.Again(observeCounter()); !errors.Is(err, oscore.ErrCannotObserve) {
		t.Errorf("renewed after the end: %v", err)
	}
}
