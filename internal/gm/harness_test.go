package gm

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/cose/p256"
	"lamplighter/internal/join"
	"lamplighter/internal/store"
)

const testGroup = "hall"

var gmAddr = netip.MustParseAddrPort("127.0.0.1:5691")

// world is a Group Manager with one group, its Authorization Server reduced to
// the key for tokens, and a clock that stands still.
type world struct {
	t     testing.TB
	s     *Server
	cfg   Config
	store store.Store
	rand  io.Reader

	mu     sync.Mutex
	now    time.Time
	tokens int
}

func newWorld(t testing.TB, edits ...func(*Config)) *world {
	t.Helper()
	w := newEmptyWorld(t, edits...)
	if err := w.s.CreateGroup(t.Context(), GroupConfig{Name: testGroup}); err != nil {
		t.Fatal(err)
	}
	return w
}

func newEmptyWorld(t testing.TB, edits ...func(*Config)) *world {
	t.Helper()
	w := &world{t: t, now: time.Unix(1_795_000_000, 0), rand: seeded(t.Name()), store: store.NewMemory()}
	key := newKey(w.rand)
	w.cfg = Config{
		Store: w.store, Now: w.clock, Rand: w.rand,
		Key: key, Credential: cose.NewCCS("gm", key.Public().(ed25519.PublicKey)),
		Audience: "gm", Issuer: "as", TokenKey: ace.TokenKey{KID: []byte{1}, Key: draw(w.rand, ace.TokenKeySize)},
	}
	for _, edit := range edits {
		edit(&w.cfg)
	}
	w.restart()
	return w
}

// restart makes a new Group Manager over the same store.
func (w *world) restart() {
	w.t.Helper()
	s, err := New(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.s = s
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// seeded is a source of bytes that a name repeats.
func seeded(name string) io.Reader {
	seed := cose.Thumbprint([]byte(name))
	return cose.SharedRandom(rand.NewChaCha8(seed))
}

func draw(r io.Reader, n int) []byte {
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		panic(err)
	}
	return b
}

func newKey(r io.Reader) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(draw(r, ed25519.SeedSize)) }

// withP256 gives the Group Manager a second key.
func withP256(c *Config) {
	key := newP256(c.Rand)
	cred, err := cose.Endorse(c.Credential, cose.NewEd25519(c.Key), "gm", key.Public())
	if err != nil {
		panic(err)
	}
	c.Identities = []Identity{{key, cred}}
}

func newP256(r io.Reader) cose.PrivateKey {
	scalar, err := p256.Generate(r)
	if err != nil {
		panic(err)
	}
	key, err := p256.NewKey(scalar)
	if err != nil {
		panic(err)
	}
	return key
}

// node is somebody who joins.
type node struct {
	subject string
	key     ed25519.PrivateKey
	cred    []byte
	other   cose.PrivateKey // in place of key, on another curve
}

func (n *node) signer() cose.PrivateKey {
	if n.other != nil {
		return n.other
	}
	return cose.NewEd25519(n.key)
}

func (w *world) node(subject string) *node {
	key := newKey(w.rand)
	return &node{subject: subject, key: key, cred: cose.NewCCS(subject, key.Public().(ed25519.PublicKey))}
}

// claims are those of a good token.
func (w *world) claims(subject string, entries ...ace.ScopeEntry) *ace.CWTClaims {
	w.mu.Lock()
	w.tokens++
	id := []byte{byte(w.tokens >> 8), byte(w.tokens)}
	now := uint64(w.now.Unix())
	w.mu.Unlock()
	return &ace.CWTClaims{
		ISS: "as", SUB: subject, AUD: "gm", EXP: now + 3600, IAT: now,
		CNF: &ace.Confirmation{OSCORE: &ace.OSCOREMaterial{
			ID: id, MasterSecret: draw(w.rand, 16), Salt: draw(w.rand, 8),
		}},
		Scope:   ace.ScopeClaim{Scope: ace.EncodeScope(entries)},
		Profile: ace.ProfileOSCORE,
	}
}

func scope(group string, roles ace.Role) ace.ScopeEntry {
	return ace.ScopeEntry{Group: group, Roles: roles}
}

// seal makes the token response that an Authorization Server would give.
func (w *world) seal(c *ace.CWTClaims) *ace.TokenResponse {
	w.t.Helper()
	token, err := ace.SealToken(w.cfg.TokenKey, c, w.rand)
	if err != nil {
		w.t.Fatal(err)
	}
	return &ace.TokenResponse{AccessToken: token, ExpiresIn: 3600, Cnf: c.CNF}
}

// direct calls the Group Manager as the peer of one association, past OSCORE.
type direct struct {
	w  *world
	id string
}

// Call implements [coap.Caller].
func (d *direct) Call(ctx context.Context, req *coap.Message) (*coap.Message, error) {
	r := &coap.Request{Message: req, Peer: coap.Peer{Kind: coap.PeerACE, Name: d.id}}
	return d.w.s.serve(ctx, r), nil
}

// plain calls the Group Manager without protection.
type plain struct{ w *world }

// Exchange implements [coap.Exchanger].
func (p plain) Exchange(ctx context.Context, _ netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	return p.w.s.serve(ctx, &coap.Request{Message: req}), nil
}

// Multicast implements [coap.Exchanger].
func (p plain) Multicast(context.Context, netip.AddrPort, *coap.Message, time.Duration, func(*coap.Message, netip.AddrPort)) error {
	panic("no multicast here")
}

// transfer posts a token.
func (w *world) transfer(tok *ace.TokenResponse) (*join.Association, *direct) {
	w.t.Helper()
	a, err := join.Transfer(w.t.Context(), plain{w}, gmAddr, tok, []byte{0xc1}, w.rand)
	if err != nil {
		w.t.Fatal(err)
	}
	return a, &direct{w, hex.EncodeToString(a.SenderID)}
}

// admitted is a node with its association and membership.
type admitted struct {
	*node
	assoc  *join.Association
	gm     *direct
	m      *join.Membership
	answer *join.Answer
	client *join.Member
}

const both = ace.RoleRequester | ace.RoleResponder

// join lets a new node join the test group by itself.
func (w *world) join(subject string, roles ace.Role) *admitted {
	w.t.Helper()
	return w.joinAs(w.node(subject), roles)
}

func (w *world) joinAs(n *node, roles ace.Role) *admitted {
	w.t.Helper()
	assoc, gm := w.transfer(w.seal(w.claims(n.subject, scope(testGroup, roles))))
	p := w.self(n, roles, assoc.NS)
	p.Info = assoc.Info()
	m, answer, err := join.Self(w.t.Context(), gm, p)
	if err != nil {
		w.t.Fatal(err)
	}
	return &admitted{n, assoc, gm, m, answer, join.NewMember(gm, testGroup, m.NodePath)}
}

func (w *world) self(n *node, roles ace.Role, ns []byte) join.SelfParams {
	return join.SelfParams{
		Group: testGroup, Roles: roles, Cred: n.cred, Key: n.signer(), GMCred: w.cfg.Credential,
		GetCreds: true, NS: ns, Rand: w.rand,
	}
}

// group reads the test group's record.
func (w *world) group() *groupRecord {
	w.t.Helper()
	return w.groupNamed(testGroup)
}

func (w *world) groupNamed(name string) *groupRecord {
	w.t.Helper()
	var g *groupRecord
	err := w.store.View(w.t.Context(), func(tx store.Tx) (err error) {
		g, err = load[groupRecord](tx, groupKey(name))
		return err
	})
	if err != nil || g == nil {
		w.t.Fatal("no group", err)
	}
	return g
}

// request makes a request with a Content-Format; format < 0: without.
func request(method coap.Code, path string, format int, payload []byte) *coap.Message {
	m := coap.NewRequest(method, path, payload)
	if format >= 0 {
		coap.AddUint(m, coap.OptionContentFormat, uint32(format))
	}
	return m
}

// call makes a request over an association and returns the answer.
func (w *world) call(gm coap.Caller, method coap.Code, path string, format int, payload []byte) *coap.Message {
	w.t.Helper()
	resp, err := gm.Call(w.t.Context(), request(method, path, format, payload))
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

// wantCode checks a response's code.
func wantCode(t testing.TB, what string, m *coap.Message, want coap.Code) {
	t.Helper()
	if m == nil {
		t.Fatalf("%s: silence, want %s", what, coap.CodeString(want))
	}
	if m.Code != want {
		t.Errorf("%s: %s (%q), want %s", what, coap.CodeString(m.Code), m.Payload, coap.CodeString(want))
	}
}

// wantProblem checks code and error-id.
func wantProblem(t testing.TB, what string, m *coap.Message, code coap.Code, id ace.ErrorID) {
	t.Helper()
	wantCode(t, what, m, code)
	got, _, ok := ace.ParseProblem(m)
	if !ok || got != id {
		t.Errorf("%s: error-id %d (present: %v), want %d", what, got, ok, id)
	}
}

// wantHints checks for the 4.00 in CF 261 and returns its content.
func wantHints(t testing.TB, what string, m *coap.Message) *ace.JoinHints {
	t.Helper()
	wantCode(t, what, m, coap.BadRequest)
	if format, ok := coap.ContentFormat(m); !ok || format != ace.FormatACEGroupcomm {
		t.Fatalf("%s: Content-Format %d, want 261", what, format)
	}
	h, err := ace.Decode[ace.JoinHints](m.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func textLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// sealRaw seals claims that no [ace.CWTClaims] can hold.
func sealRaw(w *world, claims []byte) ([]byte, error) {
	return cose.SealCWT(w.cfg.TokenKey.Key, w.cfg.TokenKey.KID, draw(w.rand, 13), claims)
}

func thumbprint(cred []byte) []byte {
	sum := cose.Thumbprint(cred)
	return sum[:]
}
