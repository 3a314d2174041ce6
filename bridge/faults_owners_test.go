package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net/netip"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
)

// TestClaimedByOther: another installer's engine, with an invitation and the
// labels, can neither claim nor join a lamp that is claimed, before its owner has
// used the lamp and after.
func TestClaimedByOther(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 3)
	ann, bob := s.enrolled("Ann"), s.enrolled("Bob")
	ann.importAll()
	bob.importAll()
	ann.done(ann.wait(ann.Claim(t.Context(), []string{s.id(0)})))
	ann.join(s.id(1))
	j := bob.wait(bob.Claim(t.Context(), s.ids()))
	if j.Done != 1 {
		t.Errorf("%d claimed: %s", j.Done, problems(j))
	}
	s.sentence(problemOf(j, s.id(0)), "claimed-by-other")
	s.sentence(problemOf(j, s.id(1)), "claimed-by-other")
	j = bob.wait(bob.Join(t.Context(), faultGroup, s.ids()))
	s.sentence(problemOf(j, s.id(0)), "claimed-by-other")
	s.sentence(problemOf(j, s.id(1)), "claimed-by-other")
	s.told(bob.Blink(t.Context(), s.id(1), 1), "claimed-by-other")
	s.joinedOnce(2, s.id(1), s.id(2))
	ann.join(s.id(0), s.id(1))
	ann.roll()
}

// rogue is an installer with an invitation who does as it likes: it speaks to AS
// and GM without an engine.
type rogue struct {
	s       *faultSite
	udp     *endpoint.UDP
	key     ed25519.PrivateKey
	cred    []byte
	session coap.Caller // with the Authorization Server
}

// rogue enrols with an invitation of its own. docs/device.md, sessions.
func (s *faultSite) rogue(name string) *rogue {
	s.t.Helper()
	udp, err := endpoint.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"), nil, endpoint.UDPOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { udp.Close() })
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	r := &rogue{s: s, udp: udp, key: key, cred: cose.NewCCS("site-of-"+name, public)}
	in := s.invitation(name)
	to := s.as.addr()
	first := oscore.NewPSKClient(oscore.NewPSK(in.ID, in.Secret, oscore.SaltInvitation), udp, to, rand.Reader)
	if resp := r.call(first, coap.POST, "/enroll", map[int]any{1: r.cred, 2: name}); resp.Code != coap.Created {
		s.t.Fatalf("enrolling: %v", resp.Code)
	}
	as, err := cose.ParseCCS(in.ASCred)
	if err != nil {
		s.t.Fatal(err)
	}
	installer, err := cose.DerivedKey(in.Secret, key, as.Public, r.cred, in.ASCred)
	if err != nil {
		s.t.Fatal(err)
	}
	r.session = oscore.NewPSKClient(oscore.NewPSK(r.cred, installer, oscore.SaltInstaller), udp, to, rand.Reader)
	return r
}

func (r *rogue) call(to coap.Caller, method coap.Code, path string, body any) *coap.Message {
	r.s.t.Helper()
	req := coap.NewRequest(method, path, cbor.MustMarshal(body))
	coap.AddUint(req, coap.OptionContentFormat, ace.FormatCBOR)
	resp, err := to.Call(r.s.t.Context(), req)
	if err != nil {
		r.s.t.Fatal(err)
	}
	return resp
}

func (r *rogue) register(id string, cred []byte) coap.Code {
	r.s.t.Helper()
	sum := cose.Thumbprint(cred)
	return r.call(r.session, coap.PUT, "/devices/"+id, map[int]any{1: sum[:], 2: lampModel}).Code
}

// token asks for one that lets a device in.
func (r *rogue) token(id string) (*ace.TokenResponse, error) {
	entry := ace.ScopeEntry{Group: faultGroup, Roles: ace.RoleResponder}
	return join.Token(context.Background(), r.session, ace.TokenRequest{ClientID: id, Scope: ace.EncodeScope([]ace.ScopeEntry{entry})})
}

// joinAs joins with a token, a credential and the key of it.
func (r *rogue) joinAs(tok *ace.TokenResponse, cred []byte, key ed25519.PrivateKey) error {
	r.s.t.Helper()
	assoc, err := join.Transfer(context.Background(), r.udp, r.s.gm.addr(), tok, []byte{7}, rand.Reader)
	if err != nil {
		r.s.t.Fatal(err)
	}
	octx, err := assoc.Context(oscore.NewSequence(0, nil))
	if err != nil {
		r.s.t.Fatal(err)
	}
	_, _, err = join.Self(context.Background(), oscore.NewClient(octx, r.udp, r.s.gm.addr()), join.SelfParams{
		Group: faultGroup, Roles: ace.RoleResponder, Cred: cred, Key: cose.NewEd25519(key), GMCred: r.s.gm.identity.cred, NS: assoc.NS, Rand: rand.Reader,
	})
	return err
}

// TestForeignDevice: a device that somebody else has registered gets no token, no
// other registration and no place at the Authorization Server, whoever asks; the
// owner reads why when the thief was first.
func TestForeignDevice(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 3)
	ann, thief := s.enrolled("Ann"), s.rogue("Thief")
	ann.importAll()
	ann.join(s.id(0))
	cred := s.lamps.lamps[0].current().Credential()
	if code := thief.register(s.id(0), cred); code != coap.Forbidden {
		t.Errorf("registering a foreign device: %v", code)
	}
	if code := thief.register(s.id(0), thief.cred); code != coap.Forbidden {
		t.Errorf("registering a foreign device with a credential of one's own: %v", code)
	}
	if code := thief.call(thief.session, coap.DELETE, "/devices/"+s.id(0), map[int]any{}).Code; code != coap.Forbidden {
		t.Errorf("deleting a foreign device: %v", code)
	}
	_, err := thief.token(s.id(0))
	refusedByAS(t, err, ace.ErrorUnauthorizedClient)
	_, err = thief.token(s.id(1))
	refusedByAS(t, err, ace.ErrorInvalidRequest) // nobody registered it yet
	_, err = thief.token("0102030405060708")
	refusedByAS(t, err, ace.ErrorInvalidRequest)

	if code := thief.register(s.id(1), thief.cred); code != coap.Created {
		t.Fatalf("registering a device that nobody has: %v", code)
	}
	j := ann.wait(ann.Join(t.Context(), faultGroup, s.ids()))
	if j.Done != 2 {
		t.Errorf("%d joined: %s", j.Done, problems(j))
	}
	s.sentence(problemOf(j, s.id(1)), "foreign-device")
	s.joinedOnce(1, s.id(0), s.id(2))
	ann.roll()
}

func refusedByAS(t *testing.T, err error, want ace.ASErrorCode) {
	t.Helper()
	var refused *join.ASError
	if !errors.As(err, &refused) || refused.Number != want {
		t.Errorf("the token request ended with %v, want error %v", err, want)
	}
}

// TestOtherCredential: with a token for a device the Group Manager lets nobody in
// but the holder of the credential that was registered; the device's own
// credential without its key does not do either, and the token of a device opens
// nothing beyond its scope.
func TestOtherCredential(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 1)
	ann, eve := s.enrolled("Ann"), s.rogue("Eve")
	ann.importAll()
	ann.join(s.id(0))
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const id = "0102030405060708"
	registered := cose.NewCCS(id, key.Public().(ed25519.PublicKey))
	if code := eve.register(id, registered); code != coap.Created {
		t.Fatal(code)
	}
	if code := eve.register(id, eve.cred); code != coap.Conflict {
		t.Errorf("another credential for the same device: %v", code)
	}
	lampCred := s.lamps.lamps[0].current().Credential()
	for _, tt := range []struct {
		what string
		cred []byte
		key  ed25519.PrivateKey
		want coap.Code
	}{
		{"the installer's own credential", eve.cred, eve.key, coap.Forbidden},
		{"another device's credential", lampCred, key, coap.Forbidden},
		{"the registered credential without its key", registered, eve.key, coap.BadRequest},
		{"the registered credential", registered, key, 0},
	} {
		tok, err := eve.token(id)
		if err != nil {
			t.Fatal(err)
		}
		err = eve.joinAs(tok, tt.cred, tt.key)
		var refused *join.GMError
		if tt.want == 0 && err != nil || tt.want != 0 && (!errors.As(err, &refused) || refused.Code != tt.want) {
			t.Errorf("%s: %v, want %v", tt.what, err, tt.want)
		}
	}
	s.joinedOnce(1, s.id(0), id)
	ann.roll()
}

// TestForgottenDevice: the Authorization Server has lost a lamp's registration.
// The next join registers it again: its owner holds the claim.
func TestForgottenDevice(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 1)
	ann := s.enrolled("Ann")
	ann.importAll()
	ann.join(s.id(0))
	ann.done(ann.wait(ann.Leave(t.Context(), faultGroup, s.ids())))
	err := s.as.store.Update(t.Context(), func(tx store.Tx) error { return tx.Delete("device/" + s.id(0)) })
	if err != nil {
		t.Fatal(err)
	}
	ann.join(s.id(0))
	ann.roll()
}
