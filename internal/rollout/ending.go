package rollout

import (
	"context"
	"slices"
	"time"

	"lamplighter/internal/firmware"
)

// executed is how many devices were told to switch, and how many of them failed.
func (s *Sender) executed() (n, failed int) {
	for i := range s.st.Devices {
		d := &s.st.Devices[i]
		if !d.Executed {
			continue
		}
		n++
		if d.State == Reverted || d.State == Broken || d.State == Silent {
			failed++
		}
	}
	return n, failed
}

// exceeded reports whether too many have failed: any of the canary, or more than the
// threshold once enough were told to switch.
func (s *Sender) exceeded() bool {
	if s.st.Wave == 0 && s.st.Options.Canary > 0 {
		return slices.ContainsFunc(s.inWave(Reverted, Broken, Silent), func(id string) bool { return s.device(id).Executed })
	}
	n, failed := s.executed()
	return n >= minExecuted && float64(failed)*100 > s.st.Options.Threshold*float64(n)
}

// stop ends the rollout: nobody else is switched.
func (s *Sender) stop() error {
	why := reasonStopped
	if s.st.Wave == 0 && s.st.Options.Canary > 0 {
		why = reasonStoppedCanary
	}
	s.mu.Lock()
	s.wave().State = WaveFailed
	s.st.Stop = why
	s.mu.Unlock()
	return s.enter(Stopped)
}

// soak waits after a wave and looks whether its devices still run the image. The last
// wave soaks, too: what fails then is to be seen in the report.
func (s *Sender) soak(ctx context.Context) error {
	if s.st.Options.Soak <= 0 || s.inWave(Confirmed) == nil {
		return nil
	}
	s.mu.Lock()
	if w := s.wave(); w.State != WaveSoaking {
		w.State, w.Soaked = WaveSoaking, s.p.Clock.Now().Add(s.st.Options.Soak)
	}
	until := s.wave().Soaked
	s.mu.Unlock()
	if err := s.keep(); err != nil {
		return err
	}
	s.show(true)
	if err := s.sleep(ctx, until); err != nil {
		return err
	}
	replies := s.callTwice(ctx, s.inWave(Confirmed), fetchRequest(firmware.FieldRunning, s.st.Session, 0))
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range replies {
		d := s.device(r.device)
		switch {
		case r.problem() != nil:
			s.fail(d, Silent, reasonSoak)
		case !s.runsNew(&r.status) || d.Boots > 0 && r.status.Running.Boots > d.Boots:
			s.fail(d, Broken, reasonSoak)
		}
	}
	return nil
}

// abort ends the rollout at the devices, too: all are told at once, then those that
// were told to switch are looked after. It is over even if not all could be reached in
// time: what nobody confirms goes back by itself.
func (s *Sender) abort(ctx context.Context) error {
	if s.st.Phase.Over() {
		return nil
	}
	if err := s.send(ctx, s.session(firmware.OpAbort), 3); err != nil {
		return err // nobody has heard of it
	}
	told := s.undo(ctx)
	s.mu.Lock()
	for i := range s.st.Devices {
		if d := &s.st.Devices[i]; !d.final() {
			d.State, d.Reason = Broken, reasonAborted
		}
	}
	s.blame("", reasonAborted)
	s.ctl.abort = false
	s.mu.Unlock()
	if err := s.enter(Failed); err != nil {
		return err
	}
	if told != nil {
		return told
	}
	return ErrAborted
}

// undo makes sure of devices that were told to switch: one that restarts when the
// abort is said has not heard it, and one that runs the image only a command takes
// back. Who does not answer keeps no other waiting: the first question is to all.
func (s *Sender) undo(ctx context.Context) error {
	const fields, tries = firmware.FieldRunning | firmware.FieldProgress | firmware.FieldNonce, 3
	for try := range tries {
		told := s.list(Switched, OnTest)
		if len(told) == 0 {
			return nil
		}
		var replies []reply
		if try == 0 {
			got, err := s.askAll(ctx, fields, len(s.st.Devices))
			if err != nil {
				return err
			}
			for _, id := range told {
				if r, ok := got[id]; ok {
					replies = append(replies, r)
				}
			}
		} else {
			if err := s.p.Clock.Sleep(ctx, 2*time.Second); err != nil {
				return err
			}
			replies = s.callAll(ctx, told, fetchRequest(fields, s.st.Session, 0))
		}
		each(len(replies), s.p.Parallel, func(i int) { s.takeBack(ctx, replies[i]) })
	}
	return ctx.Err()
}

// takeBack tells a device to go back, or not to switch, as it stands.
func (s *Sender) takeBack(ctx context.Context, r reply) {
	if r.problem() != nil || r.status.Running == nil {
		return
	}
	runs := s.runsNew(&r.status)
	switch {
	case runs && r.status.State == firmware.Testing:
		s.call(ctx, r.device, s.activate(firmware.ModeRevert, 0, r.status.Nonce))
	case r.status.State == firmware.Updating:
		s.call(ctx, r.device, s.activate(firmware.ModeCancel, 0, r.status.Nonce))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.device(r.device)
	if d.State, d.Reason = Reverted, reasonAborted; runs && r.status.State == firmware.Idle {
		d.State, d.Reason = Confirmed, nil
	}
}

// retry resets the devices that failed, and those that were left out because they
// were silent or busy. Under mu.
func (s *Sender) retry() {
	first := len(s.st.Waves)
	for i := range s.st.Devices {
		d := &s.st.Devices[i]
		switch {
		case d.State == Broken || d.State == Reverted || d.State == Silent:
			*d = DeviceRecord{ID: d.ID, Name: d.Name, Zone: d.Zone, Emergency: d.Emergency, State: Waiting,
				Version: d.Version, Hardware: d.Hardware, Parity: d.Parity, Wave: d.Wave, Boots: d.Boots, Again: true}
			if d.Wave >= 0 {
				first = min(first, d.Wave)
				s.st.Waves[d.Wave].State = WaveWaiting
			}
		case d.State == Verified && d.Wave >= 0: // it was held back
			first = min(first, d.Wave)
			s.st.Waves[d.Wave].State = WaveWaiting
		case d.State == LeftOut && d.Reason != nil && (d.Reason.ID == reasonSilent.ID || d.Reason.ID == reasonBusy.ID || d.Reason.ID == reasonGone.ID):
			s.rejoin(d)
		}
	}
	s.st.Wave, s.st.Round, s.st.Ended = min(s.st.Wave, first), 0, time.Time{}
	s.st.Phase, s.st.Problem, s.st.ProblemDevice, s.st.Stop = Verifying, nil, "", nil
	for i := s.st.Wave; i < len(s.st.Waves); i++ {
		if s.st.Waves[i].State == WaveFailed {
			s.st.Waves[i].State = WaveWaiting
		}
	}
	s.ctl.abort, s.fresh = false, true
}
