package commission

import (
	"context"
	"errors"
	"time"

	"lamplighter/internal/settings/change"
)

const (
	revertSlack = 5 * time.Second  // after which devices have surely reverted
	revertTime  = 30 * time.Second // how long devices are told that a change was canceled
	changeTries = 5                // of a step that failed for a reason that passes
)

// startChange makes a job of kind "settings", durably, and begins the work.
func (s *site) startChange(ctx context.Context, g *group, want SettingsChange) (Job, error) {
	devices, err := s.meant(g, &want)
	if err != nil {
		return Job{}, err
	}
	if len(devices) == 0 {
		return Job{}, errNobody
	}
	j, err := s.newJob(jobSettings, g.name, devices)
	if err != nil {
		return Job{}, err
	}
	id := j.rec.ID
	c := newChange(want)
	s.mu.Lock()
	if s.changing(g.name, j.rec.Devices, id) {
		s.mu.Unlock()
		return Job{}, errCfgOne
	}
	s.jobs[id], s.changes[id] = j, c
	s.mu.Unlock()
	if err := s.commit(ctx, append(s.oldest(), write{preJob + id, j.rec}, write{preChange + id, c.rec})...); err != nil {
		s.mu.Lock()
		delete(s.jobs, id)
		delete(s.changes, id)
		s.mu.Unlock()
		return Job{}, asProblem(err)
	}
	s.run(j)
	return s.jobView(j), nil
}

// workOnChange is [site.workOn] for a job of kind "settings".
func (s *site) workOnChange(ctx context.Context, j *job) {
	s.mu.Lock()
	c := s.changes[j.rec.ID]
	lost := c != nil && c.lost()
	s.mu.Unlock()
	if c == nil {
		s.failAll(ctx, j, errCfgBroken)
		return
	}
	if lost {
		s.settleChange(ctx, j, c, errCfgBroken)
		return
	}
	run, first, err := s.runOf(ctx, j, c)
	if err == nil {
		err = s.carry(ctx, j, c, run, first)
	}
	if run != nil && s.wasCanceled(j) {
		err = s.withdraw(run)
	}
	s.settleChange(ctx, j, c, err)
}

// runOf makes the run of a job, from a plan or from what was saved, and what it does
// first.
func (s *site) runOf(ctx context.Context, j *job, c *cfgChange) (run *change.Run, first func(context.Context) error, err error) {
	g, err := s.knownGroup(j.rec.Group)
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	st, want := c.state, c.want
	s.mu.Unlock()
	way := s.wayTo(g)
	follow := func(p *change.Params) {
		p.Save = func(st change.State) error { return s.saveChange(j, c, st) }
		p.Progress = func(change.View) {
			s.touchJob(j)
			s.touchChange(j.rec.ID)
		}
	}
	if st != nil && st.Going {
		p := s.cfgParams(way)
		p.Ref, p.Change, p.Options = st.Ref, st.Change, st.Options
		if k := s.schema(refDigest(&st.Ref)); k != nil {
			p.Schema = k.what
		}
		follow(&p)
		run = change.Resume(p, *st)
		return run, run.Continue, nil
	}
	err = s.insist(ctx, j, func() (err error) {
		if err = way.ready(ctx); err == nil {
			run, _, err = s.planOf(ctx, way, &want, follow)
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return run, run.Apply, nil
}

// carry carries a change out until it is over. Nothing but a person confirms.
func (s *site) carry(ctx context.Context, j *job, c *cfgChange, run *change.Run, step func(context.Context) error) error {
	for tries := 0; ; {
		if s.wantsBack(c) {
			step = run.Revert
		}
		err := s.operate(ctx, c, step)
		var why *change.Reason
		switch phase := run.State().Phase; {
		case ctx.Err() != nil:
			return ctx.Err()
		case phase.Over():
			return nil
		case s.wantsBack(c) && tries < changeTries:
			tries++
			continue
		case err != nil && !errors.As(err, &why):
			p := asProblem(err)
			if tries++; !p.Retry || tries >= changeTries {
				return err
			}
			sleep(ctx, s.backoff(tries))
			step = run.Continue
		case phase == change.Trial:
			if step = s.await(ctx, j, run, c); step == nil {
				return ctx.Err()
			}
			tries = 0
		case tries < changeTries:
			tries++
			step = run.Continue
		default:
			return err
		}
	}
}

func (s *site) wantsBack(c *cfgChange) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.rec.Revert
}

// operate does a step that a person who wants the change reverted can end.
func (s *site) operate(ctx context.Context, c *cfgChange, step func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s.mu.Lock()
	if !c.rec.Revert {
		c.stop = stop
	}
	s.mu.Unlock()
	err := step(ctx)
	s.mu.Lock()
	c.stop = nil
	s.mu.Unlock()
	return err
}

// await waits for a person, or until the devices have reverted by themselves, and
// returns what to do next; nil when ctx ended.
func (s *site) await(ctx context.Context, j *job, run *change.Run, c *cfgChange) func(context.Context) error {
	s.pause(j, true)
	defer s.pause(j, false)
	again := time.NewTicker(s.e.cfg.Tuning.Backoff)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
			return run.Revert
		case done := <-c.asks:
			return func(ctx context.Context) error {
				err := run.Confirm(ctx)
				done <- err
				return err
			}
		case <-again.C:
			if s.e.cfg.Now().After(run.State().RevertAt.Add(revertSlack)) {
				return run.Continue
			}
		}
	}
}

// withdraw takes a change back whose job was canceled.
func (s *site) withdraw(run *change.Run) error {
	ctx, cancel := context.WithTimeout(s.ctx, revertTime)
	defer cancel()
	if err := run.Revert(ctx); err != nil {
		s.e.warn("", "not all devices could be told that the change of settings was canceled; they go back by themselves")
	}
	return nil
}

// settleChange writes down how a change stands when its work has ended: for good, or
// because the engine stops.
func (s *site) settleChange(ctx context.Context, j *job, c *cfgChange, err error) {
	if s.ctx.Err() != nil || ctx.Err() != nil && !s.wasCanceled(j) {
		return // it goes on when the site is loaded again
	}
	s.settingsLock.Lock()
	s.mu.Lock()
	if c.rec.Failed = nil; err != nil {
		c.rec.Failed = &cfgError(err).Problem
	}
	j.canceled = j.canceled || c.rec.Revert
	why := c.rec.Failed
	if why == nil && c.state != nil {
		why = cfgReason(c.state.Reason)
	}
	c.state = nil // as many as are kept it stays encoded
	writes := []write{{preChange + j.rec.ID, c.rec}}
	for _, it := range j.items {
		switch {
		case it.rec.State == itemDone:
		case j.canceled:
			it.rec.State, it.rec.Problem = itemTodo, nil
		case it.rec.State != itemFailed:
			it.rec.State = itemFailed
			if it.rec.Problem == nil {
				it.rec.Problem = why
			}
		}
		writes = append(writes, write{j.itemKey(it.dev.id), it.rec})
	}
	s.mu.Unlock()
	if err := s.commit(context.WithoutCancel(s.ctx), writes...); err != nil {
		s.e.logProblem("", "saving how the change of "+j.rec.Group+" stands", err)
	}
	s.settingsLock.Unlock()
	s.touchChangeNow(j.rec.ID)
}
