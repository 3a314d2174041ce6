package updater

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"

	"lamplighter/internal/cbor"
	"lamplighter/internal/firmware"
)

// record is all that must survive but the bitmaps. It is written as a whole, so each
// step from one to the next happens or does not.
type record struct {
	Slot    uint   `cbor:"1,keyasint"` // of the confirmed image
	Image   image  `cbor:"2,keyasint"` // the confirmed image
	Minimum uint64 `cbor:"3,keyasint"` // sequence numbers must be above it
	Boots   uint   `cbor:"4,keyasint"`

	Staged  *manifest `cbor:"5,keyasint,omitempty"` // a manifest that was verified and has no session yet
	Session *session  `cbor:"6,keyasint,omitempty"` // the open one; its image goes to the other slot
	Epoch   uint16    `cbor:"7,keyasint"`           // counts sessions: bitmaps of others are void
	Trial   *trial    `cbor:"8,keyasint,omitempty"` // the session's image is to be tested, or is tested

	Result firmware.Result `cbor:"9,keyasint,omitempty"`
	Reason string          `cbor:"10,keyasint,omitempty"` // at most maxReason bytes
	Last   []byte          `cbor:"11,keyasint,omitempty"` // the session that Result is of
	From   uint64          `cbor:"12,keyasint,omitempty"` // the sequence number that ran before the latest switch
}

// image is one that was verified.
type image struct {
	Sequence uint64 `cbor:"1,keyasint"`
	Digest   []byte `cbor:"2,keyasint"` // SHA-256
	Size     int    `cbor:"3,keyasint"`
}

// manifest is what a verified manifest asks for.
type manifest struct {
	Digest []byte `cbor:"1,keyasint"` // of the manifest
	Image  image  `cbor:"2,keyasint"`
	Slot   uint   `cbor:"3,keyasint"` // that it was examined for: it may have an image for each
}

// phase is how far a session is.
type phase uint8

const (
	erasing   phase = 0 // the slot is not known to be erased
	receiving phase = 1
	verified  phase = 2 // the slot's SHA-256 is the manifest's
)

// session is the transfer of one image.
type session struct {
	ID       []byte   `cbor:"1,keyasint"`
	Manifest manifest `cbor:"2,keyasint"`
	Block    int      `cbor:"3,keyasint"`
	K        int      `cbor:"4,keyasint"`
	Phase    phase    `cbor:"5,keyasint"`
}

func (s *session) layout() firmware.Layout {
	return firmware.Layout{Size: s.Manifest.Image.Size, Block: s.Block, K: s.K}
}

// trial is a test boot.
type trial struct {
	Within  uint `cbor:"1,keyasint"` // seconds to be confirmed in
	Started bool `cbor:"2,keyasint"` // the boot loader has started the image: it does so once
}

const (
	maxReason  = 200
	maxVersion = 64
	maxState   = 700 // bytes of a record with the longest of everything

	kindState      = 1
	kindGeneration = 2

	generationSize   = 1 + 2 + 2 + 4 + 8
	generationRecord = generationSize + recordExtra
)

// clone copies a record so that the copy can be changed.
func (r *record) clone() *record {
	c := *r
	if r.Session != nil {
		s := *r.Session
		c.Session = &s
	}
	if r.Trial != nil {
		t := *r.Trial
		c.Trial = &t
	}
	return &c
}

// end closes the session with a result.
func (r *record) end(result firmware.Result, reason string) {
	if r.Session != nil {
		r.Last = r.Session.ID
	}
	r.Session, r.Trial = nil, nil
	r.Result, r.Reason = result, cut(reason)
}

// cut makes of a sentence what is kept: an image or a flash may say anything of its
// failure, and the journal has to stay readable.
func cut(s string) string { return shorten(s, maxReason) }

// shorten makes UTF-8 of at most size bytes of any string.
func shorten(s string, size int) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) <= size {
		return s
	}
	n := size - len("…")
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

func (r *record) payload() []byte { return append([]byte{kindState}, cbor.MustMarshal(r)...) }

// bitmap is which blocks of a generation are in the slot.
//
//	generation = 2 | epoch: 2 bytes | number: 2 | heard: 4 | bits: 8, block 0 lowest
type bitmap struct {
	epoch  uint16
	number int
	heard  uint32 // block requests of the session so far
	bits   uint64
}

func (b bitmap) payload() []byte {
	p := make([]byte, 0, generationSize)
	p = append(p, kindGeneration)
	p = binary.BigEndian.AppendUint16(p, b.epoch)
	p = binary.BigEndian.AppendUint16(p, uint16(b.number))
	p = binary.BigEndian.AppendUint32(p, b.heard)
	return binary.BigEndian.AppendUint64(p, b.bits)
}

func parseBitmap(p []byte) (bitmap, error) {
	if len(p) != generationSize || p[0] != kindGeneration {
		return bitmap{}, fmt.Errorf("%w: a bitmap of %d bytes", cbor.ErrDecode, len(p))
	}
	return bitmap{
		epoch: binary.BigEndian.Uint16(p[1:]), number: int(binary.BigEndian.Uint16(p[3:])),
		heard: binary.BigEndian.Uint32(p[5:]), bits: binary.BigEndian.Uint64(p[9:]),
	}, nil
}

// parseRecord decodes a journal's payload: the one or the other is not nil.
func parseRecord(p []byte) (*record, *bitmap, error) {
	switch {
	case len(p) > 0 && p[0] == kindState:
		r := &record{}
		if err := cbor.Unmarshal(p[1:], r); err != nil {
			return nil, nil, fmt.Errorf("reading the journal: %w", err)
		}
		return r, nil, r.check()
	case len(p) > 0 && p[0] == kindGeneration:
		b, err := parseBitmap(p)
		return nil, &b, err
	}
	return nil, nil, fmt.Errorf("reading the journal: %w: a record of another program", cbor.ErrDecode)
}

// check holds a record to what the code relies on.
func (r *record) check() error {
	ok := r.Slot <= 1 && r.Image.good() && (r.Staged == nil || r.Staged.good()) &&
		(r.Trial == nil || r.Session != nil && r.Session.Phase == verified)
	if s := r.Session; s != nil {
		ok = ok && len(s.ID) == firmware.SessionSize && s.Manifest.good() && s.Phase <= verified && s.layout().Check() == nil
	}
	if !ok {
		return fmt.Errorf("reading the journal: %w: a record that makes no sense", cbor.ErrDecode)
	}
	return nil
}

func (i image) good() bool     { return len(i.Digest) == 32 && i.Size > 0 }
func (m *manifest) good() bool { return len(m.Digest) == 32 && m.Image.good() }
