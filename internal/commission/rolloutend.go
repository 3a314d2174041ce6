package commission

import (
	"context"
	"errors"
	"time"

	"lamplighter/internal/rollout"
)

// abortTime is how long devices are told that a rollout was canceled.
const abortTime = 15 * time.Second

// abortRollout tells the devices that nothing comes of it.
func (s *site) abortRollout(j *job, sender *rollout.Sender) {
	ctx, cancel := context.WithTimeout(s.ctx, abortTime)
	defer cancel()
	if err := sender.Abort(ctx); err != nil && !errors.Is(err, rollout.ErrAborted) {
		s.e.warn("", "not all devices of "+j.rec.Group+" could be told that the update was canceled")
	}
}

// cancelRollout makes a cancellation survive, as devices are to hear of it: after a
// reload, when they could not before. site.mu is held.
func (s *site) cancelRollout(j *job) []write {
	r := s.rollouts[j.rec.ID]
	if r == nil || j.rec.Kind != jobFirmware {
		return nil
	}
	r.rec.Canceled = true
	return []write{{preRollout + j.rec.ID, r.rec}}
}

// isCut reports whether the work on a job was cut short by the engine's end, and goes
// on when the site is loaded again; site.mu is held.
func (s *site) isCut(ctx context.Context, j *job) bool {
	if j.canceled && (j.rec.Kind == jobFirmware || j.rec.Kind == jobSettings) {
		return s.ctx.Err() != nil
	}
	return ctx.Err() != nil && !j.canceled
}

// settle writes down how a rollout stands when its work has ended: for good, or
// because the engine stops.
func (s *site) settle(ctx context.Context, j *job, r *fwRollout, sender *rollout.Sender, err error) {
	if sender != nil {
		s.feed(j, r, sender.View())
	}
	s.mu.Lock()
	canceled, interrupted := j.canceled, s.isCut(ctx, j)
	if sender != nil {
		state := sender.State()
		r.rec.State = state.Encode()
	}
	var writes []write
	if !interrupted {
		r.end(s.e.now(), canceled, asProblem(err))
		writes = s.endItems(j, r)
	}
	writes = append(writes, write{preRollout + j.rec.ID, r.rec}, write{preBoard + j.rec.ID, r.board})
	s.mu.Unlock()
	if err := s.commit(context.WithoutCancel(s.ctx), writes...); err != nil {
		s.e.logProblem("", "saving how the update of "+j.rec.Group+" stands", err)
	}
	s.touchRolloutNow(j.rec.ID)
}

// end closes the board; site.mu is held.
func (r *fwRollout) end(now int64, canceled bool, failed *Error) {
	b := &r.board
	b.Waits, b.Paused, b.Left = false, false, 0
	if b.Ended == 0 {
		b.Ended = now
	}
	switch {
	case canceled:
		b.Phase = PhaseStopped
	case failed != nil:
		b.Phase = PhaseFailed
	case r.upToDate(): // nothing was to do
		b.Phase, b.Problem, b.ProblemDevice = PhaseDone, nil, ""
	case !b.Phase.over():
		b.Phase = PhaseFailed
	}
	if failed == nil {
		return
	}
	if b.Problem == nil {
		b.Problem, b.ProblemDevice = &failed.Problem, ""
	}
	for i := range b.Devices {
		if d := &b.Devices[i]; !d.State.final() {
			d.State, d.Problem = RolloutFailed, &failed.Problem
		}
	}
}

// upToDate reports whether all devices have run the image before; site.mu is held.
func (r *fwRollout) upToDate() bool {
	for _, d := range r.board.Devices {
		if d.State != RolloutLeftOut || d.Problem == nil || d.Problem.ID != reasonRunning {
			return false
		}
	}
	return true
}

func (p RolloutPhase) over() bool {
	return p == PhaseDone || p == PhaseStopped || p == PhaseFailed
}

// final reports whether a device's part is over.
func (st RolloutState) final() bool {
	switch st {
	case RolloutLeftOut, RolloutConfirmed, RolloutReverted, RolloutFailed, RolloutSilent:
		return true
	}
	return false
}

// endItems ends the job's items as the board has them; site.mu is held.
func (s *site) endItems(j *job, r *fwRollout) (writes []write) {
	rows := r.rows()
	for _, it := range j.items {
		it.rec = rows[it.dev.id].item(it.rec)
		aborted := it.rec.Problem != nil && it.rec.Problem.ID == "fw-aborted"
		switch open := it.rec.State == itemWorking || it.rec.State == itemTodo; {
		case j.canceled && (open || aborted):
			it.rec.State, it.rec.Problem = itemTodo, nil
		case open: // the rollout stopped before
			it.rec.State, it.rec.Problem = itemFailed, r.board.Problem
		}
		writes = append(writes, write{j.itemKey(it.dev.id), it.rec})
	}
	return writes
}
