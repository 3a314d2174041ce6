package cose

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"

	"lamplighter/internal/cbor"
)

// COSE Key Types and COSE Elliptic Curves.
const (
	ktyOKP = 1

	crvEd25519 = 6
)

// Credential is an authentication credential: what an untagged CCS says.
type Credential struct {
	Subject string            // sub; may be empty
	Public  ed25519.PublicKey // the key that it confirms
	Alg     Algorithm         // the signature algorithm of the key
	Raw     []byte            // the bytes as distributed; they are what is bound, never a re-encoding
}

// ccs is the part of a CWT Claims Set that counts here. RFC 8392, Section 3;
// RFC 8747, Section 3.2.
//
//	{ ? 2: tstr, 8: { 1: { 1: 1, ? 3: -8, -1: 6, -2: bstr .size 32 } }, * int => any }
type ccs struct {
	Subject      string       `cbor:"2,keyasint,omitempty"`
	Confirmation confirmation `cbor:"8,keyasint"`
}

type confirmation struct {
	Key coseKey `cbor:"1,keyasint"`
}

type coseKey struct {
	Kty     int             `cbor:"1,keyasint"`
	Alg     Algorithm       `cbor:"3,keyasint,omitempty"`
	Curve   int             `cbor:"-1,keyasint"`
	X       cbor.RawMessage `cbor:"-2,keyasint,omitempty"`
	Private cbor.RawMessage `cbor:"-4,keyasint,omitempty"`
}

// NewCCS returns the authentication credential of pub: an untagged CCS in
// deterministic encoding,
//
//	{ 2: subject, 8: { 1: { 1: 1, 3: -8, -1: 6, -2: pub } } }
//
// with 2 left out for an empty subject.
func NewCCS(subject string, pub ed25519.PublicKey) []byte {
	return cbor.MustMarshal(ccs{
		Subject: subject,
		Confirmation: confirmation{Key: coseKey{
			Kty: ktyOKP, Alg: EdDSA, Curve: crvEd25519, X: cbor.AppendBytes(nil, pub),
		}},
	})
}

// ParseCCS reads an authentication credential. It fails with [ErrDecode] for
// what is no CCS, with [ErrUnsupported] for keys that are not built, and with
// [ErrCredential] for a key that is no good: no canonical point, of small
// order, or private.
func ParseCCS(cred []byte) (Credential, error) {
	var claims ccs
	if err := cbor.Unmarshal(cred, &claims); err != nil {
		return Credential{}, fmt.Errorf("%w: credential: %w", ErrDecode, err)
	}
	if cred[0]>>5 != cbor.Map {
		return Credential{}, fmt.Errorf("%w: credential is no untagged claims set", ErrDecode)
	}
	public, err := claims.Confirmation.Key.public()
	if err != nil {
		return Credential{}, err
	}
	return Credential{
		Subject: claims.Subject,
		Public:  public,
		Alg:     EdDSA,
		Raw:     append([]byte(nil), cred...),
	}, nil
}

func (k *coseKey) public() (ed25519.PublicKey, error) {
	switch {
	case k.Kty == 0 || k.X == nil:
		return nil, fmt.Errorf("%w: credential without a public key", ErrDecode)
	case k.Private != nil:
		return nil, fmt.Errorf("%w: it holds a private key", ErrCredential)
	case k.Kty != ktyOKP, k.Curve != crvEd25519, k.Alg != EdDSA && k.Alg != Null:
		return nil, fmt.Errorf("credential's key (type %d, curve %d, algorithm %d): %w", k.Kty, k.Curve, k.Alg, ErrUnsupported)
	}
	var x []byte
	if err := cbor.Unmarshal(k.X, &x); err != nil {
		return nil, fmt.Errorf("%w: credential: %w", ErrDecode, err)
	}
	if _, err := parsePoint(x); err != nil {
		return nil, err
	}
	return x, nil
}

// Thumbprint is SHA-256 over a credential's bytes as distributed.
func Thumbprint(cred []byte) [32]byte { return sha256.Sum256(cred) }
