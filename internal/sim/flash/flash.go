// Package flash simulates the NOR flash of a device: an erased bit is 1, a program
// operation clears bits, and only erasing a whole sector sets them again. It can be
// told to fail, at a place or after so many bytes.
package flash

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Errors.
var (
	ErrRange = errors.New("outside of the flash")
	ErrSet   = errors.New("programming would set a bit: the sector has to be erased before")
	ErrBad   = errors.New("the flash is bad at this place")
	ErrPower = errors.New("the power is cut")
)

// Backend keeps the bits, each inverted: what was never written reads as zeros, as in
// a sparse file, and is erased.
type Backend interface {
	io.ReaderAt
	io.WriterAt
}

// Flash is a flash memory. It is safe for concurrent use.
type Flash struct {
	backend      Backend
	size, sector int

	mu     sync.Mutex
	bad    [2]int // programming [from, to) fails; none when equal
	power  int    // bytes until the power is cut; negative: it is not
	onCut  func() // called once, in a goroutine
	dead   bool   // since the cut
	wear   map[int]int
	stored int64 // bytes programmed
}

// New makes a flash of size bytes in sectors over backend. Size is a multiple of
// sector.
func New(backend Backend, size, sector int) *Flash {
	if sector <= 0 || size <= 0 || size%sector != 0 {
		panic(fmt.Sprintf("a flash of %d bytes in sectors of %d", size, sector))
	}
	return &Flash{backend: backend, size: size, sector: sector, power: -1, wear: map[int]int{}}
}

// NewMemory makes an erased flash in memory.
func NewMemory(size, sector int) *Flash { return New(make(memory, size), size, sector) }

// Size is how many bytes there are, Sector how many are erased at a time.
func (f *Flash) Size() int { return f.size }

// Sector is how many bytes are erased at a time.
func (f *Flash) Sector() int { return f.sector }

// Read fills p with what is at off.
func (f *Flash) Read(off int, p []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.check(off, len(p)); err != nil {
		return err
	}
	return f.read(off, p)
}

func (f *Flash) check(off, n int) error {
	switch {
	case f.dead:
		return ErrPower
	case off < 0 || n > f.size || off > f.size-n:
		return fmt.Errorf("%w: %d bytes at %d of %d", ErrRange, n, off, f.size)
	}
	return nil
}

func (f *Flash) read(off int, p []byte) error {
	if _, err := f.backend.ReadAt(p, int64(off)); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the flash: %w", err)
	}
	invert(p, p)
	return nil
}

// erased is the bytes of a place that nothing was programmed to.
var erased = bytes.Repeat([]byte{0xff}, 4096)

// invert sets dst to the inverse of p, which is as long, many bytes at a time.
func invert(dst, p []byte) {
	for len(p) > 0 {
		n := subtle.XORBytes(dst, p, erased)
		dst, p = dst[n:], p[n:]
	}
}

// Program clears the bits that are 0 in p. It fails with [ErrSet], and changes
// nothing, when one that is 1 in p is 0 in the flash; the same bytes may be
// programmed again. After any other failure a part may be written.
func (f *Flash) Program(off int, p []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.check(off, len(p)); err != nil {
		return err
	}
	have := make([]byte, len(p))
	if err := f.read(off, have); err != nil {
		return err
	}
	clean := bytes.Count(have, erased[:1]) == len(have)
	if !clean {
		for i, b := range p {
			if b&^have[i] != 0 {
				return fmt.Errorf("%w (byte %d)", ErrSet, off+i)
			}
		}
	}
	n := len(p)
	failure := error(nil)
	if from, to := f.bad[0], f.bad[1]; from < to && off < to && off+n > from {
		n, failure = max(0, from-off), ErrBad
	}
	if f.power >= 0 && n > f.power {
		n, failure = f.power, ErrPower
	}
	if f.power >= 0 {
		f.power -= n
	}
	if clean {
		invert(have, p[:n])
	} else {
		for i, b := range p[:n] {
			have[i] = ^(have[i] & b)
		}
	}
	if _, err := f.backend.WriteAt(have[:n], int64(off)); err != nil {
		return fmt.Errorf("programming the flash: %w", err)
	}
	f.stored += int64(n)
	f.fail(failure)
	return failure
}

// fail cuts the power when that is what has happened.
func (f *Flash) fail(err error) {
	if err == ErrPower && !f.dead {
		f.dead, f.power = true, -1
		if f.onCut != nil {
			go f.onCut()
		}
	}
}

// Erase sets the sector at off, which is a multiple of its size. A cut of the power
// in it leaves a part as it was.
func (f *Flash) Erase(off int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.check(off, f.sector); err != nil {
		return err
	}
	if off%f.sector != 0 {
		return fmt.Errorf("%w: no sector begins at %d", ErrRange, off)
	}
	n := f.sector
	failure := error(nil)
	if f.power >= 0 && n > f.power {
		n, failure = f.power, ErrPower
	}
	if f.power >= 0 {
		f.power -= n
	}
	if _, err := f.backend.WriteAt(make([]byte, n), int64(off)); err != nil {
		return fmt.Errorf("erasing the flash: %w", err)
	}
	f.wear[off/f.sector]++
	f.fail(failure)
	return failure
}

// Bad makes programming fail for n bytes from off; n = 0 repairs it.
func (f *Flash) Bad(off, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bad = [2]int{off, off + n}
}

// CutAfter cuts the power when n more bytes are programmed or erased, in the middle
// of an operation, and has onCut, unless nil, called then. From the cut on everything
// fails with [ErrPower] until [Flash.Restore].
func (f *Flash) CutAfter(n int, onCut func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.power, f.onCut = n, onCut
}

// Restore brings the power back, and takes back a cut that has not happened.
func (f *Flash) Restore() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.power, f.onCut, f.dead = -1, nil, false
}

// Powered reports whether the power was not cut.
func (f *Flash) Powered() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.dead
}

// Wear is how often the sector that was erased most often was, and how many bytes
// were programmed, since New.
func (f *Flash) Wear() (erased int, programmed int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.wear {
		erased = max(erased, n)
	}
	return erased, f.stored
}

// memory is a backend of a fixed size.
type memory []byte

func (m memory) ReadAt(p []byte, off int64) (int, error) { return copy(p, m[off:]), nil }

func (m memory) WriteAt(p []byte, off int64) (int, error) { return copy(m[off:], p), nil }
