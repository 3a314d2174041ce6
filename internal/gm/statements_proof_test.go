package gm

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/store"
)

// A credential of another format, or with a key that the group's algorithms have no
// use for, is 4.00 with error 2. RFC 9594, Section 4.3.1.
func TestStatement051_BadCredential(t *testing.T) {
	x25519, err := cose.NewX25519(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		a := w.kindApplicant("dev", k, both)
		ed, p := w.node("x").cred, newP256(w.rand).Public().CCS("x")
		bad := map[string][]byte{
			"garbage":         []byte("x509?"),
			"empty":           {},
			"a DER sequence":  {0x30, 0x03, 0x02, 0x01, 0x05},
			"a tagged CCS":    append([]byte{0xd9, 0x02, 0x5d}, a.cred...),
			"no point at all": cose.NewCCS("dev", bytes.Repeat([]byte{0xff}, 32)),
		}
		if k.onP256() {
			bad["on Ed25519"], bad["on X25519"] = ed, x25519.Public().CCS("x")
		} else {
			bad["on P-256"] = p
		}
		if k.algs.HasGroupMode() {
			bad["that signs nothing"] = x25519.Public().CCS("x")
		}
		for what, cred := range bad {
			resp := a.edit(both, func(jr *ace.JoinRequest) { jr.ClientCred = cred })
			wantProblem(t, what, resp, coap.BadRequest, ace.ErrorCredential)
		}
		if n := len(w.members()); n != 0 {
			t.Errorf("%d members", n)
		}
		wantAnswer(t, a.send(a.request(both)), coap.Created)
	})
}

// A proof that does not fit is 4.00 with error 3. RFC 9594, Section 4.3.1.
func TestStatement052_BadProof(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		a := w.kindApplicant("dev", k, both)
		other := w.kindNode("other", k)
		for what, f := range map[string]func(*ace.JoinRequest){
			"bit flipped":        func(jr *ace.JoinRequest) { jr.ClientCredVerify[5] ^= 1 },
			"truncated":          func(jr *ace.JoinRequest) { jr.ClientCredVerify = jr.ClientCredVerify[1:] },
			"extended":           func(jr *ace.JoinRequest) { jr.ClientCredVerify = append(jr.ClientCredVerify, 0) },
			"another N_C":        func(jr *ace.JoinRequest) { jr.CNonce = draw(w.rand, 8) },
			"another scope":      func(jr *ace.JoinRequest) { jr.Scope = ace.EncodeJoinScope(scope(testGroup, ace.RoleRequester)) },
			"another credential": func(jr *ace.JoinRequest) { jr.ClientCred = other.cred },
		} {
			wantProblem(t, what, a.edit(both, f), coap.BadRequest, ace.ErrorPoP)
		}
		if n := len(w.members()); n != 0 {
			t.Errorf("%d members", n)
		}
	})
}

// A proof over an N_S that another has taken the place of is 4.00 with error 3. KGO,
// Section 6.1.1.
func TestStatement053_StaleChallenge(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		a := w.kindApplicant("dev", k, both)
		stale := a.request(both)
		h := wantHints(t, "empty", w.call(a.gm, coap.POST, "/ace-group/hall", -1, nil))
		wantProblem(t, "over the former N_S", a.send(stale), coap.BadRequest, ace.ErrorPoP)
		a.assoc.NS = h.KDCChallenge
		wantAnswer(t, a.send(a.request(both)), coap.Created)
	})
}

// When the Group Manager has lost its challenge it refuses with a new one, in CF 261,
// and the retry over that succeeds. RFC 9594, Section 4.3.1.
func TestStatement054_LostChallenge(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		a := w.kindApplicant("dev", k, both)
		w.loseChallenge(a.gm.id)
		h := wantHints(t, "lost", a.send(a.request(both)))
		w.wantInfo(k, h)
		if len(h.KDCChallenge) < 8 || bytes.Equal(h.KDCChallenge, a.assoc.NS) {
			t.Fatalf("kdcchallenge %x, want a new one", h.KDCChallenge)
		}
		wantProblem(t, "over the former N_S", a.send(a.request(both)), coap.BadRequest, ace.ErrorPoP)
		a.assoc.NS = h.KDCChallenge
		wantAnswer(t, a.send(a.request(both)), coap.Created)
		w.loseChallenge(a.gm.id)
		a.assoc.NS = make([]byte, 8)
		if _, _, err := join.Self(t.Context(), a.gm, w.self(a.node, both, a.assoc.NS)); err != nil {
			t.Errorf("the client does not take up the new challenge: %v", err)
		}
	})
}

// loseChallenge makes the Group Manager forget the N_S of an association.
func (w *world) loseChallenge(id string) {
	w.t.Helper()
	if err := w.store.Update(w.t.Context(), func(tx store.Tx) error {
		rec, err := load[associationRecord](tx, associationKey(id))
		if err != nil {
			return err
		}
		rec.NS = nil
		return rec.save(tx)
	}); err != nil {
		w.t.Fatal(err)
	}
}

// In a pairwise-only group the proof is HKDF-SHA-256 with an empty salt over the
// Diffie-Hellman secret and the PoP input, eight bytes; a signature is refused. With
// signatures in the group the MAC is. KGO, Sections 6.1 and 6.2.
func TestStatement055_PairwiseOnlyMAC(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		a := w.kindApplicant("dev", k, both)
		gm, err := cose.ParseCCS(w.credential(k))
		if err != nil {
			t.Fatal(err)
		}
		jr := a.request(both)
		input := ace.PoPInput(jr.Scope, a.assoc.NS, jr.CNonce)
		shared, err := a.signer().SharedSecret(gm.Public)
		if err != nil {
			t.Fatal(err)
		}
		mac := cose.HKDF(shared, []byte{}, input, 8)
		signature, err := a.signer().Sign(input)
		if err != nil {
			t.Fatal(err)
		}
		good, bad := mac, signature
		if k.algs.HasGroupMode() {
			good, bad = signature, mac
		}
		for what, proof := range map[string][]byte{
			"the other proof": bad, "cut": good[:len(good)-1], "another": bytes.Repeat([]byte{1}, len(good)),
			"a hash": func() []byte { sum := sha256.Sum256(input); return sum[:8] }(),
		} {
			jr.ClientCredVerify = proof
			wantProblem(t, what, a.send(jr), coap.BadRequest, ace.ErrorPoP)
		}
		jr.ClientCredVerify = good
		wantAnswer(t, a.send(jr), coap.Created)
	})
}

// An empty proof refers to one that the same client gave before, for the same
// credential; else it is 4.00 with error 3. KGO, Section 6.2.
func TestStatement056_EmptyProof(t *testing.T) {
	empty := func(jr *ace.JoinRequest) { jr.ClientCredVerify = []byte{} }
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		a := w.kindApplicant("dev", k, both)
		wantProblem(t, "nothing proven", a.edit(both, empty), coap.BadRequest, ace.ErrorPoP)
		wantProblem(t, "a bad proof", a.edit(both, func(jr *ace.JoinRequest) { jr.ClientCredVerify[0] ^= 1 }), coap.BadRequest, ace.ErrorPoP)
		wantProblem(t, "still nothing", a.edit(both, empty), coap.BadRequest, ace.ErrorPoP)
		joined := a.send(a.request(both))
		wantAnswer(t, joined, coap.Created)
		wantCode(t, "leave", w.call(a.gm, coap.DELETE, locationPath(joined), -1, nil), coap.Deleted)
		other := w.kindNode("other", k)
		wantProblem(t, "another credential", a.edit(both, func(jr *ace.JoinRequest) { jr.ClientCred, jr.ClientCredVerify = other.cred, []byte{} }), coap.BadRequest, ace.ErrorPoP)
		wantAnswer(t, a.edit(both, empty), coap.Created)
		b := w.kindApplicant("another client", k, both)
		b.node = a.node
		wantProblem(t, "proven by another client", b.edit(both, empty), coap.BadRequest, ace.ErrorPoP)
	})
}

// An Ed25519 key with y = 1 or -1 has no Montgomery coordinates: it is refused, 4.00,
// in a join and in an upload. KGO, Sections 6.2 and 9.4.
func TestStatement068_NoMontgomeryCoordinates(t *testing.T) {
	one, minusOne := make([]byte, 32), bytes.Repeat([]byte{0xff}, 32)
	one[0] = 1
	minusOne[0], minusOne[31] = 0xec, 0x7f // 2^255 - 19 - 1
	for _, k := range groupKinds {
		if k.onP256() {
			continue
		}
		w := newKindWorld(t, k)
		a := w.applicant("dev", both)
		joined := w.applicant("member", both)
		path := locationPath(joined.send(joined.request(both))) + "/cred"
		for what, point := range map[string][]byte{"y = 1": one, "y = -1": minusOne} {
			cred := cose.NewCCS("dev", point)
			wantProblem(t, what, a.edit(both, func(jr *ace.JoinRequest) { jr.ClientCred = cred }), coap.BadRequest, ace.ErrorCredential)
			resp := w.call(joined.gm, coap.POST, path, ace.FormatACEGroupcomm, ace.Encode(ace.CredUpload{
				ClientCred: cred, CNonce: draw(w.rand, 8), ClientCredVerify: make([]byte, 64),
			}))
			wantProblem(t, what+", uploaded", resp, coap.BadRequest, ace.ErrorCredential)
		}
	}
}

// A member may leave out what it proved before, but not name another credential.
// KGO, Section 6.2.
func TestRejoinWithoutProof(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		a := w.kindApplicant("dev", k, both)
		leftOut := func(cred, verify []byte) *coap.Message {
			return a.edit(both, func(jr *ace.JoinRequest) { jr.ClientCred, jr.ClientCredVerify = cred, verify })
		}
		wantHints(t, "no member: no proof", leftOut(a.cred, nil))
		wantHints(t, "no member: the one that is stored", leftOut([]byte{}, nil))
		wantHints(t, "no member: a proof of nothing", leftOut(nil, []byte{}))
		wantHints(t, "no member: neither", leftOut(nil, nil))
		wantAnswer(t, a.send(a.request(both)), coap.Created)
		wantAnswer(t, leftOut([]byte{}, nil), coap.Changed)
		wantAnswer(t, leftOut(a.cred, nil), coap.Changed)
		wantAnswer(t, leftOut(a.cred, []byte{}), coap.Changed)
		other := w.kindNode("x", k).cred
		wantHints(t, "another credential", leftOut(other, nil))
		wantHints(t, "none at all", leftOut(nil, nil))
		wantProblem(t, "another credential with an empty proof", leftOut(other, []byte{}), coap.BadRequest, ace.ErrorPoP)
	})
}
