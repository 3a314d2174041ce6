package rollout

import (
	"context"
	"time"
)

const (
	switchTimes = 5                      // how often a switch is announced, each time with what remains
	switchGap   = 200 * time.Millisecond // between two announcements, at least
	fewNonces   = 8                      // up to so many devices are asked for nonces one by one
	fewAlone    = 2                      // up to so many are told to switch one by one
	aloneLead   = 8 * time.Second        // so that a retransmission comes before the restart. RFC 7252, Section 4.8
	earlier     = time.Minute            // before a time that was set, nonces are asked for
	noBootYet   = 5 * time.Second        // after a switch nobody answers: devices restart
	lostGrace   = time.Minute            // after the time to confirm, until a device counts as lost
)

// switchAll goes through the waves.
func (s *Sender) switchAll(ctx context.Context) error {
	if s.st.Phase != Switching {
		return nil
	}
	for s.st.Wave < len(s.st.Waves) {
		if err := s.gate(ctx); err != nil {
			return err
		}
		if s.inWave(Verified, Switched, OnTest) != nil || s.wave().State == WaveSoaking {
			if err := s.runWave(ctx); err != nil || s.st.Phase.Over() {
				return err
			}
		} else {
			s.setWave(s.outcome())
		}
		s.mu.Lock()
		s.st.Wave++
		s.mu.Unlock()
		if err := s.keep(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sender) wave() *WaveRecord { return &s.st.Waves[s.st.Wave] }

func (s *Sender) setWave(state WaveState) {
	s.mu.Lock()
	s.wave().State = state
	s.mu.Unlock()
	s.show(true)
}

// inWave lists the devices of the wave in one of the states.
func (s *Sender) inWave(states ...DeviceState) (ids []string) {
	for _, id := range s.list(states...) {
		if s.device(id).Wave == s.st.Wave {
			ids = append(ids, id)
		}
	}
	return ids
}

// outcome is how a wave that has nothing more to do ended.
func (s *Sender) outcome() WaveState {
	if s.inWave(Confirmed) == nil && s.inWave(Broken, Reverted, Silent) != nil {
		return WaveFailed
	}
	return WaveDone
}

// runWave switches the devices of a wave, in parts as small as the zones ask for.
func (s *Sender) runWave(ctx context.Context) error {
	at, err := s.mayBegin(ctx)
	if err != nil {
		return err
	}
	for s.wave().State != WaveSoaking {
		if err := s.gate(ctx); err != nil {
			return err
		}
		ids := s.part()
		if len(ids) > 0 {
			s.setWave(WaveSwitching)
			if err := s.tellSwitch(ctx, ids, at); err != nil {
				return err
			}
		}
		at = time.Time{}
		under := s.inWave(Switched, OnTest)
		if len(under) == 0 && s.part() == nil {
			break
		}
		s.setWave(WaveChecking)
		if err := s.watch(ctx, under); err != nil {
			return err
		}
		if s.exceeded() {
			return s.stop()
		}
	}
	s.holdBack()
	if err := s.soak(ctx); err != nil {
		return err
	}
	if s.exceeded() {
		return s.stop()
	}
	s.setWave(s.outcome())
	return nil
}

// mayBegin waits until the wave may begin: for a person, or for the time that was
// set. It returns when its devices switch; zero: as soon as they can.
func (s *Sender) mayBegin(ctx context.Context) (at time.Time, err error) {
	executed, _ := s.executed()
	begun := s.wave().State != WaveWaiting
	at = s.st.Options.At
	switch now := s.p.Clock.Now(); {
	case (begun || executed > 0) && now.Before(at): // some were told already, by a sender that died
		return at, s.sleep(ctx, at.Add(-earlier))
	case begun:
		return time.Time{}, nil
	case executed > 0:
		if s.st.Options.Hold {
			err = s.person(ctx)
		}
		return time.Time{}, err
	}
	if at.IsZero() {
		return at, nil
	}
	if s.p.Clock.Now().After(at.Add(earlier)) { // nobody expects it now
		s.mu.Lock()
		s.blame("", reasonPassed)
		s.mu.Unlock()
		err := s.person(ctx)
		s.mu.Lock()
		if s.st.Problem != nil && s.st.Problem.ID == reasonPassed.ID { // it was mended
			s.st.Problem = nil
		}
		s.mu.Unlock()
		return time.Time{}, err
	}
	return at, s.sleep(ctx, at.Add(-earlier))
}

// part is the next devices that may switch together: of no zone more than may be
// away at a time.
func (s *Sender) part() (ids []string) {
	away, there := map[string]int{}, map[string]int{}
	for i := range s.st.Devices {
		d := &s.st.Devices[i]
		if d.away() {
			away[d.Zone]++
		}
		if d.away() || d.State != Silent && !d.leftSilent() {
			there[d.Zone]++
		}
	}
	for _, id := range s.inWave(Verified) {
		d := s.device(id)
		if away[d.Zone] >= s.mostAway(there[d.Zone]) {
			continue
		}
		away[d.Zone]++
		ids = append(ids, id)
	}
	return ids[:min(len(ids), s.inTime())]
}

const (
	leastPart  = 8   // devices that switch together in any case
	confirming = 3   // questions and commands to a device from its restart until it is confirmed
	doubled    = 1.5 // retransmissions that wait twice as long each, against equal ones. RFC 7252, Section 4.2
)

// inTime is how many devices can be confirmed in a third of the time that they have, as
// much as is lost: if more switched together, some would go back before it was their
// turn. Their nonces are so young enough, too.
func (s *Sender) inTime() int {
	arrives := (1 - min(s.loss(), 0.5)) * (1 - min(s.loss(), 0.5)) // a message, and its answer
	s.mu.Lock()
	waits := s.rtt + time.Duration((1-arrives)/arrives*doubled*float64(retransmitted))
	s.mu.Unlock()
	one := confirming * (waits/time.Duration(s.p.Parallel) + s.air(overheadPairwise+s.answer))
	return max(leastPart, int(s.st.Options.ConfirmWithin/3/max(one, time.Millisecond)))
}

// mostAway is how many devices of a zone may be away at a time, of those that are
// known to be there: as many as a person has chosen, else half, so that it is never
// dark. A single light is switched all the same.
func (s *Sender) mostAway(there int) int {
	if chosen := s.st.Options.MaxUnavailable; chosen > 0 {
		return chosen
	}
	return max(there/2, 1)
}

// away reports whether a device may give no light because of the rollout.
func (d *DeviceRecord) away() bool {
	switch d.State {
	case Switched, OnTest:
		return true
	case Silent, Broken, LeftOut:
		return d.Executed
	}
	return false
}

// holdBack says of devices whose zone has too many that did not come back that they
// are not switched.
func (s *Sender) holdBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.inWave(Verified) {
		s.device(id).Reason = reasonZone
	}
}

// sleepBusy waits although the rollout is paused, as devices are about to switch.
func (s *Sender) sleepBusy(ctx context.Context, t time.Time) error {
	for {
		s.mu.Lock()
		abort := s.ctl.abort
		s.mu.Unlock()
		if abort {
			return ErrAborted
		}
		d := t.Sub(s.p.Clock.Now())
		if d <= 0 {
			return ctx.Err()
		}
		if err := s.p.Clock.Sleep(ctx, min(d, time.Second)); err != nil {
			return err
		}
	}
}
