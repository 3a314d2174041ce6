package device

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
	"lamplighter/internal/oscore/group"
)

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
	if _, err := bert.light(on(true)); err != nil || gm.requests() != 2 { // num, active
		t.Errorf("after a reboot: %v, %d requests", err, gm.requests())
	}
}

// made returns a request to the group under a made-up Sender ID or Gid.
func (in *installer) made(t *testing.T, edit func(*group.Params)) *coap.Message {
	t.Helper()
	ctx, err := in.ms.Context(in.cred, cose.NewEd25519(in.key), oscore.NewSequence(1<<30, nil), in.w.rand, edit)
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
		in.send(in.made(t, func(p *group.Params) { p.GID = append([]byte{p.GID[0] + 1 + b}, p.GID[1:]...) }))
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
	if took := time.Since(start); took < patience-100*time.Millisecond || took > patience+3*time.Second {
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

// The version that needs one byte more makes the Gid longer.
func TestLongerGid(t *testing.T) {
	w, in := commissioned(t)
	for range 255 - in.ms.Num {
		if err := w.gm.Rekey(t.Context(), "hall", ""); err != nil {
			t.Fatal(err)
		}
	}
	in.refresh()
	if _, err := in.light(on(true)); err != nil {
		t.Fatal(err)
	}
	if err := w.gm.Rekey(t.Context(), "hall", ""); err != nil {
		t.Fatal(err)
	}
	old := len(in.ms.GID)
	in.refresh()
	if len(in.ms.GID) == old {
		t.Fatal("not longer")
	}
	if _, err := in.light(on(false)); err != nil {
		t.Error(err)
	}
}

// A handover that was held up says how the group was then: who left since does
// not command the lamp.
func TestLateHandover(t *testing.T) {
	w := newWorld(t)
	in := w.installer("anna", 1)
	in.self(ace.RoleRequester)
	bert := w.installer("bert", 2)
	bert.self(ace.RoleRequester)
	if err := in.claim(); err != nil {
		t.Fatal(err)
	}
	owner := in.ownerSession()
	h, err := in.obtain(owner)
	if err != nil {
		t.Fatal(err)
	}
	if err := bert.member.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(2 * time.Hour)
	if err := do(owner, coap.PUT, "/ll/groups/hall", h, nil); err != nil {
		t.Fatal(err)
	}
	outer, _, err := bert.group.ProtectRequest(lightMessage(on(true)), nil)
	if err != nil {
		t.Fatal(err)
	}
	bert.send(outer)
	if w.lamp.State().Light.On {
		t.Error("obeyed somebody who had left")
	}
	in.refresh()
	if l, err := in.light(on(true)); err != nil || !l.On {
		t.Errorf("%+v, %v", l, err)
	}
}

// What the Group Manager did not know is asked for again after half a minute, also
// when the clock was set back meanwhile.
func TestAbsencesAndTheClock(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	a := absences{}
	a.add("x", now)
	for at, absent := range map[time.Duration]bool{0: true, absentFor - 1: true, absentFor: false, -time.Second: false, -9000 * time.Hour: false} {
		if a.has("x", now.Add(at)) != absent || a.has("y", now.Add(at)) {
			t.Errorf("%v later", at)
		}
	}
	for i := range maxAbsent {
		a.add(string(rune(i+1000)), now)
	}
	back := now.Add(-time.Hour)
	if a.add("z", back); !a.has("z", back) || len(a) > maxAbsent {
		t.Errorf("no room after the clock was set back: %d", len(a))
	}
}
