package device

import (
	"bytes"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/join"
	"lamplighter/internal/label"
	"lamplighter/internal/oscore"
	"lamplighter/internal/oscore/group"
	"lamplighter/internal/sim"
)

// revoke ends a person's access at the Authorization Server.
func (w *world) revoke(name string) {
	w.t.Helper()
	people, err := w.as.People(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range people {
		if p.Name == name {
			if err := w.as.Revoke(w.t.Context(), p.ID); err != nil {
				w.t.Fatal(err)
			}
			return
		}
	}
	w.t.Fatalf("%+v", people)
}

// over is a client at the Group Manager over an association that somebody has kept;
// number begins far beyond those that were used.
func (k *keeper) over(a join.Association, number uint64) coap.Caller {
	k.w.t.Helper()
	c, err := a.Context(oscore.NewSequence(number, nil))
	if err != nil {
		k.w.t.Fatal(err)
	}
	return oscore.NewClient(c, k.ex, gmAddr)
}

// An installer claimed the lamp, joined it and himself, and has kept all of it: the
// site credential, the owner key, the session with the Authorization Server, tokens
// that were used and others, the associations, the groups' keys, all that was sent.
// He is revoked; the Group Manager hears of it by itself; an administrator takes him
// off the lamp's list and joins the lamp anew. From the rekeying on he reads nothing
// and commands nobody; when that is done he can do nothing at the lamp either, with a
// reboot in between or none.
func TestFormerInstallerWithEverything(t *testing.T) {
	for name, off := range map[string]bool{"lamp on": false, "lamp off meanwhile": true} {
		t.Run(name, func(t *testing.T) { formerInstaller(t, off) })
	}
}

func formerInstaller(t *testing.T, off bool) {
	mode := group.Group
	w := newWorld(t, func(cfg *Config) { cfg.ResponseMode = &mode })
	tap := w.wiretap()
	w.telling()
	w.follow()
	carl := &keeper{installer: w.installer("carl", 4)}
	anna := &keeper{installer: w.installer("anna", 1)}
	carl.self(ace.RoleRequester)
	claim := w.claimFor(carl.installer)
	claim.Commissioners = [][]byte{carl.cred, anna.cred}
	if err := do(carl.labelSession(), coap.POST, "/ll/claim", claim, nil); err != nil {
		t.Fatal(err)
	}
	owner := carl.ownerSession()
	handed, err := carl.obtain(owner)
	if err != nil {
		t.Fatal(err)
	}
	if err := do(owner, coap.PUT, "/ll/groups/hall", handed, nil); err != nil {
		t.Fatal(err)
	}
	anna.self(ace.RoleRequester)
	carl.keep()
	start := tap.mark()
	if l, err := carl.light(on(true)); err != nil || !l.On {
		t.Fatalf("%+v, %v", l, err)
	}
	if r := carl.readAll(carl.ms.GID, tap.since(start, sim.Request), tap.since(start, sim.Response)); r.responses == 0 {
		t.Fatalf("as a member he reads %+v: this test cannot fail", r)
	}
	if _, err := carl.light(on(false)); err != nil {
		t.Fatal(err)
	}
	lampTok, err := carl.token(label.FormatID(lampID), ace.RoleResponder)
	if err != nil {
		t.Fatal(err)
	}
	ownTok, err := carl.token("", ace.RoleRequester)
	if err != nil {
		t.Fatal(err)
	}
	held, lampKID := carl.seal(lightMessage(on(true))), w.lamp.State().Groups[0].SenderID
	kept := w.lamp.members["hall"].rec.Association

	revoked := tap.mark()
	w.net.Down(lampAddr, off)
	w.revoke("carl")
	w.eventually("the Group Manager's part", func() bool { return len(w.members()) == 2 }) // the lamp and Anna
	anna.keep()
	if off {
		w.net.Down(lampAddr, false)
		w.boot()
	} else {
		w.eventually("the lamp knows", func() bool { return w.lamp.State().Groups[0].Renew != "" })
	}
	var number uint64 = 1 << 34
	attack := func(when string) {
		t.Helper()
		number += 1 << 32
		tap.replay()
		carl.send(held)
		carl.write(anna.ms.GID, lampKID, number)
		if w.lamp.State().Light.On {
			t.Fatalf("%s: he commands the lamp", when)
		}
		if _, err := carl.token("", ace.RoleRequester); err == nil {
			t.Fatalf("%s: he gets a token", when)
		}
		if _, err := carl.token(label.FormatID(lampID), ace.RoleResponder); err == nil {
			t.Fatalf("%s: he gets a token for the lamp", when)
		}
		carl.knock(when+": over his own association", "hall", carl.gm, nodeOf(anna.ms), "n0", "n1")
		for _, tok := range []*ace.TokenResponse{carl.tok, ownTok} {
			if err := carl.comesBack(tok); err == nil {
				t.Fatalf("%s: he comes back", when)
			}
		}
		a, err := join.Transfer(t.Context(), carl.ex, gmAddr, lampTok, []byte{0xee, byte(number >> 32)}, w.rand)
		if err != nil {
			t.Fatal(err)
		}
		for what, over := range map[string]coap.Caller{"that he obtained": carl.over(kept, number), "of a token for the lamp that he kept": carl.over(*a, 0)} {
			thief := join.NewMember(over, "hall", w.lamp.members["hall"].rec.Membership.NodePath)
			if _, err := thief.Keys(t.Context(), carl.ms); err == nil {
				t.Fatalf("%s: he gets keys over the association %s", when, what)
			}
			if err := thief.Leave(t.Context()); err == nil {
				t.Fatalf("%s: he takes the lamp out of the group over the association %s", when, what)
			}
			if _, err := thief.Renew(t.Context()); err == nil {
				t.Fatalf("%s: he changes the lamp's Sender ID over the association %s", when, what)
			}
		}
		if got := len(w.members()); got != 2 {
			t.Fatalf("%s: there are %d members", when, got)
		}
	}
	attack("revoked")

	// The administrator's part.
	manager := anna.commissionerSession()
	if err := do(manager, coap.PUT, "/ll/commissioners", commissioners{2, []commissioner{{anna.cred, allRights}}}, nil); err != nil {
		t.Fatal(err)
	}
	h, err := anna.obtain(manager)
	if err != nil {
		t.Fatal(err)
	}
	if err := do(manager, coap.PUT, "/ll/groups/hall", h, nil); err != nil {
		t.Fatal(err)
	}
	anna.keep()
	if _, err := anna.light(on(false)); err != nil {
		t.Fatal(err)
	}
	lampKID = w.lamp.State().Groups[0].SenderID
	atLamp := func(when string) {
		t.Helper()
		before := w.lamp.State()
		for what, c := range map[string]coap.Caller{"as the owner": owner, "as the owner anew": carl.ownerSession(), "as a commissioner": carl.commissionerSession(), "with the label": carl.labelSession()} {
			for path, method := range map[string]coap.Code{"/ll/groups": coap.GET, "/ll/blink": coap.POST, "/ll/groups/hall": coap.DELETE, "/ll/claim": coap.DELETE, "/ll/commissioners": coap.GET} {
				if err := do(c, method, path, nil, nil); err == nil {
					t.Fatalf("%s: %s %v %s", when, what, method, path)
				}
			}
			if do(c, coap.PUT, "/ll/groups/hall", handed, nil) == nil || do(c, coap.POST, "/ll/claim", claim, nil) == nil {
				t.Fatalf("%s: %s he puts back what was", when, what)
			}
		}
		forged := *anna.ms
		forged.Num += 5
		forged.GID, forged.MasterSecret = []byte("mine"), bytes.Repeat([]byte{1}, 16)
		poser := w.controlOf(kept)
		if poser.tell(node, rekeying(&forged)) == nil || poser.send(coap.NewRequest(coap.DELETE, node, nil)) == nil {
			t.Fatalf("%s: he poses as the Group Manager", when)
		}
		if after := w.lamp.State(); len(after.Groups) != 1 || after.Groups[0].Num != before.Groups[0].Num || !after.Claimed {
			t.Fatalf("%s: %+v", when, after)
		}
	}
	for _, reboot := range []string{"on the list no more", "and after a reboot"} {
		attack(reboot)
		atLamp(reboot)
		carl.knock(reboot+": over the association that he obtained", "hall", carl.over(kept, number+1<<31), "n0", "n1", nodeOf(anna.ms))
		w.boot()
	}
	if l, err := anna.light(on(true)); err != nil || !l.On {
		t.Errorf("a member: %+v, %v", l, err)
	}
	requests, responses := tap.since(revoked, sim.Request), tap.since(revoked, sim.Response)
	if r := carl.readAll(anna.ms.GID, requests, responses); r != (reading{}) {
		t.Errorf("he reads %+v", r)
	}
	if r := anna.readAll(anna.ms.GID, requests, responses); r.responses == 0 {
		t.Errorf("a member reads %+v", r)
	}
}
