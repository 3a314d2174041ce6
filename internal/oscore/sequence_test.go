package oscore

import (
	"errors"
	"sync"
	"testing"
)

// marks is a Reserver whose durable mark outlives a Sequence.
type marks struct {
	mu      sync.Mutex
	durable uint64
	asked   uint64
	writes  int
	err     error
}

func (m *marks) Reserve(mark uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	if m.err != nil {
		return m.err
	}
	m.durable = max(m.durable, mark)
	return nil
}

func (m *marks) Ahead(mark uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = mark
}

// Whenever the process dies, no number comes twice.
func TestSequenceAcrossCrashes(t *testing.T) {
	m := &marks{}
	seen := map[uint64]bool{}
	for life := range 50 {
		s := NewSequence(m.durable, m)
		for range life * 7 {
			n, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			if seen[n] {
				t.Fatalf("life %d: %d again", life, n)
			}
			if n >= m.durable {
				t.Fatalf("life %d: %d is not reserved", life, n)
			}
			seen[n] = true
		}
	}
}

func TestSequenceStrides(t *testing.T) {
	m := &marks{}
	s := NewSequence(0, m)
	for i := range uint64(1000) {
		n, err := s.Next()
		if err != nil || n != i {
			t.Fatalf("%d: %d, %v", i, n, err)
		}
		if wantAhead := (i+1+stride/2)/stride*stride + stride; i%stride >= stride/2 && m.asked != wantAhead {
			t.Fatalf("after %d: asked ahead for %d, want %d", i, m.asked, wantAhead)
		}
	}
	if m.writes != 8 {
		t.Errorf("%d reservations for 1000 numbers", m.writes)
	}
}

func TestSequenceFails(t *testing.T) {
	broken := errors.New("disk full")
	m := &marks{err: broken}
	s := NewSequence(7, m)
	if _, err := s.Next(); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	m.err = nil
	if n, err := s.Next(); err != nil || n != 7 {
		t.Fatalf("after the repair: %d, %v", n, err)
	}
}

func TestSequenceEnds(t *testing.T) {
	m := &marks{}
	s := NewSequence(maxSequence-2, m)
	for _, want := range []uint64{maxSequence - 2, maxSequence - 1} {
		if n, err := s.Next(); err != nil || n != want {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if _, err := s.Next(); !errors.Is(err, ErrSpent) {
		t.Fatalf("got %v", err)
	}
	if m.durable != maxSequence {
		t.Errorf("mark %d", m.durable)
	}
	if _, err := NewSequence(m.durable, m).Next(); !errors.Is(err, ErrSpent) {
		t.Errorf("after a restart: %v", err)
	}
}

func TestSequenceStop(t *testing.T) {
	s := NewSequence(3, nil)
	if n, err := s.Next(); err != nil || n != 3 {
		t.Fatal(n, err)
	}
	if s.Peek() != 4 || s.Stop() != 4 {
		t.Errorf("next is %d", s.Peek())
	}
	if _, err := s.Next(); !errors.Is(err, ErrSpent) {
		t.Errorf("got %v", err)
	}
}

func TestSequenceConcurrent(t *testing.T) {
	s := NewSequence(0, &marks{})
	var wg sync.WaitGroup
	var seen sync.Map
	for range 8 {
		wg.Go(func() {
			for range 500 {
				n, err := s.Next()
				if _, again := seen.LoadOrStore(n, true); again || err != nil {
					t.Errorf("%d twice, %v", n, err)
				}
			}
		})
	}
	wg.Wait()
}
