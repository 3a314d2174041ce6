package gm

import (
	"bytes"
	"slices"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore/group"
	"lamplighter/internal/store"
)

// What is for verifiers, members and other non-members get 4.03 with error 8. KGO,
// Sections 8.1.1 and 8.3.1.
func TestStatement075_ForVerifiersOnly(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		member := w.kindApplicant("dev", k, both|ace.RoleVerifier)
		wantAnswer(t, member.send(member.request(both)), coap.Created)
		callers := map[string]coap.Caller{
			"a member with the verifier's role too": member.gm,
			"no verifier":                           w.applicant("out", both|ace.RoleMonitor).gm,
		}
		if k.signs() != nil {
			m, _ := w.monitor("mon")
			callers["a monitor"] = m.gm
		}
		for what, gm := range callers {
			wantProblem(t, what, w.call(gm, coap.GET, "/ace-group/hall/verif-data", -1, nil), coap.Forbidden, ace.ErrorVerifiersOnly)
			wantProblem(t, what, w.fetchGMCred(gm, draw(w.rand, 8)), coap.Forbidden, ace.ErrorVerifiersOnly)
		}
	})
}

func (w *world) fetchGMCred(gm coap.Caller, nc []byte) *coap.Message {
	w.t.Helper()
	return w.call(gm, coap.FETCH, "/ace-group/hall/kdc-cred", ace.FormatACEGroupcomm, ace.Encode(ace.KDCCredRequest{CNonce: nc}))
}

// In a pairwise-only group a verifier gets 4.00 with error 7: there are no signatures.
// KGO, Sections 8.1.1 and 8.3.1.
func TestStatement076_NoSignatures(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		v := w.applicant("ver", ace.RoleVerifier)
		data := w.call(v.gm, coap.GET, "/ace-group/hall/verif-data", -1, nil)
		cred := w.fetchGMCred(v.gm, draw(w.rand, 8))
		if k.signs() != nil {
			wantCode(t, "verif-data", data, coap.Content)
			wantCode(t, "kdc-cred", cred, coap.Content)
			return
		}
		wantProblem(t, "verif-data", data, coap.BadRequest, ace.ErrorSignaturesNotUsed)
		wantProblem(t, "kdc-cred", cred, coap.BadRequest, ace.ErrorSignaturesNotUsed)
	})
}

// Verification data hold no Master Secret and no salt, always the HKDF, and of the
// pairwise mode the two algorithms alone; the Signature Encryption Key is that of the
// members, of the current keys. KGO, Section 9.6.
func TestStatement077_VerifData(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		if k.signs() == nil {
			return
		}
		a := w.kindMember("dev", k, both)
		v := w.applicant("ver", ace.RoleVerifier)
		for range 2 {
			resp := w.call(v.gm, coap.GET, "/ace-group/hall/verif-data", -1, nil)
			wantCode(t, "verif-data", resp, coap.Content)
			got := labels(t, resp.Payload)
			if len(got) != 7 || got[7] == nil || got[9] == nil || got[10] == nil || got[11] == nil || got[12] == nil || got[33] == nil {
				t.Errorf("parameters %v", got)
			}
			want := []int64{3, 6, 8, 9, 10, 11}
			if k.ecdh() != nil {
				want = []int64{3, 4, 6, 8, 9, 10, 11, 12}
			}
			var fields []int64
			for label := range labels(t, got[8]) {
				fields = append(fields, label)
			}
			if slices.Sort(fields); !slices.Equal(fields, want) {
				t.Errorf("fields of key %v, want %v", fields, want)
			}
			r, err := ace.Decode[ace.VerifDataResponse](resp.Payload)
			if err != nil {
				t.Fatal(err)
			}
			g := w.group()
			if bytes.Contains(resp.Payload, g.MasterSecret) || bytes.Contains(resp.Payload, g.MasterSalt) {
				t.Error("the answer holds the Master Secret or the salt")
			}
			m := *a.m
			m.GID, m.MasterSecret, m.MasterSalt = g.GID, g.MasterSecret, g.MasterSalt
			c, err := m.Context(a.cred, a.signer(), nil, w.rand)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(r.SignEncKey, c.SignatureEncryptionKey()) || !bytes.Equal(r.Key.GID, g.GID) || r.Num != g.Num || r.Key.HKDF != k.algs.HKDF {
				t.Errorf("data of version %d, want %d", r.Num, g.Num)
			}
			if err := w.s.Rekey(t.Context(), testGroup, ""); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// GET kdc-cred is for members: a verifier gets 4.03 with error 0. KGO, Section 9.5.1.
func TestStatement078_GMCredForMembers(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		for _, roles := range []ace.Role{ace.RoleVerifier, ace.RoleVerifier | ace.RoleMonitor, both} {
			out := w.applicant("out "+roles.String(), roles)
			wantProblem(t, roles.String(), w.call(out.gm, coap.GET, "/ace-group/hall/kdc-cred", -1, nil), coap.Forbidden, ace.ErrorMembersOnly)
		}
		a := w.kindMember("dev", k, both)
		cred, err := a.client.GMCred(t.Context(), a.m, join.Trusts(w.cfg.Credential), a.signer())
		if err != nil || !bytes.Equal(cred, w.credential(k)) {
			t.Errorf("a member: %v", err)
		}
	})
}

// A verifier's FETCH kdc-cred is answered with a signature over the N_C of the
// request and a new N_KDC; a member's GET over the N_C of its join and a new N_KDC.
// KGO, Section 9.5.
func TestStatement079_ProofOverNonces(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		gm, err := cose.ParseCCS(w.credential(k))
		if err != nil {
			t.Fatal(err)
		}
		a := w.kindMember("dev", k, both)
		nonces := map[string]bool{}
		proof := func(resp *coap.Message, nc []byte, verify func(input, proof []byte) bool) {
			t.Helper()
			wantCode(t, "kdc-cred", resp, coap.Content)
			if got := labels(t, resp.Payload); len(got) != 3 {
				t.Errorf("parameters %v", got)
			}
			r, err := ace.Decode[ace.KDCCredResponse](resp.Payload)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.KDCNonce) < 8 || nonces[string(r.KDCNonce)] || !bytes.Equal(r.KDCCred, w.credential(k)) {
				t.Errorf("N_KDC %x again or too short, or another credential", r.KDCNonce)
			}
			nonces[string(r.KDCNonce)] = true
			if !verify(ace.KDCPoPInput(nc, r.KDCNonce), r.KDCCredVerify) || verify(ace.KDCPoPInput([]byte("another!"), r.KDCNonce), r.KDCCredVerify) {
				t.Error("the proof does not cover both nonces")
			}
		}
		member := gm.Verify
		if k.signs() == nil {
			shared, err := a.signer().SharedSecret(gm.Public)
			if err != nil {
				t.Fatal(err)
			}
			member = func(input, proof []byte) bool { return bytes.Equal(proof, ace.PoPMAC(shared, input)) }
		}
		for range 2 {
			proof(w.call(a.gm, coap.GET, "/ace-group/hall/kdc-cred", -1, nil), a.m.NC, member)
		}
		if k.signs() == nil {
			return
		}
		v := w.applicant("ver", ace.RoleVerifier)
		for range 2 {
			nc := draw(w.rand, 8)
			proof(w.fetchGMCred(v.gm, nc), nc, gm.Verify)
		}
		for what, nc := range map[string][]byte{"no N_C": nil, "a short one": make([]byte, 7), "a long one": make([]byte, 33)} {
			wantCode(t, what, w.fetchGMCred(v.gm, nc), coap.BadRequest)
		}
		wantCode(t, "garbage", w.call(v.gm, coap.FETCH, "/ace-group/hall/kdc-cred", 261, []byte{0xff}), coap.BadRequest)
	})
}

// A pairwise-only group that has moved to another curve: a member's old credential is
// of no use for the proof until another is uploaded.
func TestGMCredAfterChangeOfCurve(t *testing.T) {
	k, moved := groupKinds[5], groupKinds[6]
	w := newKindWorld(t, k)
	a := w.kindMember("dev", k, both)
	if err := w.s.changeGroup(t.Context(), "test", testGroup, func(_ store.Tx, g *groupRecord) error {
		g.Curve = moved.curve
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	path := "/ace-group/hall/kdc-cred"
	wantProblem(t, "before", w.call(a.gm, coap.GET, path, -1, nil), coap.BadRequest, ace.ErrorCredential)
	next := w.kindNode("dev", moved)
	if err := a.client.Upload(t.Context(), join.UploadParams{Roles: both, Cred: next.cred, Key: next.signer(), Rand: w.rand}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "after", w.call(a.gm, coap.GET, path, -1, nil), coap.Content)
}

// A verifier checks signatures of a group without having its keys.
func TestVerifierChecks(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		if k.signs() == nil {
			return
		}
		a := w.kindMember("dev", k, both)
		v := join.NewVerifier(w.applicant("ver", ace.RoleVerifier).gm, testGroup)
		checker, _, err := v.Checker(t.Context(), join.Trusts(w.cfg.Credential), w.rand)
		if err != nil {
			t.Fatal(err)
		}
		c, err := a.m.Context(a.cred, a.signer(), nil, w.rand)
		if err != nil {
			t.Fatal(err)
		}
		outer, _, err := c.ProtectRequest(coap.NewRequest(coap.GET, "/light", nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := checker.CheckRequest(outer); err != nil || !bytes.Equal(got.From.Cred, a.cred) {
			t.Errorf("%v", err)
		}
		if mode, _ := group.ModeOf(outer); mode != group.Group {
			t.Error("not in group mode")
		}
	})
}
