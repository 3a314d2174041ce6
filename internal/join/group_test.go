package join_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"net/netip"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/cose/p256"
	"lamplighter/internal/gm"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
	"lamplighter/internal/oscore/group"
	"lamplighter/internal/sim"
	"lamplighter/internal/store"
)

var gmAddr = netip.MustParseAddrPort("127.0.0.1:5691")

// site is a Group Manager on a network in memory.
type site struct {
	t        testing.TB
	net      *sim.Network
	cred     []byte
	tokenKey ace.TokenKey
	tokens   byte
}

func newSite(t testing.TB) *site { return newSiteOf(t, gm.GroupConfig{}) }

// newSiteOf makes a site whose group is of a certain kind. Its Group Manager has
// keys on both curves.
func newSiteOf(t testing.TB, cfg gm.GroupConfig) *site {
	t.Helper()
	key := keyOf("gm")
	s := &site{
		t: t, net: sim.NewNetwork(1), cred: cose.NewCCS("gm", key.Public().(ed25519.PublicKey)),
		tokenKey: ace.TokenKey{Key: make([]byte, ace.TokenKeySize)},
	}
	second := p256Of("gm")
	endorsed, err := cose.Endorse(s.cred, cose.NewEd25519(key), "gm", second.Public())
	if err != nil {
		t.Fatal(err)
	}
	server, err := gm.New(gm.Config{
		Store: store.NewMemory(), Now: time.Now, Rand: rand.Reader, Key: key, Credential: s.cred,
		Audience: "gm", TokenKey: s.tokenKey, Identities: []gm.Identity{{Key: second, Cred: endorsed}},
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Name = "hall"
	if err := server.CreateGroup(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	s.net.Attach(gmAddr, server.Handler())
	return s
}

func p256Of(name string) cose.PrivateKey {
	scalar := sha256.Sum256([]byte(name)) // below the order, but for one in four billion
	key, err := p256.NewKey(scalar[:])
	if err != nil {
		panic(err)
	}
	return key
}

func x25519Of(name string) cose.PrivateKey {
	scalar := sha256.Sum256([]byte(name))
	key, err := cose.NewX25519(scalar[:])
	if err != nil {
		panic(err)
	}
	return key
}

func keyOf(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// member is somebody in the group.
type member struct {
	t    testing.TB
	key  cose.PrivateKey
	cred []byte
	m    *join.Membership
	gm   *join.Member
	ctx  *group.Context
}

func (s *site) join(name string, roles ace.Role) *member {
	s.t.Helper()
	return s.joinWith(name, roles, cose.NewEd25519(keyOf(name)))
}

// client makes an association with the Group Manager.
func (s *site) client(name string, roles ace.Role) (*oscore.Client, *join.Association) {
	s.t.Helper()
	s.tokens++
	material := &ace.OSCOREMaterial{ID: []byte{s.tokens}, MasterSecret: make([]byte, 16), Salt: []byte{s.tokens}}
	token, err := ace.SealToken(s.tokenKey, &ace.CWTClaims{
		ISS: "as", SUB: name, AUD: "gm", EXP: uint64(time.Now().Add(time.Hour).Unix()),
		CNF:   &ace.Confirmation{OSCORE: material},
		Scope: ace.ScopeClaim{Scope: ace.EncodeScope([]ace.ScopeEntry{{Group: "hall", Roles: roles}})},
	}, rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	ex := s.net.From(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, 0, s.tokens}), 5683))
	tok := &ace.TokenResponse{AccessToken: token, ExpiresIn: 3600, Cnf: &ace.Confirmation{OSCORE: material}}
	a, err := join.Transfer(s.t.Context(), ex, gmAddr, tok, []byte{1}, rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	octx, err := a.Context(oscore.NewSequence(0, nil))
	if err != nil {
		s.t.Fatal(err)
	}
	return oscore.NewClient(octx, ex, gmAddr), a
}

// joinWith joins with a key of any kind; nil is a monitor's.
func (s *site) joinWith(name string, roles ace.Role, key cose.PrivateKey) *member {
	s.t.Helper()
	p, err := s.try(name, roles, key)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (s *site) try(name string, roles ace.Role, key cose.PrivateKey) (*member, error) {
	s.t.Helper()
	p := &member{t: s.t, key: key}
	if key != nil {
		p.cred = key.Public().CCS(name)
	}
	client, a := s.client(name, roles)
	var err error
	p.m, _, err = join.Self(s.t.Context(), client, join.SelfParams{
		Group: "hall", Roles: roles, Cred: p.cred, Key: key, GMCred: s.cred, GetCreds: true,
		NS: a.NS, Info: a.Info(), Rand: rand.Reader,
	})
	if err != nil {
		return nil, err
	}
	p.gm = join.NewMember(client, "hall", p.m.NodePath)
	p.derive()
	return p, nil
}

func (p *member) derive() {
	p.t.Helper()
	var err error
	if p.ctx, err = p.m.Context(p.cred, p.key, oscore.NewSequence(0, nil), rand.Reader); err != nil {
		p.t.Fatal(err)
	}
}

// learn gets the credentials of the Sender IDs that the member does not know.
func (p *member) learn(kids ...[]byte) {
	p.t.Helper()
	peers, _, err := p.gm.Creds(p.t.Context(), kids)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, peer := range peers {
		if err := p.ctx.SetPeer(peer); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *member) update() {
	p.t.Helper()
	cur, _, changed, err := p.gm.Update(p.t.Context(), p.m)
	if err != nil {
		p.t.Fatal(err)
	}
	if changed {
		p.m = cur
		p.derive()
	}
}

// exchange sends a group request from a to b and b's pairwise answer back.
func exchange(t testing.TB, a, b *member) error {
	outer, binding, err := a.ctx.ProtectRequest(coap.NewRequest(coap.GET, "/light", nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	inner, answered, err := b.ctx.UnprotectRequest(outer)
	if err != nil {
		return err
	}
	if coap.Path(inner) != "/light" || string(answered.From.Cred) != string(a.cred) || answered.From.Roles&uint(ace.RoleRequester) == 0 {
		t.Errorf("b got %s from %+v", coap.Path(inner), answered.From)
	}
	resp, err := b.ctx.ProtectResponse(coap.Respond(coap.Content, coap.FormatText, []byte("on")), answered, group.Pairwise)
	if err != nil {
		t.Fatal(err)
	}
	got, from, mode, err := a.ctx.UnprotectResponse(resp, binding)
	if err != nil {
		return err
	}
	if string(got.Payload) != "on" || string(from.Cred) != string(b.cred) || mode != group.Pairwise {
		t.Errorf("a got %q from %x", got.Payload, from.KID)
	}
	return nil
}

// What the Group Manager gave to members is what they need to talk, before and
// after somebody leaves; who left is shut out.
func TestMembersTalk(t *testing.T) {
	s := newSite(t)
	browser := s.join("browser", ace.RoleRequester)
	lamp := s.join("lamp", ace.RoleResponder)
	other := s.join("other", ace.RoleResponder)

	if err := exchange(t, browser, lamp); err == nil {
		t.Error("the browser understood a lamp whose credential it never got")
	}
	browser.learn(lamp.m.SenderID, other.m.SenderID)
	if err := exchange(t, browser, lamp); err != nil {
		t.Error(err)
	}
	if err := exchange(t, browser, other); err != nil {
		t.Error(err)
	}

	if err := other.gm.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	browser.m.Peers = browser.ctx.Peers()
	browser.update()
	if err := exchange(t, browser, lamp); err == nil {
		t.Error("a lamp with old keys understood new ones")
	}
	lamp.update()
	if err := exchange(t, browser, lamp); err != nil {
		t.Error(err)
	}
	if err := exchange(t, browser, other); err == nil {
		t.Error("who left still takes part")
	}
	if _, known := browser.ctx.Peer(other.m.SenderID); known {
		t.Error("the browser still knows who left")
	}

	sid, err := lamp.gm.Renew(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lamp.m.SenderID = sid
	lamp.derive()
	browser.learn(sid)
	if err := exchange(t, browser, lamp); err != nil {
		t.Errorf("under a new Sender ID: %v", err)
	}
}
