package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"net/netip"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/join"
)

// nativeNode is a node with a DTLS stack that joins by itself.
type nativeNode struct {
	name string
	key  cose.PrivateKey
	cred []byte
	udp  *endpoint.UDP
	gm   *gmRole
}

func newNativeNode(t *testing.T, gm *gmRole, name string) *nativeNode {
	t.Helper()
	udp, err := endpoint.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"), nil, endpoint.UDPOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close() })
	key := ed25519.NewKeyFromSeed(random(ed25519.SeedSize))
	cred := cose.NewCCS(name, key.Public().(ed25519.PublicKey))
	return &nativeNode{name, cose.NewEd25519(key), cred, udp, gm}
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

// token is what the Authorization Server would give the node.
func (n *nativeNode) token(t *testing.T, data string) *ace.TokenResponse {
	t.Helper()
	key, err := secretFile(tokenKeyFile(data), ace.TokenKeySize)
	if err != nil {
		t.Fatal(err)
	}
	now := uint64(time.Now().Unix())
	cnf := &ace.Confirmation{COSEKey: ace.SymmetricKey(random(8), random(16))}
	token, err := ace.SealToken(ace.TokenKey{Key: key}, &ace.CWTClaims{
		ISS: asName, SUB: n.name, AUD: gmName, EXP: now + 3600, IAT: now, CNF: cnf, Profile: ace.ProfileDTLS,
		Scope: ace.ScopeClaim{Scope: ace.EncodeScope([]ace.ScopeEntry{{Group: "hall", Roles: ace.RoleResponder}})},
	}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &ace.TokenResponse{AccessToken: token, ExpiresIn: 3600, Cnf: cnf, Profile: ace.ProfileDTLS}
}

// A native node joins at the Group Manager over DTLS, with real sockets, and goes
// on after the Group Manager has restarted.
func TestNativeNodeOverDTLS(t *testing.T) {
	data, any := t.TempDir(), netip.MustParseAddrPort("127.0.0.1:0")
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
		n := newNativeNode(t, g, "node by "+way)
		c, err := n.profiles()[way].Transfer(t.Context(), n.token(t, data))
		if err != nil {
			t.Fatal(way, err)
		}
		m, _, err := join.Self(t.Context(), c, join.SelfParams{
			Group: "hall", Roles: ace.RoleResponder, Cred: n.cred, Key: n.key, GMCred: g.identity.cred,
			GetCreds: true, NS: c.NS, Info: c.Info, Rand: rand.Reader,
		})
		if err != nil {
			t.Fatal(way, err)
		}
		members = append(members, join.NewMember(c, "hall", m.NodePath))
	}
	at := g.dtls.Addr()
	g.stop()
	g = start(at)
	defer g.stop()
	for _, m := range members {
		num, err := m.Num(t.Context())
		if err != nil { // the session ended while it was asked
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
