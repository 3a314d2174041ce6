package updater

import (
	"fmt"

	"lamplighter/internal/firmware"
)

// areas is where things are in the flash. All begin at sectors.
//
//	| journal, first half | second half | slot A | slot B | parity blocks |
type areas struct {
	half       int // bytes of a half of the journal
	slots      [2]int
	slot       int // bytes of a slot
	pool       int
	poolSize   int
	maxGens    int // that the journal can keep
	sectorSize int
}

// newAreas cuts a flash: a half of the journal has at least minHalf bytes, and room for
// four times as many generations as an image has that fills its slot in the largest
// blocks, unless that is more than a sixteenth of the flash.
func newAreas(f Flash, a Ability) (areas, error) {
	size, sector := f.Size(), f.Sector()
	if sector < 1 || size < 1 || size%sector != 0 {
		return areas{}, fmt.Errorf("%w: a flash of %d bytes in sectors of %d", ErrConfig, size, sector)
	}
	up := func(n int) int { return (n + sector - 1) / sector * sector }
	want := 4 * (size/2/(a.Block*a.K) + 1)
	half := min(headerSize+2*maxState+2*want*generationRecord, size/16)
	r := areas{sectorSize: sector, half: up(max(half, minHalf))}
	r.maxGens = min((r.half-headerSize-2*maxState)/2/generationRecord, firmware.MaxGenerations)
	r.poolSize = newPool(f, 0, 1<<40, a.Block).bytesFor(a.Parity)
	r.slot = (size - 2*r.half - r.poolSize) / 2 / sector * sector
	if r.slot < firmware.MinBlock {
		return areas{}, fmt.Errorf("%w: a flash of %d bytes has no room for two slots beside the journal (%d) and %d parity blocks (%d)",
			ErrConfig, size, 2*r.half, a.Parity, r.poolSize)
	}
	r.slots = [2]int{2 * r.half, 2*r.half + r.slot}
	r.pool = 2*r.half + 2*r.slot
	return r, nil
}

// sectors rounds a number of bytes up to whole sectors.
func (r areas) sectors(n int) int { return (n + r.sectorSize - 1) / r.sectorSize * r.sectorSize }
