package updater

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
)

// memoryFor is the working memory of a receiver that solves m missing blocks at a
// time: bitmaps and what is not recorded of them, a block, a read buffer, the inverse
// with its indices, a row of factors, and what is known of the parity area. docs/firmware.md has the
// table.
func memoryFor(block, generations, parity, m int) int {
	return generations*(8+1) + block + chunk + m*m + 2*m + 2*firmware.MaxK + 4*parity
}

// What an update costs: bytes of records in the journal, and erasures. The bounds
// are what docs/firmware.md says.
func TestNeeds(t *testing.T) {
	for _, c := range []struct {
		flash, size, block, k, parity int
		records, erased               int // at most
	}{
		{1 << 20, 64 << 10, 256, 32, 16, 4500, 3},
		{1 << 20, 256 << 10, 512, 64, 32, 7500, 3},
		{1 << 20, 256 << 10, 1024, 64, 32, 3500, 3},
		{2<<20 + 512<<10, 1 << 20, 1024, 64, 64, 25000, 4},
	} {
		m := newMemory(c.flash, 4096)
		d := newDevice(t, m, func(cfg *Config) { cfg.Ability = Ability{Block: c.block, K: c.k, Parity: c.parity} })
		x := makeTransfer(t, makeImage("2.0", c.size), 20, c.block, c.k)
		records, before, a := 0, m.writes, d.u.areas
		m.note = func(off int, erasing bool) {
			if off < 2*a.half && !erasing {
				records++
			}
		}
		clear(m.wear)
		worst := lossyUpdate(d, x)
		erased, gens := slices.Max(m.wear), x.layout.Generations()
		t.Logf("flash %d, image %d, B %d, K %d: %d generations; RAM %d when %d blocks are missing, %d when %d are",
			c.flash, c.size, c.block, c.k, gens, memoryFor(c.block, gens, c.parity, worst), worst,
			memoryFor(c.block, gens, c.parity, min(c.k, c.parity)), min(c.k, c.parity))
		t.Logf("  journal 2 x %d, slots of %d at %d and %d, %d parity blocks in %d at %d; records %d, in all %d bytes are programmed or erased, a sector is erased %d times",
			a.half, a.slot, a.slots[0], a.slots[1], c.parity, a.poolSize, a.pool, records, m.writes-before, erased)
		if records > c.records || erased > c.erased {
			t.Errorf("records of %d bytes, a sector erased %d times", records, erased)
		}
	}
}

// lossyUpdate brings an image with a loss of 5 %, interleaved over the generations,
// and returns how many blocks the worst generation lacked.
func lossyUpdate(d *device, x *transfer) (worst int) {
	d.begin(x)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range x.layout.K {
		for g := range x.layout.Generations() {
			if _, k := x.layout.Generation(g); i < k && rng.IntN(20) > 0 {
				d.expect(coap.Changed, coap.PUT, firmware.PathBlock, x.block(g, i))
			}
		}
	}
	for _, n := range d.u.Status(firmware.FieldProgress).Deficits {
		worst = max(worst, int(n))
	}
	d.feed(x, func(int, int) bool { return true })
	d.must(d.activate(x, firmware.ModeTest), coap.Changed)
	d.run(time.Second)
	d.must(d.activate(x, firmware.ModeConfirm), coap.Changed)
	return worst
}
