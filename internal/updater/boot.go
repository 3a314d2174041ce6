package updater

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"time"

	"lamplighter/internal/firmware"
)

// Open runs the boot loader: it starts the image that is confirmed, or once the one
// that is to be tested; an image that was started before and not confirmed is left
// for the one before. Then it takes up what the journal knows of a session. It fails
// with [ErrBrick] when no image starts, and with [ErrConfig].
func Open(cfg Config) (*Updater, error) {
	u, err := newUpdater(cfg)
	if err != nil {
		return nil, err
	}
	j, records, err := openJournal(cfg.Flash, 0, u.areas.half)
	if err != nil {
		return nil, err
	}
	u.journal, j.snapshot = j, u.snapshot
	if err = u.load(records); err == nil && u.rec == nil {
		err = u.manufacture()
	}
	if err == nil {
		err = u.boot()
	}
	if err == nil {
		err = u.resume()
	}
	if err != nil {
		return nil, err
	}
	return u, nil
}

func newUpdater(cfg Config) (*Updater, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	a := &cfg.Ability
	if a.Block == 0 {
		a.Block = firmware.MaxBlock
	}
	if a.K == 0 {
		a.K = firmware.MaxK
	}
	switch {
	case cfg.Flash == nil || cfg.Start == nil || cfg.Reboot == nil:
		return nil, fmt.Errorf("%w: a flash, a start and a reboot are needed", ErrConfig)
	case len(cfg.Vendor) != 16 || len(cfg.Class) != 16 || len(cfg.Device) != 0 && len(cfg.Device) != 16:
		return nil, fmt.Errorf("%w: vendor, class and device are UUIDs of 16 bytes", ErrConfig)
	case a.Block < firmware.MinBlock || a.Block > firmware.MaxBlock || a.K < 1 || a.K > firmware.MaxK || a.Parity < 0:
		return nil, fmt.Errorf("%w: blocks of %d bytes, generations of %d, %d parity blocks", ErrConfig, a.Block, a.K, a.Parity)
	}
	if ability := (&Updater{cfg: cfg, rec: &record{}}).ability(); !tellable(ability) {
		return nil, fmt.Errorf("%w: a hardware name has at most 64 bytes of UTF-8, and there are at most 16 trust anchors", ErrConfig)
	}
	r, err := newAreas(cfg.Flash, *a)
	if err != nil {
		return nil, err
	}
	if cfg.MaxImage > 0 {
		r.slot = min(r.slot, cfg.MaxImage)
	}
	return &Updater{cfg: cfg, log: cfg.Logger, areas: r, opened: cfg.Now()}, nil
}

// load takes the newest record of each kind.
func (u *Updater) load(records [][]byte) error {
	var bitmaps []bitmap
	for _, p := range records {
		r, b, err := parseRecord(p)
		switch {
		case err != nil:
			return err
		case r != nil:
			u.rec = r
		default:
			bitmaps = append(bitmaps, *b)
		}
	}
	if u.rec == nil || u.rec.Session == nil {
		return nil
	}
	u.receive()
	for _, b := range bitmaps {
		if b.epoch == u.rec.Epoch {
			u.rx.restore(b)
		}
	}
	return nil
}

// snapshot is what the journal has to keep.
func (u *Updater) snapshot() [][]byte {
	payloads := [][]byte{u.rec.payload()}
	if u.rx != nil && u.rec.Session != nil && u.rec.Session.Phase == receiving {
		for g := range u.rx.have {
			payloads = append(payloads, u.bitmap(g).payload())
		}
	}
	return payloads
}

// manufacture puts the factory's image into slot A and begins the journal.
func (u *Updater) manufacture() error {
	img := u.cfg.Factory
	if len(img) == 0 || len(img) > u.areas.slot {
		return fmt.Errorf("%w: the flash is empty and the factory's image has %d bytes, of at most %d", ErrConfig, len(img), u.areas.slot)
	}
	if err := erase(u.cfg.Flash, u.areas.slots[0], u.areas.sectors(len(img))); err != nil {
		return err
	}
	if err := program(u.cfg.Flash, u.areas.slots[0], img); err != nil {
		return err
	}
	sum := sha256.Sum256(img)
	return u.commit(&record{
		Image:   image{Sequence: u.cfg.FactorySequence, Digest: sum[:], Size: len(img)},
		Minimum: u.cfg.FactorySequence,
	})
}

// boot starts an image. What it is about to do is durable before it does it, so that
// whatever happens to an image that is tested, it is not started again.
func (u *Updater) boot() error {
	next := u.rec.clone()
	next.Boots++
	test := next.Trial != nil && !next.Trial.Started
	if test {
		next.Trial.Started = true
	} else if next.Trial != nil {
		next.end(firmware.ResultReverted, "The new image ended before it was confirmed: it crashed, a watchdog ended it, or the power was cut.")
	}
	if err := u.commit(next); err != nil {
		u.log.Error("booting without the journal", "err", err)
		next.Trial, test = nil, false
		u.adopt(next)
	}
	if test && u.test() {
		return nil
	}
	return u.start()
}

// test boots the image of the session, and reports whether it runs.
func (u *Updater) test() bool {
	img := u.rec.Session.Manifest.Image
	err := u.launch(1-u.rec.Slot, img)
	if err == nil {
		u.testing, u.switched = true, u.opened
		u.deadline = u.opened.Add(time.Duration(u.rec.Trial.Within) * time.Second)
		u.log.Info("the new image is tested", "version", u.version, "sequence", img.Sequence)
		return true
	}
	next := u.rec.clone()
	next.end(firmware.ResultBootLoop, "The new image did not start: "+err.Error())
	if err := u.commit(next); err != nil {
		u.log.Error("the end of a test could not be recorded; the next boot finds it", "err", err)
		u.adopt(next)
	}
	u.log.Warn("the new image did not start", "err", err)
	return false
}

// start boots the confirmed image.
func (u *Updater) start() error {
	if err := u.launch(u.rec.Slot, u.rec.Image); err != nil {
		return fmt.Errorf("%w: %w", ErrBrick, err)
	}
	return nil
}

// launch starts the image in a slot after checking its digest.
func (u *Updater) launch(slot uint, img image) error {
	b, err := u.read(slot, img)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(b); !bytes.Equal(sum[:], img.Digest) {
		return fmt.Errorf("the image in slot %c is damaged", 'A'+rune(slot))
	}
	version, err := u.cfg.Start(b)
	if err == nil {
		u.version, u.runs, u.slot = shorten(version, maxVersion), img, slot
	}
	return err
}

func (u *Updater) read(slot uint, img image) ([]byte, error) {
	b := make([]byte, img.Size)
	if err := u.cfg.Flash.Read(u.areas.slots[slot], b); err != nil {
		return nil, fmt.Errorf("%w: reading an image: %w", errFlash, err)
	}
	return b, nil
}

// resume takes up the session of the journal. Where the flash fails the session
// ends; the image that runs goes on.
func (u *Updater) resume() error {
	if u.rec.Session == nil {
		return nil
	}
	var err error
	switch u.rec.Session.Phase {
	case erasing:
		err = u.prepare()
	case receiving:
		if err = u.rx.resume(u.rec.Epoch); err != nil {
			err = u.fail(err)
		} else {
			err = u.settle(-1)
		}
	}
	if err != nil {
		u.log.Warn("the session could not be taken up", "err", err)
	}
	return nil
}
