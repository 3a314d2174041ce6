package cose

import (
	"io"
	"sync"
)

// SharedRandom makes a source of randomness safe for concurrent use.
func SharedRandom(r io.Reader) io.Reader { return &sharedRandom{r: r} }

type sharedRandom struct {
	mu sync.Mutex
	r  io.Reader
}

func (s *sharedRandom) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return io.ReadFull(s.r, p)
}
