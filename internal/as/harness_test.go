package as_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
	"lamplighter/internal/sim"
	"lamplighter/internal/store"
)

var (
	asAddr   = netip.MustParseAddrPort("127.0.0.1:5690")
	tokenKey = ace.TokenKey{KID: []byte("gm"), Key: cose.Secret("token key of 16B")}
)

const (
	audience  = "gm.example"
	hallLamp  = "000b57fffe401ac2"
	otherLamp = "000b57fffe401ac3"
)

// clock is a clock that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// site is an Authorization Server on a network in memory.
type site struct {
	t     testing.TB
	net   *sim.Network
	clock *clock
	store store.Store
	cfg   as.Config
	as    *as.Server
	log   *lines

	mu    sync.Mutex
	ports uint16
}

// lines collects what is logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newSite(t testing.TB, change ...func(*as.Config)) *site {
	s := &site{t: t, net: sim.NewNetwork(1), clock: &clock{now: time.Unix(1_800_000_000, 0)}, store: store.NewMemory(), log: &lines{}}
	s.cfg = as.Config{
		Store: s.store, Now: s.clock.Now, Rand: rand.Reader, Key: key("authorization server"), Issuer: "as.example",
		GMs: map[string]ace.TokenKey{audience: tokenKey}, Policy: as.AllGroups("hall", "attic"),
		Logger: slog.New(slog.NewTextHandler(s.log, nil)),
	}
	for _, f := range change {
		f(&s.cfg)
	}
	s.start()
	return s
}

// start starts the Authorization Server, or starts it again on the same store.
func (s *site) start() {
	s.t.Helper()
	server, err := as.New(s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.as = server
	s.net.Attach(asAddr, server.Handler())
}

// key returns a key that is the same in every run.
func key(seed string) ed25519.PrivateKey {
	sum := sha256.Sum256([]byte(seed))
	return ed25519.NewKeyFromSeed(sum[:])
}

// party is somebody who talks to the Authorization Server.
type party struct {
	t     testing.TB
	s     *site
	key   ed25519.PrivateKey
	cred  []byte
	wire  coap.Exchanger
	inv   as.Invitation
	call  coap.Caller // the installer's session; nil before enrolling
	guest coap.Caller // the invitation's session
}

func (s *site) party(name string) *party {
	k := key(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ports++
	from := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 40000+s.ports)
	return &party{t: s.t, s: s, key: k, cred: cose.NewCCS("site-"+name, k.Public().(ed25519.PublicKey)), wire: s.net.From(from)}
}

// invited returns a party with an invitation.
func (s *site) invited(name string, policy as.Policy) *party {
	s.t.Helper()
	p := s.party(name)
	inv, err := s.as.Invite(s.t.Context(), name, policy)
	if err != nil {
		s.t.Fatal(err)
	}
	p.accept(inv)
	return p
}

func (p *party) accept(inv as.Invitation) {
	p.inv = inv
	p.guest = oscore.NewPSKClient(oscore.NewPSK([]byte(inv.ID), inv.Secret, oscore.SaltInvitation), p.wire, asAddr, rand.Reader)
}

// enrolled returns a party that enrolled.
func (s *site) enrolled(name string, policy as.Policy) *party {
	s.t.Helper()
	p := s.invited(name, policy)
	p.enroll()
	return p
}

func (p *party) enroll() {
	p.t.Helper()
	p.expect(p.postEnrolment(p.cred), coap.Created)
	p.open()
}

func (p *party) postEnrolment(cred []byte) *coap.Message {
	p.t.Helper()
	return p.do(p.guest, coap.POST, "/enroll", ace.FormatCBOR, map[int]any{1: cred, 2: "installer"})
}

// open opens the installer's session.
func (p *party) open() {
	p.t.Helper()
	asCred, err := cose.ParseCCS(p.s.as.Credential())
	if err != nil {
		p.t.Fatal(err)
	}
	secret, err := cose.DerivedKey(p.inv.Secret, p.key, asCred.Public, p.cred, p.s.as.Credential())
	if err != nil {
		p.t.Fatal(err)
	}
	p.call = oscore.NewPSKClient(oscore.NewPSK(p.cred, secret, oscore.SaltInstaller), p.wire, asAddr, rand.Reader)
}

// try makes a request; body is CBOR, or bytes as they are, or nil.
func (p *party) try(through coap.Caller, method coap.Code, path string, format int, body any) (*coap.Message, error) {
	req := coap.NewRequest(method, path, nil)
	switch b := body.(type) {
	case nil:
	case []byte:
		req.Payload = b
	default:
		req.Payload = cbor.MustMarshal(b)
	}
	if format >= 0 {
		coap.AddUint(req, coap.OptionContentFormat, uint32(format))
	}
	return through.Call(p.t.Context(), req)
}

func (p *party) do(through coap.Caller, method coap.Code, path string, format int, body any) *coap.Message {
	p.t.Helper()
	resp, err := p.try(through, method, path, format, body)
	if err != nil {
		p.t.Fatalf("%v %s: %v", method, path, err)
	}
	return resp
}

func (p *party) expect(resp *coap.Message, code coap.Code) *coap.Message {
	p.t.Helper()
	if resp.Code != code {
		p.t.Fatalf("got %s %q, want %s", coap.CodeString(resp.Code), resp.Payload, coap.CodeString(code))
	}
	return resp
}

func (p *party) register(device string, thumb byte, model string) *coap.Message {
	p.t.Helper()
	return p.do(p.call, coap.PUT, "/devices/"+device, ace.FormatCBOR, map[int]any{1: thumbprint(thumb), 2: model})
}

func thumbprint(b byte) []byte {
	t := make([]byte, ace.ThumbprintSize)
	for i := range t {
		t[i] = b
	}
	return t
}

// token asks for a token and returns the answer with what the Group Manager will
// read in the token.
func (p *party) token(req ace.TokenRequest) (*ace.TokenResponse, *ace.CWTClaims) {
	p.t.Helper()
	resp := p.expect(p.do(p.call, coap.POST, "/token", ace.FormatACE, req), coap.Created)
	if format, ok := coap.ContentFormat(resp); !ok || format != ace.FormatACE {
		p.t.Fatalf("content format %d, %v", format, ok)
	}
	tok, err := ace.Decode[ace.TokenResponse](resp.Payload)
	if err != nil {
		p.t.Fatal(err)
	}
	claims, err := ace.OpenToken(p.s.cfg.GMs[orAudience(req.Audience)], tok.AccessToken)
	if err != nil {
		p.t.Fatal(err)
	}
	return tok, claims
}

func orAudience(a string) string {
	if a == "" {
		return audience
	}
	return a
}

// denied makes a token request that must be refused with exactly {30: want}.
func (p *party) denied(body any, want ace.ASErrorCode) {
	p.t.Helper()
	p.expectDenial(p.do(p.call, coap.POST, "/token", ace.FormatACE, body), coap.BadRequest, want)
}

func (p *party) expectDenial(resp *coap.Message, code coap.Code, want ace.ASErrorCode) {
	p.t.Helper()
	p.expect(resp, code)
	if format, _ := coap.ContentFormat(resp); format != ace.FormatACE || string(resp.Payload) != string(cbor.MustMarshal(map[int]int{30: int(want)})) {
		body, _ := ace.ParseASError(resp)
		p.t.Fatalf("got %x (%v) in format %d, want {30: %d}", resp.Payload, body.Code, format, want)
	}
}

func scope(pairs ...any) []byte {
	var entries []ace.ScopeEntry
	for i := 0; i < len(pairs); i += 2 {
		entries = append(entries, ace.ScopeEntry{Group: pairs[i].(string), Roles: pairs[i+1].(ace.Role)})
	}
	return ace.EncodeScope(entries)
}

func describe(data []byte) string {
	entries, err := ace.DecodeScope(data)
	if err != nil {
		return err.Error()
	}
	var parts []string
	for _, e := range entries {
		parts = append(parts, fmt.Sprintf("%s:%d", e.Group, e.Roles))
	}
	return strings.Join(parts, " ")
}
