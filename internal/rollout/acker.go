package rollout

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"

	"lamplighter/internal/firmware"
)

// ackerPatience is what an acker has at least to answer.
const ackerPatience = 2 * retransmitted

// ask asks the next acker. With Parallel it is not waited for: its answer is taken
// at the next look.
func (s *Sender) ask(ctx context.Context) error {
	if s.acker != nil {
		select {
		case r := <-s.acker:
			s.acker = nil
			if err := s.answered(ctx, r); err != nil {
				return err
			}
		default:
			return nil // it is slow; more questions do not help
		}
	}
	id := s.nextAcker()
	if id == "" {
		return nil
	}
	req, of := fetchRequest(firmware.FieldProgress|firmware.FieldFeeder, s.st.Session, 0), s.st.Sent
	if s.p.Parallel == 1 {
		r := call(ctx, &s.p, id, req)
		r.of = of
		return s.answered(ctx, r)
	}
	answer := make(chan reply, 1)
	s.acker = answer
	p := s.p
	s.mu.Lock()
	p.Group = hasty{p.Group, max(4*s.rtt, ackerPatience)} // another one tells as much
	s.mu.Unlock()
	go func() {
		r := call(ctx, &p, id, req)
		r.of = of
		answer <- r
	}()
	return nil
}

// answered takes an acker's answer: the loss since it was asked before moves the
// rate, and when one has missed the opening that is said again.
func (s *Sender) answered(ctx context.Context, r reply) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.note(&r)
	d := s.device(r.device)
	if d == nil || d.State != Receiving || errors.Is(r.err, context.DeadlineExceeded) {
		return nil
	}
	if s.fedByOther(&r) {
		return errTaken
	}
	before := *d
	s.mu.Lock()
	s.take(d, r, r.of)
	s.sample()
	s.mu.Unlock()
	if d.State == Waiting {
		s.roll.due = true // one short message to all takes less time than two to one
	}
	if r.err == nil && d.State == Receiving {
		s.judge(&before, d)
	}
	return nil
}

// errTaken says that somebody else sends this image now.
var errTaken = errors.New("the rollout was taken over")

const (
	takenFresh = 10 // seconds since a block of somebody else's, at most
	takenBy    = 2  // ackers in a row that say so
)

// fedByOther reports whether ackers say that somebody else feeds them, who must have
// chosen to take over: two who both send repair both, and void each other's nonces. Who
// has taken over goes on.
func (s *Sender) fedByOther(r *reply) bool {
	st := &r.status
	if r.problem() != nil || s.st.Options.TakeOver || len(st.Feeder) == 0 || len(s.p.Feeder) == 0 {
		return false
	}
	if bytes.Equal(st.Feeder, s.p.Feeder) || st.FedAgo > takenFresh {
		s.taken = 0
		return false
	}
	s.taken++
	return s.taken >= takenBy
}

// yield ends a rollout that somebody else has taken over.
func (s *Sender) yield() error {
	s.taken = 0 // for a retry
	s.mu.Lock()
	s.st.Stop = reasonTaken
	s.blame("", reasonTaken)
	s.mu.Unlock()
	return s.enter(Stopped)
}

// judge moves the rate: a tenth up after a window as expected, to a half after a step
// in the loss of one device, which may always have lost more than the others. What
// counts as a step leaves room for bursts.
func (s *Sender) judge(before, d *DeviceRecord) {
	sent := int(d.HeardOf) - int(before.HeardOf)
	if sent < leastWindow || !before.Based {
		return
	}
	lost := float64(sent) - float64(int(d.Heard)-int(before.Heard))
	expected := float64(sent) * max(s.loss(), before.Loss, 0.01)
	if before.Span == 0 {
		return // there is nothing to compare it with
	}
	if lost-expected > 4*math.Sqrt(expected)+3 && lost > float64(sent)/4 {
		s.adjust(decrease)
		return
	}
	s.adjust(increase)
}

// sample keeps a measurement for the chart. Under mu.
func (s *Sender) sample() {
	worst := 0.0
	for i := range s.st.Devices {
		if d := &s.st.Devices[i]; d.Span > 0 && !d.final() {
			worst = max(worst, d.Loss)
		}
	}
	if len(s.st.Samples) >= maxSamples { // every other one says enough
		kept := s.st.Samples[:0:0]
		for i := 0; i < len(s.st.Samples); i += 2 {
			kept = append(kept, s.st.Samples[i])
		}
		s.st.Samples = kept
	}
	s.st.Samples = append(slices.Clip(s.st.Samples), Sample{At: s.p.Clock.Now(), Loss: s.loss(), Worst: worst, Rate: s.st.Rate})
}
