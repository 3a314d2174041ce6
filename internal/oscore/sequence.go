package oscore

import (
	"fmt"
	"sync"
)

// maxSequence is one more than the largest Sender Sequence Number. RFC 8613,
// Section 7.2.1.
const maxSequence = 1 << 40

// stride is how many numbers are reserved at a time.
const stride = 128

// Reserver makes reservations of sequence numbers durable. After a restart a
// [Sequence] begins at the greatest mark that was reserved.
type Reserver interface {
	// Reserve returns when mark is durable.
	Reserve(mark uint64) error
	// Ahead starts to reserve mark, which Reserve will be asked for soon. It does
	// not block, and need not do anything.
	Ahead(mark uint64)
}

// Sequence hands out a sender's sequence numbers, each once, also across
// crashes: a number is only given when a greater mark is durable, and a new
// Sequence starts at that mark. RFC 8613, Appendix B.1.1, with the reservation
// before the use instead of a guessed distance. It is safe for concurrent use.
type Sequence struct {
	mu       sync.Mutex
	next     uint64
	mark     uint64 // numbers below it may be used
	ahead    bool   // Ahead was called for the next mark
	stopped  bool
	reserver Reserver
}

// NewSequence starts at next: 0 for a new Sender Context, else the stored mark.
// A nil r keeps reservations in memory only, for contexts that die with the
// process.
func NewSequence(next uint64, r Reserver) *Sequence {
	return &Sequence{next: next, mark: next, reserver: r}
}

// Next returns a number that no one had before. It blocks when a reservation
// must become durable first, and fails with [ErrSpent] after 2^40-1 or Stop.
func (s *Sequence) Next() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || s.next >= maxSequence {
		return 0, ErrSpent
	}
	if s.next >= s.mark {
		mark := min(s.next+stride, maxSequence)
		if s.reserver != nil {
			if err := s.reserver.Reserve(mark); err != nil {
				return 0, fmt.Errorf("reserving sequence numbers: %w", err)
			}
		}
		s.mark, s.ahead = mark, false
	}
	n := s.next
	s.next++
	if s.reserver != nil && !s.ahead && s.mark-s.next <= stride/2 && s.mark < maxSequence {
		s.ahead = true
		s.reserver.Ahead(min(s.mark+stride, maxSequence))
	}
	return n, nil
}

// Peek returns the number that Next would give.
func (s *Sequence) Peek() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

// Stop makes every later Next fail and returns the first number that was not
// given out, for handing the context over to someone else.
func (s *Sequence) Stop() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	return s.next
}
