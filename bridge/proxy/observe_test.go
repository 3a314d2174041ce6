package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
)

func watching(t *testing.T, value uint32) *coap.Message {
	t.Helper()
	m := coap.NewRequest(coap.GET, "/state", nil)
	coap.AddUint(m, coap.OptionObserve, value)
	return m
}

func numbered(n uint32, notify bool) *coap.Message {
	m := coap.Respond(coap.Content, coap.FormatText, fmt.Append(nil, n))
	if notify {
		coap.AddUint(m, coap.OptionObserve, n)
	}
	return m
}

// watch is our client, which observes a device through the bridge.
type watch struct {
	t        *testing.T
	client   *endpoint.WS
	to       netip.AddrPort
	requests chan *coap.Request // that the device gets
	calls    chan heard
}

// heard is what an observer was called with.
type heard struct {
	m   *coap.Message
	err error
}

func newWatch(t *testing.T) *watch {
	s := newSite(t, nil)
	w := &watch{t: t, requests: make(chan *coap.Request, 4), calls: make(chan heard, 10)}
	w.to = device(t, endpoint.UDPOptions{Params: quick()}, "127.0.0.1:0", func(_ context.Context, req *coap.Request) *coap.Message {
		w.requests <- req
		v, has := coap.OptionUint(req.Message, coap.OptionObserve)
		return numbered(1, has && v == 0)
	})
	w.client = s.client(t)
	return w
}

// next is what the observer hears next.
func (w *watch) next() heard {
	w.t.Helper()
	select {
	case h := <-w.calls:
		return h
	case <-time.After(30 * time.Second):
		w.t.Fatal("nothing is heard")
		return heard{}
	}
}

// ends fails unless the observer hears this error.
func (w *watch) ends(want error) {
	w.t.Helper()
	if h := w.next(); !errors.Is(h.err, want) {
		w.t.Fatalf("at the end: %v %v, want %v", h.m, h.err, want)
	}
}

// register observes and hears some notifications.
func (w *watch) register() (coap.Observation, *coap.Request) {
	w.t.Helper()
	o, err := w.client.Observe(context.Background(), w.to, watching(w.t, 0), func(m *coap.Message, err error) { w.calls <- heard{m, err} })
	if err != nil {
		w.t.Fatal(err)
	}
	req := <-w.requests
	if h := w.next(); h.err != nil || string(h.m.Payload) != "1" {
		w.t.Fatalf("first: %v %v", h.m, h.err)
	}
	for n := uint32(2); n < 5; n++ {
		if err := req.Push(numbered(n, true)); err != nil {
			w.t.Fatal(err)
		}
		if h := w.next(); h.err != nil || string(h.m.Payload) != fmt.Sprint(n) {
			w.t.Fatalf("notification: %v %v", h.m, h.err)
		}
	}
	return o, req
}

// gone waits until the device has its notifications rejected.
func (w *watch) gone(req *coap.Request) {
	w.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for n := uint32(10); ; n++ {
		err := req.Push(numbered(n, true))
		if errors.Is(err, coap.ErrReset) {
			return
		}
		if err != nil || time.Now().After(deadline) {
			w.t.Fatalf("pushing to who has closed: %v", err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// over fails when an observation that has ended is begun anew, at the bridge or
// the device, where nobody would end it.
func (w *watch) over(o coap.Observation) {
	w.t.Helper()
	if err := o.Again(watching(w.t, 0)); !errors.Is(err, coap.ErrUnobserved) {
		w.t.Errorf("registering again after the end: %v", err)
	}
	select {
	case req := <-w.requests:
		w.t.Errorf("after the end the device gets %v", req.Message)
	case <-time.After(20 * time.Millisecond):
	}
}

// TestClientEndsObservation has our own endpoints on both sides of the bridge: the
// client forgets, and cancels.
func TestClientEndsObservation(t *testing.T) {
	w := newWatch(t)
	o, req := w.register()
	o.Close() // an Early Stop Request
	w.gone(req)
	w.over(o)

	o, req = w.register()
	if err := o.Again(watching(t, 1)); err != nil {
		t.Fatal(err)
	}
	<-w.requests
	if h := w.next(); h.err != nil || coap.HasOption(h.m, coap.OptionObserve) {
		t.Fatalf("cancelled: %v %v", h.m, h.err)
	}
	w.ends(coap.ErrUnobserved)
	w.gone(req)
	w.over(o)
}

// TestObservationBreaks has the server end an observation, and the connection.
func TestObservationBreaks(t *testing.T) {
	w := newWatch(t)
	o, req := w.register()
	if err := req.Push(coap.Problem(coap.NotFound, "gone")); err != nil {
		t.Fatal(err)
	}
	if h := w.next(); h.err != nil || h.m.Code != coap.NotFound {
		t.Fatalf("the end: %v %v", h.m, h.err)
	}
	w.ends(coap.ErrUnobserved)
	w.over(o)

	w.register()
	_ = w.client.Close()
	w.ends(coap.ErrLink)
}
