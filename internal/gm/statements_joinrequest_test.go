package gm

import (
	"bytes"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/join"
)

// edit sends a good Join Request with a change.
func (a *applicant) edit(roles ace.Role, f func(*ace.JoinRequest)) *coap.Message {
	a.w.t.Helper()
	jr := a.request(roles)
	f(&jr)
	return a.send(jr)
}

// A token for one group is of no use for another, whether or not that one is there.
// RFC 9594, Section 4.1.2.
func TestStatement043_TokenForAnotherGroup(t *testing.T) {
	w := newWorld(t)
	if err := w.s.CreateGroup(t.Context(), GroupConfig{Name: "stairs"}); err != nil {
		t.Fatal(err)
	}
	a := w.applicant("dev", both)
	for _, name := range []string{"stairs", "nowhere", "Hall", "hall "} {
		path := "/ace-group/" + name
		wantCode(t, name, w.call(a.gm, coap.POST, path, -1, nil), coap.Forbidden)
		wantCode(t, name, w.call(a.gm, coap.POST, path, ace.FormatACEGroupcomm, ace.Encode(a.request(both))), coap.Forbidden)
		wantCode(t, name, w.call(a.gm, coap.GET, path+"/num", -1, nil), coap.Forbidden)
	}
	wantHints(t, "the token's own group", w.call(a.gm, coap.POST, "/ace-group/hall", -1, nil))
}

// An empty POST is answered 4.00 with what the group uses: sign_info with the group
// mode, ecdh_info with the pairwise mode, kdc_dh_creds in a pairwise-only group, each
// about this group alone, and a new challenge, which then counts. KGO, Section 6.2.
func TestStatement044_EmptyPost(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		a := w.kindApplicant("dev", k, both)
		h := wantHints(t, "empty", w.call(a.gm, coap.POST, "/ace-group/hall", -1, nil))
		w.wantInfo(k, h)
		if len(h.KDCChallenge) < 8 || bytes.Equal(h.KDCChallenge, a.assoc.NS) {
			t.Errorf("kdcchallenge %x, want a new one", h.KDCChallenge)
		}
		a.assoc.NS = h.KDCChallenge
		wantAnswer(t, a.send(a.request(both)), coap.Created)
	})
}

// wantInfo checks what hints say about the test group.
func (w *world) wantInfo(k groupKind, h *ace.JoinHints) {
	w.t.Helper()
	var want ace.JoinHints
	name := ace.GroupNames{testGroup}
	if p := k.signs(); p != nil {
		want.SignInfo = []ace.SignInfo{{Groups: name, Alg: int(k.algs.Sign), Params: p[0], KeyParams: p[1], CredFmt: 14}}
	}
	if p := k.ecdh(); p != nil {
		want.ECDHInfo = []ace.ECDHInfo{{Groups: name, Alg: int(k.algs.Pairwise), Params: p[0], KeyParams: p[1], CredFmt: 14}}
	}
	if k.signs() == nil {
		want.KDCDHCreds = []ace.KDCDHCred{{Groups: name, CredFmt: 14, Cred: w.credential(k)}}
	}
	want.KDCChallenge = h.KDCChallenge
	if !bytes.Equal(ace.Encode(h), ace.Encode(want)) {
		w.t.Errorf("hints %+v, want %+v", h, want)
	}
}

// A Join Request without a scope, or with one that is none of this group, is 4.00.
// KGO, Section 6.2.
func TestStatement045_ScopeMissing(t *testing.T) {
	w := newWorld(t)
	a := w.applicant("dev", both)
	for what, s := range map[string][]byte{
		"no scope":             nil,
		"an empty scope":       {},
		"another group":        ace.Encode([]any{"stairs", 2}),
		"an array of entries":  ace.EncodeScope([]ace.ScopeEntry{scope(testGroup, both)}),
		"a name alone":         ace.Encode(testGroup),
		"roles that are named": ace.Encode([]any{testGroup, "requester"}),
	} {
		w.wantInfo(groupKinds[0], wantHints(t, what, a.edit(both, func(jr *ace.JoinRequest) { jr.Scope = s })))
	}
	wantHints(t, "no map", w.call(a.gm, coap.POST, "/ace-group/hall", ace.FormatACEGroupcomm, []byte{0x01}))
	wantHints(t, "another format", w.call(a.gm, coap.POST, "/ace-group/hall", ace.FormatCBOR, ace.Encode(a.request(both))))
	if n := len(w.members()); n != 0 {
		t.Errorf("%d members", n)
	}
	wantAnswer(t, a.send(a.request(both)), coap.Created)
}

// Nobody is at a time a monitor and a requester or responder, joins as a verifier, or
// in roles that there are not: 4.00. KGO, Sections 6.1 and 6.2.
func TestStatement046_RolesApart(t *testing.T) {
	w := newWorld(t)
	a := w.applicant("dev", both|ace.RoleMonitor|ace.RoleVerifier)
	for _, r := range []ace.Role{10, 12, 14, 0, 1, 3, 16, 18, 24, 26, 32, 34} {
		wantHints(t, r.String(), a.edit(both, func(jr *ace.JoinRequest) { jr.Scope = ace.Encode([]any{testGroup, uint(r)}) }))
	}
	for _, r := range []ace.Role{2, 4, 6, 8} {
		resp := a.send(a.request(r))
		if coap.Class(resp.Code) != 2 {
			t.Errorf("%v: %s", r, coap.CodeString(resp.Code))
		}
	}
}

// Roles that the token does not grant are 4.03. RFC 9594, Section 4.3.1.
func TestStatement047_RolesBeyondToken(t *testing.T) {
	for granted, refused := range map[ace.Role][]ace.Role{
		ace.RoleResponder:                    {ace.RoleRequester, both, ace.RoleMonitor},
		ace.RoleRequester:                    {ace.RoleResponder, both, ace.RoleMonitor},
		both:                                 {ace.RoleMonitor},
		ace.RoleMonitor:                      {ace.RoleRequester, ace.RoleResponder, both},
		ace.RoleMonitor | ace.RoleVerifier:   {ace.RoleRequester, ace.RoleResponder, both},
		ace.RoleVerifier:                     {ace.RoleRequester, ace.RoleResponder, both, ace.RoleMonitor},
		ace.RoleVerifier | ace.RoleResponder: {ace.RoleRequester, both, ace.RoleMonitor},
	} {
		w := newWorld(t)
		a := w.applicant("dev", granted)
		if a.assoc.NS == nil {
			a.assoc.NS = make([]byte, 8)
		}
		for _, r := range refused {
			wantCode(t, granted.String()+" asks for "+r.String(), a.send(a.request(r)), coap.Forbidden)
		}
		if n := len(w.members()); n != 0 {
			t.Errorf("%v: %d members", granted, n)
		}
	}
	w := newWorld(t)
	a := w.applicant("dev", ace.RoleResponder)
	wantAnswer(t, a.send(a.request(ace.RoleResponder)), coap.Created)
}

// A Join Request without N_C, or with one that is too short or too long, is 4.00, a
// monitor's too. RFC 9594, Section 4.3.1.
func TestStatement048_NonceMissing(t *testing.T) {
	w := newWorld(t)
	a := w.applicant("dev", both|ace.RoleMonitor)
	for _, r := range []ace.Role{both, ace.RoleMonitor} {
		wantHints(t, "no cnonce", a.edit(r, func(jr *ace.JoinRequest) { jr.CNonce = nil }))
		wantHints(t, "short cnonce", a.edit(r, func(jr *ace.JoinRequest) { jr.CNonce = jr.CNonce[:7] }))
		wantHints(t, "long cnonce", a.edit(r, func(jr *ace.JoinRequest) { jr.CNonce = make([]byte, 33) }))
	}
}

// Nobody joins an inactive group, monitors neither: 5.03 with error 9. KGO, Section
// 6.2.
func TestStatement049_Inactive(t *testing.T) {
	w := newWorld(t)
	a := w.applicant("dev", both|ace.RoleMonitor)
	if err := w.s.SetActive(t.Context(), testGroup, false); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, "inactive", a.send(a.request(both)), coap.ServiceUnavailable, ace.ErrorNotActive)
	wantProblem(t, "a monitor", a.send(a.request(ace.RoleMonitor)), coap.ServiceUnavailable, ace.ErrorNotActive)
	if n := len(w.members()); n != 0 {
		t.Errorf("%d members", n)
	}
	if err := w.s.SetActive(t.Context(), testGroup, true); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, a.send(a.request(both)), coap.Created)
}

// Without a Sender ID left, 5.03 with error 4, but for a monitor, who needs none. A
// rekeying frees Sender IDs. KGO, Section 6.2.
func TestStatement050_SenderIDsExhausted(t *testing.T) {
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
	wantAnswer(t, c.send(c.request(ace.RoleMonitor)), coap.Created)
	if err := b.client.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := wantAnswer(t, c.send(c.request(both)), coap.Changed)
	if !bytes.Equal(r.Key.SenderID, b.m.SenderID) {
		t.Errorf("Sender ID %x, want the freed %x", r.Key.SenderID, b.m.SenderID)
	}
}

// Who joins as a monitor needs no credential; one that comes is ignored. It gets no
// Sender ID, and of a group without signatures nothing. KGO, Sections 4, 6.2 and 6.3.
func TestStatement057_Monitor(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		req := w.kindApplicant("req", k, ace.RoleRequester)
		wantAnswer(t, req.send(req.request(ace.RoleRequester)), coap.Created)
		resp := w.kindApplicant("resp", k, ace.RoleResponder)
		wantAnswer(t, resp.send(resp.request(ace.RoleResponder)), coap.Created)
		a := w.applicant("mon", ace.RoleMonitor)
		jr := a.request(ace.RoleMonitor)
		jr.ClientCred, jr.ClientCredVerify = []byte("garbage"), []byte("garbage")
		answer := a.send(jr)
		if k.signs() == nil {
			wantProblem(t, "a monitor of a pairwise-only group", answer, coap.BadRequest, ace.ErrorSignaturesNotUsed)
			return
		}
		r := wantAnswer(t, answer, coap.Created)
		if labels(t, labels(t, answer.Payload)[8])[7] != nil {
			t.Errorf("a monitor got the Sender ID %x", r.Key.SenderID)
		}
		if len(r.Creds) != 1 || r.PeerRoles[0] != ace.RoleRequester {
			t.Errorf("a monitor got %d credentials, want the requester's", len(r.Creds))
		}
		for _, m := range w.members() {
			if m.Roles == ace.RoleMonitor && (m.Credential != nil || m.SenderID != nil) {
				t.Errorf("the Group Manager keeps %x of a monitor", m.Credential)
			}
		}
		m, err := join.AcceptWith(answer.Payload, join.AcceptParams{NC: jr.CNonce, Trust: join.Trusts(w.cfg.Credential), Monitor: true})
		if err != nil || m.SenderID != nil {
			t.Errorf("the client refuses it: %v", err)
		}
	})
}

// A Join Request with keys that nobody knows is served as if they were not there. RFC
// 9594, Section 4.1.2.
func TestStatement066_UnknownKey(t *testing.T) {
	w := newWorld(t)
	a := w.applicant("dev", both)
	var jr map[int64]any
	if err := cbor.Unmarshal(ace.Encode(a.request(both)), &jr); err != nil {
		t.Fatal(err)
	}
	jr[4711], jr[-1], jr[25] = "what is this", nil, "coap://repository"
	wantAnswer(t, a.send(jr), coap.Created)
}

// A monitor has no credential stored that a later join could refer to.
func TestMonitorBecomesResponder(t *testing.T) {
	w := newWorld(t)
	a := w.applicant("dev", both|ace.RoleMonitor)
	wantAnswer(t, a.send(a.request(ace.RoleMonitor)), coap.Created)
	wantHints(t, "nothing is stored", a.edit(both, func(jr *ace.JoinRequest) { jr.ClientCred, jr.ClientCredVerify = []byte{}, nil }))
	r := wantAnswer(t, a.send(a.request(both)), coap.Changed)
	if r.Key.SenderID == nil || len(w.members()) != 1 {
		t.Errorf("%+v", w.members())
	}
	if r := wantAnswer(t, a.send(a.request(ace.RoleMonitor)), coap.Changed); r.Key.SenderID != nil {
		t.Error("a monitor with a Sender ID")
	}
	if !w.group().isStale(r.Key.SenderID) {
		t.Error("the Sender ID that was given up is not stale")
	}
}
