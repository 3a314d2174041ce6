package rollout

import "context"

// control is what others want of a running sender. Guarded by Sender.mu.
type control struct {
	paused  bool
	abort   bool
	advance bool
	running bool
	wake    chan struct{} // told when something changed; one place
	joins   []Device
	leaves  []string
}

// Pause lets nothing more be sent that can wait. Devices that have switched already
// are still looked after: they would go back otherwise.
func (s *Sender) Pause() { s.tell(func() { s.ctl.paused = true }) }

// Resume ends a pause.
func (s *Sender) Resume() { s.tell(func() { s.ctl.paused = false }) }

// Advance lets the next wave begin when the rollout waits for a person.
func (s *Sender) Advance() { s.tell(func() { s.ctl.advance = true }) }

// Add takes a device in that joined the group meanwhile.
func (s *Sender) Add(d Device) { s.tell(func() { s.ctl.joins = append(s.ctl.joins, d) }) }

// Remove takes a device out that has left the group.
func (s *Sender) Remove(device string) {
	s.tell(func() { s.ctl.leaves = append(s.ctl.leaves, device) })
}

// Abort ends the rollout: devices drop what they received and scheduled switches,
// those that try the new image are told to go back. Run returns [ErrAborted]. When
// Run is not running, Abort does all that itself.
func (s *Sender) Abort(ctx context.Context) error {
	s.mu.Lock()
	running := s.ctl.running
	s.ctl.abort = true
	s.mu.Unlock()
	s.nudge()
	if running {
		return nil
	}
	return s.abort(ctx)
}

// Retry makes a rollout that is over go on with the devices that failed, and only
// these: call Run again. Verified devices that never were switched because the
// rollout stopped are switched after them.
func (s *Sender) Retry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctl.running || !s.st.Phase.Over() {
		return
	}
	s.retry()
}

func (s *Sender) tell(change func()) {
	s.mu.Lock()
	change()
	s.mu.Unlock()
	s.nudge()
}

func (s *Sender) nudge() {
	select {
	case s.ctl.wake <- struct{}{}:
	default:
	}
}

// gate is passed by Run between two steps that can wait. It returns [ErrAborted],
// ctx's error, or nil when Run may go on.
func (s *Sender) gate(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.mu.Lock()
		abort, paused := s.ctl.abort, s.ctl.paused
		changed := paused != s.st.Paused
		s.st.Paused = paused
		s.mu.Unlock()
		if abort {
			return ErrAborted
		}
		if changed {
			if err := s.keep(); err != nil {
				return err
			}
			s.show(true)
		}
		if !paused {
			return nil
		}
		if err := s.wait(ctx); err != nil {
			return err
		}
	}
}

// wait waits until somebody wants something.
func (s *Sender) wait(ctx context.Context) error {
	select {
	case <-s.ctl.wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// person waits until a person lets the next wave begin.
func (s *Sender) person(ctx context.Context) error {
	s.mu.Lock()
	s.ctl.advance, s.st.Waits = false, true
	s.mu.Unlock()
	if err := s.keep(); err != nil {
		return err
	}
	s.show(true)
	for {
		if err := s.gate(ctx); err != nil {
			return err
		}
		s.mu.Lock()
		if s.ctl.advance {
			s.ctl.advance, s.st.Waits = false, false
			s.mu.Unlock()
			return s.keep()
		}
		s.mu.Unlock()
		if err := s.wait(ctx); err != nil {
			return err
		}
	}
}
