package device

import (
	"bytes"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
)

// control is the Group Manager's side of the lamp's association, with which a test
// says what it wants. Its sequence numbers are beyond those of the real one.
type control struct {
	w    *world
	call coap.Caller
	ex   coap.Exchanger
}

func (w *world) control() *control {
	w.t.Helper()
	return w.controlOf(w.lamp.members["hall"].rec.Association)
}

func (w *world) controlOf(a join.Association) *control {
	w.t.Helper()
	a.SenderID, a.RecipientID = a.RecipientID, a.SenderID
	w.controls++
	octx, err := a.Context(oscore.NewSequence(w.controls<<20, nil))
	if err != nil {
		w.t.Fatal(err)
	}
	ex := w.net.From(gmAddr)
	return &control{w: w, call: oscore.NewClient(octx, ex, lampAddr), ex: ex}
}

// tell posts to a control resource.
func (c *control) tell(path string, body []byte) error {
	req := coap.NewRequest(coap.POST, path, body)
	coap.AddUint(req, coap.OptionContentFormat, ace.FormatACEGroupcomm)
	return c.send(req)
}

func (c *control) send(req *coap.Message) error {
	resp, err := c.call.Call(c.w.t.Context(), req)
	if err != nil {
		return err
	}
	return coap.CheckResponse(resp)
}

// rekeying is the message that would bring the membership's keys.
func rekeying(ms *join.Membership, stale ...[]byte) []byte {
	return ace.Encode(rekeyingMessage(ms, stale...))
}

func rekeyingMessage(ms *join.Membership, stale ...[]byte) ace.RekeyingMessage {
	return ace.RekeyingMessage{
		GKTY: ace.GKTYGroupOSCORE, Profile: ace.ProfileCoAPGroupOSCOREApp, Num: ms.Num, EXP: ms.Expires, EXI: ms.ExpiresIn,
		Key:      ace.KeyMaterial{MasterSecret: ms.MasterSecret, Salt: ms.MasterSalt, GID: ms.GID},
		StaleIDs: append([][]byte{}, stale...),
	}
}

const node = "/ace-group/hall/node"

// rekeyed makes the Group Manager rekey the hall and returns the browser's new
// membership.
func (w *world) rekeyed(in *installer) *join.Membership {
	w.t.Helper()
	if err := w.gm.Rekey(w.t.Context(), "hall", ""); err != nil {
		w.t.Fatal(err)
	}
	in.refresh()
	return in.ms
}

// Statement 92 (KGO, Section 11.2): a member installs the next version of the
// keys, purges who became stale, ignores what is not newer, and on a gap asks what
// became stale before it installs.
func TestStatement092_RekeyingMessages(t *testing.T) {
	w, in := commissioned(t)
	bert := w.installer("bert", 2)
	bert.self(ace.RoleRequester)
	if _, err := bert.light(on(true)); err != nil {
		t.Fatal(err)
	}
	c := w.control()
	gm := w.watched()
	old := *in.ms
	next := *w.rekeyed(in)
	if err := c.tell(node, rekeying(&next, bert.ms.SenderID)); err != nil {
		t.Fatal(err)
	}
	g := w.lamp.State().Groups[0]
	if g.Num != next.Num || !bytes.Equal(g.GID, next.GID) || !g.InSync || gm.requests() != 0 {
		t.Fatalf("%+v after %d requests, want version %d", g, gm.requests(), next.Num)
	}
	for _, p := range w.lamp.members["hall"].rec.Membership.Peers {
		if bytes.Equal(p.KID, bert.ms.SenderID) {
			t.Error("somebody stale is known still")
		}
	}
	if l, err := in.light(on(false)); err != nil || l.On {
		t.Errorf("under the new keys: %+v, %v", l, err)
	}

	// Not newer: neither the same version with other keys, nor an older one.
	forged := next
	forged.MasterSecret, forged.GID = bytes.Repeat([]byte{7}, 16), []byte("else")
	for what, ms := range map[string]*join.Membership{"same": &forged, "older": &old} {
		if err := c.tell(node, rekeying(ms)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if g := w.lamp.State().Groups[0]; g.Num != next.Num || !bytes.Equal(g.GID, next.GID) {
			t.Errorf("%s: %+v", what, g)
		}
	}

	// Two versions are missed.
	w.rekeyed(in)
	w.rekeyed(in)
	last := w.rekeyed(in)
	gate := gm.close()
	done := make(chan error, 1)
	go func() { done <- c.tell(node, rekeying(last)) }()
	for gm.requests() == 0 {
		time.Sleep(time.Millisecond)
	}
	if g := w.lamp.State().Groups[0]; g.Num != next.Num || g.InSync {
		t.Errorf("installed before it knows who is stale: %+v", g)
	}
	close(gate)
	if err := <-done; err != nil || gm.requests() != 1 {
		t.Fatalf("%v after %d requests", err, gm.requests())
	}
	if g := w.lamp.State().Groups[0]; g.Num != last.Num || !g.InSync {
		t.Errorf("%+v", g)
	}
	if _, err := in.light(on(true)); err != nil {
		t.Error(err)
	}
}

// Statement 93 (KGO, Section 7): a rekeying leaves every member its Sender ID,
// whichever way it learns of the keys.
func TestStatement093_SenderIDsSurvive(t *testing.T) {
	w, in := commissioned(t)
	c := w.control()
	lamp, browser := w.lamp.State().Groups[0].SenderID, in.ms.SenderID
	for i := range 4 {
		next := w.rekeyed(in)
		if i%2 == 0 {
			if err := c.tell(node, rekeying(next)); err != nil {
				t.Fatal(err)
			}
		} else if _, err := in.light(on(true)); err != nil { // it asks
			t.Fatal(err)
		}
		g := w.lamp.State().Groups[0]
		if g.Num != next.Num || !bytes.Equal(g.SenderID, lamp) || !bytes.Equal(next.SenderID, browser) {
			t.Errorf("version %d: the lamp is %x (%x), the browser %x (%x)", g.Num, g.SenderID, lamp, next.SenderID, browser)
		}
		if at := w.members()[lampSubject].SenderID; !bytes.Equal(at, lamp) {
			t.Errorf("the Group Manager has %x", at)
		}
	}
}

// The keys that are missed are known to be old: they are of no use any more, also
// while the Group Manager is silent and after a reboot, whatever the policy.
func TestKnownToBeOld(t *testing.T) {
	w, in := commissioned(t)
	c := w.control()
	old := in.group
	oldMS := in.ms
	w.rekeyed(in)
	last := w.rekeyed(in)
	w.net.Down(gmAddr, true)
	start := time.Now()
	wantCode(t, "a gap and a silent Group Manager", c.tell(node, rekeying(last)), coap.ServiceUnavailable)
	if took := time.Since(start); took > patience+3*time.Second {
		t.Errorf("the Group Manager waits for %v", took)
	}
	for _, reboot := range []bool{false, true} {
		if reboot {
			w.boot()
		}
		outer, _, err := old.ProtectRequest(lightMessage(on(true)), nil)
		if err != nil {
			t.Fatal(err)
		}
		in.send(outer)
		if w.lamp.State().Light.On {
			t.Fatalf("obeyed under version %d, with %d known", oldMS.Num, last.Num)
		}
	}
	w.net.Down(gmAddr, false)
	w.clock.Advance(gmRest)
	if l, err := in.light(on(true)); err != nil || !l.On {
		t.Errorf("%+v, %v", l, err)
	}
}

// Only the Group Manager's association of exactly that group reaches the control
// resource.
func TestControlIsForTheGroupManager(t *testing.T) {
	w, in := commissioned(t)
	in.where = "attic"
	if err := in.assist(); err != nil {
		t.Fatal(err)
	}
	in.where = "hall"
	next := w.rekeyed(in)
	body := rekeying(next)
	post := coap.NewRequest(coap.POST, node, body)
	coap.AddUint(post, coap.OptionContentFormat, ace.FormatACEGroupcomm)
	kid := w.members()[lampSubject].SenderID
	attic := w.controlOf(w.lamp.members["attic"].rec.Association)
	wantCode(t, "of another group", attic.tell(node, body), coap.Forbidden)
	wantCode(t, "evicted by another group", attic.send(coap.NewRequest(coap.DELETE, node, nil)), coap.Forbidden)
	wantCode(t, "no such group", attic.tell("/ace-group/cellar/node", body), coap.Forbidden)
	wantCode(t, "the owner", do(in.ownerSession(), coap.DELETE, node, nil, nil), coap.Forbidden)
	for _, req := range []*coap.Message{post, coap.NewRequest(coap.DELETE, node, nil)} {
		resp, err := plain{in}.Call(t.Context(), req)
		if err != nil || resp.Code != coap.Unauthorized {
			t.Errorf("unprotected: %v, %v", resp, err)
		}
	}
	if g := w.lamp.State().Groups; len(g) != 2 || g[1].Num != next.Num-1 {
		t.Fatalf("%+v", g)
	}
	if _, err := in.light(nil); err != nil { // gets the keys by asking
		t.Fatal(err)
	}
	_, err := in.ask(coap.NewRequest(coap.DELETE, node, nil), kid)
	wantCode(t, "a member", err, coap.Forbidden)
	if len(w.lamp.State().Groups) != 2 {
		t.Error("evicted")
	}
}

func TestBadRekeyingMessages(t *testing.T) {
	w, in := commissioned(t)
	c := w.control()
	next := *w.rekeyed(in)
	short, noGID, sameGID := next, next, next
	short.MasterSecret = short.MasterSecret[:8]
	noGID.GID = nil
	sameGID.GID = w.lamp.State().Groups[0].GID
	for what, body := range map[string][]byte{
		"empty": {}, "not a map": {0x01}, "short secret": rekeying(&short), "no Gid": rekeying(&noGID), "the same Gid": rekeying(&sameGID),
		"another kind": ace.Encode(ace.RekeyingMessage{GKTY: 9, Profile: 1, Num: next.Num, Key: ace.KeyMaterial{MasterSecret: next.MasterSecret, GID: next.GID}}),
	} {
		wantCode(t, what, c.tell(node, body), coap.BadRequest)
	}
	req := coap.NewRequest(coap.POST, node, rekeying(&next))
	coap.AddUint(req, coap.OptionContentFormat, formatCBOR)
	wantCode(t, "another format", c.send(req), coap.BadRequest)
	if g := w.lamp.State().Groups[0]; g.Num != next.Num-1 {
		t.Errorf("%+v", g)
	}
}

// The Group Manager evicts the lamp: its keys are gone, and it says so, until it is
// joined again.
func TestEvictedByMessage(t *testing.T) {
	w, in := commissioned(t)
	association := w.lamp.members["hall"].rec.Association
	c := w.control()
	if err := c.send(coap.NewRequest(coap.DELETE, node, nil)); err != nil {
		t.Fatal(err)
	}
	for _, reboot := range []bool{false, true} {
		if reboot {
			w.boot()
		}
		s := w.lamp.State()
		if len(s.Groups) != 0 || len(s.Gone) != 1 || s.Gone[0].Why != EndEvicted || s.Gone[0].Text != "evicted by the Group Manager" {
			t.Fatalf("%+v", s)
		}
		var list []groupAnswer
		if err := do(in.ownerSession(), coap.GET, "/ll/groups", nil, &list); err != nil {
			t.Fatal(err)
		}
		if len(list) != 1 || list[0].Ended != EndEvicted || list[0].Name != "hall" || list[0].Why == "" {
			t.Errorf("%+v", list)
		}
		if got := in.cast(lightMessage(on(true))); len(got) != 0 || w.lamp.State().Light.On {
			t.Error("obeys a group that it was evicted from")
		}
	}
	if err := w.controlOf(association).tell(node, rekeying(in.ms)); err == nil {
		t.Error("the association is alive")
	}
	if err := in.assist(); err != nil {
		t.Fatal(err)
	}
	in.refresh()
	if l, err := in.light(on(true)); err != nil || !l.On {
		t.Errorf("joined again: %+v, %v", l, err)
	}
	if s := w.lamp.State(); len(s.Gone) != 0 {
		t.Errorf("%+v", s.Gone)
	}
}

// The Group Manager's requests are taken once, also over a reboot, after which it
// is challenged. RFC 8613, Appendix B.1.2.
func TestReplayedControl(t *testing.T) {
	w, in := commissioned(t)
	c := w.control()
	var sent [][]byte
	w.net.Record = w.requestsTo(lampAddr, &sent)
	next := *w.rekeyed(in)
	if err := c.tell(node, rekeying(&next)); err != nil {
		t.Fatal(err)
	}
	evict := coap.NewRequest(coap.DELETE, "/ace-group/attic/node", nil) // refused, but a request of its own
	if err := c.send(evict); err == nil {
		t.Fatal("of another group")
	}
	if len(sent) != 2 {
		t.Fatalf("%d requests", len(sent))
	}
	replay := func(what string) {
		t.Helper()
		before := w.lamp.State()
		for _, datagram := range sent {
			answer := w.net.Inject(t.Context(), gmAddr, lampAddr, datagram, false)
			if answer != nil && protectedAnswer(t, answer) {
				t.Errorf("%s: a replay is answered", what)
			}
		}
		if after := w.lamp.State(); len(after.Groups) != len(before.Groups) || after.Groups[0].Num != before.Groups[0].Num {
			t.Errorf("%s: %+v", what, after)
		}
	}
	replay("at once")
	w.boot()
	replay("after a reboot")
	sent = nil
	last := *w.rekeyed(in)
	if err := c.tell(node, rekeying(&last)); err != nil { // answers the challenge
		t.Fatal(err)
	}
	if len(sent) != 2 || w.lamp.State().Groups[0].Num != last.Num {
		t.Errorf("%d requests, %+v", len(sent), w.lamp.State().Groups)
	}
	replay("synchronised")
}

func protectedAnswer(t *testing.T, datagram []byte) bool {
	m, err := coap.UnmarshalUDP(datagram)
	if err != nil {
		t.Fatal(err)
	}
	return coap.HasOption(m, coap.OptionOSCORE)
}
