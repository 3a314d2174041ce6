package device

import (
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/admin"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
)

// administrator is somebody who may do everything with every group.
func (w *world) administrator() *admin.Client {
	w.t.Helper()
	id := make([]byte, 8)
	secret := make([]byte, 16)
	for _, b := range [][]byte{id, secret} {
		if _, err := w.rand.Read(b); err != nil {
			w.t.Fatal(err)
		}
	}
	scope := ace.Scope{Admins: []ace.AdminEntry{{Groups: ace.AnyGroup, Perm: ace.PermAll}}}
	cnf := &ace.Confirmation{OSCORE: &ace.OSCOREMaterial{ID: id, MasterSecret: secret, Salt: id}}
	token, err := ace.SealToken(w.tokens, &ace.CWTClaims{
		SUB: "boss", AUD: "gm", EXP: uint64(w.clock.Now().Unix()) + 3600, CNF: cnf, Scope: ace.ScopeClaim{Scope: scope.Encode()}, Profile: ace.ProfileOSCORE,
	}, w.rand)
	if err != nil {
		w.t.Fatal(err)
	}
	p := join.OSCORE{Exchange: w.net.From(browserAddr), GM: gmAddr, RecipientID: []byte{0xad}, Sequence: oscore.NewSequence(0, nil), Rand: w.rand}
	c, err := p.Transfer(w.t.Context(), &ace.TokenResponse{AccessToken: token, ExpiresIn: 3600, Cnf: cnf, Scope: scope.Encode()})
	if err != nil {
		w.t.Fatal(err)
	}
	return admin.New(c, gmAddr.String())
}

// paused reports whether the lamp knows that a group is paused.
func (w *world) paused(group string) bool {
	for _, g := range w.lamp.State().Groups {
		if g.Name == group {
			return g.Paused
		}
	}
	return false
}

// A lamp whose group is paused obeys nobody in it, after a reboot neither, and goes
// on when the group does: as soon as it is told, or when it comes back and asks.
func TestPausedGroup(t *testing.T) {
	w, in := toldWorld(t, "hall")
	boss := w.administrator()
	set := func(active bool) {
		t.Helper()
		if _, err := boss.Patch(t.Context(), "hall", ace.Configuration{Active: ace.Is(active)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	deaf := func(what string) {
		t.Helper()
		if got := in.cast(lightMessage(on(true))); len(got) != 0 || w.lamp.State().Light.On {
			t.Errorf("%s: %d answers, the light %+v", what, len(got), w.lamp.State().Light)
		}
	}
	obeys := func(what string) {
		t.Helper()
		for _, want := range []bool{true, false} {
			if l, err := in.light(on(want)); err != nil || l.On != want {
				t.Errorf("%s: %+v, %v", what, l, err)
			}
		}
	}
	obeys("before")
	for range 3 {
		set(false)
		w.eventually("the pause", func() bool { return w.paused("hall") })
		deaf("paused")
		set(true)
		w.eventually("the end of the pause", func() bool { return !w.paused("hall") })
		obeys("resumed")
	}
	set(false)
	w.eventually("the pause", func() bool { return w.paused("hall") })
	w.boot()
	deaf("after a reboot")
	if err := w.gm.Rekey(t.Context(), "hall", ""); err != nil {
		t.Fatal(err)
	}
	w.eventually("new keys in a paused group", func() bool { return w.num("hall") == in.ms.Num+1 })
	in.refresh()
	deaf("under new keys")
	w.net.Down(lampAddr, true)
	set(true)
	w.net.Down(lampAddr, false)
	w.boot()
	w.lamp.Recover(t.Context())
	w.eventually("a pause that ended while it was off", func() bool { return !w.paused("hall") })
	obeys("back")
	w.net.Down(lampAddr, true)
	set(false)
	w.net.Down(lampAddr, false)
	w.boot()
	w.lamp.Recover(t.Context())
	w.eventually("a pause that began while it was off", func() bool { return w.paused("hall") })
	deaf("back in a paused group")
}

// A message about the group's status may be old: only an answer lets the lamp go on,
// and one that paused it too late is put right.
func TestStatusIsAskedFor(t *testing.T) {
	w, in := toldWorld(t, "hall")
	d := w.lamp
	hear := func(active bool) {
		t.Helper()
		d.mu.Lock()
		defer d.mu.Unlock()
		if err := d.hearStatus(d.members["hall"], active); err != nil {
			t.Fatal(err)
		}
	}
	hear(false) // the group is active
	w.eventually("an old pause is put right", func() bool { return !w.paused("hall") })
	if l, err := in.light(on(true)); err != nil || !l.On {
		t.Errorf("%+v, %v", l, err)
	}
	if err := w.gm.SetActive(t.Context(), "hall", false); err != nil {
		t.Fatal(err)
	}
	w.eventually("the pause", func() bool { return w.paused("hall") })
	w.net.Down(gmAddr, true)
	hear(true)
	for range 20 {
		if !w.paused("hall") {
			t.Fatal("an old word of its end ended the pause")
		}
		time.Sleep(time.Millisecond)
	}
	d.mu.Lock()
	m := d.members["hall"]
	asked := m.hints
	d.mu.Unlock()
	w.net.Down(gmAddr, false)
	hear(false)
	if done, err := d.answeredStatus(m, asked, true); done || err != nil || !w.paused("hall") {
		t.Errorf("an answer from before the latest word counts: %v, %v", done, err)
	}
}

// A group that is paused is often deleted next: that it is gone when the lamp asks is
// no failure of the Group Manager.
func TestStatusOfADeletedGroup(t *testing.T) {
	w, _ := commissioned(t)
	boss := w.administrator()
	if _, err := boss.Patch(t.Context(), "hall", ace.Configuration{Active: ace.Is(false)}, nil); err != nil {
		t.Fatal(err)
	}
	if err := boss.Delete(t.Context(), "hall", nil); err != nil {
		t.Fatal(err)
	}
	d := w.lamp
	m := d.members["hall"]
	if err := d.checkStatus(t.Context(), m); err != nil || !m.failed.IsZero() || d.members["hall"] != m {
		t.Errorf("%v, failed %v", err, m.failed)
	}
}

// A lamp follows what an administrator does with its group: other algorithms, a
// pause, the end. It is told of each and asks for nothing but keys.
func TestAdministratedGroup(t *testing.T) {
	for _, where := range []string{"hall", "cellar"} {
		t.Run(where, func(t *testing.T) {
			w, in := toldWorld(t, where)
			boss := w.administrator()
			ctx := t.Context()
			change := func(c ace.Configuration) {
				t.Helper()
				if _, err := boss.Patch(ctx, where, c, nil); err != nil {
					t.Fatal(err)
				}
			}
			before := w.num(where)
			change(ace.Configuration{GpEncAlg: ace.Alg(cose.A128CTR), Alg: ace.Alg(cose.ChaCha20Poly1305)})
			w.eventually("new keys and algorithms", func() bool {
				w.lamp.mu.Lock()
				defer w.lamp.mu.Unlock()
				m := w.lamp.members[where]
				return m != nil && m.rec.Membership.Num == before+1 && m.rec.Membership.Algs.GroupEnc == cose.A128CTR
			})
			in.refresh()
			if l, err := in.light(on(true)); err != nil || !l.On {
				t.Errorf("under the new algorithms: %+v, %v", l, err)
			}
			change(ace.Configuration{Active: ace.Is(false)})
			if err := boss.Delete(ctx, where, nil); err != nil {
				t.Fatal(err)
			}
			w.eventually("the end of the membership", func() bool {
				w.lamp.mu.Lock()
				defer w.lamp.mu.Unlock()
				return w.lamp.members[where] == nil
			})
		})
	}
}
