package oscore

import (
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"lamplighter/internal/coap"
)

// Of many copies of a request that arrive at the same time one is accepted, and
// responses that are sealed at the same time have numbers of their own. RFC
// 8613, Sections 7.2 and 7.4.
func TestServerIsAtomic(t *testing.T) {
	s := NewServer(rand.Reader)
	client, server := newPair(t)
	s.Add("a", nil, server)
	var accepted, replayed atomic.Int32
	var mu sync.Mutex
	numbers := map[string]bool{}
	var all sync.WaitGroup
	for range 8 {
		outer, _, err := client.ProtectRequest(get("/a"))
		if err != nil {
			t.Fatal(err)
		}
		for range 8 {
			all.Go(func() {
				opened, _, err := s.Open(t.Context(), &coap.Request{Message: outer})
				if errors.Is(err, ErrReplay) {
					replayed.Add(1)
				}
				if err != nil {
					return
				}
				accepted.Add(1)
				for range 4 {
					all.Go(func() {
						sealed, err := opened.Seal(content("b"))
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						defer mu.Unlock()
						if p := string(piv(t, sealed)); p != "" {
							if numbers[p] {
								t.Errorf("Partial IV %x twice", p)
							}
							numbers[p] = true
						}
					})
				}
			})
		}
	}
	all.Wait()
	if accepted.Load() != 8 || replayed.Load() != 56 || len(numbers) != 8*3 {
		t.Errorf("%d accepted, %d replayed, %d numbers", accepted.Load(), replayed.Load(), len(numbers))
	}
}
