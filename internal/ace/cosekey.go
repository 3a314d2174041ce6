package ace

import (
	"fmt"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
)

// KeyTypeSymmetric is the COSE Key Type of a symmetric key.
const KeyTypeSymmetric = 4

// Bounds of what is read, in bytes.
const (
	maxCOSEKeyID = 64
	maxCOSEKeyK  = 64
)

// COSEKey is a COSE_Key as confirmation. The symmetric key of the DTLS profile
// is read in full; without K it names a key that both sides have (RFC 9202,
// Section 3.3.2). Of a key of another type only the type is known: nothing here
// can use one.
//
//	COSE_Key = { 1: kty: int, ? 2: kid: bstr, ? 3: alg: int, ? -1: k: bstr }
type COSEKey struct {
	KTY int            `cbor:"1,keyasint"`
	KID []byte         `cbor:"2,keyasint,omitzero"`
	Alg cose.Algorithm `cbor:"3,keyasint,omitempty"`
	K   cose.Secret    `cbor:"-1,keyasint,omitempty"`
}

// SymmetricKey returns the confirmation of the DTLS profile with a pre-shared
// key. RFC 9202, Section 3.3.1.
func SymmetricKey(kid []byte, k cose.Secret) *COSEKey {
	return &COSEKey{KTY: KeyTypeSymmetric, KID: kid, K: k}
}

// Symmetric reports whether the key is a symmetric one with an identifier.
func (k *COSEKey) Symmetric() bool {
	return k != nil && k.KTY == KeyTypeSymmetric && len(k.KID) > 0
}

// UnmarshalCBOR reads the key; parameters of other types of keys are ignored.
func (k *COSEKey) UnmarshalCBOR(data []byte) error {
	var head struct {
		KTY any    `cbor:"1,keyasint"`
		KID []byte `cbor:"2,keyasint"`
		K   any    `cbor:"-1,keyasint"`
	}
	if err := cbor.Unmarshal(data, &head); err != nil || head.KTY == nil || len(head.KID) > maxCOSEKeyID {
		return fmt.Errorf("%w: COSE_Key", ErrDecode) // err could quote the key
	}
	*k = COSEKey{KID: head.KID}
	if kty, ok := head.KTY.(int64); ok {
		k.KTY = int(kty)
	} else if kty, ok := head.KTY.(uint64); ok && kty <= 1<<16 {
		k.KTY = int(kty)
	}
	if k.KTY != KeyTypeSymmetric {
		return nil
	}
	type plain COSEKey
	if err := cbor.Unmarshal(data, (*plain)(k)); err != nil || len(k.K) > maxCOSEKeyK {
		return fmt.Errorf("%w: symmetric COSE_Key", ErrDecode)
	}
	return nil
}

// Format keeps the key out.
func (k COSEKey) Format(w fmt.State, _ rune) {
	type plain COSEKey
	fmt.Fprintf(w, "%+v", plain(k))
}
