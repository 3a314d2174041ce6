package updater

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
)

// Flash is a NOR flash memory: an erased bit is 1, programming can only clear bits,
// and erasing sets those of a whole sector. Operations that were cut off leave a part
// done, and bits that were cleared stay so.
type Flash interface {
	Size() int   // bytes, a multiple of Sector
	Sector() int // bytes that are erased at a time

	Read(off int, p []byte) error
	Program(off int, p []byte) error // clears the bits that are 0 in p; the same bytes may be programmed again
	Erase(off int) error             // sets all bits of the sector at off
}

// chunk is how many bytes go through a small buffer at a time.
const chunk = 256

// errOther is a place where other bytes stand already.
var errOther = errors.New("other bytes stand there")

// program writes p and reads it back.
func program(f Flash, off int, p []byte) error {
	if err := f.Program(off, p); err != nil {
		return fmt.Errorf("%w at byte %d: %w", errFlash, off, err)
	}
	same, _, err := compare(f, off, p)
	if err != nil {
		return err
	}
	if !same {
		return fmt.Errorf("%w: it does not keep what is written at byte %d", errFlash, off)
	}
	return nil
}

// compare says whether p stands at off, and whether it could be programmed there.
func compare(f Flash, off int, p []byte) (same, fits bool, err error) {
	var buf [chunk]byte
	same, fits = true, true
	for len(p) > 0 {
		n := min(len(p), chunk)
		have := buf[:n]
		if err := f.Read(off, have); err != nil {
			return false, false, fmt.Errorf("%w at byte %d: %w", errFlash, off, err)
		}
		if !bytes.Equal(have, p[:n]) {
			same = false
			for i, b := range p[:n] {
				fits = fits && b&^have[i] == 0
			}
		}
		off, p = off+n, p[n:]
	}
	return same, fits, nil
}

// put writes p to a place that is erased, or where p stands already or was being
// written when the power was cut. It fails with errOther for any other place.
func put(f Flash, off int, p []byte) error {
	same, fits, err := compare(f, off, p)
	switch {
	case err != nil:
		return err
	case same:
		return nil
	case !fits:
		return fmt.Errorf("%w, at byte %d", errOther, off)
	}
	return program(f, off, p)
}

// erase erases n bytes from off, whole sectors.
func erase(f Flash, off, n int) error {
	for end := off + n; off < end; off += f.Sector() {
		if err := f.Erase(off); err != nil {
			return fmt.Errorf("%w at byte %d: %w", errFlash, off, err)
		}
	}
	return nil
}

// digest is SHA-256 over n bytes as they stand in the flash.
func digest(f Flash, off, n int) ([]byte, error) {
	var buf [chunk]byte
	h := sha256.New()
	for n > 0 {
		p := buf[:min(n, chunk)]
		if err := f.Read(off, p); err != nil {
			return nil, fmt.Errorf("%w at byte %d: %w", errFlash, off, err)
		}
		h.Write(p)
		off, n = off+len(p), n-len(p)
	}
	return h.Sum(nil), nil
}
