package proxy

import (
	"context"
	"errors"
	"fmt"
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

// TestObserveWithOurClient observes a device with our own endpoints on both
// sides of the bridge.
func TestObserveWithOurClient(t *testing.T) {
	s := newSite(t, nil)
	requests := make(chan *coap.Request, 4)
	state := func(n uint32, notify bool) *coap.Message {
		m := coap.Respond(coap.Content, coap.FormatText, fmt.Append(nil, n))
		if notify {
			coap.AddUint(m, coap.OptionObserve, n)
		}
		return m
	}
	to := device(t, endpoint.UDPOptions{Params: quick()}, "127.0.0.1:0", func(_ context.Context, req *coap.Request) *coap.Message {
		requests <- req
		v, has := coap.OptionUint(req.Message, coap.OptionObserve)
		return state(1, has && v == 0)
	})
	client := s.client(t)
	type heard struct {
		m   *coap.Message
		err error
	}
	calls := make(chan heard, 10)
	next := func() heard {
		t.Helper()
		select {
		case h := <-calls:
			return h
		case <-time.After(5 * time.Second):
			t.Fatal("nothing is heard")
			return heard{}
		}
	}
	register := func() (coap.Observation, *coap.Request) {
		t.Helper()
		o, err := client.Observe(context.Background(), to, watching(t, 0), func(m *coap.Message, err error) { calls <- heard{m, err} })
		if err != nil {
			t.Fatal(err)
		}
		req := <-requests
		if h := next(); h.err != nil || string(h.m.Payload) != "1" {
			t.Fatalf("first: %v %v", h.m, h.err)
		}
		for n := uint32(2); n < 5; n++ {
			if err := req.Push(state(n, true)); err != nil {
				t.Fatal(err)
			}
			if h := next(); h.err != nil || string(h.m.Payload) != fmt.Sprint(n) {
				t.Fatalf("notification: %v %v", h.m, h.err)
			}
		}
		return o, req
	}
	gone := func(req *coap.Request) {
		t.Helper()
		deadline := time.Now().Add(5 * time.Second)
		for n := uint32(10); ; n++ {
			err := req.Push(state(n, true))
			if errors.Is(err, coap.ErrReset) {
				return
			}
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("pushing to who has closed: %v", err)
			}
			time.Sleep(2 * time.Millisecond)
		}
	}

	o, req := register()
	o.Close() // an Early Stop Request
	gone(req)

	o, req = register()
	if err := o.Again(watching(t, 1)); err != nil {
		t.Fatal(err)
	}
	<-requests
	if h := next(); h.err != nil || coap.HasOption(h.m, coap.OptionObserve) {
		t.Fatalf("cancelled: %v %v", h.m, h.err)
	}
	if h := next(); !errors.Is(h.err, coap.ErrUnobserved) {
		t.Fatalf("after the cancellation: %v %v", h.m, h.err)
	}
	gone(req)

	_, req = register() // the server ends it
	if err := req.Push(coap.Problem(coap.NotFound, "gone")); err != nil {
		t.Fatal(err)
	}
	if h := next(); h.err != nil || h.m.Code != coap.NotFound {
		t.Fatalf("the end: %v %v", h.m, h.err)
	}
	if h := next(); !errors.Is(h.err, coap.ErrUnobserved) {
		t.Fatalf("after the end: %v %v", h.m, h.err)
	}

	_, req = register() // the connection breaks
	_ = client.Close()
	if h := next(); !errors.Is(h.err, coap.ErrLink) {
		t.Fatalf("after the connection: %v %v", h.m, h.err)
	}
	_ = req
}
