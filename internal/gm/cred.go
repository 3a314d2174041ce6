package gm

import (
	"bytes"
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"fmt"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

var errNoIdentity = errors.New("the Group Manager has no key for groups of this kind")

// checkCredential returns the credential that a joining node proved or proved
// before. KGO, Section 6.2.
func (x *exchange) checkCredential(jr *ace.JoinRequest) (cred []byte, refusal *coap.Message, err error) {
	if jr.ClientCredVerify == nil {
		cred, refusal = x.provenBefore(jr.ClientCred)
		return cred, refusal, nil
	}
	if jr.ClientCred == nil {
		return nil, x.joinHints(nil), nil
	}
	if x.assoc.NS == nil {
		refusal, err = x.challenge()
		return nil, refusal, err
	}
	parsed, refusal := x.usable(jr.ClientCred)
	if refusal != nil {
		return nil, refusal, nil
	}
	if len(jr.ClientCredVerify) == 0 {
		if !x.provenAlready(jr.ClientCred) {
			return nil, badProof(), nil
		}
		return jr.ClientCred, nil, nil
	}
	ok, err := x.proven(parsed, jr.ClientCred, ace.PoPInput(jr.Scope, x.assoc.NS, jr.CNonce), jr.ClientCredVerify)
	if err != nil || !ok {
		return nil, badProof(), err
	}
	if id := x.s.identity(x.group.Algs, x.group.Curve); id != nil && x.group.Algs.HasGroupMode() {
		if _, err := x.memo.sign(x.s, id, jr.CNonce); err != nil { // for the answer
			return nil, nil, err
		}
	}
	return jr.ClientCred, nil, x.remember(jr.ClientCred)
}

// usable reads a credential that fits the group and the token.
func (x *exchange) usable(cred []byte) (*cose.Credential, *coap.Message) {
	parsed, ok := x.group.eligible(cred)
	if !ok {
		return nil, ace.Problem(coap.BadRequest, ace.ErrorCredential, "The credential is not a CCS with a key of the group's algorithms.")
	}
	return parsed, x.checkBound(cred)
}

// checkBound holds a credential against the one that the token is bound to.
func (x *exchange) checkBound(cred []byte) *coap.Message {
	if want := x.assoc.Thumbprint; want != nil {
		if got := cose.Thumbprint(cred); !bytes.Equal(got[:], want) {
			return coap.Problem(coap.Forbidden, "The token is bound to another credential.")
		}
	}
	return nil
}

func badProof() *coap.Message {
	return ace.Problem(coap.BadRequest, ace.ErrorPoP, "The proof does not fit the credential, the scope and the challenges.")
}

// proven checks a proof of possession over a PoP input: a signature, or the MAC of
// a pairwise-only group. KGO, Section 6.2.
func (x *exchange) proven(cred *cose.Credential, raw, input, proof []byte) (bool, error) {
	if x.group.Algs.HasGroupMode() {
		return x.memo.verify(cred, raw, input, proof), nil
	}
	mac, err := x.mac(cred, input)
	if errors.Is(err, errNoIdentity) {
		return false, err
	}
	return err == nil && hmac.Equal(mac, proof), nil
}

// mac is the proof of possession of both sides in a pairwise-only group.
func (x *exchange) mac(cred *cose.Credential, input []byte) ([]byte, error) {
	id := x.s.identity(x.group.Algs, x.group.Curve)
	if id == nil {
		return nil, errNoIdentity
	}
	shared, err := id.Key.SharedSecret(cred.Public)
	if err != nil {
		return nil, err
	}
	return ace.PoPMAC(shared, input), nil
}

// remember notes that the client of this association proved its key, for proofs
// that are left empty later. Whoever acts for somebody else proved nothing itself.
func (x *exchange) remember(cred []byte) error {
	sum := cose.Thumbprint(cred)
	if x.assoc.Actor != "" || bytes.Equal(x.assoc.Proven, sum[:]) {
		return nil
	}
	x.assoc.Proven = sum[:]
	return x.assoc.save(x.tx)
}

// provenAlready says whether an empty proof will do: the client proved this
// credential over its association, or has it in the group. KGO, Section 6.2.
func (x *exchange) provenAlready(cred []byte) bool {
	if x.assoc.Actor != "" {
		return false
	}
	sum := cose.Thumbprint(cred)
	return bytes.Equal(x.assoc.Proven, sum[:]) || x.me != nil && bytes.Equal(x.me.Cred, cred)
}

// provenBefore lets a member re-join with what it proved before. Someone who acts
// for it has no such right: the member itself must have proven its key. KGO,
// Section 6.2.
func (x *exchange) provenBefore(cred []byte) ([]byte, *coap.Message) {
	switch {
	case x.me == nil || x.me.Cred == nil || cred == nil:
		return nil, x.joinHints(nil)
	case x.assoc.Actor != "":
		return nil, ace.Problem(coap.BadRequest, ace.ErrorPoP, "Whoever joins for a member brings its proof.")
	case len(cred) > 0 && !bytes.Equal(cred, x.me.Cred):
		return nil, x.joinHints(nil)
	}
	if _, ok := x.group.eligible(x.me.Cred); !ok {
		return nil, x.joinHints(nil)
	}
	if refusal := x.checkBound(x.me.Cred); refusal != nil {
		return nil, refusal
	}
	return x.me.Cred, nil
}

// prove is the Group Manager's proof of possession over a client's nonce and a
// fresh one. peer is the client's credential: it goes into the MAC of a
// pairwise-only group. KGO, Section 6.3.
func (x *exchange) prove(nc, peer []byte) (*ace.KDCCredResponse, error) {
	id := x.s.identity(x.group.Algs, x.group.Curve)
	if id == nil {
		return nil, errNoIdentity
	}
	if x.group.Algs.HasGroupMode() {
		return x.memo.sign(x.s, id, nc)
	}
	nonce, err := x.s.random(challengeLen)
	if err != nil {
		return nil, err
	}
	r := &ace.KDCCredResponse{KDCCred: id.Cred, KDCNonce: nonce}
	input := ace.KDCPoPInput(nc, nonce)
	cred, ok := x.group.eligible(peer)
	if !ok {
		return nil, fmt.Errorf("proving to a member: %w", cose.ErrCredential)
	}
	r.KDCCredVerify, err = x.mac(cred, input)
	return r, err
}

// upload answers POST nodes/NODE/cred: the member has another credential from now
// on. KGO, Section 9.4; RFC 9594, Section 4.9.1.
func (x *exchange) upload() (*coap.Message, error) {
	up, err := ace.Decode[ace.CredUpload](x.req.Payload)
	switch {
	case x.group.Inactive:
		return ace.Problem(coap.ServiceUnavailable, ace.ErrorNotActive, ""), nil
	case x.me.SenderID == nil:
		return ace.Problem(coap.BadRequest, ace.ErrorRoles, "A monitor has no credential."), nil
	case err != nil || up.ClientCred == nil || up.ClientCredVerify == nil || !validNonce(up.CNonce):
		return coap.Problem(coap.BadRequest, "A credential, a nonce and a proof are needed."), nil
	case x.assoc.NS == nil:
		return x.newChallenge()
	}
	parsed, refusal := x.usable(up.ClientCred)
	if refusal != nil {
		return refusal, nil
	}
	ok, err := x.proven(parsed, up.ClientCred, ace.PoPInput(x.me.Scope, x.assoc.NS, up.CNonce), up.ClientCredVerify)
	if err != nil || !ok {
		return badProof(), err
	}
	if err := x.remember(up.ClientCred); err != nil {
		return nil, err
	}
	x.me.Cred = up.ClientCred
	if err := x.saveMember(x.me); err != nil {
		return nil, err
	}
	x.note("a member uploaded a credential", "node", x.me.Node, "sid", hex.EncodeToString(x.me.SenderID))
	return coap.Respond(coap.Changed, coap.NoFormat, nil), nil
}
