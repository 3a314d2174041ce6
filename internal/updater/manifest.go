package updater

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
	"lamplighter/internal/suit"
)

// putManifest takes an envelope: it is staged until its session is opened. A
// repetition changes nothing.
func (u *Updater) putManifest(_ context.Context, req *coap.Request) *coap.Message {
	m, result, err := u.examine(req.Payload)
	if err == nil {
		err = u.stage(m)
	} else if result != firmware.ResultNone {
		u.refused = refusal{result, cut(err.Error())}
		u.log.Warn("a manifest was refused", "err", err)
	}
	if err != nil {
		return problem(err)
	}
	return done(coap.Changed)
}

// stage keeps a manifest.
func (u *Updater) stage(m *manifest) error {
	u.refused = refusal{}
	switch {
	case u.rec.Session != nil && bytes.Equal(u.rec.Session.Manifest.Digest, m.Digest),
		u.rec.Staged != nil && bytes.Equal(u.rec.Staged.Digest, m.Digest) && u.rec.Staged.Slot == m.Slot:
		return nil
	}
	next := u.rec.clone()
	next.Staged = m
	return u.commit(next)
}

// examine verifies an envelope with the device's own trust anchors and holds it to
// what the device is. An error without a result is a malformed envelope.
func (u *Updater) examine(data []byte) (*manifest, firmware.Result, error) {
	e, _, err := suit.Open(data, u.cfg.Anchors...)
	switch {
	case errors.Is(err, suit.ErrSigner):
		return nil, firmware.ResultSigner, refuse(errDenied, "Nobody whom this device trusts has signed the manifest.")
	case errors.Is(err, suit.ErrSignature), errors.Is(err, suit.ErrDigest):
		return nil, firmware.ResultSignature, refuse(errDenied, "The manifest was changed after it was signed; send it as the vendor gave it.")
	case errors.Is(err, suit.ErrUnsupported):
		return nil, firmware.ResultUnsupported, refuse(errUnfit, "The manifest asks for what this device does not have: %v.", err)
	case err != nil:
		return nil, firmware.ResultNone, refuse(errMalformed, "This is no SUIT envelope, or it is cut off: %v.", err)
	}
	img, err := e.Apply(suit.Recipient{
		Vendor: uuid(u.cfg.Vendor), Class: uuid(u.cfg.Class), Device: uuid(u.cfg.Device), Slot: 1 - u.rec.Slot,
	})
	switch {
	case errors.Is(err, suit.ErrRecipient):
		return nil, firmware.ResultWrongClass, refuse(errUnfit, "The image is for another vendor, model or device.")
	case err != nil:
		return nil, firmware.ResultUnsupported, refuse(errUnfit, "The manifest asks for what this device does not have: %v.", err)
	case img.Sequence <= u.rec.Minimum:
		return nil, firmware.ResultOlder, refuse(errUnfit, "The manifest's sequence number %d is not above %d, the device's minimum.", img.Sequence, u.rec.Minimum)
	case img.Size == 0:
		return nil, firmware.ResultUnsupported, refuse(errUnfit, "The manifest is for an empty image.")
	case img.Size > uint64(u.areas.slot):
		return nil, firmware.ResultNoSpace, refuse(errTooLarge, "The image has %d bytes and a slot of this device %d.", img.Size, u.areas.slot)
	}
	return &manifest{
		Digest: e.Digest[:],
		Image:  image{Sequence: img.Sequence, Digest: img.Digest[:], Size: int(img.Size)},
		Slot:   1 - u.rec.Slot,
	}, firmware.ResultNone, nil
}

func uuid(b []byte) (id suit.UUID) {
	copy(id[:], b)
	return id
}

// older is for a session whose manifest was taken before the minimum was raised.
func (u *Updater) older(m *manifest) error {
	if m.Image.Sequence > u.rec.Minimum {
		return nil
	}
	err := refuse(errUnfit, "The manifest's sequence number %d is not above %d, the device's minimum.", m.Image.Sequence, u.rec.Minimum)
	u.refused = refusal{firmware.ResultOlder, cut(fmt.Sprint(err))}
	return err
}
