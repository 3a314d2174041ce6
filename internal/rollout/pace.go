package rollout

import (
	"context"
	"errors"
	"time"

	"lamplighter/internal/coap"
)

const (
	catchUp   = 50 * time.Millisecond // that a late timer may be made up for
	increase  = 1.1                   // of the rate, after a window without a step in the loss
	decrease  = 0.5                   // of the rate, after a step or a slow drain
	leastRate = 1.0 / 16              // of the profile's rate
	slowDrain = 200 * time.Millisecond
)

// send sends a request to all when the rate allows the next datagram.
func (s *Sender) send(ctx context.Context, req *coap.Message, copies int) error {
	if err := s.due(ctx); err != nil {
		return err
	}
	start, size := s.p.Clock.Now(), 0
	err := unpaused(ctx, s.p.Clock, func() (err error) {
		size, err = s.p.Group.Send(ctx, req, copies)
		return err
	})
	if err != nil {
		return err
	}
	s.spend(start, size*copies)
	return nil
}

// due waits until the next datagram may leave.
func (s *Sender) due(ctx context.Context) error {
	if d := s.next.Sub(s.p.Clock.Now()); d > 0 {
		return s.p.Clock.Sleep(ctx, d)
	}
	return ctx.Err()
}

// spend takes the time on air of what left at start off the token bucket.
func (s *Sender) spend(start time.Time, bytes int) {
	air := max(s.air(bytes), s.st.Options.Profile.Gap)
	if floor := start.Add(-catchUp); s.next.Before(floor) {
		s.next = floor
	}
	s.next = s.next.Add(air)
	s.since += bytes
	s.count(bytes)
}

func (s *Sender) air(bytes int) time.Duration {
	return time.Duration(float64(bytes*8) / s.st.Rate * float64(time.Second))
}

// count adds to the bytes of the rollout.
func (s *Sender) count(bytes int) {
	s.mu.Lock()
	s.st.Bytes += bytes
	s.mu.Unlock()
}

// drain waits for the next hop, and slows down when that has not kept up.
func (s *Sender) drain(ctx context.Context) error {
	start := s.p.Clock.Now()
	err := unpaused(ctx, s.p.Clock, func() error { return s.p.Group.Drain(ctx) })
	refused := errors.Is(err, coap.ErrBusy) // what it refused is lost like others, and repaired
	if err != nil && !refused {
		return err
	}
	if refused || s.p.Clock.Now().Sub(start) > s.air(s.since)+slowDrain {
		s.adjust(decrease)
	}
	s.since = 0
	return nil
}

// adjust changes the rate, within its bounds.
func (s *Sender) adjust(factor float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &s.st.Options
	s.st.Rate = min(max(s.st.Rate*factor, float64(o.Profile.Rate)*leastRate), float64(o.Cap))
}

// spread is within which time n devices answer so that the answers keep to the rate.
func (s *Sender) spread(n int) time.Duration {
	return time.Duration(float64(n*s.answer*8) / s.st.Rate * float64(time.Second))
}

// sleep waits until t, and passes the gate meanwhile.
func (s *Sender) sleep(ctx context.Context, t time.Time) error {
	for {
		if err := s.gate(ctx); err != nil {
			return err
		}
		d := t.Sub(s.p.Clock.Now())
		if d <= 0 {
			return nil
		}
		if err := s.p.Clock.Sleep(ctx, min(d, time.Second)); err != nil {
			return err
		}
	}
}
