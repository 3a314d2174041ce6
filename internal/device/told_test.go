package device

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/gm"
)

// telling makes the Group Manager tell its members by itself. The cellar's are told
// with one message for many.
func (w *world) telling() {
	w.t.Helper()
	w.tells = true
	w.startGM()
	err := w.gm.CreateGroup(w.t.Context(), gm.GroupConfig{
		Name: "cellar", OneToMany: true, ControlGroupURI: "coap://" + groupAddr.String() + "/ace-group/cellar",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.gm.Run(ctx) }()
	w.t.Cleanup(func() { cancel(); <-done })
}

// toldWorld is [commissioned] with such a Group Manager, in a group of the caller's choice.
func toldWorld(t *testing.T, where string) (*world, *installer) {
	t.Helper()
	w := newWorld(t)
	w.telling()
	in := w.installer("anna", 1)
	in.where = where
	in.self(ace.RoleRequester)
	if err := cmpErr(in.claim(), in.assist()); err != nil {
		t.Fatal(err)
	}
	in.refresh()
	return w, in
}

func (w *world) eventually(what string, is func() bool) {
	w.t.Helper()
	for range 3000 {
		if is() {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	w.t.Fatalf("not in time: %s; %+v", what, w.lamp.State())
}

func (w *world) num(group string) uint64 {
	for _, g := range w.lamp.State().Groups {
		if g.Name == group {
			return g.Num
		}
	}
	return 0
}

// The Group Manager of this program and the lamp, to one and to many: new keys
// arrive before anybody uses them, and the lamp asks for nothing.
func TestToldOfNewKeys(t *testing.T) {
	for _, where := range []string{"hall", "cellar"} {
		t.Run(where, func(t *testing.T) {
			w, in := toldWorld(t, where)
			if tree := w.lamp.members[where].rec.Membership.Tree; (tree != nil) != (where == "cellar") {
				t.Fatalf("keys for messages to many: %v", tree != nil)
			}
			watched := w.watched()
			for i := range 3 {
				before := w.num(where)
				if err := w.gm.Rekey(t.Context(), where, ""); err != nil {
					t.Fatal(err)
				}
				w.eventually("new keys", func() bool { return w.num(where) == before+1 })
				in.refresh()
				if l, err := in.light(on(i%2 == 0)); err != nil || l.On != (i%2 == 0) {
					t.Errorf("%+v, %v", l, err)
				}
			}
			if n := watched.requests(); n != 0 {
				t.Errorf("it asked %d times", n)
			}
		})
	}
}

// Statement 87 at the device (KGO, Section 10): a node that is evicted is told at its
// control_uri; its keys are gone, and everybody else goes on.
func TestStatement087_EvictedAtControlURI(t *testing.T) {
	w, in := toldWorld(t, "hall")
	if err := w.gm.Evict(t.Context(), "hall", w.members()[lampSubject].Node); err != nil {
		t.Fatal(err)
	}
	w.eventually("the eviction", func() bool { return len(w.lamp.State().Gone) == 1 })
	if s := w.lamp.State(); len(s.Groups) != 0 || s.Gone[0].Why != EndEvicted {
		t.Errorf("%+v", s)
	}
	if got := in.cast(lightMessage(on(true))); len(got) != 0 || w.lamp.State().Light.On {
		t.Error("it obeys still")
	}
}

// A lamp is off for three rekeyings and comes back: it asks once whether its keys are
// current, then for the keys and for who left; it challenges, and obeys again. What
// the Group Manager says meanwhile does no harm.
func TestRecoversAfterThreeRekeyings(t *testing.T) {
	for name, tells := range map[string]bool{"asking": false, "told": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if tells {
				w.telling()
			}
			in := w.installer("anna", 1)
			in.self(ace.RoleRequester)
			if err := cmpErr(in.claim(), in.assist()); err != nil {
				t.Fatal(err)
			}
			bert := w.installer("bert", 2)
			bert.self(ace.RoleRequester)
			in.refresh()
			if _, err := in.light(on(false)); err != nil {
				t.Fatal(err)
			}
			if err := bert.member.Leave(t.Context()); err != nil {
				t.Fatal(err)
			}
			in.refresh()
			if _, err := in.light(on(false)); err != nil {
				t.Fatal(err)
			}
			w.net.Down(lampAddr, true)
			for range 3 {
				if err := w.gm.Rekey(t.Context(), "hall", ""); err != nil {
					t.Fatal(err)
				}
			}
			in.refresh()
			w.net.Down(lampAddr, false)
			w.boot()
			watched := w.watched()
			got := in.cast(lightMessage(on(true)))
			if len(got) != 1 || got[0].msg.Code != coap.Unauthorized || w.lamp.State().Light.On {
				t.Fatalf("no challenge: %+v", got)
			}
			// Keys, stale Sender IDs; and the browser's credential: with three versions
			// missed the Group Manager does not know any more who left, and all go.
			if n := watched.requests(); !tells && n != 3 {
				t.Errorf("%d requests", n)
			}
			if _, err := in.echoed(lightMessage(on(true)), got[0]); err != nil || !w.lamp.State().Light.On {
				t.Errorf("%v", err)
			}
			if g := w.lamp.State().Groups[0]; g.Num != in.ms.Num || !bytes.Equal(g.GID, in.ms.GID) || !g.InSync {
				t.Errorf("%+v", g)
			}
			if _, err := in.light(on(false)); err != nil {
				t.Error(err)
			}
		})
	}
}

// Who had joined the lamp is revoked: the Group Manager gives no keys over that
// association. The lamp uses the old ones no more, says why, and another
// commissioner's join mends it.
func TestBarredAssociation(t *testing.T) {
	w, in := toldWorld(t, "hall")
	bert := w.installer("bert", 2)
	if err := in.list(2, commissioner{in.cred, allRights}, commissioner{bert.cred, rightManage}); err != nil {
		t.Fatal(err)
	}
	old := in.group
	if err := w.gm.Bar(t.Context(), []string{w.members()[lampSubject].Obtainer}); err != nil {
		t.Fatal(err)
	}
	// The Group Manager tells it at once that its keys are old: who was revoked may
	// have them.
	w.eventually("its keys are known to be old", func() bool {
		g := w.lamp.State().Groups
		return len(g) == 1 && !g[0].InSync && g[0].Renew != ""
	})
	bert.self(ace.RoleRequester)
	bert.refresh()
	if got := bert.cast(lightMessage(on(true))); len(got) != 0 {
		t.Errorf("it has keys: %v", got[0].msg.Code)
	}
	var list []groupAnswer
	if err := do(bert.commissionerSession(), coap.GET, "/ll/groups", nil, &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].InSync || list[0].Why == "" || list[0].Ended != 0 {
		t.Fatalf("%+v", list)
	}
	outer, _, err := old.ProtectRequest(lightMessage(on(true)), nil)
	if err != nil {
		t.Fatal(err)
	}
	in.send(outer)
	if w.lamp.State().Light.On {
		t.Fatal("who was revoked commands the lamp under the old keys")
	}
	w.boot()
	if outer, _, err = old.ProtectRequest(lightMessage(on(true)), nil); err != nil {
		t.Fatal(err)
	}
	in.send(outer)
	if w.lamp.State().Light.On {
		t.Fatal("who was revoked commands the lamp after a reboot")
	}
	owner := bert.commissionerSession()
	h, err := bert.obtain(owner)
	if err != nil {
		t.Fatal(err)
	}
	if err := do(owner, coap.PUT, "/ll/groups/hall", h, nil); err != nil {
		t.Fatal(err)
	}
	bert.refresh()
	if l, err := bert.light(on(true)); err != nil || !l.On {
		t.Errorf("renewed: %+v, %v", l, err)
	}
	if g := w.lamp.State().Groups[0]; g.Renew != "" || !g.InSync {
		t.Errorf("%+v", g)
	}
}

// With power again the lamp looks after itself: nobody has to send it anything. A
// Group Manager that comes later is waited for.
func TestRecoversByItself(t *testing.T) {
	w, in := commissioned(t)
	w.net.Down(lampAddr, true)
	for range 3 {
		if err := w.gm.Rekey(t.Context(), "hall", ""); err != nil {
			t.Fatal(err)
		}
	}
	in.refresh()
	w.net.Down(lampAddr, false)
	w.boot()
	watched := w.watched()
	w.lamp.Recover(t.Context())
	if g := w.lamp.State().Groups[0]; g.Num != in.ms.Num || !g.InSync || watched.requests() != 4 { // num, keys, stale Sender IDs; active
		t.Errorf("%+v after %d requests", g, watched.requests())
	}
	w.lamp.Recover(t.Context())
	if watched.requests() != 4 {
		t.Error("it asks again")
	}
	if l, err := in.light(on(true)); err != nil || !l.On {
		t.Errorf("%+v, %v", l, err)
	}
	// A silent Group Manager; and the lamp was removed meanwhile.
	w.boot()
	w.net.Down(gmAddr, true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	w.lamp.Recover(ctx)
	if w.lamp.State().Groups[0].InSync {
		t.Error("confirmed by nobody")
	}
	if err := w.gm.Evict(t.Context(), "hall", w.members()[lampSubject].Node); err != nil {
		t.Fatal(err)
	}
	w.net.Down(gmAddr, false)
	w.boot()
	w.lamp.Recover(t.Context())
	if s := w.lamp.State(); len(s.Groups) != 0 || len(s.Gone) != 1 || s.Gone[0].Why != EndEvicted {
		t.Errorf("%+v", s)
	}
}

// Everything at a time: the Group Manager tells, the lamp asks, members command,
// commissioners manage.
func TestToldInParallel(t *testing.T) {
	w, in := toldWorld(t, "hall")
	bert := w.installer("bert", 2)
	if err := in.list(2, commissioner{in.cred, allRights}, commissioner{bert.cred, rightManage}); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for range 10 {
			if err := w.gm.Rekey(t.Context(), "hall", ""); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Millisecond)
		}
	})
	all.Go(func() {
		session := bert.commissionerSession()
		for range 20 {
			if err := do(session, coap.GET, "/ll/groups", nil, nil); err != nil {
				t.Error(err)
			}
		}
	})
	all.Go(func() {
		for i := range 20 {
			in.send(in.seal(lightMessage(on(i%2 == 0)))) // under keys that may be old by now
			w.lamp.Recover(t.Context())
		}
	})
	all.Wait()
	in.refresh()
	w.eventually("the keys of now", func() bool { return w.num("hall") == in.ms.Num })
	if _, err := in.light(on(true)); err != nil {
		t.Error(err)
	}
}
