package cose

import (
	"crypto"
	"crypto/ed25519"
	"fmt"

	"lamplighter/internal/cbor"
)

// signParams is one row of the table of signature algorithms.
type signParams struct {
	size   int
	sign   func(key crypto.Signer, message []byte) ([]byte, error)
	verify func(c *Credential, message, sig []byte) bool
}

// signTable lists the signature algorithms that are built.
var signTable = map[Algorithm]signParams{
	EdDSA: {size: ed25519.SignatureSize, sign: signEdDSA, verify: verifyEdDSA},
}

func signEdDSA(key crypto.Signer, message []byte) ([]byte, error) {
	priv, ok := key.(ed25519.PrivateKey)
	if !ok || len(priv) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("EdDSA with another kind of key: %w", ErrUnsupported)
	}
	return ed25519.Sign(priv, message), nil
}

func verifyEdDSA(c *Credential, message, sig []byte) bool {
	return len(c.Public) == ed25519.PublicKeySize && ed25519.Verify(c.Public, message, sig)
}

// SignatureSize returns the length in bytes of alg's signatures, 0 if it is not
// built.
func SignatureSize(alg Algorithm) int { return signTable[alg].size }

// Sign signs message with key.
func Sign(alg Algorithm, key crypto.Signer, message []byte) ([]byte, error) {
	p, ok := signTable[alg]
	if !ok {
		return nil, fmt.Errorf("signature algorithm %d: %w", alg, ErrUnsupported)
	}
	return p.sign(key, message)
}

// Verify says whether sig is c's signature over message.
func (c *Credential) Verify(message, sig []byte) bool {
	p, ok := signTable[c.Alg]
	return ok && len(sig) == p.size && p.verify(c, message, sig)
}

// AppendCounterSignature0 appends the bytes that an abbreviated, version 2
// countersignature signs:
//
//	[ "CounterSignature0", h'', h'', external_aad, ciphertext ]
//
// RFC 9338, Section 3.3 would leave out the third element (sign_protected) for
// an abbreviated countersignature, which makes four. Both known implementations
// of Group OSCORE sign the five elements with sign_protected empty, and so do
// the test vectors; this is the one place that says so.
func AppendCounterSignature0(dst, externalAAD, ciphertext []byte) []byte {
	dst = append(dst, 0x85)
	dst = cbor.AppendText(dst, "CounterSignature0")
	dst = append(dst, 0x40, 0x40)
	dst = cbor.AppendBytes(dst, externalAAD)
	return cbor.AppendBytes(dst, ciphertext)
}
