package gm

import (
	"bytes"
	"context"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/join"
	"lamplighter/internal/store"
)

// setNextSID moves the test group's numbering of Sender IDs.
func (w *world) setNextSID(next uint64) {
	w.t.Helper()
	err := w.s.changeGroup(context.Background(), "test", testGroup, func(_ store.Tx, g *groupRecord) error {
		g.NextSID = next
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// A monitor has no Sender ID to renew, 4.00 with error 1; in an inactive group it is
// 5.03 with error 9, without Sender IDs left 5.03 with error 4. KGO, Section 9.2.
func TestStatement081_RenewalRefused(t *testing.T) {
	w := newWorld(t)
	a := w.join("dev", both)
	m, node := w.monitor("mon")
	wantProblem(t, "a monitor", w.call(m.gm, coap.POST, node, -1, nil), coap.BadRequest, ace.ErrorRoles)
	w.setNextSID(w.group().SenderIDs)
	wantProblem(t, "exhausted", w.call(a.gm, coap.POST, a.m.NodePath, -1, nil), coap.ServiceUnavailable, ace.ErrorNoIndividualMaterial)
	w.setNextSID(9)
	if err := w.s.SetActive(t.Context(), testGroup, false); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, "inactive", w.call(a.gm, coap.POST, a.m.NodePath, -1, nil), coap.ServiceUnavailable, ace.ErrorNotActive)
	if g := w.group(); g.isStale(a.m.SenderID) || g.Num != 0 {
		t.Error("a refusal changed the group")
	}
	if err := w.s.SetActive(t.Context(), testGroup, true); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "active again", w.call(a.gm, coap.POST, a.m.NodePath, -1, nil), coap.Content)
}

// A renewal brings the new Sender ID and nothing else; the old one is stale and nobody
// gets it again under the same Gid. KGO, Section 9.2.
func TestStatement082_Renewal(t *testing.T) {
	w := newEmptyWorld(t)
	const room = 8
	if err := w.s.CreateGroup(t.Context(), GroupConfig{Name: testGroup, SenderIDs: room}); err != nil {
		t.Fatal(err)
	}
	a, before := w.join("dev", both), w.group()
	seen := map[string]bool{string(a.m.SenderID): true}
	last := a.m.SenderID
	for range room - 1 {
		resp := w.call(a.gm, coap.POST, a.m.NodePath, -1, nil)
		wantCode(t, "renewal", resp, coap.Content)
		if got := labels(t, resp.Payload); len(got) != 1 || got[21] == nil {
			t.Errorf("the answer has %v", got)
		}
		r, err := ace.Decode[ace.RenewalResponse](resp.Payload)
		if err != nil || seen[string(r.SenderID)] {
			t.Fatalf("Sender ID %x again: %v", r.SenderID, err)
		}
		if g := w.group(); !g.isStale(last) || g.isStale(r.SenderID) || g.Num != before.Num || !bytes.Equal(g.GID, before.GID) {
			t.Errorf("stale %x at num %d", g.current().SIDs, g.Num)
		}
		if got := senderIDsOf(t, w.fetchCreds(a.gm, ace.CredsFilter{Inclusive: true, IDs: [][]byte{last}})); got != nil {
			t.Errorf("the old Sender ID still has a credential: %x", got)
		}
		seen[string(r.SenderID)], last = true, r.SenderID
	}
	wantProblem(t, "exhausted", w.call(a.gm, coap.POST, a.m.NodePath, -1, nil), coap.ServiceUnavailable, ace.ErrorNoIndividualMaterial)
	out := w.applicant("late", both)
	wantProblem(t, "a join", out.send(out.request(both)), coap.ServiceUnavailable, ace.ErrorNoIndividualMaterial)
}

// credUpload is a good upload of another node's credential by a member.
func (a *admitted) credUpload(n *node, w *world, edits ...func(*ace.CredUpload)) []byte {
	w.t.Helper()
	up := ace.CredUpload{ClientCred: n.cred, CNonce: draw(w.rand, 8)}
	offer := join.NewOffer(testGroup, both, n.cred, w.rand)
	offer.NC = up.CNonce
	var err error
	if up.ClientCredVerify, err = offer.ProveWith(n.signer(), a.assoc.NS, a.assoc.Info().DHCred(testGroup)); err != nil {
		w.t.Fatal(err)
	}
	for _, edit := range edits {
		edit(&up)
	}
	return ace.Encode(up)
}

// A member replaces its credential with a proof over the scope of its latest Join
// Request: 2.04 without payload. An empty proof and a wrong one are 4.00 with error 3,
// a credential of another kind error 2, a monitor error 1, a lost challenge 4.00 with a
// new one, an inactive group 5.03 with error 9. KGO, Section 9.4; RFC 9594, Section
// 4.9.1.
func TestStatement083_CredentialUpload(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		a := w.kindMember("dev", k, both)
		next, path := w.kindNode("dev", k), a.m.NodePath+"/cred"
		send := func(edits ...func(*ace.CredUpload)) *coap.Message {
			return w.call(a.gm, coap.POST, path, ace.FormatACEGroupcomm, a.credUpload(next, w, edits...))
		}
		other := w.kindNode("other", k)
		for what, tt := range map[string]struct {
			edit func(*ace.CredUpload)
			id   ace.ErrorID
		}{
			"empty proof":        {func(up *ace.CredUpload) { up.ClientCredVerify = []byte{} }, ace.ErrorPoP},
			"empty for the same": {func(up *ace.CredUpload) { up.ClientCred, up.ClientCredVerify = a.cred, []byte{} }, ace.ErrorPoP},
			"flipped":            {func(up *ace.CredUpload) { up.ClientCredVerify[0] ^= 1 }, ace.ErrorPoP},
			"another nonce":      {func(up *ace.CredUpload) { up.CNonce = draw(w.rand, 8) }, ace.ErrorPoP},
			"another credential": {func(up *ace.CredUpload) { up.ClientCred = other.cred }, ace.ErrorPoP},
			"garbage":            {func(up *ace.CredUpload) { up.ClientCred = []byte("x") }, ace.ErrorCredential},
			"an empty one":       {func(up *ace.CredUpload) { up.ClientCred = []byte{} }, ace.ErrorCredential},
		} {
			wantProblem(t, what, send(tt.edit), coap.BadRequest, tt.id)
		}
		for what, edit := range map[string]func(*ace.CredUpload){
			"no credential": func(up *ace.CredUpload) { up.ClientCred = nil },
			"no nonce":      func(up *ace.CredUpload) { up.CNonce = nil },
			"no proof":      func(up *ace.CredUpload) { up.ClientCredVerify = nil },
		} {
			wantCode(t, what, send(edit), coap.BadRequest)
		}
		if m := w.members()[0]; !bytes.Equal(m.Credential, a.cred) {
			t.Error("a refusal changed the credential")
		}
		resp := send()
		wantCode(t, "upload", resp, coap.Changed)
		if len(resp.Payload) != 0 {
			t.Errorf("the answer has the payload %x", resp.Payload)
		}
		if m := w.members()[0]; !bytes.Equal(m.Credential, next.cred) || !bytes.Equal(m.SenderID, a.m.SenderID) {
			t.Errorf("stored %x", m.Credential)
		}
		w.loseChallenge(a.gm.id)
		lost := send()
		wantHints(t, "lost challenge", lost)
		if got := labels(t, lost.Payload); len(got) != 1 || got[30] == nil {
			t.Errorf("the answer to a lost challenge has %v", got)
		}
		a.assoc.NS = wantHints(t, "lost challenge", lost).KDCChallenge
		wantCode(t, "over the new challenge", send(), coap.Changed)
		if err := w.s.SetActive(t.Context(), testGroup, false); err != nil {
			t.Fatal(err)
		}
		wantProblem(t, "inactive", send(), coap.ServiceUnavailable, ace.ErrorNotActive)
	})
	w := newWorld(t)
	m, node := w.monitor("mon")
	up := (&admitted{node: w.node("mon"), assoc: m.assoc}).credUpload(w.node("mon"), w)
	wantProblem(t, "a monitor", w.call(m.gm, coap.POST, node+"/cred", 261, up), coap.BadRequest, ace.ErrorRoles)
	bound := w.applicant("lamp", both)
	bound = w.applicant("lamp", both, func(c *ace.CWTClaims) { c.CredThumbprint = thumbprint(bound.cred) })
	wantCode(t, "another credential than the token's", bound.send(bound.request(both)), coap.Forbidden)
}

// A member whose token binds it to a credential uploads no other.
func TestUploadOfBoundCredential(t *testing.T) {
	w := newWorld(t)
	n := w.node("lamp")
	a := w.applicant("lamp", both, func(c *ace.CWTClaims) { c.CredThumbprint = thumbprint(n.cred) })
	a.node = n
	joined := a.send(a.request(both))
	wantAnswer(t, joined, coap.Created)
	m := &admitted{node: n, assoc: a.assoc}
	wantCode(t, "another", w.call(a.gm, coap.POST, locationPath(joined)+"/cred", 261, m.credUpload(w.node("x"), w)), coap.Forbidden)
	wantCode(t, "the same", w.call(a.gm, coap.POST, locationPath(joined)+"/cred", 261, m.credUpload(n, w)), coap.Changed)
}
