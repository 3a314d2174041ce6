package updater

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

var (
	errPower = errors.New("the power is cut")
	errBad   = errors.New("the flash does not take it")
)

// memory is a NOR flash that fails like one: a cut of the power leaves the first
// bytes of what was programmed, one byte with some of its bits, and of a sector that
// was being erased whatever. It fails the test's process when it is used against its
// rules.
type memory struct {
	b      []byte
	sector int
	wear   []int // by sector: how often it was erased

	left int // bytes until the power is cut; negative: it is not
	dead bool
	rng  *rand.Rand

	bad, stuck map[int]bool                // programming fails there; bits of it are not cleared
	writes     int                         // bytes programmed, and a byte for each that was erased
	note       func(off int, erasing bool) // is called for each
}

func newMemory(size, sector int) *memory {
	m := &memory{b: make([]byte, size), sector: sector, wear: make([]int, size/sector), left: -1, rng: rand.New(rand.NewPCG(1, 2))}
	for i := range m.b {
		m.b[i] = 0xff
	}
	return m
}

// clone is another flash with the same content.
func (m *memory) clone() *memory {
	c := *m
	c.b, c.wear = slices.Clone(m.b), slices.Clone(m.wear)
	return &c
}

func (m *memory) Size() int   { return len(m.b) }
func (m *memory) Sector() int { return m.sector }

func (m *memory) Read(off int, p []byte) error {
	if m.dead {
		return errPower
	}
	if off < 0 || off+len(p) > len(m.b) {
		panic(fmt.Sprintf("reading %d bytes at %d", len(p), off))
	}
	copy(p, m.b[off:])
	return nil
}

func (m *memory) Program(off int, p []byte) error {
	if m.dead {
		return errPower
	}
	for i, v := range p {
		if v&^m.b[off+i] != 0 {
			panic(fmt.Sprintf("programming sets bits of byte %d: %02x over %02x", off+i, v, m.b[off+i]))
		}
	}
	for i, v := range p {
		switch at := off + i; {
		case m.cut(at, false):
			m.b[at] &= v | byte(m.rng.Uint32())
			return errPower
		case m.bad[at]:
			return errBad
		case m.stuck[at]:
		default:
			m.b[at] &= v
		}
	}
	return nil
}

func (m *memory) Erase(off int) error {
	if m.dead {
		return errPower
	}
	if off%m.sector != 0 || off < 0 || off >= len(m.b) {
		panic(fmt.Sprintf("erasing at %d", off))
	}
	m.wear[off/m.sector]++
	for i := off; i < off+m.sector; i++ {
		if m.cut(i, true) {
			m.garble(off)
			return errPower
		}
	}
	for i := off; i < off+m.sector; i++ {
		m.b[i] = 0xff
	}
	return nil
}

// garble leaves a sector as an erasure that was cut off may: some bits set, or
// nothing of what was there.
func (m *memory) garble(off int) {
	kind := m.rng.IntN(3)
	for i := off; i < off+m.sector; i++ {
		switch kind {
		case 0:
			m.b[i] |= byte(m.rng.Uint32())
		case 1:
			m.b[i] = byte(m.rng.Uint32())
		case 2:
			if m.rng.IntN(8) > 0 {
				m.b[i] = 0xff
			}
		}
	}
}

// cut counts a byte that is written and says whether the power goes in it.
func (m *memory) cut(off int, erasing bool) bool {
	m.writes++
	if m.note != nil {
		m.note(off, erasing)
	}
	if m.left < 0 {
		return false
	}
	m.left--
	m.dead = m.left < 0
	return m.dead
}

// cutAfter cuts the power in the byte that follows n more.
func (m *memory) cutAfter(n int) { m.left = n }

// restore brings the power back.
func (m *memory) restore() { m.left, m.dead = -1, false }
