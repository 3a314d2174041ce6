package cose

import (
	"bytes"
	"crypto/ed25519"
	"sync"
	"sync/atomic"
	"testing"
)

// What is shared has the outcome that each would have: bit by bit of key, message and
// signature it is another question.
func TestShareChecks(t *testing.T) {
	defer shared.Store(nil)
	ShareChecks(64)
	public, private := newKey(t)
	other, _ := newKey(t)
	message := []byte("to all")
	sig := ed25519.Sign(private, message)
	flip := func(b []byte) []byte { b = bytes.Clone(b); b[len(b)-1] ^= 1; return b }
	for range 3 {
		for _, c := range []struct {
			key          ed25519.PublicKey
			message, sig []byte
			want         bool
		}{
			{public, message, sig, true}, {other, message, sig, false}, {public, flip(message), sig, false},
			{public, message, flip(sig), false}, {public, message[:5], sig, false}, {public, message, sig[:63], false}, {public, nil, nil, false},
		} {
			if got := Ed25519PublicKey(c.key).Verify(c.message, c.sig); got != c.want {
				t.Errorf("%x, %q, %x: %v", c.key, c.message, c.sig, got)
			}
		}
	}
}

// Who asks at the same time waits for the first, and what is remembered is bounded.
func TestChecksAreMadeOnce(t *testing.T) {
	c := &checks{room: 4, now: map[[32]byte]*check{}}
	var made atomic.Int64
	ask := func(n byte) bool {
		return c.verify([]byte{1}, []byte{n}, []byte{2}, func() bool { made.Add(1); return n%2 == 0 })
	}
	var wg sync.WaitGroup
	for range 50 {
		for n := range byte(4) {
			wg.Go(func() {
				if ask(n) != (n%2 == 0) {
					t.Errorf("%d", n)
				}
			})
		}
	}
	wg.Wait()
	if made.Load() != 4 {
		t.Errorf("%d checks", made.Load())
	}
	for n := range 100 {
		ask(byte(n))
	}
	if len(c.now)+len(c.old) > 8 {
		t.Errorf("%d are remembered", len(c.now)+len(c.old))
	}
}
