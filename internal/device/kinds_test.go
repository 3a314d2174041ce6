package device

import (
	"bytes"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

// In a pairwise-only group the lamp's proof is a MAC with the Group Manager of its
// claim, and with nobody else's credential.
func TestPairwiseOnlyProof(t *testing.T) {
	w := newWorld(t)
	in := w.installer("anna", 1)
	if err := in.claim(); err != nil {
		t.Fatal(err)
	}
	owner, roles := in.ownerSession(), ace.RoleResponder
	var offer popOffer
	if err := do(owner, coap.POST, "/ll/pop", popRequest{Group: "hall", Roles: &roles}, &offer); err != nil {
		t.Fatal(err)
	}
	ns := []byte("N_S 8 by")
	ask := func(gmDH []byte) (popProof, error) {
		var proof popProof
		err := do(owner, coap.POST, "/ll/pop", popRequest{Group: "hall", NS: ns, GMDH: gmDH}, &proof)
		return proof, err
	}
	gmKey := cose.NewEd25519(key(90))
	got, err := ask(w.gmCred)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := gmKey.SharedSecret(cose.Ed25519PublicKey(w.lampKey()))
	if err != nil {
		t.Fatal(err)
	}
	input := ace.PoPInput(ace.EncodeJoinScope(ace.ScopeEntry{Group: "hall", Roles: roles}), ns, offer.NC)
	if !bytes.Equal(got.Proof, ace.PoPMAC(shared, input)) {
		t.Errorf("the proof %x is no MAC", got.Proof)
	}
	x, err := cose.NewX25519(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	endorsed, err := cose.Endorse(w.gmCred, gmKey, "gm", x.Public())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ask(endorsed); err != nil || len(got.Proof) != 8 {
		t.Errorf("with a credential that the Group Manager endorsed: %v", err)
	}
	for what, cred := range map[string][]byte{
		"the installer's": in.cred, "the lamp's own": offer.Cred, "not endorsed": x.Public().CCS("gm"), "empty": {}, "garbage": {1},
	} {
		_, err := ask(cred)
		wantCode(t, what, err, coap.Conflict)
	}
}
