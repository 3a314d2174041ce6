package device

import (
	"bytes"
	"context"
	"net/netip"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/firmware"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
)

// An activate that the bridge held back, and everything else that crossed it, released
// later: refused. DESIGN S5.
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

// New keys in the middle of a transfer: who has them goes on where it was.
func TestFirmwareWhileTheGroupIsRekeyed(t *testing.T) {
	b := newBuilding(t, 2)
	x := newTransfer(t, "2.0.0", 20)
	b.anna.silently(x.manifest())
	b.anna.silently(x.open())
	rekey := map[int]func(){
		5:  func() { b.rekey("") },
		9:  func() { b.guest("guest", 40) }, // somebody comes and goes
		14: func() { b.bulbs[1].boot(); b.rekey("") },
	}
	for n := range x.layout.Blocks() {
		if f := rekey[n]; f != nil {
			f()
			b.anna.refresh()
			b.anna.sweep(b, firmware.FieldProgress) // as after every pause: who has to be synchronised?
		}
		b.anna.silently(x.block(n))
	}
	b.want(firmware.Downloaded, "1.0.0")
	// Between the nonce and the switch, too.
	nonces := b.nonces(b.anna, b.bulbs...)
	b.rekey("")
	b.anna.refresh()
	b.anna.cast(switchMessage(x.activate(firmware.ModeTest, nonces...)))
	b.pass(2 * time.Second)
	b.want(firmware.Testing, "2.0.0")
}

// rekey gives the group new keys.
func (b *building) rekey(without string) {
	b.t.Helper()
	if err := b.gm.Rekey(b.t.Context(), "hall", without); err != nil {
		b.t.Fatal(err)
	}
}

// guest joins the group and leaves it.
func (b *building) guest(name string, seed byte) {
	b.t.Helper()
	g := b.installer(name, seed)
	g.self(ace.RoleRequester)
	if err := g.member.Leave(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// A lamp that leaves in the middle takes nothing more, one that joins is no part of
// what began before; the others end as they would.
func TestFirmwareWhileLampsComeAndGo(t *testing.T) {
	b := newBuilding(t, 3)
	gone, stays := b.bulbs[0], b.bulbs[1:]
	x := newTransfer(t, "2.0.0", 20)
	b.anna.silently(x.manifest())
	b.anna.silently(x.open())
	var newcomer *bulb
	for n := range x.layout.Blocks() {
		switch n {
		case 6:
			if err := do(gone.at(b.anna).ownerSession(), coap.DELETE, "/ll/groups/hall", nil, nil); err != nil {
				t.Fatal(err)
			}
		case 12:
			newcomer = b.newBulb(3)
			if err := cmpErr(newcomer.at(b.anna).claim(), newcomer.at(b.anna).assist()); err != nil {
				t.Fatal(err)
			}
		}
		if n == 6 || n == 12 {
			b.anna.refresh()
		}
		b.anna.silently(x.block(n))
	}
	b.want(firmware.Downloaded, "1.0.0", stays...)
	b.want(firmware.Downloading, "1.0.0", gone)
	b.want(firmware.Idle, "1.0.0", newcomer)
	b.update(b.anna, x, "2.0.0", stays...)
	b.want(firmware.Downloading, "1.0.0", gone) // a member of nothing is not spoken to
	// The newcomer gets all of it afterwards.
	b.bulbs = append(b.bulbs, newcomer)
	b.send(b.anna, x)
	b.update(b.anna, x, "2.0.0", newcomer)
}

// nothing ignores answers.
func nothing(*coap.Message, netip.AddrPort) {}

// A release ends a transfer, also a switch that is to come: it was the former owner's.
func TestFirmwareAndRelease(t *testing.T) {
	b := newBuilding(t, 1)
	l := b.bulbs[0]
	x := newTransfer(t, "2.0.0", 20)
	release := func() {
		t.Helper()
		if err := do(l.at(b.anna).ownerSession(), coap.DELETE, "/ll/claim", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	take := func() {
		t.Helper()
		if err := cmpErr(l.at(b.anna).claim(), l.at(b.anna).assist()); err != nil {
			t.Fatal(err)
		}
		b.anna.refresh()
	}
	b.send(b.anna, x, 7)
	release()
	b.want(firmware.Idle, "1.0.0")
	take()
	b.send(b.anna, x)
	r := x.activate(firmware.ModeTest, b.nonces(b.anna, l)...)
	r.In = 60_000
	b.anna.cast(switchMessage(r))
	b.want(firmware.Updating, "1.0.0")
	release()
	b.pass(2 * time.Minute)
	b.want(firmware.Idle, "1.0.0")
	if l.boots != 1 {
		t.Error("it restarted")
	}
	// What is tested goes by itself.
	take()
	b.send(b.anna, x)
	b.anna.cast(switchMessage(x.activate(firmware.ModeTest, b.nonces(b.anna, l)...)))
	b.pass(2 * time.Second)
	release()
	b.want(firmware.Testing, "2.0.0")
	b.pass(2 * time.Minute)
	b.want(firmware.Idle, "1.0.0")
}

// A block costs no write of the replay window; what the store then lacks is made up for
// by whatever comes next, and by the challenge after a restart.
func TestBlocksAreNotWrittenOneByOne(t *testing.T) {
	b := newBuilding(t, 1)
	l := b.bulbs[0]
	x := newTransfer(t, "2.0.0", 20)
	b.anna.silently(x.manifest())
	b.anna.silently(x.open())
	counted := &counting{Store: l.cfg.Store}
	l.lamp.cfg.Store = counted
	var sent [][]byte
	b.net.Record = b.requestsTo(groupAddr, &sent)
	for range 3 {
		for n := range x.layout.Blocks() - 1 {
			b.anna.silently(x.block(n))
		}
	}
	if counted.updates != 0 {
		t.Errorf("%d blocks cost %d writes", len(sent), counted.updates)
	}
	// The same datagrams again are refused by the window in memory.
	heard := b.anna.status(l, firmware.FieldProgress).Heard
	if counted.updates != 1 {
		t.Errorf("a question cost %d writes", counted.updates)
	}
	for _, datagram := range sent {
		b.net.Inject(t.Context(), browserAddr, l.addr, datagram, true)
	}
	if again := b.anna.status(l, firmware.FieldProgress).Heard; again != heard {
		t.Errorf("%d blocks were taken twice", again-heard)
	}
	// What is not written by the time of a restart is refused after it.
	last := b.anna.seal(x.block(x.layout.Blocks() - 1))
	b.anna.silently(x.block(0))
	l.boot()
	b.anna.status(l, firmware.FieldProgress)
	for _, m := range []*coap.Message{last} {
		if err := b.anna.ex.Multicast(t.Context(), groupAddr, m, time.Second, nothing); err != nil {
			t.Fatal(err)
		}
	}
	b.want(firmware.Downloading, "1.0.0")
	// After so many it is written once: a window that lags is a few challenges.
	counted.updates = 0
	l.lamp.cfg.Store = counted
	for range 2 * maxPostponed {
		b.anna.silently(x.block(0))
	}
	if counted.updates == 0 || counted.updates > 2 {
		t.Errorf("%d writes for %d blocks", counted.updates, 2*maxPostponed)
	}
}

// counting counts the writes to a store.
type counting struct {
	store.Store
	updates int
}

func (c *counting) Update(ctx context.Context, fn func(store.Tx) error) error {
	c.updates++
	return c.Store.Update(ctx, fn)
}

// With the keys handed over again, blocks that were not written stay received: no
// challenge stands between.
func TestBlocksAreWrittenBeforeAHandover(t *testing.T) {
	b := newBuilding(t, 1)
	l := b.bulbs[0]
	x := newTransfer(t, "2.0.0", 20)
	b.anna.silently(x.manifest())
	b.anna.silently(x.open())
	var sent [][]byte
	b.net.Record = b.requestsTo(groupAddr, &sent)
	for n := range 5 {
		b.anna.silently(x.block(n))
	}
	b.net.Record = nil
	kid := b.anna.ms.SenderID
	want := l.lamp.members["hall"].epoch.ctx.Window(kid)
	if err := l.at(b.anna).assist(); err != nil { // a new Sender ID under the same keys
		t.Fatal(err)
	}
	if got := l.lamp.members["hall"].epoch.ctx.Window(kid); got != want || got == (oscore.WindowState{}) {
		t.Errorf("the window was %+v and is %+v", want, got)
	}
	heard := l.lamp.Firmware().Status(firmware.FieldProgress).Heard
	for _, datagram := range sent {
		b.net.Inject(t.Context(), browserAddr, l.addr, datagram, true)
	}
	if again := l.lamp.Firmware().Status(firmware.FieldProgress).Heard; again != heard {
		t.Errorf("%d blocks were taken twice", again-heard)
	}
}

// Two rollouts at once, of two installers: the second is refused while the first
// feeds, told by whom, and may take over what was left. The same image from another
// installer goes on where the first one was.
func TestTwoRolloutsAtOnce(t *testing.T) {
	b := newBuilding(t, 2)
	bert := b.installer("bert", 2)
	bert.self(ace.RoleRequester)
	bert.refresh()
	for _, l := range b.bulbs {
		if err := l.at(b.anna).list(2, commissioner{b.anna.cred, allRights}, commissioner{bert.cred, rightManage}); err != nil {
			t.Fatal(err)
		}
	}
	b.anna.refresh()
	l := b.bulbs[0]
	x, y := newTransfer(t, "2.0.0", 20), newTransfer(t, "3.0.0", 30)
	b.send(b.anna, x, 5, 6)
	if _, err := bert.to(l, y.manifest()); err != nil {
		t.Fatal(err) // to stage it takes nothing away
	}
	_, err := bert.to(l, y.open())
	wantCode(t, "a second rollout", err, coap.Conflict)
	sum := cose.Thumbprint(b.anna.cred)
	if s := bert.status(l, firmware.FieldFeeder); !bytes.Equal(s.Feeder, sum[:firmware.DigestSize]) || s.FedAgo > 1 {
		t.Errorf("who feeds: %+v", s)
	}
	b.send(bert, y) // nobody takes a block of it
	for l, s := range bert.sweep(b, firmware.FieldProgress) {
		if !bytes.Equal(s.Session, x.session) || s.Deficits[0] != 2 {
			t.Errorf("%s: %+v", l.id(), s)
		}
	}
	// Two installers, one image: the second one ends what the first began.
	b.send(bert, x, 0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)
	b.want(firmware.Downloaded, "1.0.0")
	// A minute after the last block another image may take the place.
	b.pass((firmware.Stale + 1) * time.Second)
	b.send(bert, y)
	b.want(firmware.Downloaded, "1.0.0")
	for l, s := range b.anna.sweep(b, firmware.FieldProgress) {
		if !bytes.Equal(s.Session, y.session) || !bytes.Equal(s.Ready, y.digest) {
			t.Errorf("%s: %+v", l.id(), s)
		}
	}
	// What was switched to by a nonce for the first session is not the second's image.
	nonces := b.nonces(b.anna, b.bulbs...)
	if got := b.anna.cast(switchMessage(x.activate(firmware.ModeTest, nonces...))); len(got) > 0 {
		t.Error("a session that is over is switched to")
	}
	b.update(bert, y, "3.0.0")
}
