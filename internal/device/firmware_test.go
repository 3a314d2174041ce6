package device

import (
	"bytes"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
)

// A whole update of a group: the manifest and the blocks to all, what was lost mended
// by parity, the digest compared, and then one lamp before the others.
func TestFirmwareOfAGroup(t *testing.T) {
	b := newBuilding(t, 3)
	x := newTransfer(t, "2.0.0", 20)
	b.net.Down(b.bulbs[1].addr, true)
	b.anna.silently(x.manifest()) // the second lamp misses the beginning
	b.net.Down(b.bulbs[1].addr, false)
	b.send(b.anna, x, 3, 4)
	for l, s := range b.anna.sweep(b, firmware.FieldProgress) {
		if s.State != firmware.Downloading || !bytes.Equal(s.Session, x.session) || s.Deficits[0] != 2 || s.Deficits[1] != 0 {
			t.Errorf("%s: %+v", l.id(), s)
		}
	}
	b.anna.silently(x.parity(0, 64))
	b.anna.silently(x.parity(0, 70))
	got := b.anna.sweep(b, firmware.FieldProgress)
	if len(got) != 3 {
		t.Errorf("%d answers", len(got))
	}
	for l, s := range got {
		if s.State != firmware.Downloaded || !bytes.Equal(s.Ready, x.digest) {
			t.Errorf("%s: %+v", l.id(), s)
		}
	}
	b.want(firmware.Downloaded, "1.0.0")
	b.update(b.anna, x, "2.0.0", b.bulbs[0])
	b.want(firmware.Downloaded, "1.0.0", b.bulbs[1:]...)
	b.update(b.anna, x, "2.0.0", b.bulbs[1:]...)
	if l := b.bulbs[0]; l.boots != 2 || l.lamp.Firmware().View().Minimum != 20 {
		t.Errorf("%d boots, %+v", l.boots, l.lamp.Firmware().View())
	}
	var id idAnswer
	if err := do(plain{b.bulbs[2].at(b.anna)}, coap.GET, "/ll/id", nil, &id); err != nil || id.FW != "2.0.0" {
		t.Errorf("it says of itself: %+v, %v", id, err)
	}
}

// An image that nobody confirms is left by the device itself.
func TestFirmwareNotConfirmed(t *testing.T) {
	b := newBuilding(t, 2)
	x := newTransfer(t, "2.0.0", 20)
	b.send(b.anna, x)
	b.anna.cast(switchMessage(x.activate(firmware.ModeTest, b.nonces(b.anna, b.bulbs...)...)))
	b.pass(2 * time.Second)
	b.want(firmware.Testing, "2.0.0")
	b.anna.cast(switchMessage(x.activate(firmware.ModeConfirm, b.nonces(b.anna, b.bulbs[0])...)))
	b.pass(90 * time.Second)
	b.want(firmware.Idle, "2.0.0", b.bulbs[0])
	b.want(firmware.Idle, "1.0.0", b.bulbs[1])
	if v := b.bulbs[1].lamp.Firmware().View(); v.Result != firmware.ResultReverted || v.Minimum != testFactory {
		t.Errorf("%+v", v)
	}
}
