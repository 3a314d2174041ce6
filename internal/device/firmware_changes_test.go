package device

import (
	"bytes"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/firmware"
)

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
