package oscore

import (
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/coap"
)

// Replays of any earlier message do nothing, in the session and after it.
func TestPSKReplays(t *testing.T) {
	w := newPSKWorld(t)
	c := w.client()
	called(t, c, "a")
	called(t, c, "b")
	served := w.h.served()
	replayAll := func(when string) {
		t.Helper()
		for i := range w.link.log {
			if resp := w.replay(i); resp == nil || resp.Code == coap.Content {
				t.Errorf("%s: message %d answered with %v", when, i, resp)
			}
		}
		if w.h.served() != served {
			t.Fatalf("%s: a replay was acted on", when)
		}
	}
	replayAll("at once")
	called(t, c, "c")
	served++
	for range 12 { // push the session out
		called(t, w.client(), "other")
		served++
	}
	replayAll("after its session was evicted")
	w.boot()
	replayAll("after a reboot")
	called(t, c, "d")
	served++
	replayAll("in a new session")
}

// Request #1, however often replayed, disturbs neither a live session nor a run
// that is under way, and costs the server no memory.
func TestPSKFlood(t *testing.T) {
	w := newPSKWorld(t)
	c := w.client()
	called(t, c, "a")
	w.link.before = func(n int, m *coap.Message) *coap.Message {
		for range 100 {
			w.replay(0)
		}
		return m
	}
	called(t, c, "b")
	called(t, w.client(), "c")
	if w.link.requests() != 5 || w.server.session != 2 {
		t.Errorf("%d requests, %d sessions", w.link.requests(), w.server.session)
	}
}

// A request #2 that comes too late is a request #1.
func TestPSKExpiry(t *testing.T) {
	w := newPSKWorld(t)
	w.link.before = func(n int, m *coap.Message) *coap.Message {
		if n == 1 {
			w.now = w.now.Add(halfOpenLife)
		}
		return m
	}
	called(t, w.client(), "a")
	if w.link.requests() != 3 || w.h.served() != 1 {
		t.Errorf("%d requests", w.link.requests())
	}
	w.now = w.now.Add(-time.Hour) // a clock that is set back
	called(t, w.client(), "b")
}

func TestPSKEviction(t *testing.T) {
	w := newPSKWorld(t)
	first, second := w.client(), w.client()
	called(t, first, "a")
	called(t, second, "a")
	for range maxSessionsPerSecret - 1 {
		called(t, first, "a") // keeps it
		called(t, w.client(), "a")
	}
	if w.server.session != maxSessionsPerSecret {
		t.Errorf("%d sessions", w.server.session)
	}
	n := w.link.requests()
	called(t, first, "a")
	if w.link.requests() != n+1 {
		t.Error("a session in use was evicted")
	}
	called(t, second, "a")
	if w.link.requests() != n+3 {
		t.Error("the idle session was not evicted")
	}

	// In all: the idlest of any secret goes.
	for i := range maxSessions {
		psk := NewPSK([]byte{byte(i), byte(i >> 8)}, randomBytes(16), SaltOwner)
		w.server.Set(string(psk.KID), psk, nil)
		called(t, NewPSKClient(psk, w.link, peerAddr, rand.Reader), "x")
	}
	if w.server.session != maxSessions {
		t.Errorf("%d sessions", w.server.session)
	}
	n = w.link.requests()
	called(t, first, "a")
	if w.link.requests() != n+2 {
		t.Error("the oldest session was not evicted")
	}
	w.server.Remove("label")
	total := 0
	for _, e := range w.server.byName {
		total += len(e.sessions)
	}
	if total != w.server.session {
		t.Errorf("%d sessions counted, %d there", w.server.session, total)
	}
}

// Lost messages: the caller sees a timeout, the next call goes on.
func TestPSKLoss(t *testing.T) {
	for lost := range 3 {
		w := newPSKWorld(t)
		c := w.client()
		w.link.before = func(n int, m *coap.Message) *coap.Message {
			if n == lost {
				return nil
			}
			return m
		}
		for range 3 {
			if _, err := c.Call(t.Context(), get("/x")); err != nil && !errors.Is(err, coap.ErrTimeout) {
				t.Errorf("request %d lost: %v", lost, err)
			}
		}
		called(t, c, "x")
		w = newPSKWorld(t)
		c = w.client()
		w.link.after = func(n int, m *coap.Message) *coap.Message {
			if n == lost {
				return nil
			}
			return m
		}
		for range 3 {
			if _, err := c.Call(t.Context(), get("/x")); err != nil && !errors.Is(err, coap.ErrTimeout) {
				t.Errorf("response %d lost: %v", lost, err)
			}
		}
		called(t, c, "x")
	}
}

// Many calls at once, over a link that loses, and a server that reboots.
func TestPSKConcurrent(t *testing.T) {
	w := newPSKWorld(t)
	c := w.client()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() { called(t, c, "x") })
	}
	wg.Wait()
	if w.link.requests() != 17 || w.h.served() != 16 {
		t.Errorf("%d requests, %d acted on", w.link.requests(), w.h.served())
	}
	var mu sync.Mutex
	random := mathrand.New(mathrand.NewPCG(1, 2))
	w.link.before = func(_ int, m *coap.Message) *coap.Message {
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(4) == 0 {
			return nil
		}
		return m
	}
	clients := []*PSKClient{c, w.client()}
	for i := range 8 {
		wg.Go(func() {
			for range 30 {
				resp, err := clients[i%2].Call(t.Context(), get("/x"))
				if err == nil && resp.Code != coap.Content || err != nil && !errors.Is(err, coap.ErrTimeout) {
					t.Errorf("%v, %v", resp, err)
				}
			}
		})
	}
	wg.Wait()
	w.link.before = nil
	called(t, c, "x")
}
