package gm

import (
	"context"
	"sync"
	"time"

	"lamplighter/internal/store"
)

const (
	defaultPosts = 256                  // requests to members at the same time
	groupPosts   = 64                   // of these, for one group
	defaultPace  = 4 * time.Millisecond // between the beginnings of two of them
	maxPasses    = 8                    // groups that are worked on at the same time
	postTimeout  = 50 * time.Second     // for one request: it is repeated for 45 s. RFC 7252, Section 4.8.2
	roundTime    = evictAhead / 2       // between two looks at what expires
	refreshTime  = 30 * time.Second     // between two looks at the age of keys
	maxTries     = 5                    // of telling one member
)

// backoff is how long a member that did not answer is left alone.
func backoff(tries int) time.Duration { return 10 * time.Second << (2 * min(tries-1, 4)) }

// maxWait is the longest that anybody is left alone.
const maxWait = 10 * time.Second << 8

// isLater says whether a time, in milliseconds since 1970, is still to come. One that
// is farther away than any ever is was set by a clock that has been set back since.
func isLater(at int64, now time.Time) bool {
	wait := at - now.UnixMilli()
	return wait > 0 && wait <= maxWait.Milliseconds()
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Run does what nobody asks for: it tells members of new keys and of evictions,
// evicts those whose authorization ends, and changes keys that are old. It goes on
// where the last Run ended, however that was, and returns when ctx ends.
func (s *Server) Run(ctx context.Context) error {
	err := s.cfg.Store.View(ctx, func(tx store.Tx) error {
		names, err := openJobs(tx)
		s.jobs.add(append(names, forNotices)...)
		return err
	})
	if err != nil {
		return err
	}
	w := workers{s: s, ctx: ctx, slots: make(chan struct{}, maxPasses), wake: map[string]chan struct{}{}}
	defer w.busy.Wait()
	clock := time.NewTicker(roundTime)
	defer clock.Stop()
	s.round(ctx)
	ages := time.NewTicker(refreshTime)
	defer ages.Stop()
	for {
		for _, name := range s.jobs.take() {
			w.start(name)
		}
		select {
		case <-s.jobs.wake:
		case <-clock.C:
			s.regularly(ctx, "ending authorizations", s.expire)
			s.regularly(ctx, "noting who has asked", s.noteHeard)
		case <-ages.C:
			s.regularly(ctx, "changing old keys", s.refresh)
		case <-ctx.Done():
			return nil
		}
	}
}

// workers are the goroutines of one Run: one for each group that has members to be
// told, as long as it has.
type workers struct {
	s     *Server
	ctx   context.Context
	slots chan struct{}
	busy  sync.WaitGroup

	mu   sync.Mutex
	wake map[string]chan struct{} // by group
}

// start has a group worked on now.
func (w *workers) start(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.wake[name]; c != nil {
		select {
		case c <- struct{}{}:
		default:
		}
		return
	}
	c := make(chan struct{}, 1)
	w.wake[name] = c
	w.busy.Go(func() { w.work(name, c) })
}

func (w *workers) work(name string, wake chan struct{}) {
	for {
		w.slots <- struct{}{}
		next, err := w.s.advance(w.ctx, name)
		<-w.slots
		if err != nil && w.ctx.Err() == nil {
			w.s.log.Error("cannot tell members", "group", name, "err", err)
			next = w.s.cfg.Now().Add(time.Second)
		}
		if next.IsZero() && w.leave(name, wake) || w.ctx.Err() != nil {
			return
		}
		w.idle(wake, next)
	}
}

// leave ends a worker that has nothing to do.
func (w *workers) leave(name string, wake chan struct{}) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(wake) > 0 {
		return false
	}
	delete(w.wake, name)
	return true
}

func (w *workers) idle(wake chan struct{}, next time.Time) {
	t := time.NewTimer(min(max(0, next.Sub(w.s.cfg.Now())), maxWait))
	defer t.Stop()
	select {
	case <-wake:
	case <-t.C:
	case <-w.ctx.Done():
	}
}

// forNotices stands among the groups for the notices of all of them.
const forNotices = ""

// advance does what is due for a group, or what notices are due, and says when it
// is to be called again: never when that is zero.
func (s *Server) advance(ctx context.Context, name string) (time.Time, error) {
	if name == forNotices {
		return s.notify(ctx)
	}
	return s.pass(ctx, name)
}

// round does what is due by the clock.
func (s *Server) round(ctx context.Context) {
	s.regularly(ctx, "ending authorizations", s.expire)
	s.regularly(ctx, "noting who has asked", s.noteHeard)
	s.regularly(ctx, "changing old keys", s.refresh)
}

func (s *Server) regularly(ctx context.Context, what string, do func(context.Context) error) {
	if err := do(ctx); err != nil && ctx.Err() == nil {
		s.log.Error("a regular task failed", "task", what, "err", err)
	}
}
