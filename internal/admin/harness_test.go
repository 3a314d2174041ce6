package admin

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
	"lamplighter/internal/gm"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
	"lamplighter/internal/sim"
	"lamplighter/internal/store"
)

const gmHost = "127.0.0.1:5691"

var gmAddr = netip.MustParseAddrPort(gmHost)

// world is a Group Manager on a simulated network, and the key for its tokens.
type world struct {
	t      testing.TB
	net    *sim.Network
	gm     *gm.Server
	tokens ace.TokenKey
	cred   []byte // the Group Manager's
	now    time.Time
	nodes  byte
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, net: sim.NewNetwork(1), tokens: ace.TokenKey{KID: []byte{1}, Key: draw(t, ace.TokenKeySize)}, now: time.Unix(1_795_000_000, 0)}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w.cred = cose.NewCCS("gm", key.Public().(ed25519.PublicKey))
	w.gm, err = gm.New(gm.Config{
		Store: store.NewMemory(), Now: func() time.Time { return w.now }, Rand: rand.Reader, Key: key,
		Credential: w.cred, Audience: "gm", TokenKey: w.tokens,
		URI: "coap://" + gmHost, AS: "coap://as.example.com/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	w.net.Attach(gmAddr, w.gm.Handler())
	return w
}

func draw(t testing.TB, n int) []byte {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

// connect makes an association for a token with a scope.
func (w *world) connect(subject string, scope ace.Scope) *join.Connection {
	w.t.Helper()
	w.nodes++
	cnf := &ace.Confirmation{OSCORE: &ace.OSCOREMaterial{ID: []byte{w.nodes}, MasterSecret: draw(w.t, 16), Salt: draw(w.t, 8)}}
	token, err := ace.SealToken(w.tokens, &ace.CWTClaims{
		SUB: subject, AUD: "gm", EXP: uint64(w.now.Unix()) + 3600, CNF: cnf, Scope: ace.ScopeClaim{Scope: scope.Encode()}, Profile: ace.ProfileOSCORE,
	}, rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 1, w.nodes}), 5683)
	ex := w.net.From(from)
	p := join.OSCORE{Exchange: ex, GM: gmAddr, RecipientID: []byte{0xc1}, Sequence: oscore.NewSequence(0, nil), Rand: rand.Reader}
	c, err := p.Transfer(context.Background(), &ace.TokenResponse{AccessToken: token, ExpiresIn: 3600, Cnf: cnf, Scope: scope.Encode()})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// admin is an administrator who may do this with all groups.
func (w *world) admin(perm ace.Perm) *Client {
	return New(w.connect("boss", ace.Scope{Admins: []ace.AdminEntry{{Groups: ace.AnyGroup, Perm: perm}}}), gmHost)
}

// join lets a new node join a group.
func (w *world) join(subject, group string) *join.Member {
	w.t.Helper()
	const roles = ace.RoleRequester | ace.RoleResponder
	c := w.connect(subject, ace.Scope{Users: []ace.ScopeEntry{{Group: group, Roles: roles}}})
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	m, _, err := join.Self(context.Background(), c, join.SelfParams{
		Group: group, Roles: roles, Cred: cose.NewCCS(subject, key.Public().(ed25519.PublicKey)), Key: cose.NewEd25519(key), GMCred: w.cred, NS: c.NS, Rand: rand.Reader,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return join.NewMember(c, group, m.NodePath)
}

func name(s string) ace.Configuration {
	return ace.Configuration{GroupName: ace.Is(ace.NamedGroup(s))}
}

// fake answers every request with one message.
type fake struct{ answer *coap.Message }

func (f fake) Call(context.Context, *coap.Message) (*coap.Message, error) { return f.answer, nil }
