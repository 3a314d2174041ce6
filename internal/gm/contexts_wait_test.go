package gm

import (
	"context"
	"encoding/hex"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/sim"
	"lamplighter/internal/store"
)

// A transaction that asks which associations are in use waits for nobody: not for
// who looks for a context, who waits for who protects a request, who waits for the
// transaction to end, as Sender Sequence Numbers are to be reserved.
func TestTransactionsWaitForNoContext(t *testing.T) {
	w := newWorld(t)
	a, _ := w.transfer(w.seal(w.claims("dev", scope(testGroup, both))))
	id := hex.EncodeToString(a.SenderID)
	if known, err := w.s.ensure(t.Context(), id); err != nil || !known {
		t.Fatal(known, err)
	}
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := w.store.Update(t.Context(), func(store.Tx) error {
		go func() { // reserves numbers with the Server locked
			ex := sim.NewNetwork(1).From(gmAddr)
			_, _ = w.s.contexts.Caller(id, ex, lampAddr(1)).Call(ctx, coap.NewRequest(coap.POST, "/", nil))
		}()
		time.Sleep(20 * time.Millisecond)
		go w.s.contexts.known("ffffff") // waits for the Server with the list locked
		for deadline := time.Now().Add(30 * time.Second); w.s.contexts.mu.TryLock(); {
			w.s.contexts.mu.Unlock()
			if time.Sleep(time.Millisecond); time.Now().After(deadline) {
				t.Error("nobody waits")
				break
			}
		}
		go func() { w.s.contexts.proven(id); close(ended) }()
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			t.Error("a transaction waits for who waits for it")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
