//go:build !js

package gm

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
	"lamplighter/internal/sim"
)

// site is a world whose Group Manager answers on a network in memory and, to DTLS,
// on the loopback interface.
type site struct {
	*world
	net  *sim.Network
	dtls *endpoint.DTLS
}

var hasty = endpoint.DTLSOptions{Handshake: 600 * time.Millisecond, Interval: 100 * time.Millisecond}

func newSite(t testing.TB, edits ...func(*Config)) *site {
	t.Helper()
	s := &site{world: newWorld(t, edits...), net: sim.NewNetwork(1)}
	s.open(netip.MustParseAddrPort("127.0.0.1:0"))
	t.Cleanup(func() { _ = s.dtls.Close() })
	return s
}

// open opens the listeners of the Group Manager.
func (s *site) open(addr netip.AddrPort) {
	s.t.Helper()
	s.net.Attach(gmAddr, s.s.Handler())
	var err error
	if s.dtls, err = endpoint.ListenDTLS(addr, s.s.SessionHandler(), s.s, hasty); err != nil {
		s.t.Fatal(err)
	}
}

// reboot restarts the Group Manager: all sessions are lost.
func (s *site) reboot() {
	s.t.Helper()
	addr := s.dtls.Addr()
	_ = s.dtls.Close()
	s.restart()
	s.open(addr)
}

// dial is a client's way to the Group Manager.
func (s *site) dial(ctx context.Context, identity, key []byte) (coap.Session, error) {
	p := coap.DefaultLayerParams()
	p.AckTimeout, p.MaxRetransmit = 100*time.Millisecond, 1
	o := hasty
	o.Params = &p
	sess, err := endpoint.DialDTLS(ctx, s.dtls.Addr(), identity, key, nil, o)
	if err != nil {
		return nil, err
	}
	s.t.Cleanup(func() { _ = sess.Close() })
	return sess, nil
}

// dtlsClaims are those of a good token for the DTLS profile.
func (s *site) dtlsClaims(subject string, roles ace.Role) *ace.CWTClaims {
	c := s.claims(subject, scope(testGroup, roles))
	c.CNF = &ace.Confirmation{COSEKey: ace.SymmetricKey(draw(s.rand, 8), draw(s.rand, 16))}
	c.Profile = ace.ProfileDTLS
	return c
}

// way is one way for a token to become an association.
type way struct {
	name    string
	profile func(*site) join.Profile
	token   func(s *site, subject string, roles ace.Role) *ace.TokenResponse
}

var ways = []way{
	{"OSCORE", (*site).oscoreProfile, func(s *site, subject string, roles ace.Role) *ace.TokenResponse {
		return s.seal(s.claims(subject, scope(testGroup, roles)))
	}},
	{"DTLS upload", (*site).uploadProfile, (*site).dtlsToken},
	{"DTLS psk_identity", (*site).identityProfile, (*site).dtlsToken},
}

func (s *site) oscoreProfile() join.Profile {
	return join.OSCORE{
		Exchange: s.net.From(clientAddr), GM: gmAddr, RecipientID: []byte{1}, Sequence: oscore.NewSequence(0, nil), Rand: s.rand,
	}
}

func (s *site) uploadProfile() join.Profile {
	return join.DTLS{Dial: s.dial, Exchange: s.net.From(clientAddr), GM: gmAddr, Rand: s.rand}
}

func (s *site) identityProfile() join.Profile { return join.DTLS{Dial: s.dial, Rand: s.rand} }

func (s *site) dtlsToken(subject string, roles ace.Role) *ace.TokenResponse {
	return s.seal(s.dtlsClaims(subject, roles))
}

// connect makes an association.
func (s *site) connect(p join.Profile, tok *ace.TokenResponse) *join.Connection {
	s.t.Helper()
	c, err := p.Transfer(s.t.Context(), tok)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// joinBy lets a new node join by a profile.
func (s *site) joinBy(w way, subject string) (*admitted, *join.Connection) {
	s.t.Helper()
	n := s.node(subject)
	c := s.connect(w.profile(s), w.token(s, subject, both))
	m, answer, err := join.Self(s.t.Context(), c, s.self(n, both, c.NS))
	if err != nil {
		s.t.Fatal(err)
	}
	return &admitted{n, nil, nil, m, answer, join.NewMember(c, testGroup, m.NodePath)}, c
}

// The join knows nothing of the profile: the same calls do the same over each.
func TestJoinOverEachProfile(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			s := newSite(t)
			a, c := s.joinBy(w, "a")
			b, _ := s.joinBy(w, "b")
			if len(b.m.Peers) != 1 || !bytes.Equal(b.m.Peers[0].Cred, a.cred) {
				t.Errorf("b's peers %+v", b.m.Peers)
			}
			if num, err := a.client.Num(t.Context()); err != nil || num != a.m.Num {
				t.Errorf("num %d %v", num, err)
			}
			sid, err := a.client.Renew(t.Context())
			if err != nil || bytes.Equal(sid, a.m.SenderID) {
				t.Errorf("renewed %x to %x: %v", a.m.SenderID, sid, err)
			}
			a.m.SenderID = sid
			if err := b.client.Leave(t.Context()); err != nil {
				t.Fatal(err)
			}
			cur, purged, changed, err := a.client.Update(t.Context(), a.m)
			if err != nil || !changed || cur.Num <= a.m.Num || !purged.Has(b.m.SenderID) || bytes.Equal(cur.MasterSecret, a.m.MasterSecret) {
				t.Errorf("update: %v %v %v", purged, changed, err)
			}
			if _, err := b.client.Num(t.Context()); !errors.Is(err, join.ErrNotMember) {
				t.Errorf("b after leaving: %v", err)
			}
			// The same member again, over the same association and a new challenge.
			m, answer, err := join.Self(t.Context(), c, s.self(a.node, both, nil))
			if err != nil || !answer.Rejoined || m.NodePath != a.m.NodePath {
				t.Errorf("again: %v", err)
			}
		})
	}
}

// New keys reach whoever observes the group, over each profile. KGO, Section 11.1.
func TestRekeyingOverEachProfile(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			s := newSite(t)
			s.runs()
			a, c := s.joinBy(w, "a")
			b, _ := s.joinBy(w, "b")
			news := observe(t, c, "/ace-group/"+testGroup)
			if m := hear(t, news); !coap.IsNotification(m) {
				t.Fatalf("registered: %v", m)
			}
			if err := b.client.Leave(t.Context()); err != nil {
				t.Fatal(err)
			}
			control, err := join.ReadControl(hear(t, news))
			if err != nil {
				t.Fatal(err)
			}
			next, purged, what, err := a.m.Hear(control)
			if err != nil || what != join.NewKeys || !purged.Has(b.m.SenderID) || next.Num != a.m.Num+1 {
				t.Errorf("%v %v %v", what, purged, err)
			}
			if cur, err := a.client.Keys(t.Context(), a.m); err != nil || !bytes.Equal(cur.MasterSecret, next.MasterSecret) {
				t.Errorf("the keys that were sent are others: %v", err)
			}
		})
	}
}

// Over each profile, a member whose token expires hears of it where it observes its
// own resource. RFC 9594, Section 5.
func TestExpiryOverEachProfile(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			s := newSite(t)
			a, c := s.joinBy(w, "a")
			news := observe(t, c, a.m.NodePath)
			hear(t, news)
			s.pass(time.Hour - evictAhead)
			if err := s.s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantProblem(t, "the last word", hear(t, news), coap.NotFound, ace.ErrorTerminated)
		})
	}
}

// observe registers for a resource and returns what comes.
func observe(t *testing.T, c coap.Watcher, path string) <-chan *coap.Message {
	t.Helper()
	req := coap.NewRequest(coap.GET, path, nil)
	coap.AddUint(req, coap.OptionObserve, coap.ObserveRegister)
	news := make(chan *coap.Message, 8)
	o, err := c.Observe(t.Context(), req, func(m *coap.Message, err error) {
		if err == nil {
			news <- m
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return news
}

// runs has the Group Manager do its work in the background.
func (s *site) runs() {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.s.Run(ctx)
	}()
	s.t.Cleanup(func() { cancel(); <-done })
}

func hear(t testing.TB, news <-chan *coap.Message) *coap.Message {
	t.Helper()
	select {
	case m := <-news:
		return m
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came")
		return nil
	}
}

// A member with a server behind its session gets new keys, and the word of its
// eviction, at its control_uri there.
func TestControlOverDTLS(t *testing.T) {
	s := newSite(t, func(c *Config) {
		c.ControlURI = func(_, uri string) bool { return true }
		c.Exchange = plain{} // nothing goes there
	})
	s.runs()
	news := make(chan *coap.Message, 8)
	h := coap.HandlerFunc(func(_ context.Context, req *coap.Request) *coap.Message {
		news <- req.Message
		return coap.Respond(coap.Changed, coap.NoFormat, nil)
	})
	profile := join.DTLS{Rand: s.rand, Dial: func(ctx context.Context, identity, key []byte) (coap.Session, error) {
		return endpoint.DialDTLS(ctx, s.dtls.Addr(), identity, key, h, hasty)
	}}
	n := s.node("lamp")
	c := s.connect(profile, s.dtlsToken("lamp", both))
	p := s.self(n, both, c.NS)
	p.ControlURI = "coaps://127.0.0.1:5684/ace-group/" + testGroup + "/node"
	m, _, err := join.Self(t.Context(), c, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.s.Rekey(t.Context(), testGroup, "a test"); err != nil {
		t.Fatal(err)
	}
	got := hear(t, news)
	control, err := join.ReadControl(got)
	if err != nil || got.Code != coap.POST || coap.Path(got) != "/ace-group/"+testGroup+"/node" {
		t.Fatalf("%v %v", got, err)
	}
	if next, _, what, err := m.Hear(control); err != nil || what != join.NewKeys || next.Num != m.Num+1 {
		t.Errorf("%v %v", what, err)
	}
	if err := s.s.Evict(t.Context(), testGroup, nodeOf(m)); err != nil {
		t.Fatal(err)
	}
	if got := hear(t, news); got.Code != coap.DELETE || coap.Path(got) != "/ace-group/"+testGroup+"/node" {
		t.Errorf("evicted by %v", got)
	}
	_, plain := s.transfer(s.seal(s.claims("o", scope(testGroup, both))))
	if _, err := s.s.post(t.Context(), plain.id, p.ControlURI, coap.POST, nil); !errors.Is(err, coap.ErrNoContext) {
		t.Errorf("a coaps URI without a session: %v", err)
	}
}

// nodeOf is a member's NODENAME.
func nodeOf(m *join.Membership) string { return m.NodePath[strings.LastIndexByte(m.NodePath, '/')+1:] }

// KGO, Section 6.1.1: where N_S comes from.
func TestChallengeOfEachProfile(t *testing.T) {
	s := newSite(t)
	for _, w := range ways {
		c := s.connect(w.profile(s), w.token(s, "n", both))
		wantLen, wantInfo := challengeLen, 1
		if w.name == "DTLS psk_identity" {
			wantLen, wantInfo = ace.ExporterPoPLen, 0
		}
		if len(c.NS) != wantLen || len(c.Info.Sign) != wantInfo {
			t.Errorf("%s: N_S of %d bytes, %d sign_info", w.name, len(c.NS), len(c.Info.Sign))
		}
		// A proof over anything else than N_S fails.
		n := s.node("n")
		wrong := bytes.Clone(c.NS)
		wrong[0] ^= 1
		if _, _, err := join.Self(t.Context(), c, s.self(n, both, wrong)); !isGMError(err, ace.ErrorPoP) {
			t.Errorf("%s: a proof over another challenge: %v", w.name, err)
		}
		if _, _, err := join.Self(t.Context(), c, s.self(n, both, c.NS)); err != nil {
			t.Errorf("%s: %v", w.name, err)
		}
	}
}

func isGMError(err error, id ace.ErrorID) bool {
	var e *join.GMError
	return errors.As(err, &e) && e.HasID && e.ID == id
}

// What the Group Manager refuses, it refuses by each way of the DTLS profile: a
// token that is uploaded with a code, one in the handshake with an alert.
func TestDTLSTokensRefused(t *testing.T) {
	s := newSite(t)
	for _, tt := range []struct {
		what string
		edit func(*ace.CWTClaims)
		code coap.Code
	}{
		{"another audience", func(c *ace.CWTClaims) { c.AUD = "gm2" }, coap.Forbidden},
		{"another issuer", func(c *ace.CWTClaims) { c.ISS = "as2" }, coap.Unauthorized},
		{"expired", func(c *ace.CWTClaims) { c.EXP = uint64(s.clock().Unix()) }, coap.Unauthorized},
		{"no scope", func(c *ace.CWTClaims) { c.Scope.Scope = []byte{0xff} }, coap.BadRequest},
		{"no key", func(c *ace.CWTClaims) { c.CNF.COSEKey.K = nil }, coap.BadRequest},
		{"a short key", func(c *ace.CWTClaims) { c.CNF.COSEKey.K = c.CNF.COSEKey.K[:15] }, coap.BadRequest},
		{"no kid", func(c *ace.CWTClaims) { c.CNF.COSEKey.KID = nil }, coap.BadRequest},
		{"a public key", func(c *ace.CWTClaims) { c.CNF.COSEKey = &ace.COSEKey{KTY: 2, KID: []byte{1}} }, coap.BadRequest},
		{"only a kid", func(c *ace.CWTClaims) { c.CNF = &ace.Confirmation{KID: []byte{1}} }, coap.BadRequest},
	} {
		good := s.dtlsClaims("n", both)
		key := *good.CNF.COSEKey
		tt.edit(good)
		tok := s.seal(good)
		tok.Cnf = &ace.Confirmation{COSEKey: &key} // the client's side is as it should be
		var refusal *join.GMError
		if _, err := s.uploadProfile().Transfer(t.Context(), tok); !errors.As(err, &refusal) || refusal.Code != tt.code {
			t.Errorf("%s, uploaded: %v, want %s", tt.what, err, coap.CodeString(tt.code))
		}
		if _, err := s.identityProfile().Transfer(t.Context(), tok); !errors.Is(err, coap.ErrIdentity) || !errors.Is(err, join.ErrNoToken) {
			t.Errorf("%s, in the handshake: %v", tt.what, err)
		}
	}
	if n := s.s.sessionCount(); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

func (s *Server) sessionCount() int {
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	return len(s.sessions.byID)
}

// Who has no key of a token gets no session by any identity.
func TestDTLSIdentitiesRefused(t *testing.T) {
	s := newSite(t)
	mine, other := s.dtlsClaims("mine", both), s.dtlsClaims("other", both)
	theirs := s.seal(other)
	s.connect(s.uploadProfile(), theirs)
	oscoreToken := s.seal(s.claims("o", scope(testGroup, both)))
	good := ace.PSKIdentity(other.CNF.COSEKey.KID)
	key := mine.CNF.COSEKey.K
	for what, tt := range map[string]struct {
		identity []byte
		want     error
	}{
		"another's kid":     {good, coap.ErrTimeout},
		"another's token":   {theirs.AccessToken, coap.ErrTimeout},
		"not uploaded":      {ace.PSKIdentity(mine.CNF.COSEKey.KID), coap.ErrIdentity},
		"truncated":         {good[:len(good)-1], coap.ErrIdentity},
		"a byte behind":     {append(bytes.Clone(good), 0), coap.ErrIdentity},
		"no CBOR":           {[]byte("lamp"), coap.ErrIdentity},
		"an OSCORE token":   {oscoreToken.AccessToken, coap.ErrIdentity},
		"a truncated token": {theirs.AccessToken[:len(theirs.AccessToken)-1], coap.ErrIdentity},
		"a changed token":   {flip(theirs.AccessToken), coap.ErrIdentity},
	} {
		if _, err := s.dial(t.Context(), tt.identity, key); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", what, err, tt.want)
		}
	}
	if sess, err := s.dial(t.Context(), good, other.CNF.COSEKey.K); err != nil || sess == nil {
		t.Errorf("the right key: %v", err)
	}
}

func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)-1] ^= 1
	return b
}

// Who recorded an upload can post it again; an older token of the same key, too.
// Neither changes anything.
func TestDTLSUploadsAgain(t *testing.T) {
	s := newSite(t)
	c := s.dtlsClaims("n", both)
	first := s.connect(s.uploadProfile(), s.seal(c))
	c.IAT++
	c.Scope.Scope = ace.EncodeScope([]ace.ScopeEntry{scope(testGroup, ace.RoleResponder)})
	newer := s.seal(c)
	second := s.connect(s.uploadProfile(), newer)
	third := s.connect(s.uploadProfile(), newer)
	if !bytes.Equal(first.NS, second.NS) || !bytes.Equal(second.NS, third.NS) {
		t.Error("another upload changed the challenge")
	}
	for what, edit := range map[string]func(*ace.CWTClaims){
		"an older one":         func(c *ace.CWTClaims) { c.IAT-- },
		"one of the same time": func(*ace.CWTClaims) {},
		"another's":            func(c *ace.CWTClaims) { c.IAT++; c.SUB = "m" },
	} {
		other := *c
		other.Scope.Scope = ace.EncodeScope([]ace.ScopeEntry{scope(testGroup, both)})
		edit(&other)
		var refusal *join.GMError
		if _, err := s.uploadProfile().Transfer(t.Context(), s.seal(&other)); !errors.As(err, &refusal) || refusal.Code != coap.Unauthorized {
			t.Errorf("%s: %v", what, err)
		}
	}
	// One that names the key by its identifier alone.
	byID := *c
	byID.IAT++
	byID.CNF = &ace.Confirmation{KID: c.CNF.COSEKey.KID}
	byID.Scope.Scope = ace.EncodeScope([]ace.ScopeEntry{scope(testGroup, ace.RoleResponder)})
	s.upload(&byID)
	byID.IAT++
	if _, err := s.dial(t.Context(), s.seal(&byID).AccessToken, c.CNF.COSEKey.K); err != nil {
		t.Errorf("an update as psk_identity: %v", err)
	}
	// The session of the first has the rights of the newest: RFC 9202, Section 4.
	for range 100 { // until it finds out that its session has ended
		if _, err := first.Call(t.Context(), coap.NewRequest(coap.GET, "/", nil)); err != nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	n := s.node("n")
	if _, _, err := join.Self(t.Context(), first, s.self(n, both, first.NS)); !errors.Is(err, join.ErrRefused) {
		t.Errorf("rights that were taken: %v", err)
	}
	if _, _, err := join.Self(t.Context(), first, s.self(n, ace.RoleResponder, nil)); err != nil {
		t.Error(err)
	}
}

// A new key under the same identifier ends what the old one has.
func TestDTLSKeyReplaced(t *testing.T) {
	s := newSite(t)
	c := s.dtlsClaims("n", both)
	old, err := s.dialUploaded(c)
	if err != nil {
		t.Fatal(err)
	}
	c.IAT++
	c.SUB = "m"
	c.CNF.COSEKey = ace.SymmetricKey(c.CNF.COSEKey.KID, draw(s.rand, 16))
	s.connect(s.uploadProfile(), s.seal(c))
	select {
	case <-old.Done():
	case <-time.After(30 * time.Second):
		t.Error("the session of the old key goes on")
	}
}

// upload posts a token as it is.
func (s *site) upload(c *ace.CWTClaims) {
	s.t.Helper()
	resp := s.s.serve(s.t.Context(), &coap.Request{Message: request(coap.POST, "/authz-info", ace.FormatCWT, s.seal(c).AccessToken)})
	wantCode(s.t, "the upload", resp, coap.Created)
}

// dialUploaded uploads a token and makes a bare session.
func (s *site) dialUploaded(c *ace.CWTClaims) (coap.Session, error) {
	s.upload(c)
	return s.dial(s.t.Context(), ace.PSKIdentity(c.CNF.COSEKey.KID), c.CNF.COSEKey.K)
}

// RFC 9202, Section 4: a token of the same key, within the session, replaces the
// rights; nothing else does.
func TestDTLSUpdate(t *testing.T) {
	s := newSite(t)
	c := s.dtlsClaims("n", ace.RoleResponder)
	conn := s.connect(s.identityProfile(), s.seal(c))
	n := s.node("n")
	for what, edit := range map[string]func(*ace.CWTClaims){
		"another key": func(c *ace.CWTClaims) {
			c.CNF = &ace.Confirmation{COSEKey: ace.SymmetricKey(c.CNF.COSEKey.KID, draw(s.rand, 16))}
		},
		"another kid":      func(c *ace.CWTClaims) { c.CNF = &ace.Confirmation{KID: []byte("other")} },
		"another subject":  func(c *ace.CWTClaims) { c.SUB = "m" },
		"another audience": func(c *ace.CWTClaims) { c.AUD = "gm2" },
		"an older token":   func(c *ace.CWTClaims) { c.IAT-- },
		"OSCORE's":         func(c *ace.CWTClaims) { c.CNF = s.claims("n").CNF },
	} {
		bad := *c
		bad.Scope.Scope = ace.EncodeScope([]ace.ScopeEntry{scope(testGroup, both)})
		edit(&bad)
		if err := join.UpdateRights(t.Context(), conn, s.seal(&bad).AccessToken); !errors.Is(err, join.ErrNoToken) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, _, err := join.Self(t.Context(), conn, s.self(n, both, conn.NS)); !errors.Is(err, join.ErrRefused) {
		t.Errorf("more than the token: %v", err)
	}
	good := *c
	good.Scope.Scope = ace.EncodeScope([]ace.ScopeEntry{scope(testGroup, both)})
	for _, cnf := range []*ace.Confirmation{
		{KID: c.CNF.COSEKey.KID}, {COSEKey: ace.SymmetricKey(c.CNF.COSEKey.KID, nil)}, c.CNF,
	} {
		good.CNF = cnf
		good.IAT++
		if err := join.UpdateRights(t.Context(), conn, s.seal(&good).AccessToken); err != nil {
			t.Errorf("%+v: %v", cnf, err)
		}
	}
	if _, _, err := join.Self(t.Context(), conn, s.self(n, both, conn.NS)); err != nil {
		t.Error(err)
	}
}

// RFC 9202, Section 5: an expired token is answered with 4.01, and the session
// ends.
func TestDTLSExpiry(t *testing.T) {
	s := newSite(t)
	c := s.dtlsClaims("n", both)
	sess, err := s.dialUploaded(c)
	if err != nil {
		t.Fatal(err)
	}
	get := func() *coap.Message {
		resp, err := sess.Call(t.Context(), coap.NewRequest(coap.POST, "/ace-group/"+testGroup, nil))
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	wantCode(t, "before", get(), coap.BadRequest) // with the hints for a join
	s.pass(time.Hour)
	wantCode(t, "after", get(), coap.Unauthorized)
	select {
	case <-sess.Done():
	case <-time.After(30 * time.Second):
		t.Error("the session goes on")
	}
	if _, err := s.dial(t.Context(), ace.PSKIdentity(c.CNF.COSEKey.KID), c.CNF.COSEKey.K); !errors.Is(err, coap.ErrIdentity) {
		t.Errorf("another session with the expired token: %v", err)
	}
	other, err := s.dialUploaded(s.dtlsClaims("m", both))
	if err != nil {
		t.Fatal(err)
	}
	s.pass(time.Hour)
	if err := s.s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-other.Done():
	case <-time.After(30 * time.Second):
		t.Error("a session goes on whose token was swept away")
	}
}

// A restart of the Group Manager costs a member one request: then it makes another
// session, with the token that the Group Manager has kept.
func TestDTLSReboot(t *testing.T) {
	for _, w := range ways[1:] {
		s := newSite(t)
		a, _ := s.joinBy(w, "a")
		s.reboot()
		if _, err := a.client.Num(t.Context()); err != nil { // the server said goodbye
			if !errors.Is(err, coap.ErrSession) && !errors.Is(err, coap.ErrTimeout) {
				t.Errorf("%s: %v", w.name, err)
			}
			if _, err := a.client.Num(t.Context()); err != nil {
				t.Errorf("%s: %v", w.name, err)
			}
		}
		s.pass(time.Hour)
		s.reboot()
		_, _ = a.client.Num(t.Context())
		if _, err := a.client.Num(t.Context()); !errors.Is(err, join.ErrNoToken) {
			t.Errorf("%s: after the token: %v", w.name, err)
		}
	}
}

// One session an association: who makes another ends the first.
func TestDTLSOneSession(t *testing.T) {
	s := newSite(t)
	c := s.dtlsClaims("n", both)
	first, err := s.dialUploaded(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Call(t.Context(), coap.NewRequest(coap.POST, "/ace-group/"+testGroup, nil)); err != nil {
		t.Fatal(err)
	}
	c.IAT++
	second, err := s.dialUploaded(c)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-first.Done():
	case <-time.After(30 * time.Second):
		t.Error("the first session goes on")
	}
	resp, err := second.Call(t.Context(), coap.NewRequest(coap.POST, "/ace-group/"+testGroup, nil))
	if err != nil || resp.Code != coap.BadRequest {
		t.Errorf("%v %v", resp, err)
	}
	if s.s.sessionCount() != 1 {
		t.Errorf("%d sessions", s.s.sessionCount())
	}
	if resp := s.s.serveSession(t.Context(), &coap.Request{Message: coap.NewRequest(coap.POST, "/ace-group/"+testGroup, nil)}); resp.Code != coap.Unauthorized {
		t.Errorf("nobody's request: %v", resp.Code)
	}
}

// The Group Manager reaches a member over its session.
func TestDTLSCaller(t *testing.T) {
	s := newSite(t)
	c := s.dtlsClaims("n", both)
	s.upload(c)
	h := coap.HandlerFunc(func(_ context.Context, req *coap.Request) *coap.Message {
		return coap.Respond(coap.Changed, coap.NoFormat, req.Payload)
	})
	sess, err := endpoint.DialDTLS(t.Context(), s.dtls.Addr(), ace.PSKIdentity(c.CNF.COSEKey.KID), c.CNF.COSEKey.K, h, hasty)
	if err != nil {
		t.Fatal(err)
	}
	id := sessionID(c.CNF.COSEKey.KID)
	eventually(t, func() bool { return s.s.sessions.get(id) != nil })
	resp, err := s.s.caller(id, s.net.From(gmAddr), clientAddr).Call(t.Context(), coap.NewRequest(coap.POST, "/node", []byte("keys")))
	if err != nil || resp.Code != coap.Changed || string(resp.Payload) != "keys" {
		t.Errorf("%v %v", resp, err)
	}
	_ = sess.Close()
	eventually(t, func() bool { return s.s.sessions.get(id) == nil })
	if _, err := s.s.caller(id, s.net.From(gmAddr), clientAddr).Call(t.Context(), coap.NewRequest(coap.POST, "/node", nil)); !errors.Is(err, coap.ErrNoContext) {
		t.Errorf("without a session: %v", err)
	}
}

// eventually waits for something that another goroutine does.
func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never came")
		}
	}
}

// An administrator's token works over DTLS as well, critical options included.
func TestAdminOverDTLS(t *testing.T) {
	s := newSite(t)
	c := s.dtlsClaims("boss", both)
	c.Scope.Scope = ace.Scope{Admins: []ace.AdminEntry{may(ace.AnyGroup, ace.PermAll)}}.Encode()
	boss := s.connect(s.identityProfile(), s.seal(c))
	links := s.call(boss, coap.GET, "/.well-known/core", -1, nil)
	if wantCode(t, "discovery", links, coap.Content); !bytes.Contains(links.Payload, []byte("/ace-group/"+testGroup)) {
		t.Errorf("links %s", links.Payload)
	}
	conf := s.call(boss, coap.GET, "/manage/"+testGroup, -1, nil)
	wantCode(t, "the configuration", conf, coap.Content)
	body := ace.Encode(map[int]any{ace.AdminGroupDescription: "new"})
	for _, tt := range []struct {
		tag  []byte
		want coap.Code
	}{{[]byte("another"), coap.PreconditionFailed}, {coap.GetOption(conf, coap.OptionETag), coap.Changed}} {
		req := request(coap.PATCH, "/manage/"+testGroup, ace.FormatACEGroupcomm, body)
		coap.AddOption(req, coap.OptionIfMatch, tt.tag)
		resp, err := boss.Call(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, "a change", resp, tt.want)
	}
	member := s.connect(s.identityProfile(), s.dtlsToken("n", both))
	wantCode(t, "a member", s.call(member, coap.GET, "/manage/"+testGroup, -1, nil), coap.Unauthorized)
}

// Whatever comes as psk_identity, only a token of the Authorization Server's or the
// identifier of an uploaded one has a key.
func FuzzIdentify(f *testing.F) {
	w := newWorld(f)
	s := &site{world: w}
	uploaded, fresh := s.dtlsClaims("a", both), s.dtlsClaims("b", both)
	s.upload(uploaded)
	good := map[string]string{
		string(ace.PSKIdentity(uploaded.CNF.COSEKey.KID)): string(uploaded.CNF.COSEKey.K),
	}
	token := w.seal(fresh).AccessToken
	good[string(token)] = string(fresh.CNF.COSEKey.K)
	for identity := range good {
		f.Add([]byte(identity))
	}
	f.Add(ace.PSKIdentity([]byte("other")))
	f.Fuzz(func(t *testing.T, identity []byte) {
		id, err := w.s.Identify(context.Background(), identity)
		if key, known := good[string(identity)]; err == nil && (!known || string(id.Key) != key) {
			// Another encoding of a kid names the same key.
			kid, _, parseErr := ace.ParsePSKIdentity(identity)
			if parseErr != nil || !bytes.Equal(kid, uploaded.CNF.COSEKey.KID) || !bytes.Equal(id.Key, uploaded.CNF.COSEKey.K) {
				t.Errorf("%x has a key", identity)
			}
		}
		if err != nil && !errors.Is(err, coap.ErrIdentity) {
			t.Error(err)
		}
	})
}

// A handshake that began with a key which was replaced meanwhile comes to nothing,
// and disturbs nobody.
func TestDTLSKeyReplacedMeanwhile(t *testing.T) {
	s := newSite(t)
	c := s.dtlsClaims("n", both)
	s.upload(c)
	kid := c.CNF.COSEKey.KID
	old, err := s.s.Identify(t.Context(), ace.PSKIdentity(kid))
	if err != nil {
		t.Fatal(err)
	}
	c.IAT++
	c.SUB = "m"
	c.CNF = &ace.Confirmation{COSEKey: ace.SymmetricKey(kid, draw(s.rand, 16))}
	live, err := s.dialUploaded(c)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() {
		resp, err := live.Call(t.Context(), coap.NewRequest(coap.POST, "/ace-group/"+testGroup, nil))
		if err != nil || resp.Code != coap.BadRequest {
			t.Errorf("%v %v", resp, err)
		}
	}
	ask()
	if peer, err := old.Begin(t.Context(), live); err == nil {
		t.Errorf("the old key is %v", peer)
	}
	if s.s.sessions.get(sessionID(kid)) == nil {
		t.Error("the new key's session is forgotten")
	}
	ask()
}
