package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net/netip"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
)

// nativeNode is a node with a DTLS stack that gets its tokens and joins by itself.
type nativeNode struct {
	t    *testing.T
	key  ed25519.PrivateKey
	cred []byte
	udp  *endpoint.UDP
	as   coap.Caller
	gm   *gmRole
}

// newNativeNode enrols a node at the Authorization Server.
func newNativeNode(t *testing.T, a *asRole, gm *gmRole, name string) *nativeNode {
	t.Helper()
	udp, err := endpoint.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"), nil, endpoint.UDPOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close() })
	n := &nativeNode{t: t, key: ed25519.NewKeyFromSeed(random(ed25519.SeedSize)), udp: udp, gm: gm}
	n.cred = cose.NewCCS(name, n.key.Public().(ed25519.PublicKey))
	inv, err := a.server.Invite(t.Context(), name, as.AllGroups())
	if err != nil {
		t.Fatal(err)
	}
	guest := oscore.NewPSKClient(oscore.NewPSK([]byte(inv.ID), inv.Secret, oscore.SaltInvitation), udp, a.addr(), rand.Reader)
	req := coap.NewRequest(coap.POST, "/enroll", cbor.MustMarshal(map[int]any{1: n.cred, 2: name}))
	coap.AddUint(req, coap.OptionContentFormat, ace.FormatCBOR)
	if resp, err := guest.Call(t.Context(), req); err != nil || resp.Code != coap.Created {
		t.Fatal(resp, err)
	}
	theirs, err := cose.ParseCCS(a.server.Credential())
	if err != nil {
		t.Fatal(err)
	}
	secret, err := cose.DerivedKey(inv.Secret, n.key, theirs.Public, n.cred, a.server.Credential())
	if err != nil {
		t.Fatal(err)
	}
	n.as = oscore.NewPSKClient(oscore.NewPSK(n.cred, secret, oscore.SaltInstaller), udp, a.addr(), rand.Reader)
	return n
}

// token asks for one of the DTLS profile; kid names the key of an earlier one.
func (n *nativeNode) token(kid []byte) *ace.TokenResponse {
	n.t.Helper()
	req := ace.TokenRequest{
		Audience: gmName, Profile: ace.ProfileParam{Profile: ace.ProfileDTLS},
		Scope: ace.ScopeParam(ace.EncodeScope([]ace.ScopeEntry{{Group: "hall", Roles: ace.RoleRequester}})),
	}
	if kid != nil {
		req.ReqCnf = &ace.Confirmation{COSEKey: ace.SymmetricKey(kid, nil)}
	}
	tok, err := join.Token(n.t.Context(), n.as, req)
	if err != nil {
		n.t.Fatal(err)
	}
	return tok
}

// dial makes a DTLS session with the Group Manager.
func (n *nativeNode) dial(ctx context.Context, identity, key []byte) (coap.Session, error) {
	return endpoint.DialDTLS(ctx, n.gm.dtls.Addr(), identity, key, nil, endpoint.DTLSOptions{})
}

// profiles are the ways in which the node brings its token.
func (n *nativeNode) profiles() map[string]join.Profile {
	return map[string]join.Profile{
		"upload":       join.DTLS{Dial: n.dial, Exchange: n.udp, GM: n.gm.addr(), Rand: rand.Reader},
		"psk_identity": join.DTLS{Dial: n.dial, Rand: rand.Reader},
	}
}

// A native node gets a token from the Authorization Server, joins at the Group
// Manager over DTLS, updates its rights, and goes on after the Group Manager has
// restarted: real servers, real sockets.
func TestNativeNodeOverDTLS(t *testing.T) {
	data, any := t.TempDir(), netip.MustParseAddrPort("127.0.0.1:0")
	a, err := startAS(asOptions{data: data, listen: any, logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.stop)
	start := func(dtls netip.AddrPort) *gmRole {
		g, err := startGM(t.Context(), gmOptions{data: data, listen: any, dtls: dtls, groups: []string{"hall"}, logger: silent})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	g := start(any)
	var members []*join.Member
	for _, way := range []string{"upload", "psk_identity"} {
		n := newNativeNode(t, a, g, "node by "+way)
		tok := n.token(nil)
		c, err := n.profiles()[way].Transfer(t.Context(), tok)
		if err != nil {
			t.Fatal(way, err)
		}
		m, _, err := join.Self(t.Context(), c, join.SelfParams{
			Group: "hall", Roles: ace.RoleRequester, Cred: n.cred, Key: cose.NewEd25519(n.key), GMCred: g.identity.cred,
			GetCreds: true, NS: c.NS, Info: c.Info, Rand: rand.Reader,
		})
		if err != nil {
			t.Fatal(way, err)
		}
		if err := join.UpdateRights(t.Context(), c, n.token(tok.Cnf.COSEKey.KID).AccessToken); err != nil {
			t.Errorf("%s: %v", way, err)
		}
		members = append(members, join.NewMember(c, "hall", m.NodePath))
	}
	at := g.dtls.Addr()
	g.stop()
	g = start(at)
	t.Cleanup(g.stop)
	for _, m := range members {
		num, err := m.Num(t.Context())
		if errors.Is(err, coap.ErrSession) || errors.Is(err, coap.ErrTimeout) { // it ended while it was asked
			num, err = m.Num(t.Context())
		}
		if err != nil || num != 0 {
			t.Errorf("num %d %v", num, err)
		}
	}
}

// Without the flag nobody listens.
func TestNoDTLSUnlessAsked(t *testing.T) {
	g, err := startGM(t.Context(), gmOptions{data: t.TempDir(), listen: netip.MustParseAddrPort("127.0.0.1:0"), logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	defer g.stop()
	if g.dtls != nil {
		t.Error("there is a DTLS listener")
	}
}
