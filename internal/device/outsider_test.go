package device

import (
	"bytes"
	"context"
	"net/netip"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
	"lamplighter/internal/sim"
	"lamplighter/internal/trl"
)

// follow has the Group Manager follow the Authorization Server's revocations.
func (w *world) follow() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	server := w.gm
	go func() {
		defer close(done)
		trl.Watch(ctx, trl.Config{
			AS:      oscore.NewPSKClient(ace.RSSession(w.tokens, "gm"), w.net.From(gmAddr), asAddr, w.rand),
			Revoked: server.Revoked, Actors: server.Bar,
			Every: 20 * time.Millisecond, Retry: time.Millisecond,
		})
	}()
	w.t.Cleanup(func() { cancel(); <-done })
}

// servers is what the Authorization Server and the Group Manager have, in short.
func (w *world) servers() string {
	w.t.Helper()
	people, err := w.as.People(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	all := w.groups("hall") + w.groups("attic")
	for _, p := range people {
		all += p.ID + p.Name + string(p.Role)
	}
	return all
}

// Somebody has recorded all that ever was sent, to whomever, and sends it again later:
// from where it came from and from elsewhere, once and again, before and after the
// servers and the lamp were started anew. It changes nothing, nobody is the worse for
// it, and no answer brings more than a first one did.
func TestOutsiderWithAllTraffic(t *testing.T) {
	w := newWorld(t)
	tap := w.wiretap()
	w.telling()
	anna := w.installer("anna", 1)
	anna.self(ace.RoleRequester)
	if err := cmpErr(anna.claim(), anna.assist()); err != nil {
		t.Fatal(err)
	}
	anna.refresh()
	if err := anna.list(2, commissioner{anna.cred, allRights}); err != nil {
		t.Fatal(err)
	}
	bert := w.installer("bert", 2)
	bert.self(ace.RoleRequester)
	for i := range 4 {
		if _, err := anna.light(on(i%2 == 0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.gm.Rekey(t.Context(), "hall", ""); err != nil {
		t.Fatal(err)
	}
	anna.refresh()
	if err := bert.member.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	anna.refresh()
	w.eventually("keys", func() bool { return w.num("hall") == anna.ms.Num })
	if _, err := anna.light(on(false)); err != nil {
		t.Fatal(err)
	}
	requests := tap.since(0, sim.Request)
	if len(requests) < 30 {
		t.Fatalf("%d requests were recorded", len(requests))
	}
	tap.mu.Lock()
	tap.mute = true
	tap.mu.Unlock()
	elsewhere := netip.MustParseAddrPort("127.9.9.9:999")
	before, lamp := w.servers(), w.lamp.State()
	sendAgain := func(when string) {
		t.Helper()
		for _, d := range requests {
			to := []netip.AddrPort{d.To}
			if d.To == groupAddr {
				to = []netip.AddrPort{lampAddr}
			}
			for _, from := range []netip.AddrPort{d.From, elsewhere} {
				w.net.Inject(t.Context(), from, to[0], d.Bytes, d.To == groupAddr)
			}
		}
		if after := w.servers(); after != before {
			t.Errorf("%s: the servers have %q, had %q", when, after, before)
		}
		after := w.lamp.State()
		if after.Light != lamp.Light || len(after.Groups) != 1 || after.Groups[0].Num != lamp.Groups[0].Num ||
			!bytes.Equal(after.Groups[0].GID, lamp.Groups[0].GID) || after.Claimed != lamp.Claimed || len(after.Gone) != 0 {
			t.Errorf("%s: the lamp is %+v, was %+v", when, after, lamp)
		}
	}
	sendAgain("at once")
	w.clock.Advance(10 * time.Minute)
	sendAgain("later")
	w.startGM()
	w.boot()
	sendAgain("after a restart")
	sendAgain("and once more")
	// Nobody is the worse for it.
	anna.refresh()
	if l, err := anna.light(on(true)); err != nil || !l.On {
		t.Errorf("a member: %+v, %v", l, err)
	}
	if err := do(anna.ownerSession(), coap.GET, "/ll/groups", nil, nil); err != nil {
		t.Errorf("the owner: %v", err)
	}
	if _, err := anna.token("", ace.RoleRequester); err != nil {
		t.Errorf("a token: %v", err)
	}
	if err := w.gm.Rekey(t.Context(), "hall", ""); err != nil {
		t.Fatal(err)
	}
	anna.refresh()
	if l, err := anna.light(on(false)); err != nil || l.On {
		t.Errorf("after the next rekeying: %+v, %v", l, err)
	}
}

// A member of one group gets nothing of another one at the same Group Manager: no keys,
// credentials, numbers or names over its association, no administration; its messages
// are none of the other group's whatever Gid and Sender ID they bear, and it reads
// none.
func TestMemberOfAnotherGroup(t *testing.T) {
	w := newWorld(t)
	tap := w.wiretap()
	w.telling()
	anna := &keeper{installer: w.installer("anna", 1)}
	anna.self(ace.RoleRequester)
	if err := cmpErr(anna.claim(), anna.assist()); err != nil {
		t.Fatal(err)
	}
	dora := &keeper{installer: w.installer("dora", 3)}
	dora.where = "attic"
	dora.self(ace.RoleRequester)
	dora.keep()
	if _, err := dora.member.Num(t.Context()); err != nil {
		t.Fatal(err)
	}
	for round := range uint64(2) {
		anna.keep()
		start := tap.mark()
		if _, err := anna.light(on(false)); err != nil {
			t.Fatal(err)
		}
		dora.where = "hall"
		dora.knock("over the association of the attic", "hall", dora.gm, nodeOf(anna.ms), nodeOf(dora.ms), "n1")
		if err := dora.joins(dora.gm, nil); err == nil {
			t.Error("the attic's token opens the hall")
		}
		dora.where = "attic"
		if names, err := dora.gm.Call(t.Context(), coap.NewRequest(coap.GET, "/ace-group/hall/../attic/num", nil)); err == nil && coap.Class(names.Code) == 2 {
			t.Error("a path with dots")
		}
		requests, responses := tap.since(start, sim.Request), tap.since(start, sim.Response)
		lampKID := w.lamp.State().Groups[0].SenderID
		// Her keys, in the name of every member of the hall, under the hall's Gid.
		for i, kid := range [][]byte{anna.ms.SenderID, lampKID, dora.ms.SenderID} {
			dora.ms.SenderID = kid
			dora.kept = append(dora.kept, dora.ms)
			dora.write(anna.ms.GID, lampKID, (round*8+uint64(i)+1)<<34)
			copied := *dora.ms
			dora.ms = &copied
		}
		if w.lamp.State().Light.On {
			t.Fatal("she commands the lamp")
		}
		if r := dora.readAll(anna.ms.GID, requests, responses); r != (reading{}) {
			t.Errorf("she reads %+v", r)
		}
		if r := anna.readAll(anna.ms.GID, requests, responses); r.requests == 0 && r.responses == 0 {
			t.Errorf("a member reads %+v", r)
		}
		if err := w.gm.Rekey(t.Context(), "hall", ""); err != nil {
			t.Fatal(err)
		}
		dora.kept = dora.kept[:1]
	}
	if _, err := dora.member.Num(t.Context()); err != nil {
		t.Errorf("her own group: %v", err)
	}
	anna.keep()
	if l, err := anna.light(on(true)); err != nil || !l.On {
		t.Errorf("a member: %+v, %v", l, err)
	}
}
