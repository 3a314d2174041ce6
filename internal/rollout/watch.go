package rollout

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"lamplighter/internal/firmware"
	"lamplighter/internal/groupcomm"
)

const (
	watchFirst = time.Second // between two looks at devices that switch, at first
	watchLast  = 15 * time.Second
	lookFields = firmware.FieldRunning | firmware.FieldProgress | firmware.FieldNonce
	lookAtOnce = 16 // devices that are asked one by one until what they say is acted on

	confirmAtOnce = 64 // devices that are probed until they are confirmed
	mostSwitch    = 3  // how often one device is told to switch
	mostProbes    = 3  // how often a probe may fail
)

// watch looks after devices that were told to switch until each is confirmed, has
// gone back, or counts as lost. A pause does not stop it.
func (s *Sender) watch(ctx context.Context, ids []string) error {
	if err := s.sleepBusy(ctx, s.p.Clock.Now().Add(noBootYet)); err != nil {
		return err
	}
	told := map[string]int{}
	for every := watchFirst; len(ids) > 0; every = min(every*3/2, watchLast) {
		if err := s.lookRound(ctx, ids, told); err != nil {
			return err
		}
		if ids = s.under(ids); len(ids) == 0 {
			break
		}
		if err := s.sleepBusy(ctx, s.p.Clock.Now().Add(every)); err != nil {
			return err
		}
	}
	return s.keep()
}

// under are those of the devices that still are on their way; the ones that answered
// before come first.
func (s *Sender) under(ids []string) (still []string) {
	for _, state := range []DeviceState{OnTest, Switched} {
		for _, id := range ids {
			if s.device(id).State == state {
				still = append(still, id)
			}
		}
	}
	return still
}

// lookRound asks all devices once: by one request to the group when they are a good
// part of it, then those that are left a few at a time, as each that does not answer
// takes long.
func (s *Sender) lookRound(ctx context.Context, ids []string, told map[string]int) error {
	if s.many(ids) {
		got, err := s.gather(ctx, lookFields, len(s.st.Devices))
		if err != nil {
			return err
		}
		var replies []reply
		for _, id := range ids {
			if r, ok := got[id]; ok && r.problem() == nil {
				replies = append(replies, r)
			}
		}
		if err := s.lookAt(ctx, replies, told); err != nil {
			return err
		}
		if ids = s.under(ids); len(replies) > 0 && s.many(ids) {
			return nil // the next round may ask all again
		}
	}
	for part := range slices.Chunk(ids, lookAtOnce) {
		replies := s.callAll(ctx, part, fetchRequest(lookFields, s.st.Session, 0))
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.lookAt(ctx, replies, told); err != nil {
			return err
		}
	}
	return nil
}

// many reports whether a request to all is cheaper than one to each of the devices.
func (s *Sender) many(ids []string) bool {
	return len(ids) > fewNonces && 4*len(ids) > len(s.st.Devices)
}

// verdict is what is to be done about a device after a look at it.
type verdict uint8

const (
	wait verdict = iota
	confirm
	again // it has to be told to switch once more
	back  // it has to be told to go back
)

// lookAt takes what devices say of where they stand, and does what that asks for.
func (s *Sender) lookAt(ctx context.Context, replies []reply, told map[string]int) error {
	var confirms, repeats []reply
	var backs []string
	s.mu.Lock()
	for _, r := range replies {
		switch s.look(s.device(r.device), r) {
		case confirm:
			confirms = append(confirms, r)
		case again:
			repeats = append(repeats, r)
		case back:
			backs = append(backs, r.device)
		}
	}
	s.mu.Unlock()
	for _, id := range backs {
		if err := s.sendBack(ctx, id); err != nil {
			return err
		}
	}
	for _, r := range repeats {
		if err := s.tellAgain(ctx, r, told); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(confirms, confirmAtOnce) {
		if err := s.confirmAll(ctx, part); err != nil {
			return err
		}
	}
	if err := s.keep(); err != nil {
		return err
	}
	s.show(true)
	return nil
}

// look says what a device's answer means. Under mu.
func (s *Sender) look(d *DeviceRecord, r reply) verdict {
	st := &r.status
	late := s.p.Clock.Now().After(d.SwitchBy.Add(lostGrace))
	if errors.Is(r.err, groupcomm.ErrGone) {
		s.fail(d, LeftOut, reasonGone)
		return wait
	}
	if r.problem() != nil || st.Running == nil {
		if late {
			s.fail(d, Silent, reasonLost)
		}
		return wait
	}
	d.Version = st.Running.Version
	switch {
	case s.runsNew(st) && st.State == firmware.Testing:
		d.State = OnTest
		if d.Reason != nil { // its probe failed
			return back
		}
		return confirm
	case s.runsNew(st):
		d.State, d.Reason, d.Boots = Confirmed, nil, st.Running.Boots
	case st.State == firmware.Updating:
		if late {
			s.fail(d, Broken, reasonNoSwitch)
		}
	case d.State == Switched && s.holds(st):
		return again
	case st.State == firmware.Downloaded && bytes.Equal(st.Session, s.st.Session) && !bytes.Equal(st.Ready, s.p.digest()):
		s.fail(d, Broken, reasonLies)
	default: // the image before runs
		why := d.Reason
		if why == nil {
			why = wentBack(st)
		}
		s.fail(d, Reverted, why)
	}
	return wait
}

// wentBack says why a device runs the image before.
func wentBack(st *firmware.Status) *Reason {
	if why := ofResult(st.Result); why != nil && st.Result != firmware.ResultCanceled && st.Result != firmware.ResultExpired {
		return why
	}
	return reasonReverted
}

// tellAgain tells a device to switch that has missed it or has restarted since.
func (s *Sender) tellAgain(ctx context.Context, r reply, told map[string]int) error {
	if told[r.device]++; told[r.device] > mostSwitch {
		s.mu.Lock()
		s.fail(s.device(r.device), Broken, reasonNoSwitch)
		s.mu.Unlock()
		return nil
	}
	in := max(0, s.st.Options.At.Sub(s.p.Clock.Now())) // until the time that was set
	s.call(ctx, r.device, s.activate(firmware.ModeTest, in, r.status.Nonce))
	s.mu.Lock()
	s.device(r.device).SwitchBy = s.p.Clock.Now().Add(in + s.st.Options.ConfirmWithin)
	s.mu.Unlock()
	return ctx.Err()
}

// confirmAll probes devices that run the new image on test, and tells them to keep
// it.
func (s *Sender) confirmAll(ctx context.Context, replies []reply) error {
	failed := make([]error, len(replies))
	if s.p.Probe != nil {
		each(len(replies), s.p.Parallel, func(i int) { failed[i] = s.p.Probe(ctx, replies[i].device) })
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var good []reply
	for i, r := range replies {
		if failed[i] == nil {
			good = append(good, r)
		} else if err := s.probeFailed(ctx, r.device, failed[i]); err != nil {
			return err
		}
	}
	if len(good) > fewNonces {
		return s.confirmTogether(ctx, good)
	}
	kept := make([]bool, len(good))
	each(len(good), s.p.Parallel, func(i int) {
		kept[i] = accepted(s.call(ctx, good[i].device, s.activate(firmware.ModeConfirm, 0, good[i].status.Nonce)))
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range good {
		if kept[i] {
			d := s.device(r.device)
			d.State, d.Reason, d.Boots = Confirmed, nil, r.status.Running.Boots
		}
	}
	return ctx.Err()
}

// confirmTogether confirms many devices by one message that quotes the nonce of each.
// The next look tells who has heard it.
func (s *Sender) confirmTogether(ctx context.Context, replies []reply) error {
	var nonces []byte
	for _, r := range replies {
		nonces = append(nonces, r.status.Nonce...)
	}
	return s.send(ctx, s.activate(firmware.ModeConfirm, 0, nonces), 2)
}

// probeFailed sends a device back that does not do its work, after a few probes.
func (s *Sender) probeFailed(ctx context.Context, id string, cause error) error {
	if s.probes[id]++; s.probes[id] < mostProbes {
		return nil
	}
	delete(s.probes, id)
	s.mu.Lock()
	s.device(id).Reason = reasonProbe.With("(%v.)", cause)
	s.mu.Unlock()
	return s.sendBack(ctx, id)
}

// sendBack tells a device on test to go back to the image before.
func (s *Sender) sendBack(ctx context.Context, id string) error {
	r := s.call(ctx, id, fetchRequest(firmware.FieldNonce, s.st.Session, 0))
	if r.err == nil && len(r.status.Nonce) > 0 {
		s.call(ctx, id, s.activate(firmware.ModeRevert, 0, r.status.Nonce))
	}
	return ctx.Err()
}

// each calls f for 0 to n-1, a few at a time.
func each(n, parallel int, f func(i int)) {
	if parallel == 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var all sync.WaitGroup
	slots := make(chan struct{}, parallel)
	for i := range n {
		slots <- struct{}{}
		all.Go(func() {
			f(i)
			<-slots
		})
	}
	all.Wait()
}
