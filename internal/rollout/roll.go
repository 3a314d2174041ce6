package rollout

import (
	"context"
	"math"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
	"lamplighter/internal/groupcomm"
)

const (
	leastRolls = 2  // roll calls that follow whatever loss is known
	rollEvery  = 64 // blocks between two roll calls after these: who restarts hears a group again when it was asked
	rollAnswer = firmware.OverheadAnswer + 16
	toldAgain  = 2 // times that all are told for one device
	fewAnswers = 8 // that are expected to one, at most
)

// roll is a roll call that is under way: the group is asked who does not have the
// session open. Who has it says nothing, so that asking costs one short datagram.
type roll struct {
	calls  int            // since the opening was said to all
	at     int            // blocks that had been sent at the latest one
	due    bool           // somebody answered: manifest and opening are said to all again
	answer chan rolled    // of the one that is under way; nil: none is
	absent map[string]int // device: how many it answered
}

// rolled is how a roll call went.
type rolled struct {
	replies []reply
	err     error
}

// rollCall looks, while source blocks go out, who has missed the opening: whoever is
// opened early lacks few blocks.
func (s *Sender) rollCall(ctx context.Context) error {
	if s.st.Phase != Sending {
		return nil
	}
	if s.roll.answer == nil && s.rollWorth() {
		s.callRoll(ctx)
	}
	if s.roll.answer == nil {
		return nil
	}
	if s.p.Parallel == 1 {
		return s.rolled(ctx, <-s.roll.answer)
	}
	select {
	case r := <-s.roll.answer:
		return s.rolled(ctx, r)
	default:
		return nil // it goes on beside
	}
}

// rollWorth reports whether a roll call is probable to save more bytes than it takes.
func (s *Sender) rollWorth() bool {
	if s.st.Offers == 0 || s.roll.due {
		return false
	}
	if s.roll.calls < leastRolls || s.st.Sent-s.roll.at >= rollEvery {
		return true
	}
	loss := s.lossAssumed()
	found := (1 - loss) * (1 - loss) // that the question and the answer arrive
	absent := s.missedOffers() * math.Pow(1-found, float64(s.roll.calls))
	left := 0
	for b := range s.l.Blocks() {
		if bit(s.st.Todo, b) {
			left++
		}
	}
	cost := overheadGroup + s.countState(LeftOut)*rollAnswer // those answer, too
	return absent*float64(left)*float64(s.st.Block+overheadGroup) > float64(cost)
}

// callRoll begins a roll call.
func (s *Sender) callRoll(ctx context.Context) {
	spread := max(s.spread(fewAnswers+s.countState(LeftOut)), time.Millisecond)
	body := firmware.StatusRequest{Fields: firmware.FieldProgress, Session: s.st.Session, Spread: uint(spread.Milliseconds()), Absent: true}
	req, of := request(coap.FETCH, firmware.PathStatus, body.Append(nil)), s.st.Sent
	s.roll.calls, s.roll.at = s.roll.calls+1, of
	s.next = s.next.Add(s.air(overheadGroup)) // it takes its time on air
	s.count(overheadGroup)
	s.mu.Lock()
	wait := spread + 2*s.rtt + sweepSlack
	s.mu.Unlock()
	answer := make(chan rolled, 1)
	s.roll.answer = answer
	ask := func() {
		var r rolled
		r.err = unpaused(ctx, s.p.Clock, func() error {
			return s.p.Group.Ask(ctx, req, wait, func(a groupcomm.Answer) {
				one := reply{device: a.Device, answer: a, of: of}
				one.read()
				r.replies = append(r.replies, one)
				s.count(a.Size)
			})
		})
		answer <- r
	}
	if s.p.Parallel == 1 {
		ask()
		return
	}
	go ask()
}

// rolled takes who has missed the opening. All are told it once more, which takes less
// time than telling one; who goes on missing it, or does not hear the group before it was
// asked alone, is told alone.
func (s *Sender) rolled(ctx context.Context, r rolled) error {
	s.roll.answer = nil
	if r.err != nil {
		return r.err
	}
	var alone []string
	s.mu.Lock()
	for _, one := range r.replies {
		d := s.device(one.device)
		if d == nil || d.final() && !d.leftSilent() {
			continue
		}
		if one.problem() == nil {
			s.take(d, one, one.of)
		}
		if challenged := one.code() == coap.Unauthorized; d.State != Waiting && !challenged {
			continue
		} else if s.roll.absent[d.ID]++; challenged || s.roll.absent[d.ID] > toldAgain {
			alone = append(alone, d.ID)
		} else {
			s.roll.due = true
		}
	}
	s.mu.Unlock()
	for _, id := range alone {
		if err := s.openOne(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// openOne looks whether a device has the session, and opens it there if not.
func (s *Sender) openOne(ctx context.Context, id string) error {
	if err := s.check(ctx, id, firmware.FieldProgress); err != nil {
		return err
	}
	if s.device(id).State != Waiting {
		return nil
	}
	return s.offerOne(ctx, id)
}
