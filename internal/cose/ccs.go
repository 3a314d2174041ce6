package cose

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"

	"lamplighter/internal/cbor"
)

// COSE Key Types.
const (
	ktyOKP = 1
	ktyEC2 = 2
)

// The simple values of RFC 8949, Section 3.3.
const (
	cborFalse byte = 0xf4
	cborTrue  byte = 0xf5
)

// Credential is an authentication credential: what a CCS, CWT or certificate says.
type Credential struct {
	Subject string    // sub or common name; may be empty
	Public  PublicKey // the key that it confirms
	Alg     Algorithm // the signature algorithm of the key; [Null] for a key that makes none or may make none
	Raw     []byte    // the bytes as distributed; they are what is bound, never a re-encoding
}

// ccs is the part of a CWT Claims Set that counts here. RFC 8392, Section 3;
// RFC 8747, Section 3.2.
//
//	{ ? 2: tstr, 8: { 1: OKP / EC2 }, * int => any }
//	OKP = { 1: 1, ? 3: -8, -1: 6 / 4, -2: bstr .size 32 }
//	EC2 = { 1: 2, ? 3: -7, -1: 1, -2: bstr .size 32, -3: bstr .size 32 / bool }
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
	Curve   Curve           `cbor:"-1,keyasint"`
	X       cbor.RawMessage `cbor:"-2,keyasint,omitempty"`
	Y       cbor.RawMessage `cbor:"-3,keyasint,omitempty"`
	Private cbor.RawMessage `cbor:"-4,keyasint,omitempty"`
}

// NewCCS returns the authentication credential of an Ed25519 key, as
// [PublicKey.CCS] does.
func NewCCS(subject string, pub ed25519.PublicKey) []byte {
	return Ed25519PublicKey(pub).CCS(subject)
}

// CCS returns the authentication credential of the key: an untagged CCS in
// deterministic encoding,
//
//	{ 2: subject, 8: { 1: { 1: 1, 3: -8, -1: 6, -2: point } } }
//
// with 2 left out for an empty subject; the key likewise for other curves, in
// full (not compressed), and without 3 for one that makes no signatures.
func (k PublicKey) CCS(subject string) []byte {
	key := coseKey{Kty: ktyOKP, Alg: k.SignatureAlgorithm(), Curve: k.curve, X: cbor.AppendBytes(nil, k.point)}
	if k.curve == P256 {
		x, y := k.point[1:1+coordinateP256], k.point[1+coordinateP256:]
		key.Kty, key.X, key.Y = ktyEC2, cbor.AppendBytes(nil, x), cbor.AppendBytes(nil, y)
	}
	return cbor.MustMarshal(ccs{Subject: subject, Confirmation: confirmation{Key: key}})
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
	if !isMajor(cred, cbor.Map) {
		return Credential{}, fmt.Errorf("%w: credential is no untagged claims set", ErrDecode)
	}
	public, err := claims.Confirmation.Key.public()
	if err != nil {
		return Credential{}, err
	}
	signs := public.SignatureAlgorithm()
	if claims.Confirmation.Key.Alg.agrees() {
		signs = Null // the key is for nothing else: RFC 9052, Section 7.1
	}
	return Credential{
		Subject: claims.Subject,
		Public:  public,
		Alg:     signs,
		Raw:     append([]byte(nil), cred...),
	}, nil
}

func (k *coseKey) public() (PublicKey, error) {
	signs := EdDSA
	switch {
	case k.Kty == 0 || k.X == nil:
		return PublicKey{}, fmt.Errorf("%w: credential without a public key", ErrDecode)
	case k.Private != nil:
		return PublicKey{}, fmt.Errorf("%w: it holds a private key", ErrCredential)
	case k.Kty == ktyOKP && k.Curve == Ed25519:
	case k.Kty == ktyOKP && k.Curve == X25519:
		signs = Null
	case k.Kty == ktyEC2 && k.Curve == P256:
		signs = ES256
	default:
		return PublicKey{}, k.unsupported()
	}
	if k.Alg != signs && k.Alg != Null && !(signs != EdDSA && k.Alg.agrees()) {
		return PublicKey{}, k.unsupported()
	}
	point, err := k.point()
	if err != nil {
		return PublicKey{}, err
	}
	return NewPublicKey(k.Curve, point)
}

func (k *coseKey) unsupported() error {
	return fmt.Errorf("credential's key (type %d, curve %d, algorithm %d): %w", k.Kty, k.Curve, k.Alg, ErrUnsupported)
}

// agrees says whether a is a key agreement of Group OSCORE.
func (a Algorithm) agrees() bool { return a == ECDHSSHKDF256 || a == ECDHSSHKDF512 }

// point returns the coordinates as [NewPublicKey] takes them. RFC 9053, Section
// 7.1.1.
func (k *coseKey) point() ([]byte, error) {
	x, err := byteString(k.X)
	if err != nil || k.Kty == ktyOKP {
		return x, err
	}
	if len(x) != coordinateP256 {
		return nil, fmt.Errorf("%w: x coordinate of %d bytes", ErrCredential, len(x))
	}
	switch {
	case bytes.Equal(k.Y, []byte{cborFalse}):
		return append([]byte{pointCompressed}, x...), nil
	case bytes.Equal(k.Y, []byte{cborTrue}):
		return append([]byte{pointCompressed | 1}, x...), nil
	}
	y, err := byteString(k.Y)
	if err != nil {
		return nil, err
	}
	return append(append([]byte{pointUncompressed}, x...), y...), nil
}

// Thumbprint is SHA-256 over a credential's bytes as distributed.
func Thumbprint(cred []byte) [32]byte { return sha256.Sum256(cred) }
