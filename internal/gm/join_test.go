package gm

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/store"
)

// applicant is a node with a token that has not joined yet.
type applicant struct {
	*node
	w     *world
	assoc *join.Association
	gm    *direct
}

func (w *world) applicant(subject string, granted ace.Role, edits ...func(*ace.CWTClaims)) *applicant {
	w.t.Helper()
	c := w.claims(subject, scope(testGroup, granted))
	for _, edit := range edits {
		edit(c)
	}
	assoc, gm := w.transfer(w.seal(c))
	return &applicant{w.node(subject), w, assoc, gm}
}

// request is a good Join Request.
func (a *applicant) request(roles ace.Role) ace.JoinRequest {
	offer := join.NewOffer(testGroup, roles, a.cred, a.w.rand)
	return offer.Request(offer.Prove(a.key, a.assoc.NS), true)
}

// send posts a Join Request and returns the bare answer.
func (a *applicant) send(jr any) *coap.Message {
	a.w.t.Helper()
	return a.w.call(a.gm, coap.POST, "/ace-group/hall", ace.FormatACEGroupcomm, ace.Encode(jr))
}

// wantAnswer checks for a success and decodes it.
func wantAnswer(t testing.TB, m *coap.Message, code coap.Code) *ace.JoinResponse {
	t.Helper()
	wantCode(t, "join", m, code)
	r, err := ace.Decode[ace.JoinResponse](m.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func labels(t testing.TB, payload []byte) map[int64]cbor.RawMessage {
	t.Helper()
	var m map[int64]cbor.RawMessage
	if err := cbor.Unmarshal(payload, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func Test43TokenForAnotherGroup(t *testing.T) {
	w := newWorld(t)
	if err := w.s.CreateGroup(t.Context(), GroupConfig{Name: "stairs"}); err != nil {
		t.Fatal(err)
	}
	a := w.applicant("dev", both)
	wantCode(t, "stairs", w.call(a.gm, coap.POST, "/ace-group/stairs", -1, nil), coap.Forbidden)
	wantCode(t, "a group that is not there", w.call(a.gm, coap.POST, "/ace-group/nowhere", -1, nil), coap.Forbidden)
}

func Test44EmptyPost(t *testing.T) {
	w := newWorld(t)
	a := w.applicant("dev", both)
	h := wantHints(t, "empty", w.call(a.gm, coap.POST, "/ace-group/hall", -1, nil))
	if len(h.KDCChallenge) < 8 || bytes.Equal(h.KDCChallenge, a.assoc.NS) {
		t.Errorf("kdcchallenge %x, want a new one", h.KDCChallenge)
	}
	if g := h.SignInfo[0].Groups; len(g) != 1 || g[0] != testGroup {
		t.Errorf("sign_info is about %v", g)
	}
}

func Test45To48Malformed(t *testing.T) {
	w := newWorld(t)
	a := w.applicant("dev", both)
	edit := func(f func(*ace.JoinRequest)) *coap.Message { jr := a.request(both); f(&jr); return a.send(jr) }
	roles := func(r ace.Role) []byte { return ace.Encode([]any{testGroup, uint(r)}) }

	wantHints(t, "45: no scope", edit(func(jr *ace.JoinRequest) { jr.Scope = nil }))
	wantHints(t, "45: scope of another group", edit(func(jr *ace.JoinRequest) { jr.Scope = ace.Encode([]any{"stairs", 2}) }))
	wantHints(t, "45: an array of entries", edit(func(jr *ace.JoinRequest) { jr.Scope = ace.EncodeScope([]ace.ScopeEntry{scope(testGroup, both)}) }))
	for _, r := range []ace.Role{0, 1, 3, 10, 12, 14, 16, 18, 32} {
		wantHints(t, "46: "+r.String(), edit(func(jr *ace.JoinRequest) { jr.Scope = roles(r) }))
	}
	wantHints(t, "48: no cnonce", edit(func(jr *ace.JoinRequest) { jr.CNonce = nil }))
	wantHints(t, "48: short cnonce", edit(func(jr *ace.JoinRequest) { jr.CNonce = jr.CNonce[:7] }))
	wantHints(t, "no credential", edit(func(jr *ace.JoinRequest) { jr.ClientCred = nil }))
	wantHints(t, "neither", edit(func(jr *ace.JoinRequest) { jr.ClientCred, jr.ClientCredVerify = nil, nil }))
	wantHints(t, "no proof", edit(func(jr *ace.JoinRequest) { jr.ClientCredVerify = nil }))
	wantHints(t, "no map", w.call(a.gm, coap.POST, "/ace-group/hall", ace.FormatACEGroupcomm, []byte{0x01}))
	wantHints(t, "another format", w.call(a.gm, coap.POST, "/ace-group/hall", ace.FormatCBOR, ace.Encode(a.request(both))))
	if n := len(w.members()); n != 0 {
		t.Errorf("%d members", n)
	}
	wantAnswer(t, a.send(a.request(both)), coap.Created)
}

func (w *world) members() []Member {
	w.t.Helper()
	m, err := w.s.Members(w.t.Context(), testGroup)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func Test47RolesBeyondToken(t *testing.T) {
	w := newWorld(t)
	a := w.applicant("dev", ace.RoleResponder)
	wantCode(t, "requester", a.send(a.request(ace.RoleRequester)), coap.Forbidden)
	wantCode(t, "both", a.send(a.request(both)), coap.Forbidden)
	wantCode(t, "monitor", a.send(a.request(ace.RoleMonitor)), coap.Forbidden)
	wantAnswer(t, a.send(a.request(ace.RoleResponder)), coap.Created)
}

func Test49Inactive(t *testing.T) {
	w := newWorld(t)
	a := w.applicant("dev", both)
	if err := w.s.SetActive(t.Context(), testGroup, false); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, "inactive", a.send(a.request(both)), coap.ServiceUnavailable, ace.ErrorNotActive)
	if err := w.s.SetActive(t.Context(), testGroup, true); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, a.send(a.request(both)), coap.Created)
}

func Test50Exhausted(t *testing.T) {
	w := newEmptyWorld(t)
	if err := w.s.CreateGroup(t.Context(), GroupConfig{Name: testGroup, SenderIDs: 2}); err != nil {
		t.Fatal(err)
	}
	w.join("a", both)
	b := w.join("b", both)
	c := w.applicant("c", both|ace.RoleMonitor)
	wantProblem(t, "third", c.send(c.request(both)), coap.ServiceUnavailable, ace.ErrorNoIndividualMaterial)
	if n := len(w.members()); n != 2 {
		t.Errorf("%d members after a refusal", n)
	}
	wantAnswer(t, c.send(ace.JoinRequest{
		Scope: ace.EncodeJoinScope(scope(testGroup, ace.RoleMonitor)), CNonce: draw(w.rand, 8),
	}), coap.Created)
	if err := b.client.Leave(t.Context()); err != nil { // rekeys, and so frees b's
		t.Fatal(err)
	}
	r := wantAnswer(t, c.send(c.request(both)), coap.Changed)
	if !bytes.Equal(r.Key.SenderID, b.m.SenderID) {
		t.Errorf("Sender ID %x, want the freed %x", r.Key.SenderID, b.m.SenderID)
	}
}

func Test51And68BadCredential(t *testing.T) {
	w := newWorld(t)
	a := w.applicant("dev", both)
	yIsOne := make([]byte, 32)
	yIsOne[0] = 1
	for what, cred := range map[string][]byte{
		"garbage":         []byte("x509?"),
		"empty":           {},
		"y = 1":           cose.NewCCS("dev", yIsOne),
		"no point at all": cose.NewCCS("dev", bytes.Repeat([]byte{0xff}, 32)),
	} {
		jr := a.request(both)
		jr.ClientCred = cred
		wantProblem(t, what, a.send(jr), coap.BadRequest, ace.ErrorCredential)
	}
}

func Test52And53BadProof(t *testing.T) {
	w := newWorld(t)
	a := w.applicant("dev", both)
	other := w.node("other")
	stale := a.request(both)
	edit := func(f func(*ace.JoinRequest)) *coap.Message { jr := a.request(both); f(&jr); return a.send(jr) }
	for what, f := range map[string]func(*ace.JoinRequest){
		"bit flipped":         func(jr *ace.JoinRequest) { jr.ClientCredVerify[5] ^= 1 },
		"truncated":           func(jr *ace.JoinRequest) { jr.ClientCredVerify = jr.ClientCredVerify[:63] },
		"another N_C":         func(jr *ace.JoinRequest) { jr.CNonce = draw(w.rand, 8) },
		"another scope":       func(jr *ace.JoinRequest) { jr.Scope = ace.EncodeJoinScope(scope(testGroup, ace.RoleRequester)) },
		"another credential":  func(jr *ace.JoinRequest) { jr.ClientCred = other.cred },
		"56: empty, no proof": func(jr *ace.JoinRequest) { jr.ClientCredVerify = []byte{} },
	} {
		wantProblem(t, what, edit(f), coap.BadRequest, ace.ErrorPoP)
	}
	h := wantHints(t, "empty", w.call(a.gm, coap.POST, "/ace-group/hall", -1, nil))
	wantProblem(t, "53: over the former N_S", a.send(stale), coap.BadRequest, ace.ErrorPoP)
	a.assoc.NS = h.KDCChallenge
	wantAnswer(t, a.send(a.request(both)), coap.Created)
}

func Test54LostChallenge(t *testing.T) {
	w := newWorld(t)
	a := w.applicant("dev", both)
	if err := w.store.Update(t.Context(), func(tx store.Tx) error {
		rec, err := load[associationRecord](tx, associationKey(a.gm.id))
		if err != nil {
			return err
		}
		rec.NS = nil
		return rec.save(tx)
	}); err != nil {
		t.Fatal(err)
	}
	_, err := join.Join(t.Context(), a.gm, testGroup, a.request(both))
	var c *join.ChallengeError
	if !errors.As(err, &c) || len(c.NS) < 8 {
		t.Fatalf("%v, want a new challenge", err)
	}
	a.assoc.NS = c.NS
	wantAnswer(t, a.send(a.request(both)), coap.Created)
}

func Test57Monitor(t *testing.T) {
	w := newWorld(t)
	w.join("req", ace.RoleRequester)
	w.join("resp", ace.RoleResponder)
	a := w.applicant("mon", ace.RoleMonitor)
	r := wantAnswer(t, a.send(ace.JoinRequest{
		Scope: ace.EncodeJoinScope(scope(testGroup, ace.RoleMonitor)), CNonce: draw(w.rand, 8),
		ClientCred: []byte("garbage"), ClientCredVerify: []byte("garbage"), GetCreds: ace.GetCreds{Relevant: true},
	}), coap.Created)
	if r.Key.SenderID != nil {
		t.Errorf("a monitor got the Sender ID %x", r.Key.SenderID)
	}
	if len(r.Creds) != 1 || r.PeerRoles[0] != ace.RoleRequester {
		t.Errorf("a monitor got %d credentials, want the requester's", len(r.Creds))
	}
	path := "/ace-group/hall/nodes/" + w.members()[2].Node
	resp := w.call(a.gm, coap.GET, path, -1, nil)
	wantCode(t, "own keys", resp, coap.Content)
	if k, err := ace.Decode[ace.KeyResponse](resp.Payload); err != nil || k.Key.SenderID != nil {
		t.Errorf("70: a monitor's own keys %v %v", k, err)
	}
	wantProblem(t, "81: renewal", w.call(a.gm, coap.POST, path, -1, nil), coap.BadRequest, ace.ErrorRoles)
	wantCode(t, "leave", w.call(a.gm, coap.DELETE, path, -1, nil), coap.Deleted)
}

func Test60To63JoinResponse(t *testing.T) {
	w := newWorld(t)
	req := w.join("req", ace.RoleRequester)
	resp := w.join("resp", ace.RoleResponder)
	w.join("both", both)
	a := w.applicant("dev", both)

	withCreds := a.request(ace.RoleRequester)
	m := a.send(withCreds)
	r := wantAnswer(t, m, coap.Created)
	if format, _ := coap.ContentFormat(m); format != ace.FormatACEGroupcomm {
		t.Errorf("Content-Format %d", format)
	}
	got := labels(t, m.Payload)
	for _, label := range []int64{7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19} {
		if got[label] == nil {
			t.Errorf("60: parameter %d is missing", label)
		}
	}
	if got[20] != nil || got[27] != nil || got[28] != nil {
		t.Errorf("parameters of other rekeying schemes: %v", got)
	}
	key := labels(t, got[8])
	for _, label := range []int64{2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13} {
		if key[label] == nil {
			t.Errorf("key's field %d is missing", label)
		}
	}
	if r.GKTY != 1 || r.Profile != 1 || r.Num != 0 || r.EXI != r.EXP-uint64(w.clock().Unix()) || r.Policies.CheckInterval != 3600 {
		t.Errorf("answer %+v", r)
	}
	if hex.EncodeToString(ace.Encode(r.Key.SignParams)) != "828101820106" || hex.EncodeToString(ace.Encode(r.Key.ECDHParams)) != "828101820104" {
		t.Errorf("sign_params %v, ecdh_params %v", r.Key.SignParams, r.Key.ECDHParams)
	}
	if len(r.Creds) != 2 || !bytes.Equal(r.Creds[0], resp.cred) || !bytes.Equal(r.PeerIDs[0], resp.m.SenderID) || r.PeerRoles[0] != ace.RoleResponder {
		t.Errorf("63: a requester got %d credentials", len(r.Creds))
	}
	if r := wantAnswer(t, a.send(a.request(ace.RoleResponder)), coap.Changed); len(r.Creds) != 2 || !bytes.Equal(r.Creds[0], req.cred) {
		t.Errorf("a responder got %d credentials, want the requesters'", len(r.Creds))
	}
	none := a.request(both)
	none.GetCreds = ace.GetCreds{}
	got = labels(t, a.send(none).Payload)
	if got[13] != nil || got[14] != nil || got[15] != nil {
		t.Error("62: credentials that nobody asked for")
	}
	filtered := a.request(both)
	filtered.GetCreds = ace.GetCreds{Filter: &ace.CredsFilter{Inclusive: true, Roles: []ace.Role{both}}}
	if r := wantAnswer(t, a.send(filtered), coap.Changed); len(r.Creds) != 1 || r.PeerRoles[0] != both {
		t.Errorf("a filter for both roles gave %d", len(r.Creds))
	}
}

func Test64WrongProofOfTheGroupManager(t *testing.T) {
	w := newWorld(t)
	a := w.applicant("dev", both)
	jr := a.request(both)
	raw := a.send(jr).Payload
	if _, err := join.Accept(raw, jr.CNonce, w.cfg.Credential); err != nil {
		t.Fatal(err)
	}
	if _, err := join.Accept(raw, draw(w.rand, 8), w.cfg.Credential); !errors.Is(err, join.ErrVerify) {
		t.Errorf("another N_C: %v", err)
	}
	if _, err := join.Accept(raw, jr.CNonce, w.node("gm").cred); !errors.Is(err, join.ErrVerify) {
		t.Errorf("another Group Manager: %v", err)
	}
}

func Test65SenderIDLength(t *testing.T) {
	w := newEmptyWorld(t)
	if err := w.s.CreateGroup(t.Context(), GroupConfig{Name: "big", SenderIDs: 1 << 56}); err != nil {
		t.Errorf("seven bytes: %v", err)
	}
	if err := w.s.CreateGroup(t.Context(), GroupConfig{Name: "bigger", SenderIDs: 1<<56 + 1}); err == nil {
		t.Error("Sender IDs of eight bytes are possible")
	}
}

func Test66UnknownKey(t *testing.T) {
	w := newWorld(t)
	a := w.applicant("dev", both)
	var jr map[int64]any
	if err := cbor.Unmarshal(ace.Encode(a.request(both)), &jr); err != nil {
		t.Fatal(err)
	}
	jr[4711], jr[-1] = "what is this", nil
	wantAnswer(t, a.send(jr), coap.Created)
}

func TestControlURI(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.ControlURI = func(subject, uri string) bool { return subject == "dev" && uri == "coap://127.1.0.1/n" }
	})
	kept := func() (uri string) {
		_ = w.store.View(t.Context(), func(tx store.Tx) error {
			m, err := loadMember(tx, testGroup, "dev")
			uri = m.ControlURI
			return err
		})
		return uri
	}
	a := w.applicant("dev", both)
	jr := a.request(both)
	jr.ControlURI = "coap://evil/n"
	wantAnswer(t, a.send(jr), coap.Created)
	if got := kept(); got != "" {
		t.Errorf("kept %q", got)
	}
	jr = a.request(both)
	jr.ControlURI = "coap://127.1.0.1/n"
	wantAnswer(t, a.send(jr), coap.Changed)
	if got := kept(); got != jr.ControlURI {
		t.Errorf("kept %q", got)
	}
}
