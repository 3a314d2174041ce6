package cose

import (
	"crypto/sha256"
	"fmt"

	"lamplighter/internal/cbor"
)

// COSEKey returns the key as a COSE_Key in deterministic encoding, with the
// required parameters only:
//
//	{ 1: 1, -1: 6 / 4, -2: bstr .size 32 }                        OKP
//	{ 1: 2, -1: 1, -2: bstr .size 32, -3: bstr .size 32 }         EC2
//
// The zero value has none: it returns nil. RFC 9052, Section 7; RFC 9053, Section 7.
func (k PublicKey) COSEKey() []byte {
	switch k.curve {
	case 0:
		return nil
	case P256:
		x, y := k.point[1:1+coordinateP256], k.point[1+coordinateP256:]
		return cbor.MustMarshal(coseKey{Kty: ktyEC2, Curve: k.curve, X: cbor.AppendBytes(nil, x), Y: cbor.AppendBytes(nil, y)})
	}
	return cbor.MustMarshal(coseKey{Kty: ktyOKP, Curve: k.curve, X: cbor.AppendBytes(nil, k.point)})
}

// ParseCOSEKey reads a public key. Its algorithm, if it names one, must be one of
// the curve; other parameters, such as a key id, are not looked at. It fails with
// [ErrDecode] for what is no COSE_Key, with [ErrUnsupported] for a key of another
// kind, and with [ErrCredential] for one that is no good or private.
func ParseCOSEKey(data []byte) (PublicKey, error) {
	var key coseKey
	if err := cbor.Unmarshal(data, &key); err != nil {
		return PublicKey{}, fmt.Errorf("%w: COSE_Key: %w", ErrDecode, err)
	}
	if !isMajor(data, cbor.Map) {
		return PublicKey{}, fmt.Errorf("%w: a COSE_Key is an untagged map", ErrDecode)
	}
	switch key.Alg {
	case ESP256:
		key.Alg = ES256
	case AlgEd25519:
		key.Alg = EdDSA
	}
	return key.public()
}

// KeyThumbprint is SHA-256 over [PublicKey.COSEKey]. RFC 9679, Section 3.
func (k PublicKey) KeyThumbprint() [sha256.Size]byte { return sha256.Sum256(k.COSEKey()) }
