package device

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
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// plain is a caller without protection.
type plain struct{ in *installer }

func (p plain) Call(ctx context.Context, req *coap.Message) (*coap.Message, error) {
	return p.in.ex.Exchange(ctx, p.in.w.addr, req)
}

func (in *installer) id() (a idAnswer) {
	in.w.t.Helper()
	if err := do(plain{in}, coap.GET, "/ll/id", nil, &a); err != nil {
		in.w.t.Fatal(err)
	}
	return a
}

func TestIdentitySurvivesReboot(t *testing.T) {
	w := newWorld(t)
	cred := w.lamp.Credential()
	if c, err := cose.ParseCCS(cred); err != nil || c.Subject != "000b57fffe401a01" {
		t.Fatalf("%+v, %v", c, err)
	}
	w.boot()
	if !bytes.Equal(cred, w.lamp.Credential()) {
		t.Error("another key after a reboot")
	}
	if l := w.lamp.Label(); !l.Matches(cred) || l.ID != lampID || l.Model != "lamp-dim-1" {
		t.Errorf("label %+v", l)
	}
	other := newWorld(t, func(c *Config) { c.Rand = strings.NewReader(strings.Repeat("x", 1<<16)) })
	if bytes.Equal(cred, other.lamp.Credential()) {
		t.Error("two devices with one key")
	}
}

func TestConfigRefused(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"secret": func(c *Config) { c.LabelSecret = c.LabelSecret[1:] },
		"store":  func(c *Config) { c.Store = nil },
		"model":  func(c *Config) { c.Model = "" },
	} {
		w := newWorld(t)
		cfg := w.cfg
		edit(&cfg)
		if _, err := New(cfg); !errors.Is(err, errConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCoreFilters(t *testing.T) {
	w := newWorld(t)
	in := w.installer("anna", 1)
	const want = `</ll/id>;rt="ll.id";ep="000b57fffe401a01";et="lamp-dim-1"`
	for query, fits := range map[string]bool{
		"": true, "?rt=ll.id": true, "?rt=ll.*": true, "?rt=light": false, "?ep=000b57fffe401a01": true,
		"?ep=000b57fffe401a02": false, "?rt=ll.id&ep=000b*": true, "?rt=ll.id&ep=1*": false, "?x=y": false, "?href=/ll/id": true,
	} {
		req := coap.NewRequest(coap.GET, "/.well-known/core"+query, nil)
		answers := 0
		err := in.ex.Multicast(t.Context(), groupAddr, req, time.Second, func(m *coap.Message, from netip.AddrPort) {
			answers++
			if format, _ := coap.ContentFormat(m); format != formatLinks || string(m.Payload) != want || from != lampAddr {
				t.Errorf("%s: %v %q from %v", query, m.Code, m.Payload, from)
			}
		})
		if err != nil || (answers == 1) != fits {
			t.Errorf("%q: %d answers, %v", query, answers, err)
		}
		resp, err := in.ex.Exchange(t.Context(), lampAddr, req)
		if err != nil || resp.Code != coap.Content || (len(resp.Payload) > 0) != fits {
			t.Errorf("%q to one: %v, %v", query, resp, err)
		}
	}
}

func TestMulticastErrorsAreSilent(t *testing.T) {
	w := newWorld(t)
	in := w.installer("anna", 1)
	for _, path := range []string{"/nowhere", "/light", "/ll/groups"} {
		err := in.ex.Multicast(t.Context(), groupAddr, coap.NewRequest(coap.GET, path, nil), time.Second,
			func(m *coap.Message, _ netip.AddrPort) { t.Errorf("%s answered %v", path, m.Code) })
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestClaim(t *testing.T) {
	w := newWorld(t)
	in := w.installer("anna", 1)
	if got := in.id(); got.Claimed != 0 || got.Name != "" || !bytes.Equal(got.ID, lampID[:]) {
		t.Fatalf("before: %+v", got)
	}
	if err := in.claim(); err != nil {
		t.Fatal(err)
	}
	if got := in.id(); got.Claimed != 1 || got.Name != "Lamp 1" {
		t.Errorf("after: %+v", got)
	}
	if s := w.lamp.State(); !s.Claimed || s.Name != "Lamp 1" || s.ID != "000b57fffe401a01" {
		t.Errorf("state %+v", s)
	}
	if err := do(in.ownerSession(), coap.GET, "/ll/groups", nil, nil); err != nil {
		t.Error(err)
	}
}

func TestClaimRepeated(t *testing.T) {
	w := newWorld(t)
	in, other := w.installer("anna", 1), w.installer("bert", 2)
	for range 2 {
		if err := in.claim(); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, "another credential", other.claim(), coap.Conflict)
	w.boot()
	if err := in.claim(); err != nil {
		t.Errorf("after a reboot: %v", err)
	}
	wantCode(t, "another credential", other.claim(), coap.Conflict)

	session := in.labelSession()
	if err := do(session, coap.POST, "/ll/claim", w.claimFor(in), nil); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "blinking by the label", do(session, coap.POST, "/ll/blink", nil, nil), coap.Forbidden)
	if err := do(in.ownerSession(), coap.POST, "/ll/blink", nil, nil); err != nil {
		t.Fatal(err)
	}
	// The owner key was used: the label opens nothing, open sessions and new ones alike.
	for range 2 {
		wantCode(t, "an open session", do(session, coap.POST, "/ll/claim", w.claimFor(in), nil), coap.Unauthorized)
		wantCode(t, "a new session", in.claim(), coap.Unauthorized)
		w.boot()
	}
	if err := do(in.ownerSession(), coap.POST, "/ll/blink", nil, nil); err != nil {
		t.Errorf("the owner after a reboot: %v", err)
	}
}

func TestWrongSecrets(t *testing.T) {
	w := newWorld(t)
	in := w.installer("anna", 1)
	wrong := oscore.NewPSKClient(oscore.NewPSK(lampID[:], []byte("another secret16"), oscore.SaltLabel), in.ex, lampAddr, w.rand)
	if err := do(wrong, coap.POST, "/ll/claim", w.claimFor(in), nil); err == nil || w.lamp.State().Claimed {
		t.Errorf("a wrong label secret claims: %v", err)
	}
	stranger := oscore.NewPSKClient(oscore.NewPSK([]byte("12345678"), w.cfg.LabelSecret, oscore.SaltLabel), in.ex, lampAddr, w.rand)
	wantCode(t, "another device's label", do(stranger, coap.POST, "/ll/claim", w.claimFor(in), nil), coap.Unauthorized)
	if err := in.claim(); err != nil {
		t.Fatal(err)
	}
	// A foreign owner: knows the label (a photo), but has another credential.
	foreign := w.installer("bert", 2)
	if err := do(foreign.ownerSession(), coap.POST, "/ll/blink", nil, nil); err == nil {
		t.Error("a foreign owner is obeyed")
	}
	// One who claims to be the owner without the private key.
	thief := &installer{w: w, key: key(3), cred: in.cred, ex: in.ex}
	if err := do(thief.ownerSession(), coap.POST, "/ll/blink", nil, nil); err == nil {
		t.Error("a thief of the credential is obeyed")
	}
	if w.lamp.State().Blinking {
		t.Error("it blinks")
	}
}

func TestClaimMalformed(t *testing.T) {
	w := newWorld(t)
	in := w.installer("anna", 1)
	session := in.labelSession()
	many := make([][]byte, maxCommissioners+1)
	for i := range many {
		many[i] = in.cred
	}
	for name, edit := range map[string]func(*claimRequest){
		"no credential":     func(c *claimRequest) { c.SiteCred = nil },
		"long credential":   func(c *claimRequest) { c.SiteCred = make([]byte, maxCred+1) },
		"no name":           func(c *claimRequest) { c.Name = "" },
		"long name":         func(c *claimRequest) { c.Name = strings.Repeat("n", maxName+1) },
		"control character": func(c *claimRequest) { c.Name = "a\tb" },
		"no site":           func(c *claimRequest) { c.Site = "" },
		"GM's address":      func(c *claimRequest) { c.GM.Address = "gm.example:5683" },
		"GM's credential":   func(c *claimRequest) { c.GM.Cred = c.GM.Cred[1:] },
		"AS's address":      func(c *claimRequest) { c.AS.Address = "" },
		"nobody":            func(c *claimRequest) { c.Commissioners = nil },
		"too many":          func(c *claimRequest) { c.Commissioners = many },
		"bad commissioner":  func(c *claimRequest) { c.Commissioners = [][]byte{{1}} },
	} {
		c := w.claimFor(in)
		edit(&c)
		wantCode(t, name, do(session, coap.POST, "/ll/claim", c, nil), coap.BadRequest)
	}
	wantCode(t, "text", do(session, coap.POST, "/ll/claim", "hello", nil), coap.BadRequest)
	wantCode(t, "nothing", do(session, coap.POST, "/ll/claim", nil, nil), coap.BadRequest)
	if w.lamp.State().Claimed {
		t.Error("claimed")
	}
}

// Who may do what, before and after the claim.
func TestAccess(t *testing.T) {
	w := newWorld(t)
	in := w.installer("anna", 1)
	resources := []struct {
		method             coap.Code
		path               string
		open, label, owner coap.Code
	}{
		{coap.GET, "/ll/id", coap.Content, coap.Content, coap.Content},
		{coap.POST, "/ll/blink", coap.Unauthorized, coap.Changed, coap.Changed},
		{coap.POST, "/ll/claim", coap.Unauthorized, coap.BadRequest, coap.Forbidden},
		{coap.POST, "/ll/pop", coap.Unauthorized, coap.Forbidden, coap.BadRequest},
		{coap.GET, "/ll/groups", coap.Unauthorized, coap.Forbidden, coap.Content},
		{coap.PUT, "/ll/groups/hall", coap.Unauthorized, coap.Forbidden, coap.BadRequest},
		{coap.DELETE, "/ll/groups/hall", coap.Unauthorized, coap.Forbidden, coap.Deleted},
		{coap.GET, "/light", coap.Unauthorized, coap.Forbidden, coap.Forbidden},
		{coap.PUT, "/light", coap.Unauthorized, coap.Forbidden, coap.Forbidden},
		{coap.GET, "/nowhere", coap.NotFound, coap.NotFound, coap.NotFound},
		{coap.PUT, "/ll/id", coap.MethodNotAllowed, coap.MethodNotAllowed, coap.MethodNotAllowed},
	}
	check := func(who string, c coap.Caller, method coap.Code, path string, want coap.Code) {
		t.Helper()
		resp, err := c.Call(t.Context(), coap.NewRequest(method, path, nil))
		if err != nil || resp.Code != want {
			t.Errorf("%s: %v %s: %v, %v, want %s", who, method, path, resp, err, coap.CodeString(want))
		}
	}
	label := in.labelSession()
	for _, r := range resources {
		check("open", plain{in}, r.method, r.path, r.open)
		check("label", label, r.method, r.path, r.label)
	}
	if err := in.claim(); err != nil {
		t.Fatal(err)
	}
	owner := in.ownerSession()
	for _, r := range resources {
		check("owner", owner, r.method, r.path, r.owner)
		check("open", plain{in}, r.method, r.path, r.open)
	}
}

func TestBlink(t *testing.T) {
	w := newWorld(t)
	session := w.installer("anna", 1).labelSession()
	seconds := func(n uint) blinkRequest { return blinkRequest{&n} }
	for _, c := range []struct {
		body  any
		lasts time.Duration
	}{{nil, 5 * time.Second}, {seconds(60), time.Minute}, {seconds(1), time.Second}, {map[int]int{9: 9}, 5 * time.Second}} {
		if err := do(session, coap.POST, "/ll/blink", c.body, nil); err != nil {
			t.Fatal(err)
		}
		w.clock.Advance(c.lasts - 1)
		if !w.lamp.State().Blinking {
			t.Errorf("%v: not blinking", c.lasts)
		}
		w.clock.Advance(1)
		if w.lamp.State().Blinking {
			t.Errorf("%v: still blinking", c.lasts)
		}
	}
	wantCode(t, "too long", do(session, coap.POST, "/ll/blink", seconds(61), nil), coap.BadRequest)
	wantCode(t, "negative", do(session, coap.POST, "/ll/blink", map[int]int{1: -1}, nil), coap.BadRequest)
	if err := do(session, coap.POST, "/ll/blink", seconds(60), nil); err != nil {
		t.Fatal(err)
	}
	if err := do(session, coap.POST, "/ll/blink", seconds(0), nil); err != nil || w.lamp.State().Blinking {
		t.Errorf("0 seconds end it: %v", err)
	}
}

func TestOffers(t *testing.T) {
	w := newWorld(t)
	in := w.installer("anna", 1)
	if err := in.claim(); err != nil {
		t.Fatal(err)
	}
	owner := in.ownerSession()
	roles := ace.RoleResponder
	ask := popRequest{Group: "hall", Roles: &roles}
	var first, second popOffer
	for _, o := range []*popOffer{&first, &second} {
		if err := do(owner, coap.POST, "/ll/pop", ask, o); err != nil {
			t.Fatal(err)
		}
	}
	if bytes.Equal(first.NC, second.NC) || len(first.NC) != 8 || len(first.ID1) != id1Size || !bytes.Equal(first.Cred, w.lamp.Credential()) {
		t.Errorf("offers %x, %x", first, second)
	}
	w.boot()
	var proof popProof
	if err := do(owner, coap.POST, "/ll/pop", popRequest{Group: "hall", NS: make([]byte, 8)}, &proof); err != nil {
		t.Fatalf("the offer is lost by a reboot: %v", err)
	}
	signed := ace.PoPInput(ace.EncodeJoinScope(ace.ScopeEntry{Group: "hall", Roles: roles}), make([]byte, 8), second.NC)
	if !ed25519Verify(w, signed, proof.Proof) {
		t.Error("the proof does not verify")
	}
	wantCode(t, "no offer", do(owner, coap.POST, "/ll/pop", popRequest{Group: "shed", NS: make([]byte, 8)}, nil), coap.Conflict)
	monitor, both, admin := ace.RoleMonitor, ace.RoleRequester|ace.RoleResponder, ace.Role(5)
	for name, p := range map[string]popRequest{
		"monitor": {Group: "hall", Roles: &monitor}, "admin": {Group: "hall", Roles: &admin}, "neither": {Group: "hall"},
		"both": {Group: "hall", Roles: &both, NS: make([]byte, 8)}, "no name": {Roles: &both}, "a path": {Group: "a/b", Roles: &both},
		"short challenge": {Group: "hall", NS: make([]byte, 7)}, "long challenge": {Group: "hall", NS: make([]byte, 65)},
	} {
		wantCode(t, name, do(owner, coap.POST, "/ll/pop", p, nil), coap.BadRequest)
	}
}

func TestOffersAreBounded(t *testing.T) {
	w := newWorld(t)
	in := w.installer("anna", 1)
	if err := in.claim(); err != nil {
		t.Fatal(err)
	}
	owner := in.ownerSession()
	roles := ace.RoleResponder
	for i := range maxOffers + 1 {
		w.clock.Advance(time.Second)
		ask := popRequest{Group: string(rune('a' + i)), Roles: &roles}
		for range 2 { // a repetition takes no room
			if err := do(owner, coap.POST, "/ll/pop", ask, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range maxOffers + 1 {
		err := do(owner, coap.POST, "/ll/pop", popRequest{Group: string(rune('a' + i)), NS: make([]byte, 8)}, nil)
		if (err == nil) != (i > 0) {
			t.Errorf("offer %d: %v", i, err)
		}
	}
}

// A session of an owner before the last release is nobody's: such a request may
// have been opened just before it.
func TestFormerOwner(t *testing.T) {
	w, in := commissioned(t)
	for cred, want := range map[string]coap.Code{string(in.cred): coap.Content, "another": coap.Forbidden} {
		req := &coap.Request{
			Message: coap.NewRequest(coap.GET, "/ll/groups", nil),
			Peer:    coap.Peer{Kind: coap.PeerPSK, Name: peerOwner, Data: []byte(cred)},
		}
		if resp := w.lamp.admit(w.lamp.routes()).Serve(t.Context(), req); resp.Code != want {
			t.Errorf("%v, want %v", resp.Code, want)
		}
	}
}
