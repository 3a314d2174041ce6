// Package cose holds what all roles share of COSE (RFC 9052, RFC 9053): the
// algorithms, authentication credentials, the structures that are encrypted and
// signed, COSE_Encrypt0 for tokens, and the key agreement of Group OSCORE.
//
// Built are all AEAD algorithms of RFC 9053, AES-CTR for group encryption (RFC
// 9459), AES Key Wrap (RFC 3394), EdDSA with Ed25519, ES256 with P-256, X25519,
// and HKDF with SHA-256 and SHA-512. Credentials ([Format]) are CWT Claims Sets and CWTs (RFC 8392, RFC
// 8747), C509 certificates (draft-ietf-cose-cbor-encoded-cert) and X.509
// certificates. P-256 and X.509 are there where a program imports
// lamplighter/internal/cose/p256 and lamplighter/internal/cose/x509cert.
//
// Not built: signatures over COSE messages (those of CWTs and certificates are
// for the Group Manager to check), other curves, keys as text.
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
	A128GCM          Algorithm = 1
	A192GCM          Algorithm = 2
	A256GCM          Algorithm = 3
	HMAC256          Algorithm = 5
	HMAC512          Algorithm = 7
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
	ESP256           Algorithm = -9  // ES256 on P-256 only; RFC 9864
	HKDFSHA256       Algorithm = -10 // direct+HKDF-SHA-256
	HKDFSHA512       Algorithm = -11 // direct+HKDF-SHA-512
	AlgEd25519       Algorithm = -19 // Ed25519, EdDSA on that curve only; RFC 9864
	ECDHSSHKDF256    Algorithm = -27
	ECDHSSHKDF512    Algorithm = -28
	A128CTR          Algorithm = -65534
	A192CTR          Algorithm = -65533
	A256CTR          Algorithm = -65532
)
