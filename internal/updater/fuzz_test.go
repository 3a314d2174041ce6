package updater

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
)

// FuzzJournal: whatever stands in a half, what is read of it encodes back to itself.
func FuzzJournal(f *testing.F) {
	d := newDevice(f, small())
	f.Add(bytes.Clone(d.flash.b[:300]))
	d.begin(makeTransfer(f, makeImage("2.0", 700), 20, 64, 8))
	f.Add(bytes.Clone(d.flash.b[:d.u.journal.half]))
	f.Add(appendRecord(appendHeader(nil, 1), []byte{1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		epoch, ok := parseHeader(b)
		if !ok {
			return
		}
		records, end := parseRecords(b)
		again := appendHeader(nil, epoch)
		for _, p := range records {
			again = appendRecord(again, p)
		}
		if !bytes.Equal(again, b[:end]) {
			t.Fatalf("%x becomes %x", b[:end], again)
		}
	})
}

// FuzzRecord: what is accepted encodes back to what reads the same.
func FuzzRecord(f *testing.F) {
	d, x := ready(f)
	f.Add(d.u.rec.payload())
	d.must(d.activate(x, firmware.ModeTest), coap.Changed)
	f.Add(d.u.rec.payload())
	f.Add(bitmap{1, 2, 3, 4}.payload())
	f.Fuzz(func(t *testing.T, p []byte) {
		r, b, err := parseRecord(p)
		switch {
		case err != nil:
		case b != nil:
			if !bytes.Equal(b.payload(), p) {
				t.Fatalf("%x becomes %x", p, b.payload())
			}
		default:
			again, _, err := parseRecord(r.payload())
			if err != nil || !bytes.Equal(again.payload(), r.payload()) {
				t.Fatalf("%x becomes %x: %v", p, r.payload(), err)
			}
		}
	})
}

// world is a device at the mercy of requests, restarts and cuts, and what is known
// of it without looking inside.
type world struct {
	*device
	images  map[string]*transfer // by version
	list    []*transfer
	good    string          // version of the confirmed image
	allowed map[string]bool // versions that were asked for, of which one may be started once
	minimum uint64
	nonces  [][]byte // that were given, the current one last
	t       *testing.T
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, good: "1.0", minimum: factorySeq, images: map[string]*transfer{}, allowed: map[string]bool{}}
	for i, version := range []string{"2.0", "2.1", "2.2!"} {
		x := makeTransfer(t, makeImage(version, 300+100*i), 20+uint64(i), 64, 4)
		w.images[version] = x
		w.list = append(w.list, x)
	}
	w.device = newDevice(t, small(), func(c *Config) {
		begin := c.Start
		c.Start = func(b []byte) (string, error) {
			version, err := begin(b)
			w.started(string(b[1:1+b[0]]), b)
			return version, err
		}
	})
	return w
}

// started holds each start to what may be started.
func (w *world) started(version string, b []byte) {
	if x := w.images[version]; version != "1.0" && (x == nil || !bytes.Equal(x.image, b)) {
		w.t.Fatalf("it starts bytes that nobody signed: %q", version)
	}
	switch {
	case w.allowed[version]:
		clear(w.allowed)
	case version != w.good:
		w.t.Fatalf("it starts %q, with %q confirmed and %v asked for", version, w.good, w.allowed)
	}
}

// settle restores the power and checks what must hold at all times.
func (w *world) settle() {
	for w.flash.dead {
		w.flash.restore()
		if err := w.tryBoot(); err != nil && !w.flash.dead {
			w.t.Fatalf("it does not boot: %v", err)
		}
		w.nonces = nil
	}
	v := w.u.View()
	if v.Minimum < w.minimum {
		w.t.Fatalf("the minimum sank from %d to %d", w.minimum, v.Minimum)
	}
	w.minimum = v.Minimum
	if v.State != firmware.Testing && v.State != firmware.Updating {
		w.good = v.Running.Version
	}
	if v.State == firmware.Testing && v.Running.Sequence <= v.Minimum {
		w.t.Fatalf("it tests %d with a minimum of %d", v.Running.Sequence, v.Minimum)
	}
	if v.Verified {
		s := w.u.rec.Session
		sum, err := digest(w.flash, w.u.areas.slots[1-w.u.rec.Slot], s.Manifest.Image.Size)
		if err != nil || !bytes.Equal(sum, s.Manifest.Image.Digest) {
			w.t.Fatal("what it calls verified is not")
		}
	}
	if at, ok := w.u.Due(); ok && at.IsZero() {
		w.t.Fatal("due at no time")
	}
}

// act does one thing that two bytes ask for.
func (w *world) act(op, arg byte) {
	x := w.list[int(arg)%len(w.list)]
	if op&0x80 != 0 {
		w.from = feederB
	} else {
		w.from = feederA
	}
	switch op % 12 {
	case 0:
		w.serve(coap.PUT, firmware.PathManifest, x.envelope, op&0x40 != 0)
	case 1:
		w.serve(coap.POST, firmware.PathSession, x.open(), op&0x40 != 0)
	case 2:
		w.serve(coap.POST, firmware.PathSession, x.abort(), false)
	case 3, 4, 5: // a block, a parity block, all blocks of a generation
		w.blocks(x, op%12, int(arg)/len(w.list))
	case 6, 7, 8:
		mode := firmware.Mode(op%12 - 5)
		if mode == firmware.ModeRevert && op&0x40 != 0 {
			mode = firmware.ModeCancel
		}
		w.switching(x, mode, arg)
	case 9:
		w.run(time.Duration(arg) * time.Duration(arg) * 100 * time.Millisecond)
	case 10:
		if arg&1 == 0 {
			w.nonces = nil
			_ = w.tryBoot()
		} else {
			w.flash.cutAfter(int(arg) * 4)
		}
	case 11:
		if n := w.u.Status(firmware.FieldNonce | firmware.FieldProgress | firmware.FieldMissing | firmware.FieldAbility).Nonce; n != nil {
			w.nonces = append(w.nonces, n)
		}
	}
}

func (w *world) blocks(x *transfer, op byte, arg int) {
	g := arg % x.layout.Generations()
	_, k := x.layout.Generation(g)
	send := func(index int) {
		b := x.block(g, index)
		if arg == 61 { // forged
			b[len(b)-1] ^= 0x10
		}
		w.serve(coap.PUT, firmware.PathBlock, b, arg&1 == 0)
	}
	switch op {
	case 3:
		send(arg % k)
	case 4:
		send(firmware.MaxK + arg)
	default:
		for i := range k {
			send(i)
		}
	}
}

// switching quotes the current nonce, one from before, or none that was given.
func (w *world) switching(x *transfer, mode firmware.Mode, arg byte) {
	n := make([]byte, firmware.NonceSize)
	if len(w.nonces) > 0 {
		n = w.nonces[len(w.nonces)-1-int(arg>>6)%len(w.nonces)]
	}
	r := x.activation(mode, n)
	r.In = uint(arg&0x30) * 100
	r.Within = uint(arg & 3 * 60)
	before, left := w.u.View(), w.u.Status(0).Left
	resp := w.send(r)
	after := w.u.View()
	if mode == firmware.ModeTest && resp.Code == coap.Changed || mode <= firmware.ModeConfirm && w.flash.dead { // it may be durable though nobody hears so
		w.allowed[string(x.image[1:1+x.image[0]])] = true
	}
	if before.State != after.State && coap.Class(resp.Code) != 2 && !w.flash.dead {
		w.t.Fatalf("%s, and yet the state goes from %v to %v", describe(resp), before.State, after.State)
	}
	if before.State == firmware.Updating && coap.Class(resp.Code) != 2 && w.u.Status(0).Left != left && !w.flash.dead {
		w.t.Fatalf("%s, and yet the switch is at another time", describe(resp))
	}
	if mode == firmware.ModeTest && resp.Code == coap.Changed && !before.Verified {
		w.t.Fatal("it takes a switch to what is not verified")
	}
}

// run lets time pass, with restarts that a cut may interrupt.
func (w *world) run(span time.Duration) {
	for end := w.now.Add(span); ; {
		at, ok := w.u.Due()
		if !ok || at.After(end) || w.flash.dead {
			w.now = end
			return
		}
		if at.After(w.now) {
			w.now = at
		}
		w.u.Tick()
		if w.reboots > 0 {
			w.nonces = nil
			_ = w.tryBoot()
			w.settle()
		}
	}
}

// FuzzUpdater: whatever comes, at whatever time, with restarts and cuts of the power
// between: only what was verified and asked for is started, once unless confirmed,
// the minimum never sinks, and an update can be brought to its end afterwards.
func FuzzUpdater(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 5, 0, 5, 3, 11, 0, 6, 0, 9, 10, 11, 0, 7, 0, 10, 0})
	f.Add([]byte{0, 2, 1, 2, 5, 2, 5, 5, 5, 8, 11, 0, 6, 2, 9, 10, 10, 0, 0, 1, 1, 1})
	f.Add([]byte{0, 1, 1, 1, 5, 1, 4, 4, 10, 9, 4, 7, 5, 4, 10, 2, 11, 0, 6, 1, 9, 200})
	for seed := range uint64(20) {
		b := make([]byte, 400)
		rng := rand.New(rand.NewPCG(seed, 8))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		w := newWorld(t)
		for i := 0; i+1 < len(script) && i < 2000; i += 2 {
			w.act(script[i], script[i+1])
			w.settle()
		}
		w.flash.restore()
		w.from = feederA
		w.recover()
	})
}

// recover brings the device to an image of a higher sequence number than all.
func (w *world) recover() {
	w.settle()
	w.run(firmware.MaxConfirm * time.Second)
	w.settle()
	w.run(firmware.SessionLife * time.Second)
	w.settle()
	last := makeTransfer(w.t, makeImage("3.0", 600), 99, 64, 4)
	w.images["3.0"] = last
	w.allowed["3.0"] = true
	w.update(last)
	w.good = "3.0"
	w.boot()
	if v := w.u.View(); v.Running.Version != "3.0" || v.Minimum != 99 {
		w.t.Fatalf("%+v", v)
	}
}
