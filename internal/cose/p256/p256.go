// Package p256 is the curve P-256 for package cose: ES256 signatures (RFC 9053,
// Section 2.1) and ECDH (Section 6.3) on the standard library. Importing it
// registers it.
package p256

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"math/big"

	"lamplighter/internal/cose"
)

const scalarSize = 32

func init() { cose.RegisterP256(newVerifier) }

func newVerifier(point []byte) (func(message, sig []byte) bool, error) {
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, err
	}
	return func(message, sig []byte) bool {
		digest := sha256.Sum256(message)
		r, s := new(big.Int).SetBytes(sig[:scalarSize]), new(big.Int).SetBytes(sig[scalarSize:])
		return ecdsa.Verify(key, digest[:], r, s)
	}, nil
}

type key struct {
	sign   *ecdsa.PrivateKey
	agree  *ecdh.PrivateKey
	public cose.PublicKey
}

// NewKey makes a private key of its 32-byte scalar. It fails with
// [cose.ErrCredential] for 0 and for what is not below the curve's order.
func NewKey(scalar []byte) (cose.PrivateKey, error) {
	sign, signErr := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	agree, agreeErr := ecdh.P256().NewPrivateKey(scalar)
	if signErr != nil || agreeErr != nil {
		return nil, fmt.Errorf("%w: P-256 private key", cose.ErrCredential)
	}
	public, err := cose.NewPublicKey(cose.P256, agree.PublicKey().Bytes())
	return key{sign, agree, public}, err
}

// Generate draws a scalar, from which [NewKey] makes the key again.
func Generate(random io.Reader) (scalar []byte, err error) {
	for {
		scalar = make([]byte, scalarSize)
		if _, err := io.ReadFull(random, scalar); err != nil {
			return nil, fmt.Errorf("drawing a P-256 key: %w", err)
		}
		if _, err := ecdh.P256().NewPrivateKey(scalar); err == nil {
			return scalar, nil
		}
	}
}

func (k key) Public() cose.PublicKey { return k.public }

// Sign makes r | s. Its nonce is drawn from the key, the message and randomness.
func (k key) Sign(message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, k.sign, digest[:])
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	sig := make([]byte, 2*scalarSize)
	r.FillBytes(sig[:scalarSize])
	s.FillBytes(sig[scalarSize:])
	return sig, nil
}

// SharedSecret is the x coordinate. RFC 9053, Section 6.3.1.
func (k key) SharedSecret(peer cose.PublicKey) ([]byte, error) {
	public, err := ecdh.P256().NewPublicKey(peer.Bytes()) // the keys of other curves are shorter
	if err != nil {
		return nil, fmt.Errorf("%w: key agreement with a key on %v", cose.ErrCredential, peer.Curve())
	}
	return k.agree.ECDH(public)
}
