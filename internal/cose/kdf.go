package cose

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"

	"filippo.io/edwards25519"

	"lamplighter/internal/cbor"
)

// HKDF derives n bytes with HKDF-SHA-256; n is at most 255*32. RFC 5869.
func HKDF(secret, salt, info []byte, n int) []byte {
	key, err := hkdf.Key(sha256.New, secret, salt, string(info), n)
	if err != nil {
		panic(err) // only for a length that no caller asks for
	}
	return key
}

// SharedSecret is the X25519 Diffie-Hellman secret of two Ed25519 keys. The
// public key is mapped by u = (1+y)/(1-y), the private scalar is the first half
// of SHA-512 over the seed. It fails with [ErrCredential] for a peer that is no
// point, is y = 1 or y = -1, or has small order. RFC 10021, Section 2.5.2.1.
func SharedSecret(priv ed25519.PrivateKey, peer ed25519.PublicKey) ([]byte, error) {
	point, err := parsePoint(peer)
	if err != nil {
		return nil, err
	}
	digest := sha512.Sum512(priv.Seed())
	scalar, err := ecdh.X25519().NewPrivateKey(digest[:32])
	if err != nil {
		return nil, fmt.Errorf("mapping the private key: %w", err)
	}
	public, err := ecdh.X25519().NewPublicKey(point.BytesMontgomery())
	if err != nil {
		return nil, ErrCredential
	}
	secret, err := scalar.ECDH(public)
	if err != nil {
		return nil, ErrCredential
	}
	return secret, nil
}

// parsePoint decodes a public key and refuses what no honest key generation
// makes: other encodings of a point and points of small order, y = 1 and y = -1
// among them.
func parsePoint(public []byte) (*edwards25519.Point, error) {
	if len(public) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%w: public key of %d bytes", ErrCredential, len(public))
	}
	point, err := new(edwards25519.Point).SetBytes(public)
	if err != nil || subtle.ConstantTimeCompare(point.Bytes(), public) != 1 {
		return nil, fmt.Errorf("%w: public key is no canonical point", ErrCredential)
	}
	cleared := new(edwards25519.Point).MultByCofactor(point)
	if cleared.Equal(edwards25519.NewIdentityPoint()) == 1 {
		return nil, fmt.Errorf("%w: public key of small order", ErrCredential)
	}
	return point, nil
}

// DerivedKey is the 32-byte key that replaces a secret (of a label, of an
// invitation) once both sides know each other's credentials:
// HKDF(salt = secret, IKM = X25519, info = bstr siteCred | bstr otherCred).
// Both sides call it with their own private key and the peer's public one.
func DerivedKey(secret []byte, own ed25519.PrivateKey, peerPub ed25519.PublicKey, siteCred, otherCred []byte) ([]byte, error) {
	shared, err := SharedSecret(own, peerPub)
	if err != nil {
		return nil, fmt.Errorf("deriving the key: %w", err)
	}
	info := cbor.AppendBytes(nil, siteCred)
	info = cbor.AppendBytes(info, otherCred)
	return HKDF(shared, secret, info, 32), nil
}
