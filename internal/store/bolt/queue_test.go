//go:build !js

package bolt

import (
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/store"
)

// TestSharedCommit holds that updates which wait together share a commit.
func TestSharedCommit(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "s.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := s.(*boltStore)
	const n = 40
	b.queue.mu.Lock()
	b.queue.busy = true // everybody queues behind somebody who commits
	b.queue.mu.Unlock()
	before := pagesWritten(b)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put(string(rune('a'+i)), []byte("v")) }); err != nil {
				t.Error(err)
			}
		})
	}
	for queued := 0; queued < n; {
		b.queue.mu.Lock()
		queued = len(b.queue.waiting)
		b.queue.mu.Unlock()
	}
	b.queue.waiting[0].wake <- true
	wg.Wait()
	if b.queue.expected != n {
		t.Errorf("%d are expected after %d came", b.queue.expected, n)
	}
	// One commit writes a handful of pages; forty of them write over a hundred.
	if pages := pagesWritten(b) - before; pages > 10 {
		t.Errorf("%d pages written for %d updates that waited together", pages, n)
	}
}

func pagesWritten(b *boltStore) int64 {
	stats := b.db.Stats()
	return stats.TxStats.GetWrite()
}

// TestGoexit holds that an update which ends its goroutine, as a failing test
// does, leaves the store usable.
func TestGoexit(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "s.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		s.Update(t.Context(), func(tx store.Tx) error {
			tx.Put("a", []byte("v"))
			runtime.Goexit()
			return nil
		})
	})
	wg.Wait()
	var a []byte
	if err := s.Update(t.Context(), func(tx store.Tx) (err error) { a, err = tx.Get("a"); return err }); err != nil || a != nil {
		t.Errorf("got %q, %v", a, err)
	}
}

// TestExpected holds that who came with others is waited for once they are gone,
// and who comes alone waits for nobody.
func TestExpected(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "s.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	q := &s.(*boltStore).queue
	put := func() {
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put("a", nil) }); err != nil {
			t.Error(err)
		}
	}
	q.expected, q.took = 3, time.Hour // three are at it: two that are gone
	put()
	if q.expected != 1 {
		t.Errorf("%d are expected after one came alone", q.expected)
	}
	// The last one that is expected ends the waiting.
	gathered := make(chan struct{})
	q.gathered, q.expected, q.busy = gathered, 2, true
	var wg sync.WaitGroup
	wg.Go(put)
	wg.Go(put)
	<-gathered
	if q.mu.Lock(); len(q.waiting) != 2 || q.gathered != nil {
		t.Errorf("%d wait", len(q.waiting))
	}
	q.waiting[0].wake <- true
	q.mu.Unlock()
	wg.Wait()
	if q.expected != 2 {
		t.Errorf("%d are expected after two came", q.expected)
	}
}
