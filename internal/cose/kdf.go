package cose

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"

	"lamplighter/internal/cbor"
)

// KDF derives n bytes, at most 255 hash lengths. RFC 5869.
type KDF func(secret, salt, info []byte, n int) []byte

// NewKDF returns the HKDF that alg names, itself or its HMAC. It fails with
// [ErrUnsupported].
func NewKDF(alg Algorithm) (KDF, error) {
	switch alg {
	case HMAC256, HKDFSHA256:
		return HKDF, nil
	case HMAC512, HKDFSHA512:
		return hkdf512, nil
	}
	return nil, fmt.Errorf("HKDF algorithm %d: %w", alg, ErrUnsupported)
}

// HKDF is HKDF with SHA-256.
func HKDF(secret, salt, info []byte, n int) []byte {
	return must(hkdf.Key(sha256.New, secret, salt, string(info), n))
}

func hkdf512(secret, salt, info []byte, n int) []byte {
	return must(hkdf.Key(sha512.New, secret, salt, string(info), n))
}

func must(key []byte, err error) []byte {
	if err != nil {
		panic(err) // only for a length that no caller asks for
	}
	return key
}

// DerivedKey is the 32-byte key that replaces a secret (of a label, of an
// invitation) once both sides know each other's credentials:
// HKDF(salt = secret, IKM = X25519, info = bstr siteCred | bstr otherCred).
// Both sides call it with their own private key and the peer's public one.
func DerivedKey(secret []byte, own ed25519.PrivateKey, peer PublicKey, siteCred, otherCred []byte) ([]byte, error) {
	shared, err := NewEd25519(own).SharedSecret(peer)
	if err != nil {
		return nil, fmt.Errorf("deriving the key: %w", err)
	}
	info := cbor.AppendBytes(nil, siteCred)
	info = cbor.AppendBytes(info, otherCred)
	return HKDF(shared, secret, info, 32), nil
}
