package commission

import (
	"context"
	"slices"

	"lamplighter/internal/rollout"
)

// PlanFirmware asks the devices of a group what an image would be to them.
func (e *Engine) PlanFirmware(ctx context.Context, group, image string, options FirmwareOptions) (FirmwarePlan, error) {
	s, err := e.site()
	if err != nil {
		return FirmwarePlan{}, err
	}
	g, err := s.knownGroup(group)
	if err != nil {
		return FirmwarePlan{}, err
	}
	rec, err := s.image(image)
	if err != nil {
		return FirmwarePlan{}, err
	}
	devices, err := s.recipients(g, options.Devices)
	if err != nil {
		return FirmwarePlan{}, err
	}
	if err := s.ensureMember(ctx, g); err != nil {
		return FirmwarePlan{}, asProblem(err)
	}
	way := s.wayTo(g)
	way.planning = &planning{s: s, group: g.name}
	plan, err := s.planRollout(ctx, way, rec, devices, options)
	if err != nil {
		return FirmwarePlan{}, asProblem(err)
	}
	return s.planView(g, rec, options, plan), nil
}

// planRollout asks the devices. What keys they trust is remembered; when that tells
// who signed the image, or that nobody did whom they trust, the plan is made again.
func (s *site) planRollout(ctx context.Context, way *groupWay, rec *imageRecord, devices []*device, options FirmwareOptions) (*rollout.Plan, error) {
	if !way.g.algorithms().HasGroupMode() {
		return nil, errFwMode
	}
	if slices.ContainsFunc(devices, func(d *device) bool { return !s.of(d).address().IsValid() }) {
		if all, err := s.search(ctx, "", nil); err == nil {
			if err := s.noteFound(ctx, all); err != nil {
				return nil, err
			}
		}
	}
	for again := false; ; again = true {
		params, err := s.params(ctx, way, rec, devices, options)
		if err != nil {
			return nil, err
		}
		if way.planning != nil {
			way.planning.begin(idsOf(devices))
			params.Asked = way.planning.asked
		}
		plan, err := rollout.NewPlan(ctx, params)
		if err != nil {
			return nil, err
		}
		for _, f := range plan.Fits {
			if a := f.Ability(); len(a.Anchors) > 0 {
				s.trust(ctx, a.Vendor, a.Class, a.Anchors)
			}
		}
		if params.Manifest.Signer != nil || again {
			return plan, nil
		}
		now, err := s.manifest(rec)
		if err != nil {
			return nil, err
		}
		if now.Signer == nil {
			return plan, nil
		}
	}
}

// planView is a plan as it is shown.
func (s *site) planView(g *group, rec *imageRecord, options FirmwareOptions, plan *rollout.Plan) FirmwarePlan {
	options.Devices = append([]string{}, options.Devices...)
	v := FirmwarePlan{
		Group: g.name, Image: s.imageView(rec), Options: options, Devices: []FirmwareFit{}, Waves: []FirmwareWave{},
		Fits: plan.Eligible(), Left: len(plan.Fits) - plan.Eligible(), Blocks: plan.Blocks, BlockSize: plan.Layout.Block,
		Bytes: plan.Bytes, Seconds: plan.Time.Seconds(), UnicastSeconds: plan.ByUnicast.Seconds(),
	}
	for _, f := range plan.Fits {
		v.Devices = append(v.Devices, FirmwareFit{Device: f.ID, Fits: f.Fits, Version: f.Version, Sequence: f.Sequence, Problem: reasonProblem(f.Reason)})
	}
	for _, w := range plan.Waves {
		v.Waves = append(v.Waves, FirmwareWave{Name: w.Name, Devices: w.Devices, State: WaveWaiting})
	}
	s.mu.Lock()
	busy := s.feeding(g.name, "")
	s.mu.Unlock()
	switch {
	case v.Image.Problem != nil:
		v.Problem = v.Image.Problem
	case busy:
		v.Problem = &errFwOne.Problem
	case v.Fits == 0:
		v.Problem = &errFwNoFit.Problem
	}
	return v
}

// StartFirmware begins a rollout.
func (e *Engine) StartFirmware(ctx context.Context, group, image string, options FirmwareOptions) (Job, error) {
	s, err := e.site()
	if err != nil {
		return Job{}, err
	}
	g, err := s.knownGroup(group)
	if err != nil {
		return Job{}, err
	}
	rec, err := s.image(image)
	if err != nil {
		return Job{}, err
	}
	if view := s.imageView(rec); view.Problem != nil {
		return Job{}, &Error{Problem: *view.Problem}
	}
	if _, err := options.forRollout(); err != nil {
		return Job{}, err
	}
	devices, err := s.recipients(g, options.Devices)
	if err != nil {
		return Job{}, err
	}
	return s.startRollout(ctx, g, rec, devices, options)
}

// PauseFirmware lets a rollout rest. Devices that have switched are looked after all
// the same.
func (e *Engine) PauseFirmware(ctx context.Context, job string) (Job, error) {
	return e.steer(ctx, job, func(r *fwRollout) error {
		r.rec.Paused = true
		if r.sender != nil {
			r.sender.Pause()
		}
		return nil
	})
}

// ResumeFirmware lets a rollout go on.
func (e *Engine) ResumeFirmware(ctx context.Context, job string) (Job, error) {
	return e.steer(ctx, job, func(r *fwRollout) error {
		r.rec.Paused = false
		if r.sender != nil {
			r.sender.Resume()
		}
		return nil
	})
}

// AdvanceFirmware begins the next wave of a rollout that waits for a person.
func (e *Engine) AdvanceFirmware(ctx context.Context, job string) (Job, error) {
	return e.steer(ctx, job, func(r *fwRollout) error {
		if r.sender == nil || !r.board.Waits {
			return errFwNotHeld
		}
		r.board.Waits = false
		r.sender.Advance()
		return nil
	})
}

// steer changes what a rollout does; change has site.mu.
func (e *Engine) steer(ctx context.Context, id string, change func(*fwRollout) error) (Job, error) {
	s, j, r, err := e.rollout(id)
	if err != nil {
		return Job{}, err
	}
	s.mu.Lock()
	err = change(r)
	rec := r.rec
	ended := j.ended()
	s.mu.Unlock()
	if err != nil {
		return Job{}, err
	}
	if !ended {
		if err := s.commit(ctx, write{preRollout + id, rec}); err != nil {
			return Job{}, asProblem(err)
		}
	}
	s.touchJob(j)
	s.touchRollout(id)
	return s.jobView(j), nil
}

// Firmware is a rollout, whole.
func (e *Engine) Firmware(_ context.Context, job string) (Rollout, error) {
	s, _, r, err := e.rollout(job)
	if err != nil {
		return Rollout{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return r.view(), nil
}

// rollout finds a rollout of the current site.
func (e *Engine) rollout(id string) (*site, *job, *fwRollout, error) {
	s, j, err := e.job(id)
	if err != nil {
		return nil, nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rollouts[id]
	switch {
	case j.rec.Kind != jobFirmware:
		return nil, nil, nil, errFwNoJob
	case r == nil:
		return nil, nil, nil, errFwBroken
	}
	return s, j, r, nil
}
