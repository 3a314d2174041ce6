package updater

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"

	"lamplighter/internal/firmware"
)

// soak says whether the long runs are asked for.
func soak() bool { return os.Getenv("LAMPLIGHTER_SOAK") != "" }

// A cut of the power at every byte of the update of a small image (in an erasure, at
// every 32nd; where the journal changes its half, and in WASM, only some of them
// unless the long runs are asked for): afterwards the device boots an image that was verified, and the update
// comes to its end. Boots before it fill the journal, so that its halves change at
// other steps.
func TestCrashAtEveryByte(t *testing.T) {
	x := makeTransfer(t, makeImage("1.1", 500), factorySeq+1, 64, 4)
	lost := func(g, i int) bool { return i == g }
	for _, room := range []int{4096, 1000, 500} {
		made := small()
		d := newDevice(t, made)
		for d.u.journal.half-d.u.journal.end > room {
			d.boot()
		}
		leftover(d, uint64(room))
		places, step := everyByte(t, made, x, lost), 1
		switch {
		case soak():
		case runtime.GOARCH == "wasm":
			step = 31
		case room < 4096:
			step = 7
		}
		for at := 0; at < len(places); at += step {
			n := places[at]
			m := made.clone()
			m.rng = rand.New(rand.NewPCG(uint64(n), 3))
			s := newSender(newDevice(t, m), x, lost)
			m.cutAfter(n)
			s.finish()
			if s.cuts != 1 {
				t.Fatalf("byte %d: %d cuts", n, s.cuts)
			}
		}
	}
}

// leftover fills the other slot and the parity area with what was there before.
func leftover(d *device, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 9))
	for i := d.u.areas.slots[1]; i < len(d.flash.b); i++ {
		d.flash.b[i] = byte(rng.Uint32())
	}
}

// everyByte is after how many bytes the power is to be cut.
func everyByte(t *testing.T, made *memory, x *transfer, lost func(g, index int) bool) (places []int) {
	d := newDevice(t, made.clone())
	count, epoch := 0, d.u.journal.epoch
	d.flash.note = func(off int, erasing bool) {
		if !erasing || off%32 == 31 {
			places = append(places, count)
		}
		count++
	}
	newSender(d, x, lost).finish()
	t.Logf("%d bytes are programmed or erased, %d cuts; the journal changes its half %d times", count, len(places), d.u.journal.epoch-epoch)
	return places
}

// A cut at every byte of the very first start.
func TestCrashInTheFactory(t *testing.T) {
	reference := newDevice(t, small())
	for n := range reference.flash.writes {
		m := small()
		m.rng = rand.New(rand.NewPCG(uint64(n), 4))
		m.cutAfter(n)
		d := &device{t: t, flash: m, cfg: reference.cfg, now: start}
		d.cfg.Flash = m
		if d.tryBoot() == nil && !m.dead {
			t.Fatalf("byte %d: no cut", n)
		}
		m.restore()
		d.boot()
		if v := d.u.View(); v.Running.Version != "1.0" || v.Minimum != factorySeq {
			t.Fatalf("byte %d: %+v", n, v)
		}
	}
}

// Phases of an update, by where and when a byte is written.
var phases = []string{"journal", "decode", "verify", "test boot", "confirm"}

// plan is an update whose every written byte has a phase.
type plan struct {
	made  *memory
	x     *transfer
	lost  func(g, index int) bool
	bytes map[string][]int // by phase: after how many bytes each is written
	cfg   func(*Config)
}

// newPlan makes an update of random size, cut and loss.
func newPlan(t testing.TB, rng *rand.Rand) *plan {
	sector := []int{256, 1024, 4096}[rng.IntN(3)]
	block := 64 << rng.IntN(4)
	k := 2 + rng.IntN(30)
	parity := k + rng.IntN(2*k)
	p := &plan{cfg: func(c *Config) { c.Ability = Ability{Block: block, K: k, Parity: parity} }}
	d := newDevice(t, newMemory(512<<10, sector), p.cfg)
	leftover(d, rng.Uint64())
	p.made = d.flash
	p.x = makeTransfer(t, makeImage("1.1", 3000+rng.IntN(40000)), factorySeq+1, block, k)
	seed := rng.Uint64()
	p.lost = func(g, i int) bool {
		return rand.New(rand.NewPCG(seed, uint64(g<<8|i))).IntN(5) == 0 || g == 0 && i == 0
	}
	p.trace(t)
	return p
}

// trace runs the update without a cut.
func (p *plan) trace(t testing.TB) {
	d := newDevice(t, p.made.clone(), p.cfg)
	s := newSender(d, p.x, p.lost)
	p.bytes = map[string][]int{}
	count, half := 0, d.u.areas.half
	var journal []int // of the parity step: the last record says that the image is verified
	d.flash.note = func(off int, _ bool) {
		inJournal := off < 2*half
		switch {
		case s.step == "confirming":
			p.bytes["confirm"] = append(p.bytes["confirm"], count)
		case s.step == "switching" || s.step == "booting":
			p.bytes["test boot"] = append(p.bytes["test boot"], count)
		case inJournal:
			p.bytes["journal"] = append(p.bytes["journal"], count)
			if s.step == "parity" {
				journal = append(journal, count)
			}
		case s.step == "parity" && off >= d.u.areas.slots[1] && off < d.u.areas.pool:
			p.bytes["decode"] = append(p.bytes["decode"], count)
		}
		count++
	}
	s.finish()
	p.bytes["verify"] = journal[max(0, len(journal)-200):]
}

// run cuts the power at random bytes of a phase, and now and then once more.
func (p *plan) run(t testing.TB, phase string, rng *rand.Rand) {
	m := p.made.clone()
	m.rng = rng
	d := newDevice(t, m, p.cfg)
	s := newSender(d, p.x, p.lost)
	at := p.bytes[phase][rng.IntN(len(p.bytes[phase]))]
	m.cutAfter(at)
	for again := rng.IntN(3); ; again-- {
		for range 1 + rng.IntN(3) {
			if m.dead {
				break
			}
			s.turn()
		}
		if m.dead && again > 0 {
			s.power()
			m.cutAfter(rng.IntN(3000))
			continue
		}
		if m.dead || again <= 0 {
			break
		}
	}
	s.finish()
	if s.cuts == 0 {
		t.Fatalf("%s, byte %d: no cut", phase, at)
	}
	m.restore()
	d.boot()
	if v := d.u.View(); v.Running.Version != "1.1" || v.State != firmware.Idle || v.Minimum != factorySeq+1 {
		t.Fatalf("%s, byte %d: %+v", phase, at, v)
	}
}

// Cuts at random bytes of each phase, of updates of all shapes: 20 a phase, and 200
// with LAMPLIGHTER_SOAK.
func TestCrashInEachPhase(t *testing.T) {
	runs := 20
	if soak() {
		runs = 200
	}
	for _, phase := range phases {
		t.Run(phase, func(t *testing.T) {
			var p *plan
			for n := range runs {
				rng := rand.New(rand.NewPCG(uint64(n), 5))
				if n%5 == 0 {
					p = newPlan(t, rng)
				}
				if len(p.bytes[phase]) == 0 {
					t.Fatal("nothing is written in this phase")
				}
				p.run(t, phase, rng)
			}
			t.Log(fmt.Sprintf("%d cuts", runs))
		})
	}
}
