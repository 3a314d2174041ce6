package gm

import (
	"context"
	"sync"
	"time"
)

// jobs says which groups have members that are to be told of something. What is to
// be told is in the store.
type jobs struct {
	wake  chan struct{}
	slots chan struct{} // one for each request under way

	mu      sync.Mutex
	due     map[string]bool
	running map[string]context.CancelFunc // notices under way, by key
	heard   map[heard]uint64              // one more than the version that a member was given when it asked
	last    time.Time                     // when the latest request began
}

func newJobs(posts int) *jobs {
	if posts <= 0 {
		posts = defaultPosts
	}
	return &jobs{
		wake: make(chan struct{}, 1), slots: make(chan struct{}, posts),
		due: map[string]bool{}, running: map[string]context.CancelFunc{}, heard: map[heard]uint64{},
	}
}

// add has a group's members told.
func (j *jobs) add(names ...string) {
	j.mu.Lock()
	for _, name := range names {
		j.due[name] = true
	}
	j.mu.Unlock()
	j.wakeUp()
}

func (j *jobs) wakeUp() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// take returns the groups that are due.
func (j *jobs) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	names := make([]string, 0, len(j.due))
	for name := range j.due {
		names = append(names, name)
	}
	clear(j.due)
	return names
}

// begin marks a notice as under way; ok is false when it is already.
func (j *jobs) begin(ctx context.Context, key string) (inner context.Context, done func(), ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.running[key] != nil {
		return nil, nil, false
	}
	inner, cancel := context.WithCancel(ctx)
	j.running[key] = cancel
	return inner, func() {
		cancel()
		j.mu.Lock()
		defer j.mu.Unlock()
		delete(j.running, key)
	}, true
}

// stop ends the attempt of a notice that was taken back.
func (j *jobs) stop(key string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if cancel := j.running[key]; cancel != nil {
		cancel()
	}
}

// each runs fn for all numbers below n, a bounded number at the same time, and
// paced so that many members do not get everything at once.
func (s *Server) each(ctx context.Context, n int, fn func(i int)) {
	var wg sync.WaitGroup
	own := make(chan struct{}, groupPosts)
	for i := range n {
		own <- struct{}{}
		if !s.slot(ctx) {
			break
		}
		wg.Go(func() {
			defer func() { <-s.jobs.slots; <-own }()
			fn(i)
		})
	}
	wg.Wait()
}

// slot waits until another request may begin.
func (s *Server) slot(ctx context.Context) bool {
	select {
	case s.jobs.slots <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	s.jobs.mu.Lock()
	at := s.jobs.last.Add(s.pace())
	if now := time.Now(); at.Before(now) {
		at = now
	}
	s.jobs.last = at
	s.jobs.mu.Unlock()
	if rest(ctx, time.Until(at)) {
		return true
	}
	<-s.jobs.slots
	return false
}

func (s *Server) pace() time.Duration {
	if s.cfg.Pace > 0 {
		return s.cfg.Pace
	}
	return defaultPace
}

// rest waits; false when ctx ends first.
func rest(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
