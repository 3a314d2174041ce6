package updater

import (
	"bytes"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
)

// An image is received, decoded, tested and confirmed, one after another, over
// restarts.
func TestUpdate(t *testing.T) {
	d := newDevice(t, small())
	if r := d.u.Running(); r.Version != "1.0" || r.Sequence != factorySeq || r.Boots != 1 {
		t.Fatalf("from the factory: %+v", r)
	}
	for i, version := range []string{"1.1", "1.2", "1.3"} {
		x := makeTransfer(t, makeImage(version, 1000+i), factorySeq+1+uint64(i), 64, 8)
		d.update(x)
		for range 2 {
			r := d.u.Running()
			if r.Version != version || r.Sequence != factorySeq+1+uint64(i) || !bytes.Equal(r.Digest, x.digest) {
				t.Fatalf("running %+v", r)
			}
			if !bytes.Equal(d.u.Image(), x.image) {
				t.Fatal("another image")
			}
			if min := d.status(firmware.FieldAbility).Ability.Minimum; min != r.Sequence {
				t.Fatalf("minimum %d", min)
			}
			d.boot()
		}
		d.wantState(firmware.Idle, firmware.ResultSuccess)
		report, err := firmware.ParseReport(d.expect(coap.Content, coap.GET, firmware.PathReport, nil).Payload)
		if err != nil || !bytes.Equal(report.Session, x.session) || report.From != factorySeq+uint64(i) || report.Sequence != factorySeq+1+uint64(i) {
			t.Fatalf("report %+v, %v", report, err)
		}
	}
}

// Without a confirmation the image before comes back, after the time that was asked
// for, and the new one is not booted again.
func TestRevertByTime(t *testing.T) {
	d := newDevice(t, small())
	x := makeTransfer(t, makeImage("2.0", 700), 20, 64, 8)
	d.begin(x)
	d.feed(x, none)
	d.must(d.activate(x, firmware.ModeTest, func(r *firmware.ActivateRequest) { r.Within = 60 }), coap.Changed)
	d.run(time.Second)
	s := d.wantState(firmware.Testing, firmware.ResultNone)
	if s.Running.Version != "2.0" || s.Left == 0 || s.Left > 60000 || !bytes.Equal(s.Ready, x.digest) {
		t.Fatalf("testing %+v", s)
	}
	d.run(58 * time.Second)
	d.wantState(firmware.Testing, firmware.ResultNone)
	d.run(3 * time.Second)
	if s := d.wantState(firmware.Idle, firmware.ResultReverted); s.Running.Version != "1.0" {
		t.Fatalf("running %+v", s.Running)
	}
	for range 3 {
		d.boot()
		if d.log[0] != "1.0" {
			t.Fatalf("booted %v", d.log)
		}
	}
	if min := d.status(firmware.FieldAbility).Ability.Minimum; min != factorySeq {
		t.Fatalf("minimum %d", min)
	}
}
