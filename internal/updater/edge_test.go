package updater

import (
	"errors"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
)

// What an image or a flash says of its failure may be any bytes: the journal stays
// readable, and so is the report.
func TestReasonOfAnyBytes(t *testing.T) {
	bad := errors.New("trap \xff\xfe at \xc3")
	d := newDevice(t, small(), func(c *Config) {
		start := c.Start
		c.Start = func(b []byte) (string, error) {
			if version, err := start(b); err == nil {
				return version, nil
			}
			return "", bad
		}
	})
	x := makeTransfer(t, makeImage("2.0!", 700), 20, 64, 8)
	d.begin(x)
	d.feed(x, none)
	d.must(d.activate(x, firmware.ModeTest), coap.Changed)
	d.run(time.Second)
	d.boot()
	d.wantState(firmware.Idle, firmware.ResultBootLoop)
	if r, err := firmware.ParseReport(d.expect(coap.Content, coap.GET, firmware.PathReport, nil).Payload); err != nil || r.Reason == "" {
		t.Errorf("%+v, %v", r, err)
	}
}

// A version of any bytes can be told, so that the device can be asked and updated.
func TestVersionOfAnyBytes(t *testing.T) {
	for _, version := range []string{"1.0\xff", string(make([]byte, 100)), ""} {
		d := newDevice(t, small(), func(c *Config) {
			c.Start = func([]byte) (string, error) { return version, nil }
		})
		if s := d.status(firmware.FieldRunning); s.Running == nil {
			t.Errorf("%q: %+v", version, s)
		}
	}
}

// A switch that is refused takes nothing back of the one that is scheduled.
func TestRefusedSwitchChangesNothing(t *testing.T) {
	d, x := ready(t)
	y := makeTransfer(t, makeImage("2.1", 900), 21, 64, 8)
	later := func(r *firmware.ActivateRequest) { r.In = 60_000 }
	d.must(d.activate(x, firmware.ModeTest, later), coap.Changed)
	d.must(d.activate(y, firmware.ModeTest), coap.PreconditionFailed)
	d.must(d.activate(x, firmware.ModeTest, func(r *firmware.ActivateRequest) { r.Digest = y.digest }), coap.PreconditionFailed)
	d.must(d.activate(x, firmware.ModeTest, func(r *firmware.ActivateRequest) { r.At = uint64(d.now.Unix()) + 2*firmware.MaxIn }), coap.BadRequest)
	d.wantState(firmware.Updating, firmware.ResultNone)
	d.run(61 * time.Second)
	d.wantState(firmware.Testing, firmware.ResultNone)
}

// A clock that is set back gives no nonce a longer life.
func TestNonceWhenTheClockIsSetBack(t *testing.T) {
	d, x := ready(t)
	held := x.activation(firmware.ModeTest, d.nonce())
	d.now = d.now.Add(-time.Hour)
	d.must(d.send(held), coap.PreconditionFailed)
	d.run(30 * time.Minute)
	d.must(d.send(held), coap.PreconditionFailed)
	d.run(31 * time.Minute) // within its life again, by the clock
	d.must(d.send(held), coap.PreconditionFailed)
	d.must(d.activate(x, firmware.ModeTest), coap.Changed)
}

// A manifest may have an image for each slot: when the slots have changed places since
// it came it is asked for again.
func TestStagedBeforeAConfirmation(t *testing.T) {
	d, x := ready(t)
	y := makeTransfer(t, makeImage("2.1", 900), 21, 64, 8)
	d.must(d.activate(x, firmware.ModeTest), coap.Changed)
	d.run(time.Second)
	d.expect(coap.Changed, coap.PUT, firmware.PathManifest, y.envelope)
	d.must(d.activate(x, firmware.ModeConfirm), coap.Changed)
	d.expect(coap.PreconditionFailed, coap.POST, firmware.PathSession, y.open())
	d.update(y)
}

// What a status could not tell is no configuration.
func TestUntellableConfig(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"a long name": func(c *Config) { c.Hardware = string(make([]byte, 65)) },
		"no UTF-8":    func(c *Config) { c.Hardware = "rev \xff" },
		"too many anchors": func(c *Config) {
			for range 17 {
				c.Anchors = append(c.Anchors, vendorKey.Public())
			}
		},
	} {
		d := newDevice(t, small())
		change(&d.cfg)
		if err := d.tryBoot(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
