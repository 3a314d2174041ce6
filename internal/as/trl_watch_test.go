package as_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
)

// observed hears the lists over a session.
type observed struct {
	t    *testing.T
	news chan *coap.Message
	errs chan error
}

func (p *party) observe(t *testing.T, path string) *observed {
	t.Helper()
	o := &observed{t, make(chan *coap.Message, 100), make(chan error, 1)}
	req := coap.NewRequest(coap.GET, path, nil)
	coap.AddUint(req, coap.OptionObserve, coap.ObserveRegister)
	_, err := p.call.(*oscore.PSKClient).Observe(t.Context(), req, func(m *coap.Message, err error) {
		if err != nil {
			o.errs <- err
			return
		}
		o.news <- m
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *observed) next() *coap.Message {
	o.t.Helper()
	select {
	case m := <-o.news:
		return m
	case err := <-o.errs:
		o.t.Fatal(err)
	case <-time.After(10 * time.Second):
		o.t.Fatal("heard nothing")
	}
	return nil
}

func (o *observed) silent() {
	o.t.Helper()
	select {
	case m := <-o.news:
		o.t.Fatalf("heard %x", m.Payload)
	case <-time.After(20 * time.Millisecond):
	}
}

func (o *observed) hashes() [][]byte {
	o.t.Helper()
	l, err := ace.Decode[ace.TRL](o.next().Payload)
	if err != nil {
		o.t.Fatal(err)
	}
	return l.Full
}

func (o *observed) people() []string {
	o.t.Helper()
	var ids []string
	if err := cbor.Unmarshal(o.next().Payload, &ids); err != nil {
		o.t.Fatal(err)
	}
	return ids
}

// Revoking a person puts the person's own tokens on the list, not those of devices,
// and the person on the list of actors. Who observes hears of it at once: the Group
// Manager, administrators, and the person, whose session then is over. Others hear
// nothing.
func TestRevokedPersonIsTold(t *testing.T) {
	s := newSite(t)
	anna, bert := s.enrolled("anna", as.AllGroups("hall")), s.enrolled("bert", as.Policy{})
	boss, rs := s.enrolled("boss", as.PolicyFor(as.RoleAdmin)), s.resourceServer()
	anna.expect(anna.register(hallLamp, 7, "lamp"), coap.Created)
	own, _ := anna.token(ace.TokenRequest{})
	older := own // whose rights were updated: it is a token all the same
	own, _ = anna.token(ace.TokenRequest{ReqCnf: &ace.Confirmation{KID: own.Cnf.OSCORE.ID}})
	lamp, _ := anna.token(ace.TokenRequest{ClientID: hallLamp})
	id := s.id("anna")
	lists := map[string]*observed{
		"the Group Manager": rs.observe(t, "/revoke/trl"), "the administrator": boss.observe(t, "/revoke/trl"), "anna": anna.observe(t, "/revoke/trl"),
	}
	others := bert.observe(t, "/revoke/trl")
	actors, bossActors := rs.observe(t, "/revoke/actors"), boss.observe(t, "/revoke/actors")
	for name, o := range lists {
		if got := o.hashes(); len(got) != 0 {
			t.Errorf("%s sees %x at first", name, got)
		}
	}
	others.hashes()
	if got := append(actors.people(), bossActors.people()...); len(got) != 0 {
		t.Errorf("revoked people at first: %q", got)
	}
	anna.expect(anna.do(anna.call, coap.GET, "/revoke/actors", -1, nil), coap.Forbidden)

	if err := s.as.Revoke(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for name, o := range lists {
		if got := o.hashes(); !sameHashes(got, ace.TokenHash(own.AccessToken), ace.TokenHash(older.AccessToken)) {
			t.Errorf("%s sees %x", name, got)
		}
	}
	for _, o := range []*observed{actors, bossActors} {
		if got := o.people(); !slices.Equal(got, []string{id}) {
			t.Errorf("revoked people: %q", got)
		}
	}
	others.silent()
	anna.closed(anna.call, "/token")
	if !rs.introspect(lamp.AccessToken).Active || rs.introspect(own.AccessToken).Active || rs.introspect(older.AccessToken).Active {
		t.Error("which tokens are active")
	}
	// Somebody without any token is on the list of people all the same.
	if err := s.as.Revoke(t.Context(), s.id("bert")); err != nil {
		t.Fatal(err)
	}
	if got := actors.people(); len(got) != 2 {
		t.Errorf("revoked people: %q", got)
	}
	lists["the Group Manager"].silent()
}

// Who observes as an administrator and is none any more hears of its own tokens, and
// of nobody's revocation.
func TestDemotedObserver(t *testing.T) {
	s := newSite(t)
	anna, boss := s.enrolled("anna", as.AllGroups("hall")), s.enrolled("boss", as.PolicyFor(as.RoleAdmin, "hall"))
	anna.token(ace.TokenRequest{})
	boss.expect(boss.register(hallLamp, 7, "lamp"), coap.Created)
	own, _ := boss.token(ace.TokenRequest{ClientID: hallLamp})
	list, people := boss.observe(t, "/revoke/trl"), boss.observe(t, "/revoke/actors")
	list.hashes()
	people.people()
	if err := s.as.SetPolicy(t.Context(), s.id("boss"), as.PolicyFor(as.RoleViewer)); err != nil {
		t.Fatal(err)
	}
	if err := s.as.Revoke(t.Context(), s.id("anna")); err != nil {
		t.Fatal(err)
	}
	list.silent()
	if m := people.next(); m.Code != coap.Forbidden || coap.HasOption(m, coap.OptionObserve) {
		t.Errorf("heard %s %x", coap.CodeString(m.Code), m.Payload)
	}
	if err := s.as.RevokeDevice(t.Context(), hallLamp); err != nil {
		t.Fatal(err)
	}
	if got := list.hashes(); !sameHashes(got, ace.TokenHash(own.AccessToken)) {
		t.Errorf("got %x", got)
	}
}

// A device that is forgotten loses its tokens.
func TestForgottenDeviceIsRevoked(t *testing.T) {
	s := newSite(t)
	p, rs := s.enrolled("anna", as.AllGroups("hall")), s.resourceServer()
	p.expect(p.register(hallLamp, 7, "lamp"), coap.Created)
	tok, _ := p.token(ace.TokenRequest{ClientID: hallLamp})
	p.expect(p.do(p.call, coap.DELETE, "/devices/"+hallLamp, -1, nil), coap.Deleted)
	if got := rs.full(); !sameHashes(got, ace.TokenHash(tok.AccessToken)) {
		t.Errorf("got %x", got)
	}
	p.expect(p.register(hallLamp, 8, "lamp"), coap.Created)
	tok, _ = p.token(ace.TokenRequest{ClientID: hallLamp})
	if !rs.introspect(tok.AccessToken).Active {
		t.Error("its next life is revoked, too")
	}
}

// Observers hear of it when revoked tokens have expired.
func TestSweepTellsObservers(t *testing.T) {
	s := newSite(t)
	p, rs := s.enrolled("anna", as.AllGroups("hall")), s.resourceServer()
	p.token(ace.TokenRequest{})
	if err := s.as.Revoke(t.Context(), s.id("anna")); err != nil {
		t.Fatal(err)
	}
	o := rs.observe(t, "/revoke/trl")
	if got := o.hashes(); len(got) != 1 {
		t.Errorf("got %x", got)
	}
	if err := s.as.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.silent()
	s.clock.advance(24 * time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.as.Run(ctx) }()
	if got := o.hashes(); len(got) != 0 {
		t.Errorf("got %x", got)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
