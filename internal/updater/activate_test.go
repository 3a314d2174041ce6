package updater

import (
	"bytes"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
)

// ready is a device that has the image of a transfer and has verified it.
func ready(t testing.TB) (*device, *transfer) {
	d := newDevice(t, small())
	x := makeTransfer(t, makeImage("2.0", 700), 20, 64, 8)
	d.begin(x)
	d.feed(x, none)
	d.wantState(firmware.Downloaded, firmware.ResultNone)
	return d, x
}

func (d *device) nonce() []byte { return d.status(firmware.FieldNonce).Nonce }

func (d *device) send(r firmware.ActivateRequest) *coap.Message {
	return d.serve(coap.POST, firmware.PathActivate, r.Append(nil), false)
}

// A device obeys only to a nonce that it gave last, not long ago, and once.
func TestNonces(t *testing.T) {
	d, x := ready(t)
	test := func(n []byte) firmware.ActivateRequest { return x.activation(firmware.ModeTest, n) }
	d.must(d.send(test(make([]byte, 8))), coap.PreconditionFailed) // it gave none
	first := d.nonce()
	second := d.nonce()
	if bytes.Equal(first, second) {
		t.Fatal("one nonce twice")
	}
	d.must(d.send(test(first)), coap.PreconditionFailed) // void since the next one
	d.run(firmware.NonceLife*time.Second + time.Second)
	d.must(d.send(test(second)), coap.PreconditionFailed) // too old
	used := d.nonce()
	d.must(d.send(x.activation(firmware.ModeCancel, used)), coap.Changed)
	d.must(d.send(test(used)), coap.PreconditionFailed) // used
	bad := d.nonce()
	wrong := test(bad)
	wrong.Digest = make([]byte, 8)
	d.must(d.send(wrong), coap.PreconditionFailed)
	d.must(d.send(test(bad)), coap.PreconditionFailed) // used, in vain
	before := d.nonce()
	d.boot()
	d.must(d.send(test(before)), coap.PreconditionFailed) // from before the restart
	d.wantState(firmware.Downloaded, firmware.ResultNone)
	last := d.nonce()
	d.run(firmware.NonceLife * time.Second)
	d.must(d.send(test(append(make([]byte, 16), last...))), coap.Changed) // among others, at the last second
	d.wantState(firmware.Updating, firmware.ResultNone)
}

// An activation that was held back does nothing when it comes: neither after its
// switch was cancelled, nor after the device has switched and come back.
func TestHeldBack(t *testing.T) {
	d, x := ready(t)
	held := x.activation(firmware.ModeTest, d.nonce())
	held.In = 60000
	d.must(d.send(held), coap.Changed)
	d.must(d.activate(x, firmware.ModeCancel), coap.Changed)
	d.wantState(firmware.Downloaded, firmware.ResultNone)
	d.must(d.send(held), coap.PreconditionFailed)
	d.must(d.activate(x, firmware.ModeTest), coap.Changed)
	d.run(time.Second)
	confirm := x.activation(firmware.ModeConfirm, d.nonce())
	d.must(d.activate(x, firmware.ModeRevert), coap.Changed)
	d.must(d.send(confirm), coap.PreconditionFailed)
	d.run(time.Second)
	d.wantState(firmware.Idle, firmware.ResultReverted)
	d.must(d.send(held), coap.PreconditionFailed)
	d.must(d.send(confirm), coap.PreconditionFailed)
	if v := d.u.View(); v.Minimum != factorySeq {
		t.Fatalf("%+v", v)
	}
}

// What is refused though the nonce is right.
func TestActivationsRefused(t *testing.T) {
	d, x := ready(t)
	y := makeTransfer(t, makeImage("2.1", 900), 21, 64, 8)
	change := func(f func(*firmware.ActivateRequest)) func(*firmware.ActivateRequest) { return f }
	for _, c := range []struct {
		name   string
		x      *transfer
		mode   firmware.Mode
		change func(*firmware.ActivateRequest)
		code   coap.Code
	}{
		{"another session", y, firmware.ModeTest, nil, coap.PreconditionFailed},
		{"another digest", x, firmware.ModeTest, change(func(r *firmware.ActivateRequest) { r.Digest = y.digest }), coap.PreconditionFailed},
		{"no mode", x, 0, nil, coap.BadRequest},
		{"a mode that is none", x, 5, nil, coap.BadRequest},
		{"two times", x, firmware.ModeTest, change(func(r *firmware.ActivateRequest) { r.In, r.At = 1, 1 }), coap.BadRequest},
		{"too far away", x, firmware.ModeTest, change(func(r *firmware.ActivateRequest) { r.In = firmware.MaxIn*1000 + 1 }), coap.BadRequest},
		{"a date too far away", x, firmware.ModeTest, change(func(r *firmware.ActivateRequest) { r.At = uint64(start.Unix()) + firmware.MaxIn + 1 }), coap.BadRequest},
		{"too long to confirm", x, firmware.ModeTest, change(func(r *firmware.ActivateRequest) { r.Within = firmware.MaxConfirm + 1 }), coap.BadRequest},
		{"half a nonce", x, firmware.ModeTest, change(func(r *firmware.ActivateRequest) { r.Nonces = make([]byte, 12) }), coap.BadRequest},
		{"confirming what does not run", x, firmware.ModeConfirm, nil, coap.Conflict},
		{"reverting what does not run", x, firmware.ModeRevert, nil, coap.Conflict},
		{"cancelling another one's", y, firmware.ModeCancel, nil, coap.PreconditionFailed},
	} {
		var changes []func(*firmware.ActivateRequest)
		if c.change != nil {
			changes = append(changes, c.change)
		}
		if resp := d.activate(c.x, c.mode, changes...); resp.Code != c.code {
			t.Errorf("%s: %s, want %s", c.name, describe(resp), coap.CodeString(c.code))
		}
		d.wantState(firmware.Downloaded, firmware.ResultNone)
	}
	d.run(24 * time.Hour)
	if len(d.log) != 1 {
		t.Fatalf("it started %v", d.log)
	}

	d = newDevice(t, small()) // before the image is complete
	d.begin(x)
	d.must(d.activate(x, firmware.ModeTest), coap.PreconditionFailed)
	d.wantState(firmware.Downloading, firmware.ResultNone)
}

// While a switch is to come, or an image is tested, no other session is opened, and
// the one that runs is not aborted.
func TestNothingElseMeanwhile(t *testing.T) {
	d, x := ready(t)
	y := makeTransfer(t, makeImage("2.1", 900), 21, 64, 8)
	d.run(time.Hour)
	d.expect(coap.Changed, coap.PUT, firmware.PathManifest, y.envelope)
	d.must(d.activate(x, firmware.ModeTest, func(r *firmware.ActivateRequest) { r.In = 3600000 }), coap.Changed)
	d.expect(coap.Conflict, coap.POST, firmware.PathSession, y.open())
	d.run(time.Hour)
	d.wantState(firmware.Testing, firmware.ResultNone)
	d.run(2 * time.Minute)
	d.expect(coap.Conflict, coap.POST, firmware.PathSession, y.open())
	d.expect(coap.Conflict, coap.POST, firmware.PathSession, x.abort())
	d.expect(coap.Changed, coap.POST, firmware.PathSession, x.open()) // it is open
	d.must(d.activate(x, firmware.ModeTest), coap.Conflict)
	d.must(d.activate(x, firmware.ModeCancel), coap.Conflict)
	d.must(d.activate(x, firmware.ModeConfirm), coap.Changed)
	d.must(d.activate(x, firmware.ModeConfirm), coap.Changed) // once more
	d.must(d.activate(x, firmware.ModeRevert), coap.Conflict)
	d.update(y)
	d.expect(coap.UnprocessableEntity, coap.PUT, firmware.PathManifest, x.envelope)
}

// A switch that was staged before another was confirmed is too old then.
func TestOlderThanMinimum(t *testing.T) {
	d, x := ready(t)
	old := makeTransfer(t, makeImage("1.9", 700), 15, 64, 8)
	d.expect(coap.Changed, coap.PUT, firmware.PathManifest, old.envelope)
	d.must(d.activate(x, firmware.ModeTest), coap.Changed)
	d.run(time.Second)
	d.must(d.activate(x, firmware.ModeConfirm), coap.Changed)
	d.run(time.Hour)
	d.expect(coap.UnprocessableEntity, coap.POST, firmware.PathSession, old.open())
	d.wantState(firmware.Idle, firmware.ResultOlder)
}

// A group's members switch at one time: each hears some of the messages with the
// remaining time, and one that was held back changes nothing.
func TestScheduled(t *testing.T) {
	d, x := ready(t)
	r := x.activation(firmware.ModeTest, d.nonce())
	in := func(ms uint) *coap.Message {
		r.In = ms
		return d.serve(coap.POST, firmware.PathActivate, r.Append(nil), true)
	}
	d.must(in(10000), coap.Changed)
	if s := d.wantState(firmware.Updating, firmware.ResultNone); s.Left != 10000 {
		t.Fatalf("left %d", s.Left)
	}
	d.run(2500 * time.Millisecond)
	d.must(in(7000), coap.Changed) // the one before came half a second late
	d.nonce()                      // somebody else asks; corrections go on
	d.run(2 * time.Second)
	d.must(in(7000), coap.Changed) // held back
	if s := d.status(firmware.FieldProgress); s.Left != 5000 {
		t.Fatalf("left %d", s.Left)
	}
	r.Within = 7
	if resp := in(3000); resp != nil {
		t.Fatalf("another request with the nonce: %s", describe(resp))
	}
	d.run(5*time.Second - time.Millisecond)
	d.wantState(firmware.Updating, firmware.ResultNone)
	d.run(time.Millisecond)
	d.wantState(firmware.Testing, firmware.ResultNone)
	if at := d.u.View().SwitchedAt.Sub(start); at != 9500*time.Millisecond {
		t.Fatalf("switched after %v", at)
	}
}

// At a date, for devices with a clock; one that has passed is now.
func TestScheduledAt(t *testing.T) {
	for _, c := range []struct {
		at    uint64
		after time.Duration
	}{{uint64(start.Unix()) + 100, 100 * time.Second}, {uint64(start.Unix()) - 100, grace}} {
		d, x := ready(t)
		d.must(d.activate(x, firmware.ModeTest, func(r *firmware.ActivateRequest) { r.At = c.at }), coap.Changed)
		d.run(101 * time.Second)
		if at := d.u.View().SwitchedAt.Sub(start); at != c.after {
			t.Errorf("switched after %v, want %v", at, c.after)
		}
	}
}

// Cancelling, aborting and a loss of power stop a switch that is scheduled; one that
// is to happen at once survives a loss of power and can be cancelled until then.
func TestScheduledNot(t *testing.T) {
	for name, stop := range map[string]func(*device, *transfer){
		"cancel": func(d *device, x *transfer) { d.must(d.activate(x, firmware.ModeCancel), coap.Changed) },
		"abort":  func(d *device, x *transfer) { d.expect(coap.Changed, coap.POST, firmware.PathSession, x.abort()) },
		"power":  func(d *device, x *transfer) { d.boot() },
	} {
		for _, in := range []uint{5000, 0} {
			d, x := ready(t)
			d.must(d.activate(x, firmware.ModeTest, func(r *firmware.ActivateRequest) { r.In = in }), coap.Changed)
			stop(d, x)
			d.run(time.Minute)
			runs := d.u.View().Running.Version == "2.0"
			if runs != (name == "power" && in == 0) {
				t.Errorf("%s, in %d: it runs %+v", name, in, d.u.View())
			}
		}
	}
}

// To a group a device answers only if it is meant.
func TestGroupActivation(t *testing.T) {
	a, x := ready(t)
	b, _ := ready(t)
	b.cfg.Rand = bytes.NewReader(bytes.Repeat([]byte("another device's"), 4))
	b.boot()
	na, nb := a.nonce(), b.nonce()
	only := x.activation(firmware.ModeTest, nb)
	if resp := a.serve(coap.POST, firmware.PathActivate, only.Append(nil), true); resp != nil {
		t.Fatalf("who is not meant answers %s", describe(resp))
	}
	a.wantState(firmware.Downloaded, firmware.ResultNone)
	both := x.activation(firmware.ModeTest, append(na, nb...))
	for _, d := range []*device{a, b} {
		d.must(d.serve(coap.POST, firmware.PathActivate, both.Append(nil), true), coap.Changed)
		d.run(time.Second)
		d.wantState(firmware.Testing, firmware.ResultNone)
	}
}

// An image that crashes when it starts is left at once, and one that restarts before
// it is confirmed at its restart.
func TestCrashingImage(t *testing.T) {
	d := newDevice(t, small())
	x := makeTransfer(t, makeImage("2.0!", 700), 20, 64, 8)
	d.begin(x)
	d.feed(x, none)
	d.must(d.activate(x, firmware.ModeTest), coap.Changed)
	d.run(time.Second)
	if len(d.log) != 2 || d.log[0] != "2.0!" || d.log[1] != "1.0" {
		t.Fatalf("it started %v", d.log)
	}
	d.wantState(firmware.Idle, firmware.ResultBootLoop)
	d.boot()
	if len(d.log) != 1 {
		t.Fatalf("it started %v", d.log)
	}

	d, x = ready(t)
	d.must(d.activate(x, firmware.ModeTest), coap.Changed)
	d.run(time.Second)
	d.wantState(firmware.Testing, firmware.ResultNone)
	d.boot() // the watchdog
	if s := d.wantState(firmware.Idle, firmware.ResultReverted); s.Running.Version != "1.0" {
		t.Fatalf("%+v", s.Running)
	}

	// Once more on request: the image stands there, so nothing is sent again.
	d.begin(x)
	d.wantState(firmware.Downloaded, firmware.ResultNone)
	d.must(d.activate(x, firmware.ModeTest), coap.Changed)
	d.run(time.Second)
	d.must(d.activate(x, firmware.ModeConfirm), coap.Changed)
	d.run(firmware.MaxConfirm * time.Second)
	if v := d.u.View(); v.Running.Version != "2.0" || v.Minimum != 20 {
		t.Fatalf("%+v", v)
	}
}
