package updater

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
)

// Blocks and parity in any order, twice, with restarts in between.
func TestAnyOrder(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 6))
		x := makeTransfer(t, makeImage("2.0", 200+rng.IntN(1200)), 20, 64, 1+rng.IntN(8))
		d := newDevice(t, small())
		d.begin(x)
		var blocks [][]byte
		for g := range x.layout.Generations() {
			_, k := x.layout.Generation(g)
			for i := range k {
				blocks = append(blocks, x.block(g, i), x.block(g, 64+rng.IntN(192)))
			}
		}
		blocks = append(blocks, blocks...)
		rng.Shuffle(len(blocks), func(i, j int) { blocks[i], blocks[j] = blocks[j], blocks[i] })
		for _, b := range blocks {
			d.expect(coap.Changed, coap.PUT, firmware.PathBlock, b)
			if rng.IntN(20) == 0 {
				d.boot()
			}
		}
		d.feed(x, none)
		d.wantState(firmware.Downloaded, firmware.ResultNone)
	}
}

// What the journal knows is not sent again: after a restart at most some blocks of
// the latest are missing.
func TestResume(t *testing.T) {
	ability := func(c *Config) { c.Ability = Ability{Block: 256, K: 64, Parity: 32} }
	x := makeTransfer(t, makeImage("2.0", 40000), 20, 256, 64)
	d := newDevice(t, newMemory(256<<10, 4096), ability)
	d.begin(x)
	sent := 0
	for i := range 40 {
		for g := range x.layout.Generations() {
			d.expect(coap.Changed, coap.PUT, firmware.PathBlock, x.block(g, i))
			sent++
		}
	}
	for i := range 5 {
		d.expect(coap.Changed, coap.PUT, firmware.PathBlock, x.block(0, 64+i)) // parity is durable at once
		sent++
	}
	before := d.status(firmware.FieldProgress)
	d.boot()
	after := d.status(firmware.FieldProgress)
	lost := 0
	for g := range after.Deficits {
		lost += int(after.Deficits[g]) - int(before.Deficits[g])
	}
	if before.Heard != uint(sent) || lost < 0 || lost >= every || after.Heard+every+5 < before.Heard {
		t.Fatalf("before %+v, after %+v", before, after)
	}
	t.Logf("%d of %d blocks are sent again", lost, sent)
	for epoch := d.u.journal.epoch; d.u.journal.epoch < epoch+2; { // what the other half keeps
		d.boot()
		if again := d.status(firmware.FieldProgress); !bytes.Equal(again.Deficits, after.Deficits) {
			t.Fatalf("after more restarts %v, before %v", again.Deficits, after.Deficits)
		}
	}
	d.feed(x, func(g, i int) bool { return i < 40 })
	d.wantState(firmware.Downloaded, firmware.ResultNone)
}

// A device without a decoder tells its missing blocks one by one.
func TestBitmapMode(t *testing.T) {
	x := makeTransfer(t, makeImage("2.0", 1400), 20, 64, 8)
	d := newDevice(t, small(), func(c *Config) { c.Ability.Parity = 0 })
	if a := d.status(firmware.FieldAbility).Ability; a.Parity != 0 {
		t.Fatalf("%+v", a)
	}
	d.begin(x)
	d.expect(coap.NotImplemented, coap.PUT, firmware.PathBlock, x.block(0, 64))
	rng := rand.New(rand.NewPCG(7, 7))
	for round := 0; ; round++ {
		s := d.status(firmware.FieldMissing | firmware.FieldProgress)
		if s.State == firmware.Downloaded {
			if s.Missing != nil {
				t.Errorf("missing %x", s.Missing)
			}
			break
		}
		if len(s.Missing) != (x.layout.Blocks()+7)/8 || round > 20 {
			t.Fatalf("round %d: missing %x", round, s.Missing)
		}
		missing := 0
		for n := range x.layout.Blocks() {
			if s.Missing[n/8]>>(7-n%8)&1 == 0 {
				continue
			}
			missing++
			if rng.IntN(3) > 0 {
				g, i := x.layout.Place(n)
				d.expect(coap.Changed, coap.PUT, firmware.PathBlock, x.block(g, i))
			}
		}
		sum := 0
		for _, n := range s.Deficits {
			sum += int(n)
		}
		if sum != missing {
			t.Fatalf("deficits of %d, %d missing", sum, missing)
		}
		if round == 1 {
			d.boot()
		}
	}
}

// A parity area for fewer blocks than are missing solves one generation after the
// other, and is used again and again.
func TestSmallParityArea(t *testing.T) {
	for _, parity := range []int{3, 4, 7} {
		x := makeTransfer(t, makeImage("2.0", 1500), 20, 64, 6) // 24 blocks, 4 generations
		d := newDevice(t, small(), func(c *Config) { c.Ability.Parity = parity })
		d.begin(x)
		d.feed(x, func(g, i int) bool { return i < 3 })
		d.wantState(firmware.Downloaded, firmware.ResultNone)
	}
}

// Blocks and parity blocks of a session before are none of the next one, over a
// restart.
func TestBlocksOfBefore(t *testing.T) {
	x := makeTransfer(t, makeImage("2.0", 1500), 20, 64, 8) // three generations of 8
	y := makeTransfer(t, makeImage("2.1", 1500), 21, 64, 8)
	d := newDevice(t, small())
	d.begin(x)
	for i := range 7 {
		d.expect(coap.Changed, coap.PUT, firmware.PathBlock, x.block(0, i))
		d.expect(coap.Changed, coap.PUT, firmware.PathBlock, x.block(1, i))
		d.expect(coap.Changed, coap.PUT, firmware.PathBlock, x.block(2, i))
	}
	for i := range 3 {
		d.expect(coap.Changed, coap.PUT, firmware.PathBlock, x.block(0, 64+i))
	}
	d.expect(coap.Changed, coap.POST, firmware.PathSession, x.abort())
	d.begin(y)
	for range 2 {
		d.boot()
		if s := d.status(firmware.FieldProgress); !bytes.Equal(s.Deficits, []byte{8, 8, 8}) {
			t.Fatalf("deficits %v", s.Deficits)
		}
	}
	d.feed(y, func(g, i int) bool { return i < 2 })
	d.wantState(firmware.Downloaded, firmware.ResultNone)
}

// A generation that was solved after a restart is recorded: its parity blocks may
// then be erased.
func TestSolvedAfterRestart(t *testing.T) {
	x := makeTransfer(t, makeImage("2.0", 700), 20, 64, 8)
	d := newDevice(t, small())
	d.begin(x)
	for i := 1; i < 6; i++ {
		d.expect(coap.Changed, coap.PUT, firmware.PathBlock, x.block(0, i))
	}
	if err := d.u.journal.append(d.u.bitmap(0).payload()); err != nil {
		t.Fatal(err)
	}
	d.expect(coap.Changed, coap.PUT, firmware.PathBlock, x.block(1, 64)) // erases the unit
	d.flash.cutAfter(parityHeader + 64)
	d.serve(coap.PUT, firmware.PathBlock, x.block(0, 64), false)
	if !d.flash.dead {
		t.Fatal("no cut")
	}
	d.flash.restore()
	d.boot()
	_, records, err := openJournal(d.flash, 0, d.u.areas.half)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range records {
		if _, b, err := parseRecord(p); err == nil && b != nil && b.number == 0 && b.bits == 1<<6-1 {
			return
		}
	}
	t.Fatal("nothing is recorded of the generation that was solved")
}
