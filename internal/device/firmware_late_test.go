package device

import (
	"net/netip"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
)

// An activate that the bridge held back, and everything else that crossed it, released
// later: refused.
func TestFirmwareHeldBack(t *testing.T) {
	b := newBuilding(t, 2)
	first, second := b.bulbs[0], b.bulbs[1]
	x := newTransfer(t, "2.0.0", 20)
	b.send(b.anna, x)
	hold := func(mode firmware.Mode, nonces ...[]byte) *coap.Message {
		return b.anna.seal(switchMessage(x.activate(mode, nonces...)))
	}
	release := func(m *coap.Message) {
		t.Helper()
		if err := b.anna.ex.Multicast(t.Context(), groupAddr, m, time.Second, nothing); err != nil {
			t.Fatal(err)
		}
		b.pass(5 * time.Second)
	}
	// The installer asks anew before it tries again: what it sent first is void.
	held := hold(firmware.ModeTest, b.nonces(b.anna, b.bulbs...)...)
	again := b.nonces(b.anna, b.bulbs...)
	release(held)
	b.want(firmware.Downloaded, "1.0.0")
	// Too late by the clock, even if nothing was asked meanwhile.
	held = hold(firmware.ModeTest, again...)
	b.pass((firmware.NonceLife + 1) * time.Second)
	release(held)
	b.want(firmware.Downloaded, "1.0.0")
	// A restart in between voids it, too.
	held = hold(firmware.ModeTest, b.nonces(b.anna, b.bulbs...)...)
	for _, l := range b.bulbs {
		l.boot()
	}
	release(held)
	b.anna.sweep(b, firmware.FieldProgress) // meets the challenges
	release(held)
	b.want(firmware.Downloaded, "1.0.0")
	// The same nonce switches once: the rollout is broken off, and comes to its end.
	nonces := b.nonces(b.anna, first)
	used := hold(firmware.ModeTest, nonces...)
	release(used)
	b.want(firmware.Testing, "2.0.0", first)
	b.want(firmware.Downloaded, "1.0.0", second)
	b.pass(2 * time.Minute)
	b.want(firmware.Idle, "1.0.0", first)
	release(used)
	release(hold(firmware.ModeTest, nonces...)) // the nonce in a new request
	b.want(firmware.Idle, "1.0.0", first)
	// A confirmation that was held back does not make the next trial stay.
	b.send(b.anna, x)
	b.anna.cast(switchMessage(x.activate(firmware.ModeTest, b.nonces(b.anna, first)...)))
	b.pass(2 * time.Second)
	late := hold(firmware.ModeConfirm, b.nonces(b.anna, first)...)
	b.pass(2 * time.Minute)
	b.send(b.anna, x)
	b.anna.cast(switchMessage(x.activate(firmware.ModeTest, b.nonces(b.anna, first)...)))
	b.pass(2 * time.Second)
	release(late)
	b.want(firmware.Testing, "2.0.0", first)
}

// An abort that was held back does nothing to what its sender has begun since: neither
// to the transfer nor to the switch. An opening that was overtaken does nothing either.
func TestFirmwareAbortHeldBack(t *testing.T) {
	b := newBuilding(t, 1)
	x := newTransfer(t, "2.0.0", 20)
	session := func(op firmware.Op) *coap.Message {
		r := firmware.SessionRequest{Session: x.session, Op: op, Block: uint(x.layout.Block), K: uint(x.layout.K)}
		return request(coap.POST, firmware.PathSession, r.Append(nil))
	}
	release := func(m *coap.Message) {
		t.Helper()
		if err := b.anna.ex.Multicast(t.Context(), groupAddr, m, time.Second, nothing); err != nil {
			t.Fatal(err)
		}
	}
	b.send(b.anna, x)
	aborted, opened := b.anna.seal(session(firmware.OpAbort)), b.anna.seal(session(firmware.OpOpen))
	b.anna.silently(session(firmware.OpAbort))
	b.want(firmware.Idle, "1.0.0")
	b.anna.silently(x.manifest())
	release(opened)
	b.want(firmware.Idle, "1.0.0")
	b.anna.silently(x.open())
	b.want(firmware.Downloaded, "1.0.0")
	r := x.activate(firmware.ModeTest, b.nonces(b.anna, b.bulbs...)...)
	r.In = 60_000
	b.anna.cast(switchMessage(r))
	release(aborted)
	b.want(firmware.Updating, "1.0.0")
	b.pass(61 * time.Second)
	b.want(firmware.Testing, "2.0.0")
}

// Everything that ever crossed the bridge, once more and in any order: nothing
// switches, nothing is received, and no session opens.
func TestFirmwareReplayed(t *testing.T) {
	b := newBuilding(t, 1)
	l := b.bulbs[0]
	sent := b.tap()
	x, y := newTransfer(t, "2.0.0", 20), newTransfer(t, "3.0.0", 30)
	b.send(b.anna, x)
	b.update(b.anna, x, "2.0.0")
	b.send(b.anna, y)
	b.update(b.anna, y, "3.0.0")
	replay := func(when string) {
		t.Helper()
		before := l.lamp.Firmware().View()
		for i := range *sent {
			b.net.Inject(t.Context(), browserAddr, l.addr, (*sent)[len(*sent)-1-i], true)
		}
		for _, datagram := range *sent {
			b.net.Inject(t.Context(), browserAddr, l.addr, datagram, true)
			b.net.Inject(t.Context(), browserAddr, l.addr, datagram, false)
		}
		b.pass(time.Second)
		after := l.lamp.Firmware().View()
		after.Running.Uptime = before.Running.Uptime
		if before.State != after.State || before.Running.Version != after.Running.Version || before.Running.Boots != after.Running.Boots {
			t.Errorf("%s: %+v became %+v", when, before, after)
		}
	}
	if len(*sent) < 2*x.layout.Blocks() {
		t.Fatalf("only %d datagrams were seen", len(*sent))
	}
	replay("at once")
	l.boot()
	replay("after a restart")
	b.anna.status(l, firmware.FieldProgress)
	replay("synchronised")
	b.want(firmware.Idle, "3.0.0")
}

// After a restart a lamp takes no block before its sender has met a challenge, and does
// not challenge blocks: the next question to all does it. What it has it kept.
func TestFirmwareAfterARestart(t *testing.T) {
	b := newBuilding(t, 2)
	l := b.bulbs[0]
	x := newTransfer(t, "2.0.0", 20)
	b.send(b.anna, x, 3, 4, 19)
	l.boot()
	b.anna.silently(x.block(3)) // the other one takes it
	b.anna.silently(x.block(4))
	got := b.anna.sweep(b, firmware.FieldProgress|firmware.FieldMissing) // meets the challenge
	if s := got[l]; len(got) != 2 || s.State != firmware.Downloading || s.Deficits[0] != 2 || s.Heard < 10 {
		t.Errorf("%d answers, %+v", len(got), got[l])
	}
	if s := got[b.bulbs[1]]; s.Deficits[0] != 0 || s.Deficits[2] != 1 {
		t.Errorf("the other: %+v", s)
	}
	for n := range x.layout.Blocks() { // it may lack the last ones, whose receipt was not noted yet
		if got[l].Missing[n/8]>>(7-n%8)&1 != 0 {
			b.anna.silently(x.block(n))
		}
	}
	b.want(firmware.Downloaded, "1.0.0")
}

// nothing ignores answers.
func nothing(*coap.Message, netip.AddrPort) {}
