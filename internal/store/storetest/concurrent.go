package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"

	"lamplighter/internal/store"
)

// increment adds one to a counter.
func increment(tx store.Tx, key string) error {
	v, err := tx.Get(key)
	if err != nil {
		return err
	}
	var n uint64
	if v != nil {
		n = binary.BigEndian.Uint64(v)
	}
	return tx.Put(key, binary.BigEndian.AppendUint64(nil, n+1))
}

const (
	workers = 16
	rounds  = 8
)

func testConcurrentIncrements(t *testing.T, s store.Store) {
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range rounds {
				err := s.Update(t.Context(), func(tx store.Tx) error {
					return errors.Join(increment(tx, "all"), increment(tx, fmt.Sprintf("worker/%d", w)))
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := binary.BigEndian.Uint64(get(t, s, "all")); n != workers*rounds {
		t.Errorf("%d increments counted, want %d", n, workers*rounds)
	}
	if n := len(dump(t, s, "worker/")); n != workers {
		t.Errorf("%d workers counted, want %d", n, workers)
	}
}

// testFailuresAmongOthers has updates fail and panic beside others: each gets
// its own outcome and nobody else's.
func testFailuresAmongOthers(t *testing.T, s store.Store) {
	var wg sync.WaitGroup
	for w := range workers {
		boom := fmt.Errorf("boom %d", w)
		wg.Go(func() {
			for r := range rounds {
				var err error
				var panicked any
				kind := (w + r) % 3
				func() {
					defer func() { panicked = recover() }()
					err = s.Update(t.Context(), func(tx store.Tx) error {
						if err := increment(tx, "all"); err != nil {
							return err
						}
						switch kind {
						case 1:
							return boom
						case 2:
							panic(boom)
						}
						return increment(tx, "good")
					})
				}()
				if kind == 0 && (err != nil || panicked != nil) || kind == 1 && err != boom || kind == 2 && panicked != boom {
					t.Errorf("kind %d: error %v, panic %v", kind, err, panicked)
				}
			}
		})
	}
	wg.Wait()
	if all, good := get(t, s, "all"), get(t, s, "good"); !bytes.Equal(all, good) || all == nil {
		t.Errorf("all %x, good %x: a failed update left a write", all, good)
	}
}

// testSnapshot moves money between two accounts while views add them up.
func testSnapshot(t *testing.T, s store.Store) {
	put(t, s, "a", "50", "b", "50")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		defer cancel()
		for i := range 50 {
			err := s.Update(t.Context(), func(tx store.Tx) error {
				return errors.Join(tx.Put("a", fmt.Appendf(nil, "%d", 50-i)), tx.Put("b", fmt.Appendf(nil, "%d", 50+i)))
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				var sum, a, b int
				err := s.View(t.Context(), func(tx store.Tx) error {
					va, _ := tx.Get("a")
					vb, _ := tx.Get("b")
					fmt.Sscan(string(va), &a)
					fmt.Sscan(string(vb), &b)
					sum = a + b
					return nil
				})
				if err != nil || sum != 100 {
					t.Errorf("a view saw %d + %d (%v)", a, b, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
