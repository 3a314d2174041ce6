package device

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
	"lamplighter/internal/sim"
	"lamplighter/internal/store"
)

// After a reboot a request is challenged and not obeyed, its repetition with the
// challenge is.
func TestEchoAfterReboot(t *testing.T) {
	w, in := commissioned(t)
	if _, err := in.light(on(true)); err != nil {
		t.Fatal(err)
	}
	w.boot()
	req := lightMessage(on(false))
	got := in.cast(req)
	if len(got) != 1 || !oscore.IsChallenge(got[0].msg) || !w.lamp.State().Light.On {
		t.Fatalf("%+v, light %+v", got, w.lamp.State().Light)
	}
	// A wrong value is challenged again.
	wrong := coap.Clone(req)
	coap.AddOption(wrong, coap.OptionEcho, []byte("12345678"))
	r, err := in.ask(wrong, got[0].from.KID)
	if err == nil || r == nil || !oscore.IsChallenge(r.msg) || !w.lamp.State().Light.On {
		t.Fatalf("a wrong Echo: %v", err)
	}
	if _, err := in.echoed(req, *r); err != nil || w.lamp.State().Light.On {
		t.Fatalf("the right Echo: %v", err)
	}
	if got := in.cast(lightMessage(on(true))); len(got) != 1 || oscore.IsChallenge(got[0].msg) {
		t.Error("challenged twice")
	}
}

// tap records the group requests on the wire.
func (w *world) tap() *[][]byte {
	var mu sync.Mutex
	var got [][]byte
	w.net.Record = func(d sim.Datagram) {
		if d.Kind == sim.Request && d.To == groupAddr {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, bytes.Clone(d.Bytes))
		}
	}
	return &got
}

func TestReplay(t *testing.T) {
	w, in := commissioned(t)
	sent := w.tap()
	for _, b := range []bool{true, false} {
		if _, err := in.light(on(b)); err != nil {
			t.Fatal(err)
		}
	}
	replay := func(what string) {
		t.Helper()
		for _, datagram := range *sent {
			for _, multicast := range []bool{true, false} {
				answer := w.net.Inject(t.Context(), browserAddr, lampAddr, datagram, multicast)
				if w.lamp.State().Light.On || answer != nil {
					t.Fatalf("%s: obeyed or answered", what)
				}
			}
		}
	}
	replay("at once")
	w.boot()
	replay("after a reboot")
	if _, err := in.light(nil); err != nil {
		t.Fatal(err)
	}
	replay("synchronised")

	// Held back: sent before the reboot, seen only now.
	held, _, err := in.group.ProtectRequest(lightMessage(on(true)), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.boot()
	if resp := in.send(held); resp != nil && w.lamp.State().Light.On {
		t.Error("a message held back over a reboot is obeyed")
	}
	if _, err := in.light(nil); err != nil {
		t.Fatal(err)
	}
	in.send(held)
	if w.lamp.State().Light.On {
		t.Error("a message older than the challenge is obeyed")
	}
}

// Released by force and joined again, the lamp has the keys that it had, and no
// replay windows: it challenges.
func TestForgottenWindows(t *testing.T) {
	w, in := commissioned(t)
	sent := w.tap()
	if _, err := in.light(on(true)); err != nil {
		t.Fatal(err)
	}
	if _, err := in.light(on(false)); err != nil {
		t.Fatal(err)
	}
	gid := w.lamp.State().Groups[0].GID
	w.net.Down(gmAddr, true)
	if err := do(in.ownerSession(), coap.DELETE, "/ll/claim?force", nil, nil); err != nil {
		t.Fatal(err)
	}
	w.net.Down(gmAddr, false)
	if err := cmpErr(in.claim(), in.assist()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(gid, w.lamp.State().Groups[0].GID) {
		t.Fatal("this test is about the same keys")
	}
	for _, datagram := range *sent {
		w.net.Inject(t.Context(), browserAddr, lampAddr, datagram, true)
		if w.lamp.State().Light.On {
			t.Fatal("a replay is obeyed")
		}
	}
	in.refresh()
	if l, err := in.light(on(true)); err != nil || !l.On {
		t.Errorf("%+v, %v", l, err)
	}
}

// stored counts the keys with a prefix in the lamp's store.
func (w *world) stored(prefix string) (n int) {
	w.t.Helper()
	err := w.cfg.Store.View(w.t.Context(), func(tx store.Tx) error {
		return tx.Scan(prefix, func(string, []byte) bool { n++; return true })
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// The network turns two commands round: the later one counts.
func TestOvertaken(t *testing.T) {
	w, in := commissioned(t)
	first, b1, err := in.group.ProtectRequest(lightMessage(on(true)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.light(on(false)); err != nil {
		t.Fatal(err)
	}
	resp, _, _, err := in.group.UnprotectResponse(in.send(first), b1)
	if err != nil || resp.Code != coap.Changed || !bytes.Equal(resp.Payload, answer(coap.Changed, Light{On: false, Level: 100}).Payload) {
		t.Errorf("%v, %v", resp, err)
	}
	if w.lamp.State().Light.On {
		t.Error("the older command won")
	}
}

// The mark of the sequence number is lost: a new Sender ID, and challenges.
func TestLostMark(t *testing.T) {
	w, in := commissioned(t)
	if _, err := in.light(on(true)); err != nil {
		t.Fatal(err)
	}
	before := w.members()[lampSubject].SenderID
	mark := groupMark(&w.lamp.members["hall"].rec.Membership)
	if err := w.cfg.Store.Update(t.Context(), func(tx store.Tx) error { return tx.Delete(mark) }); err != nil {
		t.Fatal(err)
	}
	w.boot()
	if w.lamp.State().Groups[0].InSync {
		t.Error("in sync without a sequence number")
	}
	in.cast(lightMessage(nil)) // makes it renew; the browser does not know the new Sender ID yet
	after := w.members()[lampSubject].SenderID
	if bytes.Equal(before, after) || !bytes.Equal(after, w.lamp.State().Groups[0].SenderID) {
		t.Fatalf("Sender ID %x, then %x, the lamp has %x", before, after, w.lamp.State().Groups[0].SenderID)
	}
	in.refresh()
	if l, err := in.light(on(false)); err != nil || l.On {
		t.Errorf("%+v, %v", l, err)
	}
}

// Keys that the device has used come back with a lower sequence number: it goes
// on where it was, also after a reboot and a release in between. (TestMain holds
// the nonces against each other.)
func TestAssociationHandedInAgain(t *testing.T) {
	w, in := commissioned(t)
	w.clock.Advance(time.Hour)
	if _, err := in.light(nil); err != nil { // the lamp asks for num
		t.Fatal(err)
	}
	used := w.lamp.members["hall"].rec.Association
	mark := associationMark(&used)
	for i, between := range []func(){func() {}, w.boot, func() {
		if err := do(in.ownerSession(), coap.DELETE, "/ll/claim?force", nil, nil); err != nil {
			t.Fatal(err)
		}
		if err := in.claim(); err != nil {
			t.Fatal(err)
		}
	}} {
		before := w.lamp.sequences[mark].Peek()
		between()
		owner := in.ownerSession()
		h, err := in.obtain(owner)
		if err != nil {
			t.Fatal(err)
		}
		again := used
		again.RecipientID, again.NextSSN = h.Association.RecipientID, uint64(i)
		h.Association = again
		if err := do(owner, coap.PUT, "/ll/groups/hall", h, nil); err != nil {
			t.Fatal(err)
		}
		if now := w.lamp.sequences[mark].Peek(); now < before {
			t.Errorf("%d: the sequence number sank from %d to %d", i, before, now)
		}
		w.clock.Advance(time.Hour)
		in.refresh()
		if _, err := in.light(nil); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// The group got new keys while the lamp was off: a command of that time, under
// the new keys, is as late as one under the old.
func TestHeldBackOverRebootAndRekeying(t *testing.T) {
	w, in := commissioned(t)
	if _, err := in.light(on(false)); err != nil {
		t.Fatal(err)
	}
	w.net.Down(lampAddr, true)
	if err := w.gm.Rekey(t.Context(), "hall", ""); err != nil {
		t.Fatal(err)
	}
	in.refresh()
	held, _, err := in.group.ProtectRequest(lightMessage(on(true)), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.net.Down(lampAddr, false)
	w.boot()
	in.send(held)
	if w.lamp.State().Light.On {
		t.Error("obeyed a command from before the start")
	}
	if l, err := in.light(on(true)); err != nil || !l.On {
		t.Fatalf("%+v, %v", l, err)
	}
	// New keys while it is on take no challenge.
	if err := w.gm.Rekey(t.Context(), "hall", ""); err != nil {
		t.Fatal(err)
	}
	in.refresh()
	if got := in.cast(lightMessage(on(false))); len(got) != 1 || got[0].msg.Code != coap.Changed {
		t.Errorf("%+v", got)
	}
}

// Everything that tells what was sent and received is lost: challenges, too.
func TestLostMarksAndWindows(t *testing.T) {
	w, in := commissioned(t)
	sent := w.tap()
	if _, err := in.light(on(true)); err != nil {
		t.Fatal(err)
	}
	if _, err := in.light(on(false)); err != nil {
		t.Fatal(err)
	}
	mark := associationMark(&w.lamp.members["hall"].rec.Association)
	if err := w.cfg.Store.Update(t.Context(), func(tx store.Tx) error {
		b, err := tx.Get(mark)
		if err != nil {
			return err
		}
		return cmpErr(cmpErr(deleteAll(tx, prefixMark), deleteAll(tx, prefixWindow)), tx.Put(mark, b))
	}); err != nil {
		t.Fatal(err)
	}
	w.boot()
	for range 2 {
		for _, datagram := range *sent {
			w.net.Inject(t.Context(), browserAddr, lampAddr, datagram, true)
			if w.lamp.State().Light.On {
				t.Fatal("a replay is obeyed")
			}
		}
	}
	in.refresh()
	if l, err := in.light(on(true)); err != nil || !l.On {
		t.Errorf("%+v, %v", l, err)
	}
}
