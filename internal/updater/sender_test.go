package updater

import (
	"bytes"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
)

// sender brings one image to a device whose power fails, and holds the device to
// what must never break.
type sender struct {
	t       testing.TB
	d       *device
	x       *transfer
	lost    func(g, index int) bool
	next    int // parity block
	step    string
	old     []byte // digest of the image before, 8 bytes
	minimum uint64
	asked   int // tests that were asked for and not begun
	cuts    int
}

func newSender(d *device, x *transfer, lost func(g, index int) bool) *sender {
	return &sender{t: d.t, d: d, x: x, lost: lost, next: firmware.MaxK, old: d.u.Running().Digest, minimum: factorySeq}
}

// check holds the device, which has just booted, to the invariants.
func (s *sender) check() {
	s.t.Helper()
	v := s.d.u.View()
	isNew := bytes.Equal(v.Running.Digest, s.x.digest)
	if !isNew && !bytes.Equal(v.Running.Digest, s.old) {
		s.t.Fatalf("%s: it runs what nobody verified", s.step)
	}
	if v.Result == firmware.ResultIntegrity || v.Result == firmware.ResultFailed {
		s.t.Fatalf("%s: %v, though the sender is honest and the flash good", s.step, v.Result)
	}
	if v.Minimum < s.minimum {
		s.t.Fatalf("%s: the minimum sank from %d to %d", s.step, s.minimum, v.Minimum)
	}
	s.minimum = v.Minimum
	confirmed := isNew && v.State != firmware.Testing
	if confirmed != (v.Minimum == s.d.cfg.FactorySequence+1) {
		s.t.Fatalf("%s: minimum %d, confirmed %v", s.step, v.Minimum, confirmed)
	}
	if isNew && !confirmed {
		if s.asked == 0 {
			s.t.Fatalf("%s: it tests an image again that nobody asked it to", s.step)
		}
		s.asked = 0
	}
	if j := s.d.u.journal; j.end > j.half {
		s.t.Fatalf("%s: the journal has %d bytes of %d", s.step, j.end, j.half)
	}
}

// power brings the power back if it was cut, and boots until the boot is over. It
// says whether there was a cut.
func (s *sender) power() bool {
	if !s.d.flash.dead {
		return false
	}
	for s.d.flash.dead {
		s.cuts++
		s.d.flash.restore()
		err := s.d.tryBoot()
		if err != nil && !s.d.flash.dead {
			s.t.Fatalf("%s: after a cut it does not boot: %v", s.step, err)
		}
		if started := s.d.log; len(started) > 0 && s.d.flash.dead && started[0] == s.version() {
			s.asked = 0 // the cut was while it was tested
		}
	}
	s.check()
	return true
}

func (s *sender) version() string { return string(s.x.image[1 : 1+s.x.image[0]]) }

// put makes a request; nobody answers without power.
func (s *sender) put(method coap.Code, path string, payload []byte) {
	if !s.d.flash.dead {
		s.d.serve(method, path, payload, false)
	}
}

// finish goes on until the image is confirmed, whatever the state is.
func (s *sender) finish() {
	s.t.Helper()
	for range 200 {
		s.power()
		if bytes.Equal(s.d.u.Running().Digest, s.x.digest) && s.d.u.View().State == firmware.Idle {
			s.check()
			return
		}
		s.turn()
		if !s.d.flash.dead && s.d.u.View().State != firmware.Testing {
			s.check()
		}
	}
	s.t.Fatalf("it does not come to an end: %+v", s.d.u.View())
}

// turn does what the device's state asks for.
func (s *sender) turn() {
	s.t.Helper()
	switch s.d.u.View().State {
	case firmware.Idle:
		s.step = "opening"
		s.put(coap.PUT, firmware.PathManifest, s.x.envelope)
		s.put(coap.POST, firmware.PathSession, s.x.open())
	case firmware.Downloading:
		s.blocks()
	case firmware.Downloaded:
		s.step = "switching"
		s.asked++
		s.activate(firmware.ModeTest)
	case firmware.Updating:
		s.restart()
	case firmware.Testing:
		s.step = "confirming"
		s.activate(firmware.ModeConfirm)
	}
}

// blocks sends source blocks the first time, and parity to what is missing.
func (s *sender) blocks() {
	s.step = "source blocks"
	if s.lost != nil {
		for g := range s.x.layout.Generations() {
			_, k := s.x.layout.Generation(g)
			for i := range k {
				if !s.lost(g, i) {
					s.put(coap.PUT, firmware.PathBlock, s.x.block(g, i))
				}
			}
		}
		s.lost = nil
	}
	s.step = "parity"
	if s.d.flash.dead {
		return
	}
	for g, deficit := range s.d.u.Status(firmware.FieldProgress).Deficits {
		for range deficit {
			s.put(coap.PUT, firmware.PathBlock, s.x.block(g, s.next))
			s.next++
			if s.next == firmware.MaxSymbols {
				s.next = firmware.MaxK
			}
		}
	}
}

func (s *sender) activate(mode firmware.Mode) {
	r := s.x.activation(mode, s.d.u.Status(firmware.FieldNonce).Nonce)
	s.put(coap.POST, firmware.PathActivate, r.Append(nil))
}

// restart lets the device restart when it asks for it.
func (s *sender) restart() {
	s.t.Helper()
	s.step = "booting"
	s.d.now = s.d.now.Add(time.Second)
	s.d.u.Tick()
	if s.d.flash.dead || s.d.reboots == 0 {
		return
	}
	if err := s.d.tryBoot(); err != nil && !s.d.flash.dead {
		s.t.Fatalf("it does not boot: %v", err)
	}
	if !s.d.flash.dead {
		s.check()
	} else if len(s.d.log) > 0 && s.d.log[0] == s.version() {
		s.asked = 0
	}
}
