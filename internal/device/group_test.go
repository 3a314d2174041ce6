package device

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/oscore/group"
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
		{nil, Light{On: false, Level: 100}}, {on(true), Light{On: true, Level: 100}}, {level(40), Light{On: true, Level: 40}}, {level(40), Light{On: true, Level: 40}},
		{on(false), Light{On: false, Level: 40}}, {map[int]int{}, Light{On: false, Level: 40}}, {map[int]any{1: true, 2: 0, 9: "x"}, Light{On: true, Level: 0}},
	} {
		got, err := in.light(c.body)
		if err != nil || got != c.want || w.lamp.State().Light != c.want {
			t.Errorf("%v: %+v, %v, want %+v", c.body, got, err, c.want)
		}
	}
	if want := []Light{{On: true, Level: 100}, {On: true, Level: 40}, {Level: 40}, {On: true}}; !slices.Equal(seen, want) {
		t.Errorf("OnLight saw %v, want %v", seen, want)
	}
	w.boot()
	if got := w.lamp.State().Light; got != (Light{On: true, Level: 0}) {
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

// An inner option that nobody understands is not answered to a group.
func TestUnknownCriticalToGroup(t *testing.T) {
	w, in := commissioned(t)
	req := lightMessage(on(true))
	coap.AddOption(req, 1, []byte{1}) // If-Match
	for _, r := range in.cast(req) {
		t.Errorf("answered %v", r.msg.Code)
	}
	r, err := in.ask(req, in.group.Peers()[0].KID)
	if err == nil || r == nil || r.msg.Code != coap.BadOption {
		t.Errorf("unicast: %v", err)
	}
	if w.lamp.State().Light.On {
		t.Error("obeyed")
	}
}

// A response that is made after the group got new keys is under the new ones. RFC
// 10021, Section 7.3.
func TestAnswerAfterRekeying(t *testing.T) {
	w, in := commissioned(t)
	outer, binding, err := in.group.ProtectRequest(lightMessage(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	opened, _, err := groupOpener{w.lamp}.Open(t.Context(), &coap.Request{Message: outer})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.gm.Rekey(t.Context(), "hall", ""); err != nil {
		t.Fatal(err)
	}
	in.refresh()
	if _, err := in.light(nil); err != nil {
		t.Fatal(err) // the lamp has the new keys now
	}
	resp, err := opened.Seal(coap.Respond(coap.Content, coap.NoFormat, []byte("late")))
	if err != nil {
		t.Fatal(err)
	}
	if !in.group.MatchGID(resp) {
		t.Error("under the old keys")
	}
	got, _, _, err := in.group.UnprotectResponse(resp, binding)
	if err != nil || string(got.Payload) != "late" {
		t.Errorf("%v, %v", got, err)
	}
	delete(w.lamp.members, "hall")
	if _, err := opened.Seal(coap.Respond(coap.Content, coap.NoFormat, nil)); !errors.Is(err, coap.ErrNoContext) {
		t.Errorf("after the group was left: %v", err)
	}
}
