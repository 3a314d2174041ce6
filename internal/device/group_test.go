package device

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
	"lamplighter/internal/oscore/group"
	"lamplighter/internal/sim"
	"lamplighter/internal/store"
)

func on(b bool) lightRequest { return lightRequest{On: &b} }

func level(n uint8) lightRequest { return lightRequest{Level: &n} }

func TestLight(t *testing.T) {
	var mu sync.Mutex
	var seen []Light
	w, in := commissioned(t, func(c *Config) {
		c.OnLight = func(l Light) { mu.Lock(); defer mu.Unlock(); seen = append(seen, l) }
	})
	for _, c := range []struct {
		body any
		want Light
	}{
		{nil, Light{false, 100}}, {on(true), Light{true, 100}}, {level(40), Light{true, 40}}, {level(40), Light{true, 40}},
		{on(false), Light{false, 40}}, {map[int]int{}, Light{false, 40}}, {map[int]any{1: true, 2: 0, 9: "x"}, Light{true, 0}},
	} {
		got, err := in.light(c.body)
		if err != nil || got != c.want || w.lamp.State().Light != c.want {
			t.Errorf("%v: %+v, %v, want %+v", c.body, got, err, c.want)
		}
	}
	if want := []Light{{true, 100}, {true, 40}, {false, 40}, {true, 0}}; !slices.Equal(seen, want) {
		t.Errorf("OnLight saw %v, want %v", seen, want)
	}
	w.boot()
	if got := w.lamp.State().Light; got != (Light{true, 0}) {
		t.Errorf("after a reboot %+v", got)
	}
	kid := w.members()[lampSubject].SenderID
	if _, err := in.light(nil); err != nil { // answers the challenge
		t.Fatal(err)
	}
	for name, body := range map[string]any{"level": level(101), "type": map[int]string{1: "on"}, "array": []int{1}} {
		_, err := in.ask(lightMessage(body), kid)
		wantCode(t, name, err, coap.BadRequest)
		if got := in.cast(lightMessage(body)); len(got) != 0 {
			t.Errorf("%s: an error to a group: %v", name, got[0].msg.Code)
		}
	}
}

func TestResponseModes(t *testing.T) {
	inGroup := group.Group
	for _, c := range []struct {
		mode *group.Mode
		want group.Mode
	}{{nil, group.Pairwise}, {&inGroup, group.Group}} {
		w, in := commissioned(t, func(cfg *Config) { cfg.ResponseMode = c.mode })
		got := in.cast(lightMessage(nil))
		if len(got) != 1 || got[0].mode != c.want || !bytes.Equal(got[0].from.Cred, w.lamp.Credential()) {
			t.Errorf("%v: %+v", c.want, got)
		}
		one, err := in.ask(lightMessage(nil), w.members()[lampSubject].SenderID)
		if err != nil || one.mode != group.Pairwise {
			t.Errorf("to one: %+v, %v", one, err)
		}
	}
}

// A member without the requester role reads and changes nothing.
func TestRoles(t *testing.T) {
	w, _ := commissioned(t)
	bert := w.installer("bert", 2)
	bert.self(ace.RoleResponder)
	bert.refresh()
	if got := bert.cast(lightMessage(on(true))); len(got) != 0 {
		t.Errorf("answers %v", got[0].msg.Code)
	}
	_, err := bert.ask(lightMessage(on(true)), w.members()[lampSubject].SenderID)
	wantCode(t, "a responder", err, coap.Forbidden)
	if w.lamp.State().Light.On {
		t.Error("obeyed")
	}
	// Membership gives no right to what is the owner's.
	for _, path := range []string{"/ll/groups", "/ll/blink"} {
		_, err := bert.ask(coap.NewRequest(coap.POST, path, nil), w.members()[lampSubject].SenderID)
		if err == nil {
			t.Errorf("%s is open to members", path)
		}
	}
}

// Another browser joins later: the lamp fetches its credential and answers the
// very first request.
func TestUnknownSender(t *testing.T) {
	w, _ := commissioned(t)
	gm := w.watched()
	bert := w.installer("bert", 2)
	bert.self(ace.RoleRequester)
	if l, err := bert.light(on(true)); err != nil || !l.On {
		t.Fatalf("%+v, %v", l, err)
	}
	if n := gm.requests(); n != 1 {
		t.Errorf("%d requests to the Group Manager", n)
	}
	if _, err := bert.light(on(false)); err != nil || gm.requests() != 1 {
		t.Errorf("asked again: %v", err)
	}
	w.boot() // the credential is durable
	gm = w.watched()
	if _, err := bert.light(on(true)); err != nil || gm.requests() != 1 { // num
		t.Errorf("after a reboot: %v, %d requests", err, gm.requests())
	}
}

// made returns a request to the group under a made-up Sender ID or Gid.
func (in *installer) made(t *testing.T, edit func(*group.Params)) *coap.Message {
	t.Helper()
	ctx, err := in.ms.Context(in.cred, in.key, oscore.NewSequence(1<<30, nil), in.w.rand, edit)
	if err != nil {
		t.Fatal(err)
	}
	outer, _, err := ctx.ProtectRequest(lightMessage(on(true)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return outer
}

func (in *installer) send(outer *coap.Message) *coap.Message {
	resp, err := in.ex.Exchange(in.w.t.Context(), lampAddr, outer)
	if err != nil {
		return nil
	}
	return resp
}

func TestMadeUpIdentifiersAreCheap(t *testing.T) {
	w, in := commissioned(t)
	gm := w.watched()
	kid := func(b byte) *coap.Message {
		return in.made(t, func(p *group.Params) { p.SenderID = []byte{0x77, b} })
	}
	for range 5 { // the negative cache
		if resp := in.send(kid(0)); resp != nil {
			t.Errorf("answers %v", resp.Code)
		}
	}
	if n := gm.requests(); n != 1 {
		t.Errorf("one made-up Sender ID cost %d requests", n)
	}
	for b := range byte(50) { // the rate limit
		in.send(kid(b))
	}
	if n := gm.requests(); n > 8 {
		t.Errorf("fifty made-up Sender IDs cost %d requests", n)
	}
	before := gm.requests()
	for b := range byte(50) {
		in.send(in.made(t, func(p *group.Params) { p.GID = append([]byte{b}, p.GID[1:]...) }))
	}
	if n := gm.requests() - before; n > 4 {
		t.Errorf("fifty made-up Gids cost %d requests", n)
	}
	if w.lamp.State().Light.On {
		t.Error("obeyed")
	}
	if _, err := in.light(on(true)); err != nil {
		t.Errorf("a member suffers: %v", err)
	}
	w.clock.Advance(time.Minute)
	before = gm.requests()
	in.send(kid(0))
	if gm.requests() == before {
		t.Error("the negative cache is for ever")
	}
}

// Somebody leaves, and the group has new keys: the next request makes the lamp
// fetch them, and is answered.
func TestRekeyedWhileAway(t *testing.T) {
	w, in := commissioned(t)
	bert := w.installer("bert", 2)
	bert.self(ace.RoleRequester)
	if _, err := bert.light(on(true)); err != nil {
		t.Fatal(err)
	}
	old := bert.group
	if err := bert.member.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	in.refresh()
	if l, err := in.light(on(false)); err != nil || l.On {
		t.Fatalf("%+v, %v", l, err)
	}
	if g := w.lamp.State().Groups[0]; !bytes.Equal(g.GID, in.ms.GID) || g.Num != in.ms.Num || !g.InSync {
		t.Errorf("%+v, want %x", g, in.ms.GID)
	}
	if n := w.stored(prefixWindow); n != 1 {
		t.Errorf("%d replay windows are stored, those of old keys among them", n)
	}
	outer, _, err := old.ProtectRequest(lightMessage(on(true)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp := bert.send(outer); resp != nil && coap.Class(resp.Code) == 2 || w.lamp.State().Light.On {
		t.Error("one who left is obeyed")
	}
	w.boot()
	if l, err := in.light(on(true)); err != nil || !l.On {
		t.Errorf("after a reboot %+v, %v", l, err)
	}
}

// One who left still has the old keys: after the Key Update Check Interval, and
// after a reboot, they are worth nothing.
func TestKeyCheck(t *testing.T) {
	for name, wait := range map[string]func(*world){
		"interval": func(w *world) { w.clock.Advance(time.Hour) },
		"reboot":   func(w *world) { w.boot() },
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := commissioned(t)
			bert := w.installer("bert", 2)
			bert.self(ace.RoleRequester)
			if _, err := bert.light(on(true)); err != nil {
				t.Fatal(err)
			}
			if err := bert.member.Leave(t.Context()); err != nil {
				t.Fatal(err)
			}
			if l, err := bert.light(on(false)); err != nil || l.On {
				t.Fatalf("the lamp cannot know yet: %+v, %v", l, err)
			}
			wait(w)
			if l, err := bert.light(on(true)); err == nil || w.lamp.State().Light.On {
				t.Errorf("one who left is obeyed: %+v", l)
			}
		})
	}
}

func TestSilentGroupManager(t *testing.T) {
	for name, refuse := range map[string]bool{"obey": false, "refuse": true} {
		t.Run(name, func(t *testing.T) {
			w, in := commissioned(t, func(c *Config) {
				c.Policy = func(string) Policy { return Policy{RefuseWhenSilent: refuse} }
			})
			w.net.Down(gmAddr, true)
			if _, err := in.light(on(true)); err != nil {
				t.Errorf("within the interval: %v", err)
			}
			w.boot()
			_, err := in.light(on(false))
			if (err != nil) != refuse || w.lamp.State().Light.On != refuse {
				t.Errorf("after a reboot: %v", err)
			}
			if g := w.lamp.State().Groups[0]; g.InSync {
				t.Error("in sync with a silent Group Manager")
			}
			if refuse {
				kid := w.members()[lampSubject].SenderID
				_, err := in.ask(lightMessage(nil), kid)
				wantCode(t, "to one", err, coap.ServiceUnavailable)
			}
			w.net.Down(gmAddr, false)
			w.clock.Advance(gmRest)
			if _, err := in.light(on(false)); err != nil || !w.lamp.State().Groups[0].InSync {
				t.Errorf("the Group Manager is back: %v", err)
			}
		})
	}
}

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
	if err != nil || resp.Code != coap.Changed || !bytes.Equal(resp.Payload, answer(coap.Changed, Light{false, 100}).Payload) {
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

// Expired keys are not used, whatever the policy.
func TestExpiredKeys(t *testing.T) {
	w, in := commissioned(t)
	w.net.Down(gmAddr, true)
	w.clock.Advance(31 * 24 * time.Hour)
	if l, err := in.light(on(true)); err == nil || w.lamp.State().Light.On {
		t.Errorf("obeyed under expired keys: %+v", l)
	}
}

// A request is held while the Group Manager is asked, and dropped when that
// takes too long; what came too late for it serves the next.
func TestHeldRequests(t *testing.T) {
	w, _ := commissioned(t)
	bert := w.installer("bert", 2)
	bert.self(ace.RoleRequester)
	gm := w.watched()
	gate := gm.close()
	outer, _, err := bert.group.ProtectRequest(lightMessage(on(true)), nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	start := time.Now()
	for range maxHeld + 4 {
		wg.Go(func() {
			req := &coap.Request{Message: outer, From: browserAddr, Multicast: true}
			if resp := w.lamp.Handler().Serve(context.Background(), req); resp != nil {
				t.Errorf("answered %v", resp.Code)
			}
		})
	}
	wg.Wait()
	if took := time.Since(start); took < patience-100*time.Millisecond || took > patience+time.Second {
		t.Errorf("held for %v", took)
	}
	if n := gm.requests(); n != 1 {
		t.Errorf("%d requests to the Group Manager", n)
	}
	close(gate)
	for w.lamp.State(); ; time.Sleep(time.Millisecond) {
		w.lamp.mu.Lock()
		_, known := w.lamp.members["hall"].epoch.ctx.Peer(bert.ms.SenderID)
		w.lamp.mu.Unlock()
		if known {
			break
		}
	}
	if w.lamp.State().Light.On {
		t.Fatal("a request that came too late is obeyed")
	}
	if _, err := bert.light(on(true)); err != nil || gm.requests() != 1 {
		t.Errorf("%v", err)
	}
}

// A lamp in two groups: each has its keys, and new keys are found for the right
// one.
func TestTwoGroups(t *testing.T) {
	w, hall := commissioned(t)
	attic := w.installer("carl", 3)
	attic.where = "attic"
	attic.self(ace.RoleRequester)
	hall.where = "attic"
	if err := hall.assist(); err != nil {
		t.Fatal(err)
	}
	hall.where = "hall"
	attic.refresh()
	if g := w.lamp.State().Groups; len(g) != 2 || g[0].Name != "attic" || g[1].Name != "hall" {
		t.Fatalf("%+v", g)
	}
	for range 2 {
		for i, in := range []*installer{hall, attic} {
			if l, err := in.light(on(i == 0)); err != nil || l.On != (i == 0) {
				t.Errorf("%s: %+v, %v", in.where, l, err)
			}
		}
		// Both are rekeyed: somebody else comes and goes.
		for i, in := range []*installer{hall, attic} {
			guest := w.installer("guest", byte(10+i))
			guest.where = in.where
			guest.self(ace.RoleRequester)
			if err := guest.member.Leave(t.Context()); err != nil {
				t.Fatal(err)
			}
			in.refresh()
		}
		w.boot()
	}
	if err := do(hall.ownerSession(), coap.DELETE, "/ll/groups/attic", nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := attic.cast(lightMessage(nil)); len(got) != 0 {
		t.Error("answers a group that it left")
	}
	if _, err := hall.light(nil); err != nil {
		t.Errorf("the other group: %v", err)
	}
}

// After the Group Manager's restart the lamp's association goes on.
func TestGroupManagerRestarts(t *testing.T) {
	w, in := commissioned(t)
	for range 2 {
		w.startGM()
		w.clock.Advance(time.Hour)
		if _, err := in.light(nil); err != nil || !w.lamp.State().Groups[0].InSync {
			t.Errorf("%v, %+v", err, w.lamp.State().Groups)
		}
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

// Many commands at once, from several senders.
func TestParallelRequests(t *testing.T) {
	w, in := commissioned(t)
	bert := w.installer("bert", 2)
	bert.self(ace.RoleRequester)
	var outers []*coap.Message
	for i := range 40 {
		for _, who := range []*installer{in, bert} {
			outer, _, err := who.group.ProtectRequest(lightMessage(level(uint8(i))), nil)
			if err != nil {
				t.Fatal(err)
			}
			outers = append(outers, outer)
		}
	}
	var wg sync.WaitGroup
	for _, outer := range outers {
		wg.Go(func() {
			w.lamp.Handler().Serve(context.Background(), &coap.Request{Message: outer, From: browserAddr, Multicast: true})
			w.lamp.State()
		})
	}
	wg.Wait()
	if _, err := in.light(level(77)); err != nil || w.lamp.State().Light.Level != 77 {
		t.Errorf("%+v, %v", w.lamp.State().Light, err)
	}
}

// The Group Manager answered in time for the connection, but not for the
// request.
func TestNoLongerFresh(t *testing.T) {
	w, _ := commissioned(t)
	bert := w.installer("bert", 2)
	bert.self(ace.RoleRequester)
	gm := w.watched()
	gate := gm.close()
	go func() {
		for gm.requests() == 0 {
			time.Sleep(time.Millisecond)
		}
		w.clock.Advance(patience)
		close(gate)
	}()
	if got := bert.cast(lightMessage(on(true))); len(got) != 0 || w.lamp.State().Light.On {
		t.Errorf("obeyed after %v", patience)
	}
	if _, err := bert.light(on(true)); err != nil {
		t.Error(err)
	}
}
