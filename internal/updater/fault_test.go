package updater

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
)

// The right manifest and another image's bytes: the device says so, boots nothing of
// it, and the session can be opened again.
func TestSwappedImage(t *testing.T) {
	x := makeTransfer(t, makeImage("2.0", 700), 20, 64, 8)
	swapped := *x
	swapped.image = makeImage("6.6", 700)
	for name, lost := range map[string]func(g, i int) bool{
		"source blocks": none, "parity": func(g, i int) bool { return i == 0 },
	} {
		d := newDevice(t, small())
		d.begin(x)
		for g := range x.layout.Generations() {
			_, k := x.layout.Generation(g)
			for i := range k {
				if !lost(g, i) {
					d.serve(coap.PUT, firmware.PathBlock, swapped.block(g, i), false)
				}
			}
			d.serve(coap.PUT, firmware.PathBlock, swapped.block(g, 64), false)
		}
		s := d.wantState(firmware.Idle, firmware.ResultIntegrity)
		if s.Ready != nil {
			t.Errorf("%s: ready %x", name, s.Ready)
		}
		d.must(d.activate(x, firmware.ModeTest), coap.PreconditionFailed)
		d.boot()
		d.wantState(firmware.Idle, firmware.ResultIntegrity)
		d.expect(coap.Changed, coap.POST, firmware.PathSession, x.open())
		d.wantState(firmware.Downloading, firmware.ResultNone)
		d.feed(x, lost)
		d.wantState(firmware.Downloaded, firmware.ResultNone)
	}
}

// A single wrong bit, in a block or in a parity block, is enough.
func TestWrongBit(t *testing.T) {
	x := makeTransfer(t, makeImage("2.0", 700), 20, 64, 8)
	for _, index := range []int{3, 64} {
		d := newDevice(t, small())
		d.begin(x)
		wrong := x.block(0, index)
		wrong[len(wrong)-1] ^= 1
		d.expect(coap.Changed, coap.PUT, firmware.PathBlock, wrong)
		for g := range x.layout.Generations() {
			_, k := x.layout.Generation(g)
			for i := range k {
				if g > 0 || i > 0 || index < 64 {
					d.serve(coap.PUT, firmware.PathBlock, x.block(g, i), false)
				}
			}
		}
		d.wantState(firmware.Idle, firmware.ResultIntegrity)
	}
}

// Other bytes for a block that is there, and that the journal forgot with the power:
// the session begins anew.
func TestDifferingBlocks(t *testing.T) {
	x := makeTransfer(t, makeImage("2.0", 700), 20, 64, 8)
	d := newDevice(t, small())
	d.begin(x)
	d.expect(coap.Changed, coap.PUT, firmware.PathBlock, x.block(0, 0))
	d.boot()
	if s := d.status(firmware.FieldProgress); !bytes.Equal(s.Deficits, []byte{6, 5}) {
		t.Fatalf("deficits %v", s.Deficits)
	}
	other := *x
	other.image = makeImage("6.6", 700)
	d.expect(coap.UnprocessableEntity, coap.PUT, firmware.PathBlock, other.block(0, 0))
	d.wantState(firmware.Idle, firmware.ResultIntegrity)
	d.update(x)
}

// A slot that does not take what is written: the session fails in words, the old
// image runs, and another attempt fails the same way.
func TestBadSlot(t *testing.T) {
	x := makeTransfer(t, makeImage("2.0", 700), 20, 64, 8)
	for name, spoil := range map[string]func(m *memory, at int){
		"bad":   func(m *memory, at int) { m.bad = map[int]bool{at: true} },
		"stuck": func(m *memory, at int) { m.stuck = map[int]bool{at: true} },
	} {
		for _, lost := range []func(g, i int) bool{none, func(g, i int) bool { return g == 0 && i == 1 }} {
			m := small()
			d := newDevice(t, m)
			at := d.u.areas.slots[1] + 100 // in block 1
			x.image[100] &= 0x7f
			good := makeTransfer(t, x.image, 20, 64, 8)
			spoil(m, at)
			for range 2 {
				d.begin(good)
				for g := range good.layout.Generations() {
					_, k := good.layout.Generation(g)
					for i := range k {
						if !lost(g, i) {
							d.serve(coap.PUT, firmware.PathBlock, good.block(g, i), false)
						}
					}
					d.serve(coap.PUT, firmware.PathBlock, good.block(g, 64), false)
				}
				d.wantState(firmware.Idle, firmware.ResultFailed)
				if v := d.u.View(); !strings.Contains(v.Reason, "replaced") {
					t.Errorf("%s: %q", name, v.Reason)
				}
				d.boot()
			}
			m.bad, m.stuck = nil, nil
			d.update(good)
		}
	}
}

// Bad places in the parity area are passed over; with all of it bad, source blocks
// still come.
func TestBadParityArea(t *testing.T) {
	x := makeTransfer(t, makeImage("2.0", 700), 20, 64, 8)
	m := small()
	d := newDevice(t, m)
	m.bad = map[int]bool{d.u.areas.pool + 50: true, d.u.areas.pool + 300: true}
	d.update(x)

	m = small()
	d = newDevice(t, m)
	m.bad = map[int]bool{}
	for i := d.u.areas.pool; i < len(m.b); i++ {
		m.bad[i] = true
	}
	d.begin(x)
	for i := range 20 {
		d.expect(coap.Changed, coap.PUT, firmware.PathBlock, x.block(0, 64+i))
	}
	if s := d.status(firmware.FieldProgress); !bytes.Equal(s.Deficits, []byte{6, 5}) {
		t.Fatalf("deficits %v", s.Deficits)
	}
	d.feed(x, none)
	d.wantState(firmware.Downloaded, firmware.ResultNone)
}

// A half of the journal that is bad: the other does until it is full, and then
// nothing is acknowledged that is not durable.
func TestBadJournal(t *testing.T) {
	x := makeTransfer(t, makeImage("2.0", 700), 20, 64, 8)
	m := small()
	d := newDevice(t, m)
	half := d.u.areas.half
	m.bad = map[int]bool{half + 100: true}
	d.update(x)
	d.boot()
	if v := d.u.View(); v.Minimum != 20 {
		t.Fatalf("%+v", v)
	}
	for i := range 2 * half {
		m.bad[i] = true
	}
	y := makeTransfer(t, makeImage("2.1", 900), 21, 64, 8)
	d.expect(coap.InternalServerError, coap.PUT, firmware.PathManifest, y.envelope)
	d.expect(coap.PreconditionFailed, coap.POST, firmware.PathSession, y.open())
	d.boot() // without counting
	if v := d.u.View(); v.Running.Version != "2.0" || v.State != firmware.Idle {
		t.Fatalf("%+v", v)
	}
}

// Whose confirmed image rots does not run something else.
func TestDamagedImage(t *testing.T) {
	d, x := ready(t)
	d.flash.b[d.u.areas.slots[1]+1] ^= 2 // of the new image, after it was verified
	d.must(d.activate(x, firmware.ModeTest), coap.Changed)
	d.run(time.Second)
	if s := d.wantState(firmware.Idle, firmware.ResultBootLoop); s.Running.Version != "1.0" || len(d.log) != 1 {
		t.Fatalf("%+v, started %v", s.Running, d.log)
	}
	d.flash.b[d.u.areas.slots[0]+1] ^= 2
	if err := d.tryBoot(); !errors.Is(err, ErrBrick) {
		t.Fatalf("it boots with %v", err)
	}
}
