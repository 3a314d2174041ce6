package rollout

import (
	"bytes"
	"errors"
	"slices"

	"lamplighter/internal/firmware"
	"lamplighter/internal/groupcomm"
)

// take brings a device's record up to what it says. of is how many blocks had been
// sent to the group when it was asked. Under mu.
func (s *Sender) take(d *DeviceRecord, r reply, of int) {
	if d == nil || d.final() {
		s.comeback(d, r)
		return
	}
	if why := r.problem(); why != nil {
		s.unheard(d, r)
		return
	}
	if d.State == Silent { // it is back
		d.State, d.Reason = Waiting, nil
		if s.st.ProblemDevice == d.ID {
			s.st.Problem, s.st.ProblemDevice = nil, ""
		}
	}
	st := &r.status
	if st.Running != nil {
		d.Version, d.Boots = st.Running.Version, st.Running.Boots
	}
	mine := bytes.Equal(st.Session, s.st.Session)
	switch {
	case s.runsNew(st) && st.State == firmware.Testing:
		d.State, d.Executed = OnTest, true
	case s.runsNew(st):
		d.State, d.Reason = Confirmed, nil
	case mine && st.State == firmware.Updating:
		d.State, d.Executed = Switched, true
	case mine && st.State == firmware.Downloaded:
		s.takeReady(d, st)
	case mine && st.State == firmware.Downloading:
		s.takeProgress(d, st, of)
	case d.State != Switched && d.State != OnTest: // [Sender.look] says what became of those
		s.takeOther(d, st, of)
	}
}

// runsNew reports whether the status says that the new image runs.
func (s *Sender) runsNew(st *firmware.Status) bool {
	return st.Running != nil && st.Running.Sequence == s.p.Manifest.Sequence && bytes.Equal(st.Running.Digest, s.p.digest())
}

// takeReady holds a device that has all to the digest of the image.
func (s *Sender) takeReady(d *DeviceRecord, st *firmware.Status) {
	if !bytes.Equal(st.Ready, s.p.digest()) {
		s.fail(d, Broken, reasonLies)
		return
	}
	d.State, d.Deficits = Verified, make([]byte, s.l.Generations())
}

// takeProgress notes what a device lacks and how much of what was sent it heard.
func (s *Sender) takeProgress(d *DeviceRecord, st *firmware.Status, of int) {
	if len(st.Deficits) != s.l.Generations() {
		s.fail(d, Broken, reasonRefused.With("(It counts %d generations.)", len(st.Deficits)))
		return
	}
	d.State, d.Deficits, d.missing = Receiving, slices.Clone(st.Deficits), st.Missing
	if d.Based {
		of = s.reached(st, of)
	}
	n := of - int(d.HeardOf)
	if d.Based && n < leastWindow {
		return // too few for a measurement: the window stays open
	}
	if d.Based {
		loss := 1 - float64(int(st.Heard)-int(d.Heard))/float64(n)
		d.Loss = min(max((d.Loss*float64(d.Span)+loss*float64(n))/float64(d.Span+uint(n)), 0), 1)
		d.Span += uint(n)
	}
	d.Heard, d.HeardOf, d.Based = st.Heard, uint(of), true
}

// mostLag is how many blocks at most are taken to be on their way to a device, or to
// wait there to be read.
const mostLag = 64

// reached is how many of the blocks that had been sent to the group can have been
// counted by a device: those up to the latest that it has. What came after that is
// lost or on its way, and nobody knows yet.
func (s *Sender) reached(st *firmware.Status, of int) int {
	at, known := s.places[st.Last]
	if st.Last == 0 || at > of {
		return of
	}
	if !known { // a sender before sent it: what this one has sent may all be on its way
		at = 0
	}
	return max(at, of-mostLag)
}

// takeOther deals with a device that does not have the session open: it was not
// heard or dropped it, and is offered it again; what ended it by itself is final.
func (s *Sender) takeOther(d *DeviceRecord, st *firmware.Status, of int) {
	if d.Again { // what it says is of the try before
		d.Again, d.Before = false, st.Result
	}
	why := ofResult(st.Result)
	switch {
	case why != nil && (st.Result != d.Before || d.Tries > 0) && st.Result != firmware.ResultCanceled && st.Result != firmware.ResultExpired:
		s.fail(d, Broken, why)
	case st.State == firmware.Testing:
		s.fail(d, Broken, reasonTesting)
	case d.Tries >= mostOffers:
		s.fail(d, Broken, reasonExpired)
	default:
		d.State, d.Deficits = Waiting, nil
		d.Heard, d.HeardOf, d.Based = 0, uint(of), true
	}
}

// unheard notes that a device did not answer. Under mu.
func (s *Sender) unheard(d *DeviceRecord, r reply) {
	switch {
	case errors.Is(r.err, groupcomm.ErrGone):
		s.fail(d, LeftOut, reasonGone)
	case d.State == Waiting || d.State == Receiving:
		s.fail(d, Silent, r.problem())
	}
}

// comeback lets a device in that was silent when the plan was made.
func (s *Sender) comeback(d *DeviceRecord, r reply) {
	if d != nil && d.leftSilent() && r.problem() == nil {
		s.rejoin(d)
	}
}

// leftSilent reports whether a device was left out because it did not answer.
func (d *DeviceRecord) leftSilent() bool {
	return d.State == LeftOut && d.Reason != nil && d.Reason.ID == reasonSilent.ID
}

func (s *Sender) leftSilent() (ids []string) {
	for _, id := range s.list(LeftOut) {
		if s.device(id).leftSilent() {
			ids = append(ids, id)
		}
	}
	return ids
}

// rejoin lets a device be looked at as one that has just joined. Under mu.
func (s *Sender) rejoin(d *DeviceRecord) {
	s.ctl.joins = append(s.ctl.joins, Device{ID: d.ID, Name: d.Name, Zone: d.Zone, Emergency: d.Emergency})
}

// final reports whether nothing changes any more.
func (d *DeviceRecord) final() bool {
	switch d.State {
	case LeftOut, Confirmed, Reverted, Broken:
		return true
	case Silent:
		return d.Executed
	}
	return false
}
