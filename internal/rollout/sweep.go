package rollout

import (
	"context"
	"errors"
	"slices"
	"time"

	"lamplighter/internal/firmware"
	"lamplighter/internal/groupcomm"
)

// sweepSlack is what the answers to a sweep may be late beyond their spread and two
// round trips. Who is later is asked alone.
const sweepSlack = 500 * time.Millisecond

// gather asks all by one request to the group and returns who answered.
func (s *Sender) gather(ctx context.Context, fields firmware.Field, n int) (map[string]reply, error) {
	if err := s.gate(ctx); err != nil {
		return nil, err
	}
	return s.askAll(ctx, fields, n)
}

// askAll is gather whatever somebody wants meanwhile.
func (s *Sender) askAll(ctx context.Context, fields firmware.Field, n int) (map[string]reply, error) {
	if err := s.due(ctx); err != nil {
		return nil, err
	}
	spread := max(s.spread(n), time.Millisecond)
	req, of := fetchRequest(fields, s.st.Session, uint(spread.Milliseconds())), s.st.Sent
	got, size, heard := map[string]reply{}, 0, 0
	err := unpaused(ctx, s.p.Clock, func() error {
		return s.p.Group.Ask(ctx, req, spread+2*s.rtt+sweepSlack, func(a groupcomm.Answer) {
			r := reply{device: a.Device, answer: a, of: of}
			r.read()
			if r.problem() == nil { // a challenge is met when the device is asked alone
				got[a.Device] = r
			}
			size, heard = size+a.Size, heard+1
			s.count(a.Sent + a.Size)
		})
	})
	if err != nil {
		return nil, err
	}
	if size > 0 {
		s.answer = size / heard
	}
	return got, ctx.Err()
}

// survey asks what is missing. Those that have the image are asked no more when the
// others, each alone, take fewer bytes than a request to all.
func (s *Sender) survey(ctx context.Context, fields firmware.Field) error {
	rest := s.list(Waiting, Receiving)
	if s.st.Sweeps == 0 || float64(len(rest))*float64(overheadPairwise+s.answer) > s.sweepBytes() {
		_, err := s.sweep(ctx, fields, true)
		return err
	}
	s.mu.Lock()
	if s.swept != s.st.Sent { // else it goes on with those that were not heard
		s.st.Sweeps++
	}
	s.swept = s.st.Sent
	s.mu.Unlock()
	for range soonTries {
		var err error
		if rest, err = s.checkSoon(ctx, rest, firmware.FieldProgress|firmware.FieldMissing); err != nil || len(rest) == 0 || len(s.needy()) > 0 {
			return err
		}
	}
	return s.checkAll(ctx, rest, firmware.FieldProgress|firmware.FieldMissing)
}

// soonTries is how often devices are asked with little time to answer, which finds
// those that lose much, before they are given all of RFC 7252's retransmissions.
const soonTries = 6

// leastPatience is what a device has at least to answer when others wait for blocks.
// RFC 7252, Section 4.8.1 wants a retransmission no sooner.
const leastPatience = time.Second

// checkSoon asks each of the devices, and returns those that did not answer within a
// few round trips: what they lack is not known then.
func (s *Sender) checkSoon(ctx context.Context, ids []string, fields firmware.Field) (unheard []string, err error) {
	s.mu.Lock()
	p, of := s.p, s.st.Sent
	p.Group = hasty{p.Group, max(4*s.rtt, leastPatience)}
	s.mu.Unlock()
	replies := callAll(ctx, &p, ids, fetchRequest(fields, s.st.Session, 0))
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for i := range replies {
		s.note(&replies[i])
	}
	s.mu.Lock()
	for _, r := range replies {
		if d := s.device(r.device); errors.Is(r.err, context.DeadlineExceeded) {
			d.Deficits, d.missing = nil, nil
			unheard = append(unheard, r.device)
		} else {
			s.take(d, r, of)
		}
	}
	s.mu.Unlock()
	return unheard, s.keep()
}

// sweep asks all what they lack, and each that stays silent on its own. With later
// the silent ones may wait while others lack blocks: they are asked with these.
func (s *Sender) sweep(ctx context.Context, fields firmware.Field, later bool) (map[string]reply, error) {
	of := s.st.Sent
	got, err := s.gather(ctx, fields, len(s.st.Devices))
	if err != nil {
		return nil, err
	}
	var silent []string
	for _, id := range s.list(Waiting, Receiving, Verified, Switched, OnTest) {
		if _, ok := got[id]; !ok {
			silent = append(silent, id)
		}
	}
	if later && lacking(got) {
		s.mu.Lock()
		for _, id := range silent {
			d := s.device(id)
			d.Deficits, d.missing = nil, nil // what it lacked once says nothing
		}
		s.mu.Unlock()
		silent = nil
	}
	for _, r := range s.callAll(ctx, silent, fetchRequest(fields, s.st.Session, 0)) {
		got[r.device] = r
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.st.Sweeps++
	s.swept = s.st.Sent
	for i := range s.st.Devices {
		if r, ok := got[s.st.Devices[i].ID]; ok {
			s.take(&s.st.Devices[i], r, of)
		}
	}
	s.sample()
	s.mu.Unlock()
	if err := s.keep(); err != nil {
		return nil, err
	}
	s.show(true)
	return got, nil
}

// lacking reports whether one of those that answered lacks blocks.
func lacking(got map[string]reply) bool {
	for _, r := range got {
		if slices.ContainsFunc(r.status.Deficits, func(n byte) bool { return n > 0 }) {
			return true
		}
	}
	return false
}

// resync asks the devices of a session that goes on what they have. Source blocks
// that most of them lack are those that were not sent yet; the rest is a matter of
// repair.
func (s *Sender) resync(ctx context.Context) error {
	got, err := s.sweep(ctx, firmware.FieldProgress|firmware.FieldMissing|firmware.FieldRunning, false)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.untended(got)
	s.mu.Unlock()
	if err := s.newcomers(ctx); err != nil {
		return err
	}
	if s.st.Phase == Switching && s.taking() == 0 {
		return nil
	}
	s.mu.Lock()
	todo := s.unsent(got)
	clear(s.st.Todo)
	for g := range s.st.Generations { // what is lacking now says better what to send
		s.st.Generations[g].Owed, s.st.Generations[g].Open = 0, false
	}
	for _, b := range todo {
		setBit(s.st.Todo, b, true)
	}
	s.st.Phase, s.st.Offers = Sending, len(offerAfter)
	if len(todo) == 0 {
		s.st.Phase = Verifying
	}
	switch without := s.countState(Waiting); { // the opening is said to all again
	case without > 2:
		s.st.Offers = 0
	case without > 0:
		s.roll.due = true
	}
	s.mu.Unlock()
	return s.keep()
}

// unsent are the blocks that most devices lack; none when only one or two devices
// take any, as they get theirs alone.
func (s *Sender) unsent(got map[string]reply) (blocks []int) {
	if s.taking() <= 2 {
		return nil
	}
	lack, holders := make([]int, s.l.Blocks()), 0
	for i := range s.st.Devices {
		d := &s.st.Devices[i]
		if d.State != Receiving && d.State != Verified {
			continue
		}
		r, ok := got[d.ID]
		if !ok || d.State == Receiving && len(r.status.Missing) != (len(lack)+7)/8 {
			continue
		}
		holders++
		if d.State == Receiving {
			s.countMissing(lack, d, r.status.Missing)
		}
	}
	for b, n := range lack {
		if n*2 > holders || holders == 0 {
			blocks = append(blocks, b)
		}
	}
	return blocks
}

// countMissing counts what a device lacks of generations that are not complete.
func (s *Sender) countMissing(lack []int, d *DeviceRecord, missing []byte) {
	for b := range lack {
		if g, _ := s.l.Place(b); bit(missing, b) && d.Deficits[g] > 0 {
			lack[b]++
		}
	}
}
