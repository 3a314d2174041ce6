//go:build !js

package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lamplighter/internal/coap"
)

// heard is what an observer was called with.
type heard struct {
	m   *coap.Message
	err error
}

// observer collects calls.
type observer chan heard

func (o observer) each(m *coap.Message, err error) { o <- heard{m, err} }

func (o observer) next(t *testing.T) heard {
	t.Helper()
	select {
	case h := <-o:
		return h
	case <-time.After(30 * time.Second):
		t.Fatal("nothing is heard")
		return heard{}
	}
}

func (o observer) quiet(t *testing.T) {
	t.Helper()
	select {
	case h := <-o:
		t.Fatalf("heard %v %v", h.m, h.err)
	case <-time.After(50 * time.Millisecond):
	}
}

// announcer is a resource that notifies when it is told to.
type announcer struct {
	requests chan *coap.Request
	n        atomic.Uint32
}

func (a *announcer) Serve(_ context.Context, req *coap.Request) *coap.Message {
	m := a.state()
	a.requests <- req
	return m
}

func (a *announcer) state() *coap.Message {
	n := a.n.Add(1)
	m := coap.Respond(coap.Content, coap.FormatText, fmt.Append(nil, n))
	coap.AddUint(m, coap.OptionObserve, n)
	return m
}

func observe(value uint32) *coap.Message {
	m := coap.NewRequest(coap.GET, "/a", nil)
	coap.AddUint(m, coap.OptionObserve, value)
	return m
}

// failing pushes until the observer is known to be gone.
func failing(t *testing.T, push func() error) error {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if err := push(); err != nil {
			return err
		}
	}
	t.Fatal("pushing still works")
	return nil
}

func TestObserveOverUDP(t *testing.T) {
	a := &announcer{requests: make(chan *coap.Request, 4)}
	server := listen(t, loopback, a, UDPOptions{Params: quick()})
	client := listen(t, loopback, nil, UDPOptions{Params: quick()})
	o := make(observer, 10)
	watching, err := client.Observe(context.Background(), server.Addr(), observe(0), o.each)
	if err != nil {
		t.Fatal(err)
	}
	req := <-a.requests
	if h := o.next(t); h.err != nil || string(h.m.Payload) != "1" {
		t.Fatalf("first: %v %v", h.m, h.err)
	}
	for range 3 {
		if err := req.Push(a.state()); err != nil {
			t.Fatal(err)
		}
		if h := o.next(t); h.err != nil || string(h.m.Payload) != fmt.Sprint(a.n.Load()) {
			t.Fatalf("notification: %v %v", h.m, h.err)
		}
	}
	// What cannot be sent ends nothing.
	for what, req := range map[string]*coap.Message{
		"an option": coap.NewRequest(coap.GET, "/"+strings.Repeat("a", 1<<17), nil), // cannot be encoded
		"a payload": coap.NewRequest(coap.GET, "/", make([]byte, 1<<17)),            // is refused by the socket
	} {
		if err := watching.Again(req); err == nil {
			t.Errorf("%s of 128 KiB is sent", what)
		}
	}
	if err := req.Push(a.state()); err != nil {
		t.Fatal(err)
	}
	if h := o.next(t); h.err != nil || string(h.m.Payload) != fmt.Sprint(a.n.Load()) {
		t.Fatalf("notification: %v %v", h.m, h.err)
	}
	if err := watching.Again(observe(1)); err != nil {
		t.Fatal(err)
	}
	if again := <-a.requests; string(again.Token) != string(req.Token) {
		t.Errorf("the cancellation has token %x, not %x", again.Token, req.Token)
	}
	o.next(t)
	watching.Close()
	watching.Close()
	if err := failing(t, func() error { return req.Push(a.state()) }); !errors.Is(err, coap.ErrReset) {
		t.Errorf("pushing to who has closed: %v", err)
	}
	o.quiet(t)
	if err := watching.Again(observe(0)); !errors.Is(err, coap.ErrUnobserved) {
		t.Error("a closed observation is renewed:", err)
	}
}

func TestObserverIsGone(t *testing.T) {
	a := &announcer{requests: make(chan *coap.Request, 4)}
	server := listen(t, loopback, a, UDPOptions{Params: quick()})
	client := listen(t, loopback, nil, UDPOptions{Params: quick()})
	o := make(observer, 10)
	if _, err := client.Observe(context.Background(), server.Addr(), observe(0), o.each); err != nil {
		t.Fatal(err)
	}
	req := <-a.requests
	o.next(t)
	_ = client.Close()
	if h := o.next(t); h.err == nil {
		t.Errorf("the endpoint closes: %v", h.m)
	}
	if err := failing(t, func() error { return req.Push(a.state()) }); !errors.Is(err, coap.ErrTimeout) {
		t.Errorf("pushing to who is gone: %v", err)
	}
	_ = server.Close()
	if err := req.Push(a.state()); err == nil {
		t.Error("a closed endpoint pushes")
	}
}

func TestObservationsThatEnd(t *testing.T) {
	server := listen(t, loopback, coap.HandlerFunc(lamp), UDPOptions{Params: quick()})
	client := listen(t, loopback, nil, UDPOptions{Params: quick()})
	nobody := listen(t, loopback, nil, UDPOptions{})
	silent := coap.NewRequest(coap.GET, "/silent", nil)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	for _, tc := range []struct {
		name string
		ctx  context.Context
		to   netip.AddrPort
		want error
	}{
		{"nobody answers", context.Background(), server.Addr(), coap.ErrTimeout},
		{"nobody is there", context.Background(), nobody.Addr(), coap.ErrReset},
		{"the context ends", ctx, server.Addr(), context.DeadlineExceeded},
	} {
		o := make(observer, 10)
		if _, err := client.Observe(tc.ctx, tc.to, silent, o.each); err != nil {
			t.Fatal(err)
		}
		if h := o.next(t); !errors.Is(h.err, tc.want) {
			t.Errorf("%s: %v %v", tc.name, h.m, h.err)
		}
		o.quiet(t)
	}
}
