package as_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// personOnWire is what GET /people lists.
type personOnWire struct {
	ID         string `cbor:"1,keyasint"`
	Name       string `cbor:"2,keyasint"`
	Role       string `cbor:"3,keyasint"`
	Since      uint64 `cbor:"4,keyasint"`
	Expires    uint64 `cbor:"5,keyasint"`
	Pending    bool   `cbor:"6,keyasint"`
	Revoked    bool   `cbor:"7,keyasint"`
	Credential []byte `cbor:"8,keyasint"`
}

func (p *party) people() []personOnWire {
	p.t.Helper()
	m := p.expect(p.do(p.call, coap.GET, "/people", -1, nil), coap.Content)
	var list []personOnWire
	if err := cbor.Unmarshal(m.Payload, &list); err != nil {
		p.t.Fatal(err)
	}
	return list
}

// invite invites somebody over the wire, and returns who accepted.
func (p *party) invite(name string, body map[int]any) *party {
	p.t.Helper()
	m := p.expect(p.do(p.call, coap.POST, "/people/invite", ace.FormatCBOR, body), coap.Created)
	var inv struct {
		ID      string `cbor:"1,keyasint"`
		Secret  []byte `cbor:"2,keyasint"`
		Expires int64  `cbor:"3,keyasint"`
		Code    string `cbor:"4,keyasint"`
	}
	if err := cbor.Unmarshal(m.Payload, &inv); err != nil {
		p.t.Fatal(err)
	}
	guest := p.s.party(name)
	guest.accept(as.Invitation{ID: inv.ID, Secret: inv.Secret, Expires: time.Unix(inv.Expires, 0), Code: inv.Code})
	return guest
}

// An administrator invites, lists and revokes people; the invited work with the
// administrator's devices.
func TestPeopleOverTheWire(t *testing.T) {
	doors := &bridgeList{state: map[string]string{}}
	s := newSite(t, func(c *as.Config) { c.Access = doors })
	boss := s.enrolled("boss", as.PolicyFor(as.RoleAdmin))
	boss.expect(boss.register(hallLamp, 7, "lamp"), coap.Created)
	anna := boss.invite("anna", map[int]any{1: "anna", 2: "installer", 3: 3600, 4: []string{"hall"}})
	if anna.inv.Code != "code of "+anna.inv.ID || !anna.inv.Expires.Equal(s.clock.Now().Add(time.Hour)) {
		t.Errorf("invitation %s until %v, code %q", anna.inv.ID, anna.inv.Expires, anna.inv.Code)
	}
	now := uint64(s.clock.Now().Unix())
	list := boss.people()
	if len(list) != 2 || list[0].ID != anna.inv.ID || list[0].Name != "anna" || list[0].Role != "installer" || !list[0].Pending ||
		list[0].Expires != now+3600 || list[0].Since != now || list[1].Name != "boss" || list[1].Pending || list[1].Role != "admin" {
		t.Fatalf("people %+v", list)
	}
	s.start() // durable
	anna.enroll()
	anna.token(ace.TokenRequest{ClientID: hallLamp, Scope: scope("hall", resp)}) // they share a site
	anna.denied(ace.TokenRequest{Scope: scope("attic", req)}, ace.ErrorInvalidScope)
	list = boss.people()
	if len(list) != 2 || list[0].ID != s.id("anna") || list[0].Pending || !bytes.Equal(list[0].Credential, anna.cred) || list[0].Expires != 0 {
		t.Fatalf("people %+v", list)
	}
	anna.closed(anna.guest, "/enroll")

	// Invitations to the same name die with the person.
	again := boss.invite("anna", map[int]any{1: "anna", 2: "viewer"})
	boss.expect(boss.do(boss.call, coap.DELETE, "/people/"+list[0].ID, -1, nil), coap.Deleted)
	boss.expect(boss.do(boss.call, coap.DELETE, "/people/"+list[0].ID, -1, nil), coap.Deleted)
	anna.closed(anna.call, "/token")
	again.closed(again.guest, "/enroll")
	if doors.state[anna.inv.ID] != "revoked" || doors.state[again.inv.ID] != "revoked" {
		t.Errorf("the bridge knows %v", doors.state)
	}
	check := func() {
		t.Helper()
		if list = boss.people(); len(list) != 2 || list[0].Name != "anna" || !list[0].Revoked || !bytes.Equal(list[0].Credential, anna.cred) {
			t.Errorf("people %+v", list)
		}
	}
	check()
	s.start()
	check()
	anna.closed(anna.call, "/token")

	// Only a new invitation brings the same credential back.
	back := boss.invite("anna", map[int]any{1: "anna", 2: "maintainer"})
	back.enroll()
	if list = boss.people(); len(list) != 2 || list[0].Revoked || list[0].Role != "maintainer" {
		t.Errorf("people %+v", list)
	}
	back.denied(ace.TokenRequest{ClientID: hallLamp, Scope: scope("hall", resp)}, ace.ErrorInvalidScope)

	// An invitation is taken back by its id.
	dora := boss.invite("dora", map[int]any{1: "dora", 2: "viewer"})
	boss.expect(boss.do(boss.call, coap.DELETE, "/people/"+dora.inv.ID, -1, nil), coap.Deleted)
	dora.closed(dora.guest, "/enroll")
	boss.expect(boss.do(boss.call, coap.DELETE, "/people/"+dora.inv.ID, -1, nil), coap.NotFound)
	boss.expect(boss.do(boss.call, coap.DELETE, "/people/nobody", -1, nil), coap.NotFound)
}

// Only administrators manage people, and only with requests that make sense.
func TestPeopleRefuses(t *testing.T) {
	s := newSite(t)
	boss, anna, guest := s.enrolled("boss", as.PolicyFor(as.RoleAdmin)), s.enrolled("anna", as.Policy{}), s.invited("guest", as.Policy{})
	good := map[int]any{1: "eve", 2: "admin"}
	for _, r := range []struct {
		method coap.Code
		path   string
	}{{coap.GET, "/people"}, {coap.POST, "/people/invite"}, {coap.DELETE, "/people/" + s.id("boss")}} {
		anna.expect(anna.do(anna.call, r.method, r.path, ace.FormatCBOR, good), coap.Forbidden)
		guest.expect(guest.do(guest.guest, r.method, r.path, ace.FormatCBOR, good), coap.Unauthorized)
		anna.expect(anna.do(coap.To(anna.wire, asAddr), r.method, r.path, ace.FormatCBOR, good), coap.Unauthorized)
	}
	for name, body := range map[string]any{
		"nothing": nil, "no CBOR": []byte{0xff}, "no name": map[int]any{2: "viewer"}, "no role": map[int]any{1: "eve"},
		"another role": map[int]any{1: "eve", 2: "boss"}, "a bell": map[int]any{1: "\a", 2: "viewer"}, "a long name": map[int]any{1: strings.Repeat("e", 65), 2: "viewer"},
		"two years": map[int]any{1: "eve", 2: "viewer", 3: 2 * 366 * 86400}, "minus one": map[int]any{1: "eve", 2: "viewer", 3: -1},
		"a bad group": map[int]any{1: "eve", 2: "viewer", 4: []string{"a/b"}}, "a number": map[int]any{1: "eve", 2: 1},
	} {
		if m := boss.do(boss.call, coap.POST, "/people/invite", ace.FormatCBOR, body); m.Code != coap.BadRequest {
			t.Errorf("%s: %s", name, coap.CodeString(m.Code))
		}
	}
	boss.expect(boss.do(boss.call, coap.POST, "/people/invite", ace.FormatACE, good), coap.BadRequest)
	if list := boss.people(); len(list) != 3 {
		t.Errorf("people %+v", list)
	}
	// Who is an administrator no more manages nobody.
	if err := s.as.SetPolicy(t.Context(), s.id("boss"), as.PolicyFor(as.RoleViewer)); err != nil {
		t.Fatal(err)
	}
	boss.expect(boss.do(boss.call, coap.GET, "/people", -1, nil), coap.Forbidden)
}

func TestRevokeByName(t *testing.T) {
	s := newSite(t)
	anna := s.enrolled("anna", as.Policy{})
	other, err := s.as.Invite(t.Context(), "anna", as.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	id := s.id("anna")
	if ids, err := s.as.RevokeByName(t.Context(), "anna"); err != nil || !slices.Equal(ids, []string{id}) {
		t.Errorf("%q, %v", ids, err)
	}
	anna.closed(anna.call, "/token")
	anna.accept(other)
	anna.closed(anna.guest, "/enroll")
	for _, name := range []string{"anna", "nobody"} {
		if _, err := s.as.RevokeByName(t.Context(), name); !errors.Is(err, as.ErrAbsent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.as.SetPolicy(t.Context(), id, as.AllGroups()); !errors.Is(err, as.ErrAbsent) {
		t.Errorf("policy of somebody revoked: %v", err)
	}
}

// Open invitations are bounded.
func TestTooManyInvitations(t *testing.T) {
	s := newSite(t)
	boss := s.enrolled("boss", as.PolicyFor(as.RoleAdmin))
	boss.people() // which ends the invitation
	inv, err := s.as.Invite(t.Context(), "guest", as.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.store.Update(t.Context(), func(tx store.Tx) error { // 1023 of them, and one more
		record, err := tx.Get("invitation/" + inv.ID)
		for i := range 1022 {
			err = errors.Join(err, tx.Put(fmt.Sprintf("invitation/%016x", i), record))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.as.Invite(t.Context(), "guest", as.Policy{}); err != nil {
		t.Error(err)
	}
	if _, err := s.as.Invite(t.Context(), "guest", as.Policy{}); !errors.Is(err, as.ErrFull) {
		t.Error(err)
	}
	boss.expect(boss.do(boss.call, coap.POST, "/people/invite", ace.FormatCBOR, map[int]any{1: "eve", 2: "viewer"}), coap.TooManyRequests)
	s.clock.advance(8 * 24 * time.Hour)
	boss.invite("eve", map[int]any{1: "eve", 2: "viewer"})
}

// A person who is revoked while a request for a token is on its way gets none: the
// revocation list would not have it. Nor does a device that is forgotten.
func TestRevokedInFlight(t *testing.T) {
	var s *site
	var strike func()
	s = newSite(t, func(c *as.Config) {
		c.Hooks.BeforeCommit = func(what string) {
			if f := strike; f != nil && what == "token" {
				strike = nil
				f()
			}
		}
	})
	anna, bert := s.enrolled("anna", as.Policy{Site: "house"}), s.enrolled("bert", as.Policy{Site: "house"})
	anna.expect(anna.register(hallLamp, 7, "lamp"), coap.Created)
	bert.token(ace.TokenRequest{})

	strike = func() { bert.expect(bert.do(bert.call, coap.DELETE, "/devices/"+hallLamp, -1, nil), coap.Deleted) }
	anna.denied(ace.TokenRequest{ClientID: hallLamp}, ace.ErrorInvalidRequest)
	strike = func() {
		if err := s.as.Revoke(t.Context(), s.id("anna")); err != nil {
			t.Error(err)
		}
	}
	before := s.records("owner/")
	if m, err := anna.try(anna.call, coap.POST, "/token", ace.FormatACE, ace.TokenRequest{}); err == nil && m.Code != coap.Unauthorized {
		t.Errorf("got %s", coap.CodeString(m.Code))
	}
	if strike != nil || s.records("owner/") != before {
		t.Error("a token was issued")
	}
}

// What an administrator invited dies with its access, as long as nobody enrolled.
func TestInvitationsOfARevokedAdministrator(t *testing.T) {
	s := newSite(t)
	boss, other := s.enrolled("boss", as.PolicyFor(as.RoleAdmin)), s.enrolled("other", as.PolicyFor(as.RoleAdmin))
	door := boss.invite("eve", map[int]any{1: "eve", 2: "admin"})
	anna := boss.invite("anna", map[int]any{1: "anna", 2: "viewer"})
	anna.enroll()
	dora := other.invite("dora", map[int]any{1: "dora", 2: "viewer"})
	other.expect(other.do(other.call, coap.DELETE, "/people/"+s.id("boss"), -1, nil), coap.Deleted)
	door.closed(door.guest, "/enroll")
	dora.enroll()
	anna.expect(anna.do(anna.call, coap.GET, "/devices/"+hallLamp, -1, nil), coap.NotFound)
}

// Whoever equips devices is told the credentials of the site's administrators, and
// nothing of anybody else.
func TestAdministrators(t *testing.T) {
	s := newSite(t)
	boss := s.enrolled("boss", as.PolicyFor(as.RoleAdmin))
	anna := boss.invite("anna", map[int]any{1: "anna", 2: "installer", 3: 3600})
	dora := boss.invite("dora", map[int]any{1: "dora", 2: "admin", 3: 3600})
	mia := boss.invite("mia", map[int]any{1: "mia", 2: "maintainer", 3: 3600})
	stranger := s.enrolled("stranger", as.PolicyFor(as.RoleAdmin))
	anna.enroll()
	mia.enroll()
	told := func(p *party) (names []string) {
		t.Helper()
		var list []map[int]any
		if err := cbor.Unmarshal(p.expect(p.do(p.call, coap.GET, "/administrators", -1, nil), coap.Content).Payload, &list); err != nil {
			t.Fatal(err)
		}
		for _, l := range list {
			if len(l) != 2 || len(l[8].([]byte)) == 0 {
				t.Errorf("%v", l)
			}
			names = append(names, l[2].(string))
		}
		return names
	}
	want := func(when string, p *party, names ...string) {
		t.Helper()
		if got := told(p); !slices.Equal(got, names) {
			t.Errorf("%s: %v, want %v", when, got, names)
		}
	}
	want("one is invited only", anna, "boss")
	dora.enroll()
	want("an installer", anna, "boss", "dora")
	want("an administrator", dora, "boss", "dora")
	want("of another site", stranger, "stranger")
	mia.expect(mia.do(mia.call, coap.GET, "/administrators", -1, nil), coap.Forbidden)
	anna.expect(anna.do(coap.To(anna.wire, asAddr), coap.GET, "/administrators", -1, nil), coap.Unauthorized)
	for _, p := range boss.people() {
		if p.Name == "dora" {
			if err := s.as.Revoke(t.Context(), p.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	want("one is revoked", anna, "boss")
}
