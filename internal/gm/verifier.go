package gm

import (
	"fmt"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore/group"
)

// noSignatures is the answer to a verifier about a pairwise-only group. KGO, Section
// 8.
func noSignatures() *coap.Message {
	return ace.Problem(coap.BadRequest, ace.ErrorSignaturesNotUsed, "")
}

// verifData answers GET verif-data: what a signature verifier needs, without what
// would let it read. KGO, Section 9.6.
func (x *exchange) verifData() (*coap.Message, error) {
	g := x.group
	if !g.Algs.HasGroupMode() {
		return noSignatures(), nil
	}
	key := g.keyMaterial(nil)
	key.MasterSecret, key.Salt, key.ECDHParams = nil, nil, nil
	key.HKDF = g.Algs.HKDF
	se, err := x.signatureEncryptionKey()
	if err != nil {
		return nil, err
	}
	return groupcomm(coap.Content, ace.VerifDataResponse{
		GKTY: ace.GKTYGroupOSCORE, Key: key, Num: g.Num, Profile: ace.ProfileCoAPGroupOSCOREApp,
		EXP: g.Expires, EXI: x.secondsLeft(), SignEncKey: se,
	}), nil
}

// signatureEncryptionKey derives the key as members do. RFC 10021, Section 2.1.9.
func (x *exchange) signatureEncryptionKey() (cose.Secret, error) {
	g := x.group
	c, err := group.New(group.Params{GID: g.GID, MasterSecret: g.MasterSecret, MasterSalt: g.MasterSalt, Algs: g.Algs})
	if err != nil {
		return nil, fmt.Errorf("deriving the Signature Encryption Key: %w", err)
	}
	return c.SignatureEncryptionKey(), nil
}

// verifierKDCCred answers a verifier's FETCH kdc-cred, with a signature over the
// request's N_C. KGO, Section 9.5.2.
func (x *exchange) verifierKDCCred() (*coap.Message, error) {
	if !x.group.Algs.HasGroupMode() {
		return noSignatures(), nil
	}
	ask, err := ace.Decode[ace.KDCCredRequest](x.req.Payload)
	if err != nil || !validNonce(ask.CNonce) {
		return coap.Problem(coap.BadRequest, "A nonce of 8 to 32 bytes is needed."), nil
	}
	proof, err := x.prove(ask.CNonce, nil)
	if err != nil {
		return nil, err
	}
	return groupcomm(coap.Content, proof), nil
}
