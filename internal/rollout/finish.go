package rollout

import (
	"context"
	"errors"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
	"lamplighter/internal/groupcomm"
)

const (
	finishTries  = 4 // looks at what one device lacks
	finishSilent = 3 // blocks without an answer until it counts as silent
)

// finish sends one device alone what it lacks: source blocks, of each generation as
// many as it needs.
func (s *Sender) finish(ctx context.Context, id string) error {
	for range finishTries {
		d := s.device(id)
		if d.missing == nil || s.swept != s.st.Sent { // it may have more by now
			if err := s.check(ctx, id, firmware.FieldProgress|firmware.FieldMissing); err != nil {
				return err
			}
		}
		if d.State != Receiving || d.lacks() == 0 {
			return nil
		}
		missing := d.missing
		d.missing = nil // it is asked before a further try
		if err := s.finishBlocks(ctx, d, missing); err != nil {
			return err
		}
		if d.State != Receiving {
			return nil
		}
	}
	if err := s.check(ctx, id, firmware.FieldProgress); err != nil {
		return err
	}
	if d := s.device(id); d.State == Receiving && d.lacks() > 0 {
		s.giveUp([]string{id}, reasonSlow)
	}
	return nil
}

// finishBlocks sends a device the first missing blocks of each generation.
func (s *Sender) finishBlocks(ctx context.Context, d *DeviceRecord, missing []byte) error {
	need, silent := append([]byte(nil), d.Deficits...), 0
	defer func() { // what it heard so does not count for the loss of multicast
		s.mu.Lock()
		d.Based = false
		s.mu.Unlock()
	}()
	for b := range s.l.Blocks() {
		g, idx := s.l.Place(b)
		if need[g] == 0 || !bit(missing, b) {
			continue
		}
		if err := s.gate(ctx); err != nil {
			return err
		}
		r := s.tellBlock(ctx, d.ID, g, idx)
		if err := ctx.Err(); err != nil {
			return err
		}
		if errors.Is(r.err, groupcomm.ErrGone) {
			silent = finishSilent
		}
		if !accepted(r) {
			if silent++; silent >= finishSilent {
				s.mu.Lock()
				s.unheard(d, r)
				s.mu.Unlock()
				return nil
			}
			continue
		}
		need[g]--
		silent = 0
		s.mu.Lock()
		d.Deficits[g] = need[g]
		s.mu.Unlock()
		s.show(false)
	}
	return nil
}

// tellBlock sends one block to one device.
func (s *Sender) tellBlock(ctx context.Context, id string, g, index int) reply {
	if err := s.due(ctx); err != nil {
		return reply{device: id, err: err}
	}
	start := s.p.Clock.Now()
	r := s.call(ctx, id, s.blockRequest(g, index))
	s.spend(start, 0)
	s.next = s.next.Add(s.air(r.answer.Sent))
	s.mu.Lock()
	s.st.Unicast++
	s.device(id).Alone++
	s.mu.Unlock()
	return r
}

// accepted reports whether a device took what it was told.
func accepted(r reply) bool { return r.err == nil && coap.Class(r.code()) == 2 }
