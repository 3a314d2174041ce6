package oscore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"lamplighter/internal/coap"
)

// Hours of notifications through Server and Secure: 40-bit Partial IVs, and the
// end when the association goes.
func TestServerNotifies(t *testing.T) {
	s := NewServer(rand.Reader)
	client, server := newPair(t, func(_, s *Params) { s.Sequence = NewSequence(maxSequence-4, nil) })
	s.Add("a", nil, server)
	var push func(*coap.Message) error
	state := func(n int) *coap.Message {
		m := content(fmt.Sprint(n))
		coap.AddUint(m, coap.OptionObserve, uint32(n))
		return m
	}
	l := &line{link: link{t: t}}
	h := coap.Secure(coap.HandlerFunc(func(_ context.Context, req *coap.Request) *coap.Message {
		push = req.Push
		return state(0)
	}), s)
	w := &watched{t: t, line: l}
	if _, err := NewClient(client, l, peerAddr).Observe(t.Context(), watchRequest(0), w.each); err != nil {
		t.Fatal(err)
	}
	var out []*coap.Message
	first := h.Serve(t.Context(), &coap.Request{Message: w.round().sent[0], Push: func(m *coap.Message) error {
		out = append(out, over(t, m))
		return nil
	}})
	w.hears(first, "0")
	for i := 1; i <= 4; i++ {
		if err := push(state(i)); err != nil {
			t.Fatal(err)
		}
	}
	if got := piv(t, out[3]); PIVNumber(got) != maxSequence-1 || len(got) != 5 {
		t.Errorf("Partial IV %x", got)
	}
	w.hears(out[3], "4")
	w.hears(out[2])
	if err := push(state(5)); !errors.Is(err, ErrSpent) {
		t.Errorf("after 2^40 numbers: %v", err)
	}
}

// An association that is gone answers what it has accepted, and no more.
func TestRemovedServerIsSilent(t *testing.T) {
	s := NewServer(rand.Reader)
	p := NewPSKServer(rand.Reader, time.Now)
	psk := NewPSK([]byte("name"), randomBytes(16), SaltLabel)
	p.Set("b", psk, nil)
	client, server := newPair(t)
	s.Add("a", nil, server)
	var seal func(*coap.Message) (*coap.Message, error)
	var remove func()
	h := &sealer{then: func(o *coap.Opened) {
		seal = o.Seal
		remove()
	}}
	l := &link{t: t, handler: coap.Secure(&echoHandler{}, h)}
	for name, c := range map[string]struct {
		opener coap.Opener
		caller coap.Caller
		remove func()
	}{
		"association": {s, NewClient(client, l, peerAddr), func() { s.Remove("a") }},
		"session":     {p, NewPSKClient(psk, l, peerAddr, rand.Reader), func() { p.Remove("b") }},
	} {
		h.Opener, remove = c.opener, func() {}
		called(t, c.caller, "x")
		if _, err := seal(content("further")); err != nil {
			t.Errorf("%s: while it is there: %v", name, err)
		}
		remove = c.remove
		called(t, c.caller, "x")
		if _, err := seal(content("further")); !errors.Is(err, coap.ErrNoContext) {
			t.Errorf("%s: after it was removed: %v", name, err)
		}
	}
}

// A session that made room for others ends like one that was removed.
func TestEvictedSessionIsSilent(t *testing.T) {
	p := NewPSKServer(rand.Reader, time.Now)
	psk := NewPSK([]byte("name"), randomBytes(16), SaltLabel)
	p.Set("b", psk, nil)
	var seals []func(*coap.Message) (*coap.Message, error)
	h := &sealer{Opener: p, then: func(o *coap.Opened) { seals = append(seals, o.Seal) }}
	l := &link{t: t, handler: coap.Secure(&echoHandler{}, h)}
	for range maxSessionsPerSecret + 1 {
		called(t, NewPSKClient(psk, l, peerAddr, rand.Reader), "x")
	}
	for i, seal := range seals {
		if _, err := seal(content("further")); errors.Is(err, coap.ErrNoContext) != (i == 0) {
			t.Errorf("session %d: %v", i, err)
		}
	}
}

// sealer is an Opener that shows what it opened.
type sealer struct {
	coap.Opener
	then func(*coap.Opened)
}

func (s *sealer) Open(ctx context.Context, req *coap.Request) (*coap.Opened, *coap.Message, error) {
	opened, reply, err := s.Opener.Open(ctx, req)
	if err == nil {
		s.then(opened)
	}
	return opened, reply, err
}
