package rollout

import (
	"context"
	"math"
	"slices"
	"time"

	"lamplighter/internal/firmware"
)

const (
	aloneRounds  = 16 // after so many rounds of repair to all, the rest get theirs alone
	worstRounds  = 10 // after so many, those that lose much more than the others do
	verifyWait   = time.Second
	verifyChecks = 60
)

// repair asks what is missing and sends it, until every device has all or nothing
// more helps.
func (s *Sender) repair(ctx context.Context) error {
	if s.st.Phase != Verifying {
		return nil
	}
	asked := s.fresh
	s.fresh = false
	for checks := 0; ; {
		if !asked {
			fields := firmware.FieldProgress
			if s.st.Bitmap {
				fields |= firmware.FieldMissing
			}
			if err := s.survey(ctx, fields); err != nil {
				return err
			}
		}
		if err := s.newcomers(ctx); err != nil {
			return err
		}
		if err := s.openAgain(ctx); err != nil {
			return err
		}
		needy := s.needy()
		switch verifying := s.countState(Receiving) - len(needy); {
		case len(needy) > 0:
			toAll, err := s.round(ctx, needy)
			if err != nil {
				return err
			}
			asked = !toAll && !s.unknown()
		case verifying > 0 && checks < verifyChecks:
			checks++
			if err := s.verifying(ctx); err != nil {
				return err
			}
			asked = true
		case verifying > 0:
			s.giveUp(s.list(Receiving), reasonIntegrity)
		default:
			return s.enter(Switching)
		}
	}
}

// needy are the devices that lack blocks.
func (s *Sender) needy() (ids []string) {
	for _, id := range s.list(Receiving) {
		if s.device(id).lacks() > 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// unknown reports whether a device takes blocks and was not heard lately.
func (s *Sender) unknown() bool {
	return slices.ContainsFunc(s.list(Receiving), func(id string) bool { return s.device(id).Deficits == nil })
}

// lacks is how many blocks a device lacks.
func (d *DeviceRecord) lacks() (n int) {
	for _, x := range d.Deficits {
		n += int(x)
	}
	return n
}

// openAgain offers manifest and opening to those that do not have the session.
func (s *Sender) openAgain(ctx context.Context) error {
	for _, id := range s.list(Waiting) {
		if err := s.gate(ctx); err != nil {
			return err
		}
		if err := s.offerOne(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// verifying waits for devices that have all blocks and compute the digest.
func (s *Sender) verifying(ctx context.Context) error {
	if err := s.sleep(ctx, s.p.Clock.Now().Add(verifyWait)); err != nil {
		return err
	}
	return s.checkAll(ctx, s.list(Receiving), firmware.FieldProgress)
}

// revive asks those that were silent once more, also those that were so when the
// plan was made, and brings those that answer to where the others are. The others do
// not wait for it.
func (s *Sender) revive(ctx context.Context) error {
	if s.st.Phase != Switching {
		return nil
	}
	var ids []string
	s.mu.Lock()
	for _, id := range s.leftSilent() {
		s.rejoin(s.device(id))
	}
	s.mu.Unlock()
	if err := s.newcomers(ctx); err != nil {
		return err
	}
	for _, id := range s.list(Silent) {
		if !s.device(id).Executed {
			ids = append(ids, id)
		}
	}
	if err := s.checkAll(ctx, ids, firmware.FieldProgress); err != nil || s.taking()+s.countState(Verified) == 0 {
		return err
	}
	s.mu.Lock()
	s.fresh, s.st.Phase = true, Verifying // they were asked just now
	s.mu.Unlock()
	if err := s.repair(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	for _, id := range s.list(Verified) {
		if d := s.device(id); d.Reason == nil && d.Wave >= 0 {
			s.st.Wave = min(s.st.Wave, d.Wave)
		}
	}
	s.mu.Unlock()
	return s.switchAll(ctx)
}

func (s *Sender) checkAll(ctx context.Context, ids []string, fields firmware.Field) error {
	of := s.st.Sent
	replies := s.callTwice(ctx, ids, fetchRequest(fields, s.st.Session, 0))
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	for _, r := range replies {
		s.take(s.device(r.device), r, of)
	}
	s.mu.Unlock()
	return s.keep()
}

func (s *Sender) giveUp(ids []string, why *Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		s.fail(s.device(id), Broken, why)
	}
}

// round repairs once: parity to all for most, blocks to single devices where that
// takes fewer bytes. It reports whether anything went to all.
func (s *Sender) round(ctx context.Context, needy []string) (toAll bool, err error) {
	s.mu.Lock()
	s.st.Round++
	s.mu.Unlock()
	alone, all := s.divide(needy)
	if len(all) > 0 {
		if s.st.Bitmap {
			err = s.sendMissing(ctx, all)
		} else {
			err = s.sendParity(ctx, all)
		}
		if err != nil {
			return true, err
		}
	}
	for _, id := range alone {
		if err := s.gate(ctx); err != nil {
			return true, err
		}
		if err := s.finish(ctx, id); err != nil {
			return true, err
		}
	}
	return len(all) > 0, s.keep()
}

// lossyAlone is from which loss on the acknowledgements of a device cost more than the
// others are spared by not hearing its blocks.
const lossyAlone = 0.15

// mostAlone is which part of the image a device gets alone at most without it being
// compared with what parity to all would take.
const mostAlone = 8

// deaf reports whether nothing of what went to the group arrived at a device since its
// session was opened: it gets all alone.
func (d *DeviceRecord) deaf() bool { return d.Heard == 0 || d.Span > 0 && d.Loss > 0.9 }

// divide says who gets blocks alone and who by multicast: two devices or fewer alone,
// which spares the others the work, unless they lose much; else the split that costs
// least;
// after several rounds those alone that lose much more than the others, as they would
// set the cost for all.
func (s *Sender) divide(needy []string) (alone, all []string) {
	lossy := func(id string) bool { return s.lossOf(s.device(id)) > lossyAlone }
	much := func(id string) bool {
		d := s.device(id)
		return !d.deaf() && d.lacks() > s.l.Blocks()/mostAlone
	}
	if len(needy) <= 2 && !slices.ContainsFunc(needy, lossy) && !slices.ContainsFunc(needy, much) || s.st.Round > aloneRounds {
		return needy, nil
	}
	alone, needy = s.beyondDecoder(needy)
	slices.SortStableFunc(needy, func(a, b string) int { return s.device(b).lacks() - s.device(a).lacks() })
	if best := s.cheapest(needy); best > 0 || s.st.Round <= worstRounds {
		return append(alone, needy[:best]...), needy[best:]
	}
	limit := 2*s.loss() + 0.05
	for _, id := range needy {
		if s.device(id).Loss > limit {
			alone = append(alone, id)
		} else {
			all = append(all, id)
		}
	}
	return alone, all
}

// beyondDecoder parts the devices that lack more of a generation than their decoders
// hold, which need source blocks, and those that hear nothing of what goes to all.
func (s *Sender) beyondDecoder(needy []string) (alone, others []string) {
	for _, id := range needy {
		if d := s.device(id); !s.st.Bitmap && uint(slices.Max(d.Deficits)) > d.Parity || d.Span > 0 && d.deaf() {
			alone = append(alone, id)
		} else {
			others = append(others, id)
		}
	}
	return alone, others
}

// idle is how much of the time in which one device's acknowledgement is waited for
// counts as bytes that could have been sent.
const idle = 0.25

// cheapest is how many of the devices, the ones that lack most first, get theirs
// alone at the least cost: in bytes, and in waiting for those who acknowledge.
func (s *Sender) cheapest(needy []string) (best int) {
	pair, group := float64(s.st.Block+overheadPairwise), float64(s.st.Block+overheadGroup)
	costs := make([]float64, len(needy)+1) // of multicast to needy[i:]
	worst := make([]float64, s.l.Generations())
	for i := len(needy) - 1; i >= 0; i-- {
		d := s.device(needy[i])
		sum := 0.0
		for g, n := range d.Deficits {
			worst[g] = max(worst[g], math.Ceil(float64(n)/(1-s.repairs(d))))
			sum += worst[g]
		}
		costs[i] = sum*group + s.askBytes(len(needy)-i)
	}
	least, alone := costs[0], 0.0
	for i, id := range needy {
		d := s.device(id)
		arrives := (1 - s.lossOf(d)) * (1 - s.lossOf(d)) // the block, and that it did
		wait := idle * retransmitted.Seconds() * s.st.Rate / 8 * (1 - arrives)
		alone += float64(d.lacks())*(pair+wait)/arrives + overheadPairwise
		if cost := alone + costs[i+1]; cost < least {
			least, best = cost, i+1
		}
	}
	return best
}

func (s *Sender) sweepBytes() float64 {
	return overheadGroup + float64(s.answer*(len(s.st.Devices)-s.countState(LeftOut)))
}

// askBytes is what asking so many devices again takes: each alone, or all at once.
func (s *Sender) askBytes(n int) float64 {
	return min(s.sweepBytes(), float64(n*(overheadPairwise+s.answer)))
}

// sendParity sends as many new parity blocks of each generation as the devices need,
// interleaved.
func (s *Sender) sendParity(ctx context.Context, ids []string) error {
	s.mu.Lock()
	for g := range s.st.Generations {
		s.st.Generations[g].Owed = uint(s.amount(ids, g))
	}
	s.mu.Unlock()
	if err := s.keep(); err != nil {
		return err
	}
	return s.proactive(ctx)
}

// sendMissing sends the source blocks that devices without a decoder lack.
func (s *Sender) sendMissing(ctx context.Context, ids []string) error {
	for _, b := range order(s.l) {
		lacking := slices.ContainsFunc(ids, func(id string) bool { return bit(s.device(id).missing, b) })
		if !lacking {
			continue
		}
		g, idx := s.l.Place(b)
		if err := s.block(ctx, g, idx); err != nil {
			return err
		}
	}
	return nil
}
