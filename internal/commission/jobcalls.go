package commission

import (
	"context"
)

// Claim claims devices for this site.
func (e *Engine) Claim(ctx context.Context, devices []string) (Job, error) {
	s, err := e.site()
	if err != nil {
		return Job{}, err
	}
	return s.start(ctx, jobClaim, "", devices)
}

// Join joins devices to a group; it claims what is not claimed, and the browser
// itself joins first.
func (e *Engine) Join(ctx context.Context, group string, devices []string) (Job, error) {
	return e.startIn(ctx, jobJoin, group, devices)
}

// Leave removes devices from a group.
func (e *Engine) Leave(ctx context.Context, group string, devices []string) (Job, error) {
	return e.startIn(ctx, jobLeave, group, devices)
}

func (e *Engine) startIn(ctx context.Context, kind, group string, devices []string) (Job, error) {
	s, err := e.site()
	if err != nil {
		return Job{}, err
	}
	if _, err := s.knownGroup(group); err != nil {
		// The rights may be newer than the list.
		if s.refreshGroups(ctx) != nil {
			return Job{}, err
		}
		if _, err := s.knownGroup(group); err != nil {
			return Job{}, err
		}
	}
	return s.start(ctx, kind, group, devices)
}

// Release gives devices up.
func (e *Engine) Release(ctx context.Context, devices []string) (Job, error) {
	s, err := e.site()
	if err != nil {
		return Job{}, err
	}
	return s.start(ctx, jobRelease, "", devices)
}

// RetryJob tries again what failed or was left when the job was canceled.
func (e *Engine) RetryJob(ctx context.Context, id string) (Job, error) {
	s, j, err := e.job(id)
	if err != nil {
		return Job{}, err
	}
	s.mu.Lock()
	if !j.ended() {
		s.mu.Unlock()
		return s.jobView(j), nil
	}
	more, err := s.againRollout(j)
	var old *cfgChange
	if err == nil && more == nil {
		more, old, err = s.againChange(j)
	}
	if err != nil {
		s.mu.Unlock()
		return Job{}, err
	}
	writes := more
	for _, it := range j.items {
		if it.rec.State != itemDone {
			it.rec = itemRecord{State: itemTodo}
			writes = append(writes, write{j.itemKey(it.dev.id), nil})
		}
	}
	ended := j.rec
	rec := ended
	rec.State, rec.Ended = JobRunning, 0
	j.rec, j.canceled = rec, false
	s.mu.Unlock()
	if err := s.commit(ctx, append(writes, write{preJob + id, rec})...); err != nil {
		s.mu.Lock()
		j.rec = ended // nobody works on it: it may be tried again
		if old != nil {
			s.changes[id] = old
		}
		s.mu.Unlock()
		s.touchJob(j)
		return Job{}, asProblem(err)
	}
	s.run(j)
	return s.jobView(j), nil
}

// CancelJob stops a job; what is done stays done.
func (e *Engine) CancelJob(ctx context.Context, id string) (Job, error) {
	s, j, err := e.job(id)
	if err != nil {
		return Job{}, err
	}
	var writes []write
	s.mu.Lock()
	var c *cfgChange
	if j.stop != nil {
		writes, c = s.cancelRollout(j), s.changes[id]
		j.canceled = true
		j.stop()
	}
	done := j.done
	s.mu.Unlock()
	if c != nil {
		if err := s.wantBack(ctx, j, c); err != nil {
			s.e.logProblem("", "saving that a job was canceled", err)
		}
	}
	if len(writes) > 0 {
		if err := s.commit(ctx, writes...); err != nil { // it ends all the same, unless the engine does before
			s.e.logProblem("", "saving that a job was canceled", err)
		}
	}
	select {
	case <-done:
	case <-ctx.Done():
		return Job{}, errCanceled
	}
	e.pub.flush()
	return s.jobView(j), nil
}

// WaitJob blocks until a job has ended.
func (e *Engine) WaitJob(ctx context.Context, id string) (Job, error) {
	s, j, err := e.job(id)
	if err != nil {
		return Job{}, err
	}
	s.mu.Lock()
	done := j.done
	s.mu.Unlock()
	select {
	case <-done:
	case <-ctx.Done():
		return s.jobView(j), errCanceled
	}
	e.pub.flush()
	return s.jobView(j), nil
}

// job finds a job of the current site.
func (e *Engine) job(id string) (*site, *job, error) {
	s, err := e.site()
	if err != nil {
		return nil, nil, err
	}
	j, err := s.job(id)
	return s, j, err
}
