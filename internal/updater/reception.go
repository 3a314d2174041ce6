package updater

import (
	"fmt"
	"math/bits"
	"time"

	"lamplighter/internal/firmware"
)

// reception is what the memory holds of the open session: a bitmap a generation.
type reception struct {
	flash  Flash
	slot   int // where it begins
	layout firmware.Layout
	have   []uint64 // by generation: the blocks that are in the slot
	ahead  []bool   // by generation: the bitmap is ahead of the journal's
	count  int      // blocks that the journal does not know of
	heard  uint32
	last   uint // block of those, see firmware.Number; 0 after a start
	pool   *pool
	buf    []byte // one block
	fed    time.Time
	feeder []byte
}

// every is how many blocks may be received without a record. They are received
// again after a cut of the power.
const every = 16

func newReception(f Flash, slot int, s *session, p *pool) *reception {
	l := s.layout()
	return &reception{
		flash: f, slot: slot, layout: l, pool: p, buf: make([]byte, l.Block),
		have: make([]uint64, l.Generations()), ahead: make([]bool, l.Generations()),
	}
}

// restore takes a bitmap from the journal.
func (r *reception) restore(b bitmap) {
	if b.number < len(r.have) {
		r.have[b.number] = b.bits & r.full(b.number)
		r.heard = max(r.heard, b.heard)
	}
}

// resume finds the parity blocks that wait, and solves what they solve. That is to be
// recorded before the parity area is used again.
func (r *reception) resume(epoch uint16) error {
	if err := r.pool.load(epoch); err != nil {
		return err
	}
	for g := range r.have {
		switch {
		case r.complete(g):
			r.pool.drop(g)
		case r.deficit(g) == 0:
			if err := r.decode(g); err != nil {
				return err
			}
			r.count = every
		}
	}
	return nil
}

// full is the bitmap of a generation that is complete.
func (r *reception) full(g int) uint64 {
	_, k := r.layout.Generation(g)
	return 1<<k - 1
}

func (r *reception) complete(g int) bool { return r.have[g] == r.full(g) }

// completed says whether nothing is missing.
func (r *reception) completed() bool {
	for g := range r.have {
		if !r.complete(g) {
			return false
		}
	}
	return true
}

// missing is how many source blocks of a generation are not in the slot.
func (r *reception) missing(g int) int {
	_, k := r.layout.Generation(g)
	return k - bits.OnesCount64(r.have[g])
}

// deficit is how many more blocks a generation needs, of either kind.
func (r *reception) deficit(g int) int { return max(0, r.missing(g)-len(r.pool.of(g))) }

// deficits are those of all generations.
func (r *reception) deficits() []byte {
	d := make([]byte, len(r.have))
	for g := range d {
		d[g] = byte(r.deficit(g))
	}
	return d
}

// bitmap is the missing source blocks by number, most significant bit first.
func (r *reception) bitmap() []byte {
	out := make([]byte, (r.layout.Blocks()+7)/8)
	for g, have := range r.have {
		first, k := r.layout.Generation(g)
		for j := range k {
			if have>>j&1 == 0 {
				out[(first+j)/8] |= 0x80 >> ((first + j) % 8)
			}
		}
	}
	return out
}

// check says what is wrong with a block, "" for nothing.
func (r *reception) check(b firmware.Block) string {
	if b.Generation >= uint(len(r.have)) {
		return fmt.Sprintf("There is no generation %d: the image has %d.", b.Generation, len(r.have))
	}
	first, k := r.layout.Generation(int(b.Generation))
	want := r.layout.Block
	switch {
	case b.Index >= firmware.MaxK:
	case int(b.Index) < k:
		want = r.layout.Length(first + int(b.Index))
	default:
		return fmt.Sprintf("There is no block %d: the generation has %d.", b.Index, k)
	}
	if len(b.Bytes) != want {
		return fmt.Sprintf("The block has %d bytes and has to have %d.", len(b.Bytes), want)
	}
	return ""
}

// take puts a block where it belongs. It returns the generation's number when that
// became complete, else -1. What is there already is let pass.
func (r *reception) take(b firmware.Block) (completed int, err error) {
	g, idx := int(b.Generation), int(b.Index)
	if r.complete(g) {
		return -1, nil
	}
	if idx < firmware.MaxK {
		if r.have[g]>>idx&1 != 0 {
			return -1, nil
		}
		first, _ := r.layout.Generation(g)
		if err := put(r.flash, r.slot+(first+idx)*r.layout.Block, b.Bytes); err != nil {
			return -1, err
		}
		r.mark(g, r.have[g]|1<<idx)
	} else if !r.admits(g) || r.pool.has(g, idx) || !r.pool.hold(g, idx, b.Bytes) {
		return -1, nil
	}
	if r.deficit(g) > 0 {
		return -1, nil
	}
	if err := r.decode(g); err != nil {
		return -1, err
	}
	return g, nil
}

func (r *reception) mark(g int, have uint64) {
	r.have[g], r.ahead[g] = have, true
	r.count++
}

// admits says whether the parity area has room for all that a generation needs
// beside what those need that have begun: none of them can then starve another.
func (r *reception) admits(g int) bool {
	need := r.deficit(g)
	for other := range r.have {
		if other != g && len(r.pool.of(other)) > 0 {
			need += r.deficit(other)
		}
	}
	return need <= r.pool.room()
}

// decode computes the missing blocks of a generation out of its parity blocks, one
// after the other, with memory for one block and for the inverse of the matrix.
func (r *reception) decode(g int) error {
	first, k := r.layout.Generation(g)
	var missing, known []int
	for j := range k {
		if r.have[g]>>j&1 == 0 {
			missing = append(missing, j)
		} else {
			known = append(known, j)
		}
	}
	if len(missing) > 0 {
		entries := r.pool.of(g)[:len(missing)]
		index := make([]int, len(entries))
		for i, e := range entries {
			index[i] = int(r.pool.entries[e].index)
		}
		inverse, err := firmware.Solve(missing, index)
		if err != nil {
			return err
		}
		for j, block := range missing {
			row := inverse[j*len(missing) : (j+1)*len(missing)]
			if err := r.rebuild(first, known, entries, index, row); err != nil {
				return err
			}
			at := first + block
			if err := put(r.flash, r.slot+at*r.layout.Block, r.buf[:r.layout.Length(at)]); err != nil {
				return err
			}
		}
	}
	r.mark(g, r.full(g))
	r.pool.drop(g)
	return nil
}

// rebuild computes one missing block into buf: the sum of the parity blocks times
// their factors in row, and of the known blocks times what the same sum makes of
// their coefficients.
func (r *reception) rebuild(first int, known, entries, index []int, row []byte) error {
	var factors, coefficients [firmware.MaxK]byte
	for i, p := range index {
		for n, s := range known {
			coefficients[n] = firmware.Coefficient(p, s)
		}
		firmware.MulAdd(factors[:len(known)], coefficients[:len(known)], row[i])
	}
	clear(r.buf)
	for i, e := range entries {
		if err := r.add(r.layout.Block, row[i], func(off int, p []byte) error { return r.pool.read(e, off, p) }); err != nil {
			return err
		}
	}
	for n, s := range known {
		at := r.slot + (first+s)*r.layout.Block
		err := r.add(r.layout.Length(first+s), factors[n], func(off int, p []byte) error { return r.flash.Read(at+off, p) })
		if err != nil {
			return err
		}
	}
	return nil
}

// add adds c times n bytes of the flash to buf.
func (r *reception) add(n int, c byte, read func(off int, p []byte) error) error {
	var part [chunk]byte
	for off := 0; off < n; off += chunk {
		p := part[:min(chunk, n-off)]
		if err := read(off, p); err != nil {
			return fmt.Errorf("%w: reading a block: %w", errFlash, err)
		}
		firmware.MulAdd(r.buf[off:], p, c)
	}
	return nil
}
