package cose

import (
	"bytes"
	"fmt"

	"lamplighter/internal/cbor"
)

// claimEndorsement is a private-use CWT claim (RFC 8392, Section 9.1) of this
// project: a bstr, the signature of another credential's key over this claims set
// without the claim.
const claimEndorsement = -65545

// endorsementContext keeps what is signed here apart from all else that the
// endorsing key signs: no proof of possession and no COSE structure is an array of
// three.
const endorsementContext = "Lamplighter endorsed credential"

// Endorse makes the credential of another key of whoever has the credential by:
// its CCS with a signature of by's key in it, so that who trusts by can trust it
// wherever it turns up.
//
//	{ 2: subject, 8: { 1: COSE_Key }, -65545: signature }
//	signature over [ "Lamplighter endorsed credential", bstr by, bstr { 2: …, 8: … } ]
//
// It fails when key is not by's, or makes no signatures.
func Endorse(by []byte, key PrivateKey, subject string, public PublicKey) ([]byte, error) {
	cred, err := ParseCCS(by)
	if err != nil {
		return nil, fmt.Errorf("endorsing a credential: %w", err)
	}
	if !cred.Public.Equal(key.Public()) {
		return nil, fmt.Errorf("endorsing a credential: %w: the key is another", ErrCredential)
	}
	plain := public.CCS(subject)
	signature, err := key.Sign(endorsementInput(by, plain))
	if err != nil {
		return nil, fmt.Errorf("endorsing a credential: %w", err)
	}
	return withEndorsement(plain, signature), nil
}

// Endorsed says whether cred is a credential that [Endorse] made of by, to the
// byte.
func Endorsed(by, cred []byte) bool {
	var claims struct {
		Signature []byte `cbor:"-65545,keyasint"`
	}
	endorser, err := ParseCCS(by)
	if err != nil || cbor.Unmarshal(cred, &claims) != nil {
		return false
	}
	parsed, err := ParseCCS(cred)
	if err != nil {
		return false
	}
	plain := parsed.Public.CCS(parsed.Subject)
	return bytes.Equal(cred, withEndorsement(plain, claims.Signature)) &&
		endorser.Verify(endorsementInput(by, plain), claims.Signature)
}

func endorsementInput(by, plain []byte) []byte {
	return cbor.MustMarshal([]any{endorsementContext, by, plain})
}

// withEndorsement adds the claim to a CCS of [PublicKey.CCS], as the last of three
// or two.
func withEndorsement(plain, signature []byte) []byte {
	claims := append([]byte{plain[0] + 1}, plain[1:]...)
	return append(cbor.AppendInt(claims, claimEndorsement), cbor.AppendBytes(nil, signature)...)
}
