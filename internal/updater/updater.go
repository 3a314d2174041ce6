package updater

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"lamplighter/internal/firmware"
)

// Updater is the receiver of firmware in a device. It is passive, and safe for
// concurrent use. What it acknowledges is durable, but for the last blocks.
type Updater struct {
	cfg   Config
	log   *slog.Logger
	areas areas

	mu        sync.Mutex
	journal   *journal
	rec       *record    // as the journal has it
	rx        *reception // of rec.Session
	opened    time.Time
	runs      image // what was started, of which slot
	slot      uint
	version   string
	testing   bool      // that is the image of rec.Session, not confirmed
	restart   time.Time // when the device restarts, the image being given up; zero: it does not
	deadline  time.Time // when an image that is tested is given up
	switched  time.Time
	nonce     nonce
	switching *switching // a switch that is to come
	refused   refusal    // why the latest manifest was refused; zero: it was not
	over      bool       // the device restarts
}

// refusal is a manifest that was not taken. It is not kept over a restart.
type refusal struct {
	result firmware.Result
	reason string
}

// commit makes a step durable and then takes it.
func (u *Updater) commit(next *record) error {
	if err := u.journal.append(next.payload()); err != nil {
		return err
	}
	u.adopt(next)
	return nil
}

func (u *Updater) adopt(next *record) {
	u.rec = next
	if next.Session == nil {
		u.rx, u.switching = nil, nil
	}
}

// receive makes the memory of the session in the record.
func (u *Updater) receive() {
	s, slot := u.rec.Session, 1-u.rec.Slot
	p := newPool(u.cfg.Flash, u.areas.pool, u.areas.poolSize, s.Block)
	p.epoch = u.rec.Epoch
	u.rx = newReception(u.cfg.Flash, u.areas.slots[slot], s, p)
	u.rx.fed = u.cfg.Now()
}

func (u *Updater) bitmap(g int) bitmap {
	return bitmap{epoch: u.rec.Epoch, number: g, heard: u.rx.heard, bits: u.rx.have[g]}
}

// prepare erases what the session needs. Until that is done the journal knows the
// session as one that has to be erased.
func (u *Updater) prepare() error {
	s := u.rec.Session
	err := erase(u.cfg.Flash, u.areas.slots[1-u.rec.Slot], u.areas.sectors(s.Manifest.Image.Size))
	if err != nil {
		return u.fail(err)
	}
	next := u.rec.clone()
	next.Session.Phase = receiving
	return u.commit(next)
}

// settle records bitmaps after blocks came, and what follows when nothing is missing.
// completed is the generation that just was, or -1.
func (u *Updater) settle(completed int) error {
	if completed < 0 && u.rx.count < every && !u.rx.completed() {
		return nil
	}
	if u.rx.completed() {
		return u.finish()
	}
	for g, ahead := range u.rx.ahead {
		if !ahead || u.rx.count < every && g != completed {
			continue
		}
		if err := u.journal.append(u.bitmap(g).payload()); err != nil {
			return fmt.Errorf("recording what was received: %w", err)
		}
		u.rx.ahead[g] = false
	}
	if u.rx.count >= every {
		u.rx.count = 0
	}
	return nil
}

// finish compares the slot, as it stands in the flash, with the manifest.
func (u *Updater) finish() error {
	img := u.rec.Session.Manifest.Image
	sum, err := digest(u.cfg.Flash, u.areas.slots[1-u.rec.Slot], img.Size)
	if err != nil {
		return u.fail(err)
	}
	if !bytes.Equal(sum, img.Digest) {
		return u.fail(fmt.Errorf("%w: the image in the slot is not the one of the manifest", errOther))
	}
	next := u.rec.clone()
	next.Session.Phase = verified
	if err := u.commit(next); err != nil {
		return err
	}
	u.log.Info("an image was received and verified", "sequence", img.Sequence, "bytes", img.Size)
	return nil
}

// fail ends the session for what went wrong and returns that. The manifest stays, so
// that the session can be opened again.
func (u *Updater) fail(why error) error {
	result, reason := firmware.ResultFailed, "The flash memory does not hold the image; the device may have to be replaced: "+why.Error()
	if !errors.Is(why, errFlash) {
		result, reason = firmware.ResultIntegrity, "What arrived is not the image of the manifest; it has to be sent again."
	}
	next := u.rec.clone()
	m := next.Session.Manifest
	next.Staged = &m
	next.end(result, reason)
	u.log.Warn("a session has failed", "err", why)
	if err := u.commit(next); err != nil {
		return errors.Join(why, err)
	}
	return why
}

// Running is the image that runs.
func (u *Updater) Running() firmware.Running {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.runningNow()
}

func (u *Updater) runningNow() firmware.Running {
	return firmware.Running{
		Sequence: u.runs.Sequence, Digest: u.runs.Digest[:firmware.DigestSize], Version: u.version,
		Boots: u.rec.Boots, Uptime: uint(max(0, u.cfg.Now().Sub(u.opened)/time.Second)),
	}
}

// Image reads the image that runs; nil when the flash fails.
func (u *Updater) Image() []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	b, err := u.read(u.slot, u.runs)
	if err != nil {
		u.log.Error("reading the running image", "err", err)
		return nil
	}
	return b
}

// View is what an inspector sees of an Updater.
type View struct {
	State      firmware.State   `json:"state"`
	Running    firmware.Running `json:"running"`
	Minimum    uint64           `json:"minimum"`  // a manifest's sequence number must be above it
	Verified   bool             `json:"verified"` // the image of the session is verified
	Result     firmware.Result  `json:"result"`
	Reason     string           `json:"reason"`     // of the result, a sentence
	SwitchedAt time.Time        `json:"switchedAt"` // when the image that is tested was started; zero: none was since Open
}

// View is what an inspector sees.
func (u *Updater) View() View {
	u.mu.Lock()
	defer u.mu.Unlock()
	result, reason := u.result()
	return View{
		State: u.state(), Running: u.runningNow(), Minimum: u.rec.Minimum,
		Verified: u.rec.Session != nil && u.rec.Session.Phase == verified,
		Result:   result, Reason: reason, SwitchedAt: u.switched,
	}
}

// result is how the latest session ended, or why the latest manifest was refused.
func (u *Updater) result() (firmware.Result, string) {
	if u.refused.result != firmware.ResultNone {
		return u.refused.result, u.refused.reason
	}
	return u.rec.Result, u.rec.Reason
}

// state is where the device stands. u.mu is held.
func (u *Updater) state() firmware.State {
	s := u.rec.Session
	switch {
	case u.testing:
		return firmware.Testing
	case !u.restart.IsZero():
		return firmware.Updating
	case s == nil:
		return firmware.Idle
	case s.Phase != verified:
		return firmware.Downloading
	case u.switching != nil || u.rec.Trial != nil:
		return firmware.Updating
	}
	return firmware.Downloaded
}
