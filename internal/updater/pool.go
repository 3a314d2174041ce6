package updater

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// pool is where parity blocks wait until their generation can be solved. The places
// of blocks in a slot stay erased for the blocks themselves.
//
//	entry = epoch: 2 bytes | generation: 2 | index: 1 | 0xa5 | CRC-32 of them and the block: 4 | block
//
// Entries are written in one piece, so one that was cut off fails its CRC. As many
// as fit share a sector; larger ones have several sectors to themselves.
type pool struct {
	flash   Flash
	base    int
	block   int
	epoch   uint16
	unit    int // bytes that are erased at a time
	perUnit int // entries in a unit
	entries []parity
	fresh   []bool // by unit: erased, and nothing but entries written since
}

// parity is an entry.
type parity struct {
	state      parityState
	generation uint16
	index      uint8
}

type parityState uint8

const (
	dead parityState = iota // something else stands there
	free
	held
)

const (
	parityHeader = 10
	parityMark   = 0xa5
)

// newPool cuts size bytes from base for blocks of one size.
func newPool(f Flash, base, size, block int) *pool {
	p := &pool{flash: f, base: base, block: block, unit: f.Sector(), perUnit: f.Sector() / (parityHeader + block)}
	if p.perUnit == 0 {
		p.perUnit = 1
		p.unit = (parityHeader + block + f.Sector() - 1) / f.Sector() * f.Sector()
	}
	if size < 1<<32 {
		p.entries = make([]parity, size/p.unit*p.perUnit)
		p.fresh = make([]bool, size/p.unit)
	}
	return p
}

// bytesFor is how large an area for n blocks is.
func (p *pool) bytesFor(n int) int { return (n + p.perUnit - 1) / p.perUnit * p.unit }

func (p *pool) offset(i int) int {
	return p.base + i/p.perUnit*p.unit + i%p.perUnit*(parityHeader+p.block)
}

func (p *pool) encode(generation uint16, index uint8, data []byte) []byte {
	b := make([]byte, 0, parityHeader+len(data))
	b = binary.BigEndian.AppendUint16(b, p.epoch)
	b = binary.BigEndian.AppendUint16(b, generation)
	b = append(b, index, parityMark)
	sum := crc32.Update(crc32.ChecksumIEEE(b), crc32.IEEETable, data)
	return append(binary.BigEndian.AppendUint32(b, sum), data...)
}

// load finds the entries of this epoch after a restart. What stands in a unit that
// has none is not trusted to be erased.
func (p *pool) load(epoch uint16) error {
	p.epoch = epoch
	b := make([]byte, parityHeader+p.block)
	for i := range p.entries {
		if err := p.flash.Read(p.offset(i), b); err != nil {
			return fmt.Errorf("%w: reading parity blocks: %w", errFlash, err)
		}
		e := &p.entries[i]
		e.generation, e.index, e.state = binary.BigEndian.Uint16(b[2:]), b[4], dead
		switch {
		case string(p.encode(e.generation, e.index, b[parityHeader:])) == string(b):
			e.state = held
			p.fresh[i/p.perUnit] = true
		case erased(b):
			e.state = free
		}
	}
	for i := range p.entries {
		if !p.fresh[i/p.perUnit] {
			p.entries[i].state = dead
		}
	}
	return nil
}

// room is how many blocks could be held beside those that are.
func (p *pool) room() (n int) {
	for unit := range p.fresh {
		inUse, unused := p.count(unit)
		if inUse == 0 {
			unused = p.perUnit
		}
		n += unused
	}
	return n
}

// count is how many entries of a unit are held and free.
func (p *pool) count(unit int) (inUse, unused int) {
	for i := unit * p.perUnit; i < (unit+1)*p.perUnit; i++ {
		switch p.entries[i].state {
		case held:
			inUse++
		case free:
			unused++
		}
	}
	return inUse, unused
}

// has says whether a parity block is held.
func (p *pool) has(generation, index int) bool {
	for _, e := range p.entries {
		if e.state == held && int(e.generation) == generation && int(e.index) == index {
			return true
		}
	}
	return false
}

// of returns the entries of a generation.
func (p *pool) of(generation int) (entries []int) {
	for i, e := range p.entries {
		if e.state == held && int(e.generation) == generation {
			entries = append(entries, i)
		}
	}
	return entries
}

// hold keeps a parity block, and says whether there was a place for it. Places that
// do not take it are passed over.
func (p *pool) hold(generation, index int, data []byte) bool {
	b := p.encode(uint16(generation), uint8(index), data)
	for unit := range p.fresh {
		inUse, unused := p.count(unit)
		if inUse > 0 && unused == 0 || inUse == 0 && unused < p.perUnit && !p.clean(unit) {
			continue
		}
		for i := unit * p.perUnit; i < (unit+1)*p.perUnit; i++ {
			if p.entries[i].state != free {
				continue
			}
			p.entries[i].state = dead
			if put(p.flash, p.offset(i), b) == nil {
				p.entries[i] = parity{held, uint16(generation), uint8(index)}
				return true
			}
		}
	}
	return false
}

// clean erases a unit, and says whether it could.
func (p *pool) clean(unit int) bool {
	p.fresh[unit] = erase(p.flash, p.base+unit*p.unit, p.unit) == nil
	for i := unit * p.perUnit; p.fresh[unit] && i < (unit+1)*p.perUnit; i++ {
		p.entries[i].state = free
	}
	return p.fresh[unit]
}

// drop gives up the entries of a generation.
func (p *pool) drop(generation int) {
	for _, i := range p.of(generation) {
		p.entries[i].state = dead
	}
}

// read fills b with what an entry's block has from off.
func (p *pool) read(entry, off int, b []byte) error {
	return p.flash.Read(p.offset(entry)+parityHeader+off, b)
}
