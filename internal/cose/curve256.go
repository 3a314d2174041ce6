package cose

import (
	"fmt"
	"math/big"
)

// P-256 itself is not linked in: crypto/ecdsa would make what a browser loads a
// fifth larger. A program that takes part in groups on that curve imports
// lamplighter/internal/cose/p256, or registers another implementation.
var verifierP256 func(point []byte) (func(message, sig []byte) bool, error)

// RegisterP256 supplies signature verification on P-256: newVerifier gets an
// uncompressed point that is on the curve and returns the ES256 verification of
// that key, whose sig has 64 bytes. It is called in an init function.
func RegisterP256(newVerifier func(point []byte) (func(message, sig []byte) bool, error)) {
	verifierP256 = newVerifier
}

// Parameters of P-256. FIPS 186-5 by way of SP 800-186, Section 3.2.1.3.
var (
	p256P, _ = new(big.Int).SetString("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff", 16)
	p256B, _ = new(big.Int).SetString("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b", 16)
)

const (
	coordinateP256    = 32
	pointUncompressed = 4 // SEC 1, Section 2.3.3
	pointCompressed   = 2 // and 3 for an odd y
)

// newP256 reads a point, uncompressed or compressed.
func newP256(point []byte) (PublicKey, error) {
	if verifierP256 == nil {
		return PublicKey{}, fmt.Errorf("a key on %v: %w", P256, ErrUnsupported)
	}
	full, ok := expandP256(point)
	if !ok {
		return PublicKey{}, fmt.Errorf("%w: public key is not on %v", ErrCredential, P256)
	}
	verify, err := verifierP256(full)
	if err != nil {
		return PublicKey{}, fmt.Errorf("%w: public key: %w", ErrCredential, err)
	}
	return PublicKey{curve: P256, point: full, verify: verify}, nil
}

// expandP256 returns the uncompressed form of a point that is on the curve. Its
// time depends on the point, which is public. SEC 1, Section 2.3.4.
func expandP256(point []byte) ([]byte, bool) {
	if len(point) < 1+coordinateP256 {
		return nil, false
	}
	head, x := point[0], new(big.Int).SetBytes(point[1:1+coordinateP256])
	if x.Cmp(p256P) >= 0 {
		return nil, false
	}
	square := squareOfY(x)
	y := new(big.Int)
	switch {
	case head == pointUncompressed && len(point) == 1+2*coordinateP256:
		y.SetBytes(point[1+coordinateP256:])
		product := new(big.Int).Mul(y, y)
		if y.Cmp(p256P) >= 0 || product.Mod(product, p256P).Cmp(square) != 0 {
			return nil, false
		}
	case head&^1 == pointCompressed && len(point) == 1+coordinateP256:
		if y.ModSqrt(square, p256P) == nil {
			return nil, false
		}
		if y.Bit(0) != uint(head&1) {
			y.Sub(p256P, y)
		}
	default:
		return nil, false
	}
	full := make([]byte, 1+2*coordinateP256)
	full[0] = pointUncompressed
	x.FillBytes(full[1 : 1+coordinateP256])
	y.FillBytes(full[1+coordinateP256:])
	return full, true
}

// squareOfY is x^3 - 3x + b.
func squareOfY(x *big.Int) *big.Int {
	square := new(big.Int).Mul(x, x)
	square.Sub(square, big.NewInt(3))
	square.Mul(square, x)
	square.Add(square, p256B)
	return square.Mod(square, p256P)
}
