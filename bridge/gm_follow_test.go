package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"net/netip"
	"slices"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/commission"
	"lamplighter/internal/cose"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
)

// holder is a person who keeps the tokens that were issued.
type holder struct {
	s       *faultSite
	udp     *endpoint.UDP
	session coap.Caller // with the Authorization Server
	token   *ace.TokenResponse
}

// holder enrols somebody and gets a token for the group.
func (s *faultSite) holder(i commission.Invitation) *holder {
	s.t.Helper()
	name := i.Installer
	h := &holder{s: s}
	var err error
	if h.udp, err = endpoint.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"), nil, endpoint.UDPOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { h.udp.Close() })
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	cred := cose.NewCCS(name, public)
	server, err := cose.ParseCCS(i.ASCred)
	if err != nil {
		s.t.Fatal(err)
	}
	guest := oscore.NewPSKClient(oscore.NewPSK(i.ID, i.Secret, oscore.SaltInvitation), h.udp, s.slot.as, rand.Reader)
	req := coap.NewRequest(coap.POST, "/enroll", cbor.MustMarshal(map[int]any{1: cred, 2: name}))
	coap.AddUint(req, coap.OptionContentFormat, ace.FormatCBOR)
	resp, err := guest.Call(s.t.Context(), req)
	if err == nil {
		err = coap.CheckResponse(resp)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	key, err := cose.DerivedKey(i.Secret, private, server.Public, cred, i.ASCred)
	if err != nil {
		s.t.Fatal(err)
	}
	h.session = oscore.NewPSKClient(oscore.NewPSK(cred, key, oscore.SaltInstaller), h.udp, s.slot.as, rand.Reader)
	scope := ace.EncodeScope([]ace.ScopeEntry{{Group: faultGroup, Roles: ace.RoleRequester}})
	if h.token, err = join.Token(s.t.Context(), h.session, ace.TokenRequest{Scope: scope}); err != nil {
		s.t.Fatal(err)
	}
	return h
}

// admitted reports whether the Group Manager takes the token.
func (h *holder) admitted() bool {
	h.s.t.Helper()
	ctx, cancel := context.WithTimeout(h.s.t.Context(), 3*time.Second)
	defer cancel()
	_, err := join.Transfer(ctx, h.udp, h.s.slot.gm, h.token, random(4), rand.Reader)
	return err == nil
}

// soon waits for something that comes about by itself.
func soon(t *testing.T, what string, within time.Duration, ok func() bool) {
	t.Helper()
	begun := time.Now()
	for !ok() {
		if time.Since(begun) > within {
			t.Errorf("%s: not after %s", what, within)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("%s: after %s", what, time.Since(begun).Round(10*time.Millisecond))
}

// subjects are the members of the group.
func (s *faultSite) subjects() (list []string) {
	s.t.Helper()
	members, err := s.gm.server.Members(s.t.Context(), faultGroup)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, m := range members {
		list = append(list, m.Subject)
	}
	return list
}

// followingGM starts the Group Manager again; it asks often.
func (s *faultSite) followingGM() {
	s.t.Helper()
	var err error
	s.gm, err = startGM(context.Background(), gmOptions{
		data: s.cmd.Data, listen: s.slot.gm, as: s.slot.as, groups: s.cmd.Groups, logger: s.logger, followEvery: 300 * time.Millisecond,
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// TestGMFollowsRevocations: a revoked person's tokens and memberships end at the
// Group Manager, over restarts of either server; the devices stay, and so do the
// others.
func TestGMFollowsRevocations(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 1)
	s.gm.stop()
	s.followingGM()
	ann, bob, eve := s.enrolled("Ann Lee"), s.enrolled("Bob"), s.holder(s.invitation("Eve"))
	ann.importAll()
	if _, err := ann.Discover(t.Context()); err != nil {
		t.Fatal(err)
	}
	ann.join(s.ids()...)
	annID, bobID := s.personOf(ann), s.personOf(bob)
	annSubject := "installer/" + annID
	command := func(i *installer) error {
		on := true
		_, err := i.SetLight(t.Context(), faultGroup, commission.Light{On: &on})
		return err
	}
	member := func(id string) func() bool { return func() bool { return slices.Contains(s.subjects(), id) } }
	if err := command(ann); err != nil || !member(annSubject)() {
		t.Fatalf("Ann's command: %v, members %v", err, s.subjects())
	}
	people := func(n int) func() bool {
		return func() bool { return s.gm.follows.status().People == n && s.gm.follows.status().Heard > 0 }
	}
	soon(t, "the lists are heard", 3*time.Second, people(0))
	if !eve.admitted() {
		t.Fatal("Eve's token is refused")
	}
	if err := s.revokes("Eve"); err != nil {
		t.Fatal(err)
	}
	soon(t, "Eve's token is refused", 2*time.Second, func() bool { return !eve.admitted() })
	if !member(annSubject)() {
		t.Error("Ann is out, and Eve was revoked")
	}

	s.startAS(func(*as.Config) {})
	if err := s.as.server.Revoke(t.Context(), annID); err != nil {
		t.Fatal(err)
	}
	soon(t, "Ann's membership ends after a restart of the Authorization Server", 5*time.Second, func() bool { return !member(annSubject)() })
	if !member(s.id(0))() {
		t.Error("the lamp that Ann joined is out:", s.subjects())
	}

	s.gm.stop()
	if err := s.as.server.Revoke(t.Context(), bobID); err != nil {
		t.Fatal(err)
	}
	s.followingGM()
	soon(t, "what happened while the Group Manager was away is heard", 3*time.Second, people(3))
	if eve.admitted() {
		t.Error("Eve's token is taken after a restart")
	}
	s.gm.stop()
	s.as.stop()
	s.followingGM()
	if eve.admitted() {
		t.Error("Eve's token is taken while the Authorization Server is away")
	}
	s.startAS(func(*as.Config) {})
	soon(t, "the Authorization Server is back", 5*time.Second, people(3))
}
