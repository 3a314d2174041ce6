package oscore

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"

	"lamplighter/internal/coap"
)

// Both sides serve and ask over one association, at the same time.
func TestBothRoles(t *testing.T) {
	left, right := newPair(t, func(_, s *Params) { s.EchoFirst = true })
	a, b := NewServer(rand.Reader), NewServer(rand.Reader)
	a.Add("to b", nil, left)
	b.Add("to a", nil, right)
	ha, hb := &echoHandler{}, &echoHandler{}
	toB := a.Caller("to b", &link{t: t, handler: coap.Secure(hb, b)}, peerAddr)
	toA := b.Caller("to a", &link{t: t, handler: coap.Secure(ha, a)}, peerAddr)
	called(t, toB, "challenged first") // b restarted and asks for an Echo
	var both sync.WaitGroup
	for _, c := range []coap.Caller{toA, toB} {
		both.Go(func() {
			for i := range 50 {
				called(t, c, fmt.Sprint(i))
			}
		})
	}
	both.Wait()
	if len(ha.peers) != 50 || len(hb.peers) != 51 {
		t.Errorf("%d and %d requests were served", len(ha.peers), len(hb.peers))
	}
	a.Remove("to b")
	if _, err := toB.Call(t.Context(), get("/x")); !errors.Is(err, coap.ErrNoContext) {
		t.Errorf("a context that has gone: %v", err)
	}
	if _, err := toA.Call(t.Context(), get("/x")); err == nil {
		t.Error("an unprotected answer passed")
	}
}
