package updater

import (
	"bytes"
	"context"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
)

// fetchStatus answers with the parts that are asked for.
func (u *Updater) fetchStatus(_ context.Context, req *coap.Request) *coap.Message {
	r, err := firmware.ParseStatusRequest(req.Payload)
	if err != nil {
		return problem(refuse(errMalformed, "This asks for no status: %v.", err))
	}
	if open := u.rec.Session; r.Absent && req.Multicast && open != nil && bytes.Equal(r.Session, open.ID) {
		return nil
	}
	s := u.status(r)
	return coap.Respond(coap.Content, coap.FormatCBOR, s.Append(nil))
}

// getStatus answers with all that changes nothing.
func (u *Updater) getStatus(context.Context, *coap.Request) *coap.Message {
	s := u.status(firmware.StatusRequest{
		Fields: firmware.FieldRunning | firmware.FieldProgress | firmware.FieldAbility | firmware.FieldFeeder,
	})
	return coap.Respond(coap.Content, coap.FormatCBOR, s.Append(nil))
}

// Status answers as a FETCH of these fields does: a nonce is given, too.
func (u *Updater) Status(fields firmware.Field) firmware.Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.status(firmware.StatusRequest{Fields: fields})
}

func (u *Updater) status(r firmware.StatusRequest) firmware.Status {
	s := firmware.Status{State: u.state()}
	s.Left = u.left()
	open := u.rec.Session
	if open != nil && open.Phase == verified {
		s.Ready = open.Manifest.Image.Digest[:firmware.DigestSize]
	}
	mine := open != nil && (len(r.Session) == 0 || bytes.Equal(r.Session, open.ID))
	if r.Fields&firmware.FieldRunning != 0 {
		running := u.runningNow()
		s.Running = &running
	}
	if r.Fields&firmware.FieldProgress != 0 {
		s.Result, _ = u.result()
		if mine {
			s.Session, s.Heard, s.Last = open.ID, uint(u.rx.heard), u.rx.last
			s.Deficits = u.deficits()
		}
	}
	if r.Fields&firmware.FieldMissing != 0 && mine && open.Phase == receiving {
		s.Session, s.Missing = open.ID, u.rx.bitmap()
	}
	if r.Fields&firmware.FieldAbility != 0 {
		s.Ability = u.ability()
	}
	if r.Fields&firmware.FieldNonce != 0 {
		s.Nonce = u.newNonce()
	}
	if r.Fields&firmware.FieldFeeder != 0 && u.rx != nil && u.rx.feeder != nil {
		s.Feeder = u.rx.feeder
		s.FedAgo = uint(max(0, u.cfg.Now().Sub(u.rx.fed)/time.Second))
	}
	return s
}

// deficits are zeros once the slot is verified, whatever the bitmaps say.
func (u *Updater) deficits() []byte {
	if u.rec.Session.Phase == verified {
		return make([]byte, len(u.rx.have))
	}
	return u.rx.deficits()
}

// left is how many milliseconds it is until a switch, or until an image that is
// tested is given up.
func (u *Updater) left() uint {
	var at time.Time
	switch {
	case u.testing:
		at = u.deadline
	case u.switching != nil:
		at = u.switching.at
	default:
		return 0
	}
	return uint(max(0, at.Sub(u.cfg.Now())/time.Millisecond))
}

func (u *Updater) ability() *firmware.Ability {
	c := u.cfg
	a := &firmware.Ability{
		Block: uint(c.Ability.Block), K: uint(c.Ability.K), Parity: uint(c.Ability.Parity),
		Slot: uint64(u.areas.slot), Vendor: c.Vendor, Class: c.Class, Minimum: u.rec.Minimum,
		Anchors: [][]byte{}, Hardware: c.Hardware,
	}
	for _, key := range c.Anchors {
		a.Anchors = append(a.Anchors, key.COSEKey())
	}
	return a
}

// tellable says whether a sender could read what the device would say of itself: one
// that cannot be read can never be updated.
func tellable(a *firmware.Ability) bool {
	s := firmware.Status{Ability: a}
	_, err := firmware.ParseStatus(s.Append(nil))
	return err == nil
}

// getReport tells how the latest session ended.
func (u *Updater) getReport(context.Context, *coap.Request) *coap.Message {
	result, reason := u.result()
	r := firmware.Report{
		Session: []byte{}, Result: result, Sequence: u.runs.Sequence, From: u.rec.From,
		Boots: u.rec.Boots, Reason: reason,
	}
	if u.refused.result == firmware.ResultNone && u.rec.Last != nil {
		r.Session = u.rec.Last
	}
	return coap.Respond(coap.Content, coap.FormatCBOR, r.Append(nil))
}
