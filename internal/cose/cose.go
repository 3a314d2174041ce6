// Package cose holds what all roles share of COSE (RFC 9052, RFC 9053): the
// algorithms, authentication credentials as untagged CWT Claims Sets (CCS,
// RFC 8392 and RFC 8747), the structures that are encrypted and signed,
// COSE_Encrypt0 for tokens, and the key agreement of Group OSCORE.
//
// Algorithms are tables: aeadTable and signTable list what is built. Built now
// are AES-CCM-16-64-128, EdDSA with Ed25519, HKDF with SHA-256 and ECDH-SS with
// X25519. ES256, P-256 and the other AEADs are recognised by name only.
package cose

import "errors"

// Errors by consequence.
var (
	ErrDecode      = errors.New("malformed COSE object")
	ErrUnsupported = errors.New("algorithm not supported")
	ErrCredential  = errors.New("unusable authentication credential")
	ErrVerify      = errors.New("cannot be verified") // opaque: why is not said
)

// Algorithm is a COSE algorithm identifier (IANA, COSE Algorithms).
type Algorithm int

// COSE Algorithms.
const (
	Null             Algorithm = 0 // not set; stands as CBOR null in structures
	HMAC256          Algorithm = 5
	AESCCM16_64_128  Algorithm = 10
	AESCCM16_64_256  Algorithm = 11
	AESCCM64_64_128  Algorithm = 12
	AESCCM64_64_256  Algorithm = 13
	ChaCha20Poly1305 Algorithm = 24
	AESCCM16_128_128 Algorithm = 30
	AESCCM16_128_256 Algorithm = 31
	AESCCM64_128_128 Algorithm = 32
	AESCCM64_128_256 Algorithm = 33
	ES256            Algorithm = -7
	EdDSA            Algorithm = -8
	HKDFSHA256       Algorithm = -10 // direct+HKDF-SHA-256
	ECDHSSHKDF256    Algorithm = -27
	ECDHSSHKDF512    Algorithm = -28
	A128CTR          Algorithm = -65534
)
