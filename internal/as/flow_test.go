package as_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/gm"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
)

var gmAddr = netip.MustParseAddrPort("127.0.0.1:5691")

// manager is a Group Manager on the site's network that trusts its
// Authorization Server.
func (s *site) manager(groups ...string) (server *gm.Server, cred []byte) {
	s.t.Helper()
	k := key("group manager")
	cred = cose.NewCCS("gm", k.Public().(ed25519.PublicKey))
	server, err := gm.New(gm.Config{
		Store: store.NewMemory(), Now: s.clock.Now, Rand: rand.Reader, Key: k, Credential: cred,
		Audience: audience, TokenKey: tokenKey, Issuer: s.cfg.Issuer,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, g := range groups {
		if err := server.CreateGroup(s.t.Context(), gm.GroupConfig{Name: g}); err != nil {
			s.t.Fatal(err)
		}
	}
	s.net.Attach(gmAddr, server.Handler())
	return server, cred
}

// associate gets a token and hands it to the Group Manager.
func (p *party) associate(req ace.TokenRequest, id1 byte) (*join.Association, *oscore.Client, error) {
	p.t.Helper()
	tok, err := join.Token(p.t.Context(), p.call, req)
	if err != nil {
		return nil, nil, err
	}
	a, err := join.Transfer(p.t.Context(), p.wire, gmAddr, tok, []byte{id1}, rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	c, err := a.Context(oscore.NewSequence(a.NextSSN, nil))
	if err != nil {
		return nil, nil, err
	}
	return a, oscore.NewClient(c, p.wire, gmAddr), nil
}

// The three roles together: the installer joins by itself, then a device with
// the installer's help, each under the name and the credential that the
// Authorization Server put into its token.
func TestJoinsWithTokens(t *testing.T) {
	s := newSite(t)
	manager, gmCred := s.manager("hall", "attic")
	anna := s.enrolled("anna", as.Policy{})

	a, session, err := anna.associate(ace.TokenRequest{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := join.Self(t.Context(), session, join.SelfParams{
		Group: "hall", Roles: ace.RoleRequester, Cred: anna.cred, Key: cose.NewEd25519(anna.key), GMCred: gmCred, NS: a.NS, Rand: rand.Reader,
	}); err != nil {
		t.Fatalf("the installer's own join: %v", err)
	}

	lamp := key("lamp")
	lampCred := cose.NewCCS("lamp", lamp.Public().(ed25519.PublicKey))
	if err := anna.assist(hallLamp, lamp, lampCred); err == nil {
		t.Fatal("a device that nobody registered joined")
	}
	sum := cose.Thumbprint(lampCred)
	anna.expect(anna.do(anna.call, coap.PUT, "/devices/"+hallLamp, ace.FormatCBOR, map[int]any{1: sum[:], 2: "lamp"}), coap.Created)
	if err := anna.assist(hallLamp, lamp, lampCred); err != nil {
		t.Fatalf("the assisted join: %v", err)
	}

	members, err := manager.Members(t.Context(), "hall")
	if err != nil || len(members) != 2 {
		t.Fatalf("%d members, %v", len(members), err)
	}
	thumb := cose.Thumbprint(anna.cred)
	annaID := hex.EncodeToString(thumb[:16])
	for _, m := range members {
		switch m.Subject {
		case "installer/" + annaID:
			if !bytes.Equal(m.Credential, anna.cred) || m.Obtainer != "" {
				t.Errorf("the installer is %+v", m)
			}
		case hallLamp:
			if !bytes.Equal(m.Credential, lampCred) || m.Obtainer != annaID {
				t.Errorf("the lamp is %+v", m)
			}
		default:
			t.Errorf("a member %q", m.Subject)
		}
	}

	// A device under another credential than the registered one is refused.
	other := key("another lamp")
	if err := anna.assist(hallLamp, other, cose.NewCCS("lamp", other.Public().(ed25519.PublicKey))); !errors.Is(err, join.ErrRefused) {
		t.Errorf("joined under another credential: %v", err)
	}
	// So is somebody else's installer who acts for the device.
	bert := s.enrolled("bert", as.Policy{})
	if err := bert.assist(hallLamp, lamp, lampCred); !errors.Is(err, join.ErrRefused) {
		t.Errorf("somebody else assisted: %v", err)
	}
}

// assist joins a device to the hall as its installer does.
func (p *party) assist(device string, lamp ed25519.PrivateKey, cred []byte) error {
	p.t.Helper()
	a, session, err := p.associate(ace.TokenRequest{Scope: scope("hall", resp), ClientID: device}, 2)
	if err != nil {
		return err
	}
	offer := join.NewOffer("hall", ace.RoleResponder, cred, rand.Reader)
	_, err = join.Join(p.t.Context(), session, "hall", offer.Request(offer.Prove(lamp, a.NS), true))
	return err
}

// An expired token opens nothing at the Group Manager.
func TestExpiredTokenIsRefused(t *testing.T) {
	s := newSite(t)
	s.manager("hall")
	anna := s.enrolled("anna", as.Policy{})
	tok, err := join.Token(t.Context(), anna.call, ace.TokenRequest{})
	if err != nil {
		t.Fatal(err)
	}
	s.clock.advance(24 * time.Hour)
	_, err = join.Transfer(t.Context(), anna.wire, gmAddr, tok, []byte{1}, rand.Reader)
	if err == nil {
		t.Error("the Group Manager took an expired token")
	}
	if _, _, err := anna.associate(ace.TokenRequest{}, 1); err != nil {
		t.Errorf("a new token: %v", err)
	}
}
