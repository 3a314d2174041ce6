package updater

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
)

// nonce is what the device gave and a switch quotes. There is one at a time; it is
// not kept over a restart.
type nonce struct {
	value []byte // nil: none, or used
	given time.Time
}

// switching is a switch that is to come. One that is scheduled is not kept over a
// restart, as the device has no clock that goes on; one that is to happen at once is.
type switching struct {
	nonce  []byte // what quotes it may correct the time
	within uint
	at     time.Time
}

// grace is how long an answer has to leave before the device restarts.
const grace = 500 * time.Millisecond

// newNonce gives a nonce; the one before is void.
func (u *Updater) newNonce() []byte {
	u.nonce = nonce{}
	value := make([]byte, firmware.NonceSize)
	if _, err := io.ReadFull(u.cfg.Rand, value); err != nil {
		u.log.Error("no randomness for a nonce", "err", err)
		return nil
	}
	u.nonce = nonce{value, u.cfg.Now()}
	return value
}

// postActivate switches, confirms, reverts or cancels. Who is not named by a nonce
// stays silent to a group.
func (u *Updater) postActivate(_ context.Context, req *coap.Request) *coap.Message {
	r, err := firmware.ParseActivateRequest(req.Payload)
	if err != nil {
		return problem(refuse(errMalformed, "This switches nothing: %v.", err))
	}
	if err := u.activate(&r); err != nil {
		return problem(err)
	}
	return done(coap.Changed)
}

// activate uses the nonce up, whatever comes of the request.
func (u *Updater) activate(r *firmware.ActivateRequest) error {
	if w := u.switching; w != nil && r.Mode == firmware.ModeTest && r.Quotes(w.nonce) {
		if err := u.switchable(r); err != nil {
			return err
		}
		return u.schedule(r, w.nonce)
	}
	n := u.nonce
	if age := u.cfg.Now().Sub(n.given); age < 0 || age > firmware.NonceLife*time.Second { // below 0: the clock was set back
		u.nonce, n = nonce{}, nonce{}
	}
	if !r.Quotes(n.value) {
		return refuse(errBefore, "The request quotes no nonce that the device gave and that still counts: ask for one.")
	}
	u.nonce = nonce{}
	if !u.restart.IsZero() {
		return refuse(errRestart, "The device is about to restart.")
	}
	switch r.Mode {
	case firmware.ModeTest:
		if err := u.switchable(r); err != nil {
			return err
		}
		if err := u.disarm(); err != nil {
			return err
		}
		return u.schedule(r, n.value)
	case firmware.ModeConfirm:
		return u.confirm(r)
	case firmware.ModeRevert:
		return u.revert(r)
	}
	return u.cancel(r)
}

// matches holds a request to the open session and its image.
func (u *Updater) matches(r *firmware.ActivateRequest) error {
	s := u.rec.Session
	switch {
	case s == nil || !bytes.Equal(s.ID, r.Session):
		return refuse(errBefore, "This session is not open.")
	case s.Phase != verified:
		return refuse(errBefore, "The image is not complete, or not verified yet.")
	case !bytes.Equal(s.Manifest.Image.Digest[:firmware.DigestSize], r.Digest):
		return refuse(errBefore, "The digest is not that of the image.")
	}
	return nil
}

// switchable says why the device cannot switch as asked. What is refused takes nothing
// back of a switch that is scheduled.
func (u *Updater) switchable(r *firmware.ActivateRequest) error {
	if err := u.matches(r); err != nil {
		return err
	}
	if u.testing {
		return refuse(errConflict, "The device runs the image already.")
	}
	if now := u.cfg.Now(); r.At > 0 && r.At > uint64(now.Unix())+firmware.MaxIn {
		return refuse(errMalformed, "A switch is at most a day away; the device's clock says %s.", now.UTC().Format(time.DateTime))
	}
	return nil
}

// schedule sets the time of a switch, or corrects it: of what repeats one request
// the earliest time counts. A message that was held back on its way names a later
// one, as it says how long it is until then.
func (u *Updater) schedule(r *firmware.ActivateRequest, quoted []byte) error {
	now := u.cfg.Now()
	w := switching{nonce: quoted, within: r.Within, at: now.Add(time.Duration(r.In) * time.Millisecond)}
	if w.within == 0 {
		w.within = firmware.DefaultConfirm
	}
	if r.At > 0 {
		w.at = time.Unix(int64(r.At), 0)
	}
	if old := u.switching; old != nil {
		if old.within != w.within {
			return refuse(errConflict, "A switch is scheduled with another time to confirm it: cancel that first.")
		}
		if old.at.Before(w.at) {
			w.at = old.at
		}
	}
	if u.rec.Trial == nil && w.at.Sub(now) < grace { // at once
		if err := u.arm(&w); err != nil {
			return err
		}
		w.at = now.Add(grace)
	}
	u.switching = &w
	u.log.Info("a switch is scheduled", "at", w.at, "within", w.within)
	return nil
}

// arm tells the boot loader to test the image.
func (u *Updater) arm(w *switching) error {
	next := u.rec.clone()
	next.Trial = &trial{Within: w.within}
	return u.commit(next)
}

// confirm keeps the image that is tested, and raises the minimum: from then on there
// is no way back.
func (u *Updater) confirm(r *firmware.ActivateRequest) error {
	if !u.testing {
		if u.rec.Result == firmware.ResultSuccess && bytes.Equal(u.rec.Last, r.Session) {
			return nil
		}
		return refuse(errConflict, "The device tests no image.")
	}
	if err := u.matches(r); err != nil {
		return err
	}
	next := u.rec.clone()
	next.From = next.Image.Sequence
	next.Slot, next.Image = 1-next.Slot, next.Session.Manifest.Image
	next.Minimum = max(next.Minimum, next.Image.Sequence)
	next.end(firmware.ResultSuccess, "")
	if err := u.commit(next); err != nil {
		return err
	}
	u.testing = false
	u.log.Info("the new image is confirmed", "sequence", next.Image.Sequence)
	return nil
}

// revert goes back to the image before while the new one is tested.
func (u *Updater) revert(r *firmware.ActivateRequest) error {
	if !u.testing {
		if u.rec.Result == firmware.ResultReverted && bytes.Equal(u.rec.Last, r.Session) {
			return nil
		}
		return refuse(errConflict, "The device tests no image: there is no way back from one that is confirmed.")
	}
	if err := u.matches(r); err != nil {
		return err
	}
	if err := u.giveUp("The new image was taken back on request."); err != nil {
		return err
	}
	u.restart = u.cfg.Now().Add(grace)
	return nil
}

// giveUp ends a test; the boot before runs after a restart.
func (u *Updater) giveUp(reason string) error {
	next := u.rec.clone()
	next.end(firmware.ResultReverted, reason)
	if err := u.commit(next); err != nil {
		return fmt.Errorf("giving up the new image: %w", err)
	}
	u.testing = false
	u.log.Info("the new image is given up", "why", reason)
	return nil
}

// cancel takes back a switch that has not begun.
func (u *Updater) cancel(r *firmware.ActivateRequest) error {
	if err := u.matches(r); err != nil {
		return err
	}
	if u.testing {
		return refuse(errConflict, "The device runs the image already: revert it.")
	}
	return u.disarm()
}

// disarm takes back a switch that is to come, also from the boot loader.
func (u *Updater) disarm() error {
	if u.rec.Trial != nil && !u.testing {
		next := u.rec.clone()
		next.Trial = nil
		if err := u.commit(next); err != nil {
			return err
		}
	}
	u.switching = nil
	return nil
}
