package commission

import (
	"context"
	"sync"
	"time"
)

// maxBackoff bounds the doubling of [Tuning.Backoff].
const maxBackoff = 30 * time.Second

// run begins or goes on with a job's work.
func (s *site) run(j *job) {
	ctx, stop := context.WithCancel(s.ctx)
	s.mu.Lock()
	j.stop, j.done = stop, make(chan struct{})
	s.mu.Unlock()
	s.touchJob(j)
	begun := s.begin(func() {
		defer stop()
		s.workOn(ctx, j)
		s.conclude(ctx, j)
	})
	if !begun { // it goes on when the site is loaded again
		stop()
		s.conclude(ctx, j)
	}
}

// workOn works on all items that are to do, a few at a time.
func (s *site) workOn(ctx context.Context, j *job) {
	switch j.rec.Kind {
	case jobFirmware:
		s.workOnRollout(ctx, j)
		return
	case jobSettings:
		s.workOnChange(ctx, j)
		return
	case jobTestFunction, jobTestDuration:
		s.workOnTests(ctx, j)
		return
	}
	if err := s.prepare(ctx, j); err != nil {
		s.failAll(ctx, j, asProblem(err))
		return
	}
	slots := make(chan struct{}, s.e.cfg.Tuning.Concurrency)
	var all sync.WaitGroup
	for _, it := range s.todo(j) {
		all.Go(func() { s.workOnItem(ctx, j, it, slots) })
	}
	all.Wait()
	for _, g := range s.affected(j) {
		if ctx.Err() != nil {
			return
		}
		if _, err := s.updateKeys(ctx, g); err != nil {
			s.e.logProblem("", "getting the new keys of "+g.name, err)
		}
	}
}

// todo lists the items that have not ended.
func (s *site) todo(j *job) []*item {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*item
	for _, it := range j.items {
		if it.rec.State == itemTodo {
			list = append(list, it)
		}
	}
	return list
}

// prepare does once what all items need: the browser's own membership comes
// before the devices', and one search finds all addresses that are missing.
func (s *site) prepare(ctx context.Context, j *job) error {
	return s.insist(ctx, j, func() error {
		if j.rec.Kind == jobJoin || j.rec.Kind == jobRenew {
			g, err := s.knownGroup(j.rec.Group)
			if err != nil {
				return err
			}
			if err := s.ensureMember(ctx, g); err != nil {
				return err
			}
		}
		if s.lost(j) > 1 {
			all, err := s.search(ctx, "", nil)
			if err != nil {
				return err
			}
			return s.noteFound(ctx, all)
		}
		return nil
	})
}

// lost counts devices to work on whose address is not known.
func (s *site) lost(j *job) (n int) {
	for _, it := range s.todo(j) {
		if !s.of(it.dev).address().IsValid() {
			n++
		}
	}
	return n
}

// insist repeats what all items share with back-off.
func (s *site) insist(ctx context.Context, j *job, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		if err == nil || ctx.Err() != nil {
			return err
		}
		p := asProblem(err)
		if p.ID == errLink.ID && s.awaitLink(ctx, j) {
			try--
			continue
		}
		if !p.Retry || try >= s.e.cfg.Tuning.Tries {
			return p
		}
		s.pause(j, true)
		slept := sleep(ctx, s.backoff(try))
		s.pause(j, false)
		if !slept {
			return ctx.Err()
		}
	}
}

func (s *site) pause(j *job, paused bool) {
	s.mu.Lock()
	j.paused = paused
	s.mu.Unlock()
	s.touchJob(j)
}

// awaitLink waits until the link is up again; false when it was not down.
func (s *site) awaitLink(ctx context.Context, j *job) bool {
	up, back := s.e.linkUp()
	if up {
		return false
	}
	s.touchJob(j)
	select {
	case <-back:
	case <-ctx.Done():
	}
	return true
}

func (s *site) backoff(try int) time.Duration {
	d := s.e.cfg.Tuning.Backoff << (try - 1)
	if d <= 0 || d > maxBackoff {
		return maxBackoff
	}
	return d
}

// workOnItem tries until the device's part is done, or failed for good.
func (s *site) workOnItem(ctx context.Context, j *job, it *item, slots chan struct{}) {
	for try := 1; ; {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		began := s.e.cfg.Now()
		err := s.attempt(ctx, j, it)
		<-slots
		if err == nil || ctx.Err() != nil {
			return
		}
		p := asProblem(err)
		if p.ID == errLink.ID && s.awaitLink(ctx, j) {
			continue
		}
		if !p.Retry || try >= s.tries(p, it, began) {
			s.giveUp(ctx, j, it, p)
			return
		}
		if !sleep(ctx, s.backoff(try)) {
			return
		}
		try++
	}
}

// tries is how often a problem is worth a try. A device that was not heard of at
// all costs the full wait each time.
func (s *site) tries(p *Error, it *item, began time.Time) int {
	if p.ID == errSilent.ID && !s.e.wire.heardSince(s.of(it.dev).address(), began) {
		return min(2, s.e.cfg.Tuning.Tries)
	}
	return s.e.cfg.Tuning.Tries
}

// attempt is one try on one device.
func (s *site) attempt(ctx context.Context, j *job, it *item) error {
	if !it.dev.take(ctx) {
		return ctx.Err()
	}
	defer it.dev.put()
	t := &task{s: s, j: j, it: it, d: it.dev}
	s.working(j, it, true)
	defer s.working(j, it, false)
	err := t.do(ctx)
	if p := asProblem(err); err != nil {
		s.e.cfg.Logger.Debug("a try failed", "job", j.rec.ID, "device", it.dev.id, "problem", p.ID, "err", err)
		it.register = it.register || p.ID == errUnknown.ID
		it.relocate = it.relocate || p.ID == errSilent.ID || p.ID == errOther.ID
		return err
	}
	s.followMember(ctx, it.dev)
	return nil
}

func (s *site) working(j *job, it *item, working bool) {
	s.mu.Lock()
	it.dev.working = working
	switch {
	case working:
		it.rec.State = itemWorking
		it.rec.Tries++
	case it.rec.State == itemWorking:
		it.rec.State = itemTodo
	}
	s.mu.Unlock()
	s.touchDevice(it.dev)
	s.touchJob(j)
}

// giveUp ends an item with a problem.
func (s *site) giveUp(ctx context.Context, j *job, it *item, p *Error) {
	t := &task{s: s, j: j, it: it, d: it.dev}
	if err := t.fail(ctx, p); err != nil {
		s.mu.Lock()
		it.rec.State, it.rec.Problem = itemFailed, &asProblem(err).Problem
		s.mu.Unlock()
	}
	s.e.warn(it.dev.id, p.Text)
}

func (s *site) failAll(ctx context.Context, j *job, p *Error) {
	if ctx.Err() != nil {
		return
	}
	for _, it := range s.todo(j) {
		s.giveUp(ctx, j, it, p)
	}
}

// conclude ends a job. One that was only interrupted, because the engine stops,
// stays open and goes on at the next start.
func (s *site) conclude(ctx context.Context, j *job) {
	s.mu.Lock()
	interrupted := s.isCut(ctx, j)
	rec := j.rec
	rec.State, rec.Ended = j.outcome(), s.e.now()
	s.mu.Unlock()
	if !interrupted {
		if err := s.commit(context.WithoutCancel(s.ctx), write{preJob + rec.ID, rec}); err != nil {
			s.e.logProblem("", "saving a job's end", err) // a reload finds all its items done
		}
	}
	s.mu.Lock()
	if !interrupted {
		j.rec = rec
	}
	j.stop = nil
	done := j.done
	s.mu.Unlock()
	if !interrupted {
		s.e.info("", s.summary(j))
	}
	s.touchJob(j)
	close(done)
}
