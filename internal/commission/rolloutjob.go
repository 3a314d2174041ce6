package commission

import (
	"context"
	"fmt"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/groupcomm"
	"lamplighter/internal/rollout"
)

// boardEvery is how often a running rollout's board is saved.
const boardEvery = 5 * time.Second

// startRollout makes a job of kind "firmware", durably, and begins the work.
func (s *site) startRollout(ctx context.Context, g *group, image *imageRecord, devices []*device, options FirmwareOptions) (Job, error) {
	j, err := s.newJob(jobFirmware, g.name, devices)
	if err != nil {
		return Job{}, err
	}
	id := j.rec.ID
	options.Devices = append([]string{}, options.Devices...)
	used := *image
	used.Used = s.e.now()
	r := &fwRollout{rec: rolloutRecord{Image: s.imageView(image), Bare: image.Bare, Options: options, Rows: map[string]rolloutOf{}}}
	r.board = r.rec.blank(j)
	s.mu.Lock()
	if err := s.admits(j); err != nil {
		s.mu.Unlock()
		return Job{}, err
	}
	s.jobs[id], s.rollouts[id] = j, r
	s.images[used.View.Digest] = &used
	s.mu.Unlock()
	err = s.commit(ctx, append(s.oldest(), write{preJob + id, j.rec}, write{preRollout + id, r.rec}, write{preBoard + id, r.board},
		write{preImage + used.View.Digest, &used})...)
	if err != nil {
		s.mu.Lock()
		delete(s.jobs, id)
		delete(s.rollouts, id)
		s.mu.Unlock()
		return Job{}, asProblem(err)
	}
	s.run(j)
	return s.jobView(j), nil
}

// admits says why a rollout cannot be under way beside the others; s.mu is held.
func (s *site) admits(j *job) error {
	switch {
	case s.feeding(j.rec.Group, j.rec.ID):
		return errFwOne
	case s.shared(j.rec.Devices, j.rec.ID):
		return errFwShared
	}
	return nil
}

// blank is the board of a rollout that has not begun.
func (r *rolloutRecord) blank(j *job) Rollout {
	b := Rollout{
		Job: j.rec.ID, Group: j.rec.Group, Image: r.Image, Options: r.Options, Phase: PhasePlanning, Started: j.rec.Started,
		Generations: []RolloutGeneration{}, Devices: []RolloutDevice{}, Waves: []FirmwareWave{}, Samples: []RolloutSample{},
	}
	for _, id := range j.rec.Devices {
		b.Devices = append(b.Devices, RolloutDevice{Device: id, State: RolloutWaiting, Wave: -1})
	}
	return b
}

// workOnRollout is [site.workOn] for a job of kind "firmware".
func (s *site) workOnRollout(ctx context.Context, j *job) {
	s.mu.Lock()
	r := s.rollouts[j.rec.ID]
	canceled := r != nil && r.rec.Canceled // before a reload
	j.canceled = j.canceled || canceled
	s.mu.Unlock()
	if r == nil {
		s.failAll(ctx, j, asProblem(errFwBroken))
		return
	}
	g, err := s.knownGroup(j.rec.Group)
	var sender *rollout.Sender
	if err == nil && !(canceled && len(r.rec.State) == 0) { // of that no device has heard
		sender, err = s.senderOf(ctx, j, r, g)
	}
	switch {
	case err != nil || sender == nil:
	case canceled:
		s.awaitGroup(ctx, g)
	default:
		s.setSender(r, sender)
		s.feed(j, r, sender.View())
		err = sender.Run(ctx)
		s.setSender(r, nil)
	}
	if sender != nil && s.wasCanceled(j) {
		s.abortRollout(j, sender)
		err = nil
	}
	if ctx.Err() != nil && !s.wasCanceled(j) {
		err = ctx.Err()
	}
	s.settle(ctx, j, r, sender, err)
}

// awaitGroup waits until the devices of a group can be told something.
func (s *site) awaitGroup(ctx context.Context, g *group) {
	if err := s.wayTo(g).ready(ctx); err != nil {
		s.e.logProblem("", "telling the devices of "+g.name+" that their update was canceled", err)
	}
}

func (s *site) wasCanceled(j *job) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return j.canceled
}

// setSender tells who is at work, and that it may have been paused.
func (s *site) setSender(r *fwRollout, sender *rollout.Sender) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.sender = sender
	switch {
	case sender == nil:
	case r.rec.Paused:
		sender.Pause()
	default:
		sender.Resume()
	}
}

// senderOf makes the sender of a job: from a plan, or from what was saved.
func (s *site) senderOf(ctx context.Context, j *job, r *fwRollout, g *group) (sender *rollout.Sender, err error) {
	devices := s.devicesOf(j)
	s.mu.Lock()
	rec := r.rec
	s.mu.Unlock()
	image := &imageRecord{View: rec.Image, Bare: rec.Bare}
	way := s.wayTo(g)
	way.job, way.save, way.progress = j, s.saver(j, r), func(v rollout.View) { s.feed(j, r, v) }
	way.rests = func(paused bool) { s.setResting(j, r, paused) }
	if len(rec.State) == 0 {
		err = s.insist(ctx, j, func() error {
			if err := way.ready(ctx); err != nil {
				return err
			}
			plan, err := s.planRollout(ctx, way, image, devices, rec.Options)
			if err == nil {
				sender = rollout.New(plan)
				s.setImage(r, image)
			}
			return err
		})
		return sender, err
	}
	params, err := s.params(ctx, way, image, devices, rec.Options)
	if err != nil {
		return nil, err
	}
	state, err := rollout.ParseState(rec.State)
	if err != nil {
		return nil, errFwBroken.because(err)
	}
	if sender, err = rollout.Resume(params, state); err != nil {
		return nil, errFwBroken.because(err)
	}
	if rec.Again {
		sender.Retry()
		s.mu.Lock()
		r.rec.Again = false
		s.mu.Unlock()
	}
	return sender, nil
}

func (s *site) devicesOf(j *job) (list []*device) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, it := range j.items {
		list = append(list, it.dev)
	}
	return list
}

// setImage shows who signed the image, which the devices may just have told.
func (s *site) setImage(r *fwRollout, image *imageRecord) {
	view := s.imageView(image)
	s.mu.Lock()
	defer s.mu.Unlock()
	r.rec.Image, r.board.Image = view, view
}

// saver makes a sender's state durable.
func (s *site) saver(j *job, r *fwRollout) func(rollout.State) error {
	return func(st rollout.State) error {
		s.mu.Lock()
		r.rec.State = st.Encode()
		rec := r.rec
		writes := []write{{preRollout + j.rec.ID, rec}}
		if now := s.e.now(); now-r.saved >= boardEvery.Milliseconds() {
			r.saved = now
			writes = append(writes, write{preBoard + j.rec.ID, r.board})
		}
		s.mu.Unlock()
		return s.commit(s.ctx, writes...)
	}
}

// setResting notes that the group is paused, or goes on.
func (s *site) setResting(j *job, r *fwRollout, paused bool) {
	s.mu.Lock()
	changed := r.resting != paused
	r.resting = paused
	j.paused = r.rec.Paused || paused || r.board.Waits
	s.mu.Unlock()
	if changed {
		s.touchJob(j)
		s.touchRollout(j.rec.ID)
	}
}

// probe asks a device that came back whether it does its work.
func (w *groupWay) probe(ctx context.Context, id string) error {
	a, err := w.Call(ctx, id, coap.NewRequest(coap.GET, "/light", nil))
	if err != nil {
		return err
	}
	if err := coap.CheckResponse(a.Resp); err != nil {
		return fmt.Errorf("trying whether the lamp works: %w", err)
	}
	return nil
}

// clock is the time of rollouts.
func (e *Engine) clock() groupcomm.Clock {
	if e.cfg.Clock != nil {
		return e.cfg.Clock
	}
	return engineClock{e.cfg.Now}
}

// againRollout lets a rollout that has ended try again what failed; nil for jobs of
// other kinds. site.mu is held.
func (s *site) againRollout(j *job) ([]write, error) {
	id := j.rec.ID
	r := s.rollouts[id]
	switch {
	case j.rec.Kind != jobFirmware:
		return nil, nil
	case r == nil:
		return nil, errFwBroken
	case s.admits(j) != nil:
		return nil, s.admits(j)
	case s.images[r.rec.Image.Digest] == nil:
		return nil, errFwUnknown
	}
	r.rec.Again, r.rec.Paused, r.rec.Canceled = len(r.rec.State) > 0, false, false
	b := &r.board
	b.Phase, b.Ended, b.Problem, b.ProblemDevice = PhasePlanning, 0, nil, ""
	return []write{{preRollout + id, r.rec}, {preBoard + id, *b}}, nil
}
