package cose

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/sha512"
	"fmt"

	"filippo.io/edwards25519"
)

// Curve is a COSE elliptic curve (IANA, COSE Elliptic Curves).
type Curve int

// COSE Elliptic Curves.
const (
	P256    Curve = 1
	X25519  Curve = 4
	Ed25519 Curve = 6
)

// String returns the curve's name as IANA has it.
func (c Curve) String() string {
	switch c {
	case P256:
		return "P-256"
	case X25519:
		return "X25519"
	case Ed25519:
		return "Ed25519"
	}
	return fmt.Sprintf("curve %d", int(c))
}

// PublicKey is a public key of a curve that is built. The zero value is none.
type PublicKey struct {
	curve  Curve
	point  []byte
	verify func(message, sig []byte) bool // P-256
}

// NewPublicKey makes a public key of its bytes: 32 for Ed25519 and X25519; for
// P-256 the uncompressed point of 65 or the compressed one of 33. It fails with
// [ErrCredential] for what no honest key generation makes: not on the curve, of
// small order, for Ed25519 and P-256 in another encoding than the canonical one
// (RFC 7748, Section 5 wants those of X25519 accepted). It fails with
// [ErrUnsupported] for other curves. RFC 10021, Section 2.5.2.1.
func NewPublicKey(curve Curve, point []byte) (PublicKey, error) {
	switch curve {
	case Ed25519:
		if _, err := parsePoint(point); err != nil {
			return PublicKey{}, err
		}
		return Ed25519PublicKey(point), nil
	case X25519:
		if err := checkX25519(point); err != nil {
			return PublicKey{}, err
		}
		return PublicKey{curve: curve, point: bytes.Clone(point)}, nil
	case P256:
		return newP256(point)
	}
	return PublicKey{}, fmt.Errorf("a key on %v: %w", curve, ErrUnsupported)
}

// Ed25519PublicKey wraps a key that is known to be good.
func Ed25519PublicKey(public ed25519.PublicKey) PublicKey {
	return PublicKey{curve: Ed25519, point: bytes.Clone(public)}
}

// Curve returns the key's curve, 0 for the zero value.
func (k PublicKey) Curve() Curve { return k.curve }

// Bytes returns the point as [NewPublicKey] takes it, for P-256 uncompressed; it
// is not to be changed.
func (k PublicKey) Bytes() []byte { return k.point }

// Equal says whether both are the same key.
func (k PublicKey) Equal(other PublicKey) bool {
	return k.curve == other.curve && bytes.Equal(k.point, other.point)
}

// SignatureAlgorithm returns the algorithm of the key's signatures, [Null] for a
// key that makes none.
func (k PublicKey) SignatureAlgorithm() Algorithm {
	switch k.curve {
	case Ed25519:
		return EdDSA
	case P256:
		return ES256
	}
	return Null
}

// Verify says whether sig is the key's signature over message: 64 bytes, R | S
// for EdDSA, r | s for ES256. RFC 9053, Section 2.
func (k PublicKey) Verify(message, sig []byte) bool {
	if len(sig) != SignatureSize(k.SignatureAlgorithm()) {
		return false
	}
	if c := shared.Load(); c != nil {
		return c.verify(k.point, message, sig, func() bool { return k.check(message, sig) })
	}
	return k.check(message, sig)
}

func (k PublicKey) check(message, sig []byte) bool {
	switch {
	case k.curve == Ed25519 && len(k.point) == ed25519.PublicKeySize:
		return ed25519.Verify(k.point, message, sig)
	case k.curve == P256:
		return k.verify(message, sig)
	}
	return false
}

// PrivateKey is the private half of an authentication credential's key. It is
// safe for concurrent use.
type PrivateKey interface {
	// Public returns the public half.
	Public() PublicKey
	// Sign signs message with the algorithm of the key. It fails with
	// [ErrUnsupported] for a key that makes no signatures.
	Sign(message []byte) ([]byte, error)
	// SharedSecret is the Diffie-Hellman secret with peer, 32 bytes. It fails with
	// [ErrCredential] for a peer on another curve or of small order. Ed25519 keys
	// are mapped to X25519, and agree with keys of either. RFC 10021, Section
	// 2.5.1.
	SharedSecret(peer PublicKey) ([]byte, error)
}

// NewEd25519 makes a private key of its 32-byte seed, or of seed | public key, of
// which it does not believe the second half: signing with a wrong one gives the
// key away. It panics for a shorter slice.
func NewEd25519(private ed25519.PrivateKey) PrivateKey {
	return ed25519Key{ed25519.NewKeyFromSeed(private[:ed25519.SeedSize])}
}

type ed25519Key struct{ private ed25519.PrivateKey }

func (k ed25519Key) Public() PublicKey {
	return Ed25519PublicKey(k.private.Public().(ed25519.PublicKey))
}

func (k ed25519Key) Sign(message []byte) ([]byte, error) {
	return ed25519.Sign(k.private, message), nil
}

// SharedSecret takes the first half of SHA-512 over the seed as X25519 scalar.
// RFC 10021, Section 2.5.2.1.
func (k ed25519Key) SharedSecret(peer PublicKey) ([]byte, error) {
	digest := sha512.Sum512(k.private.Seed())
	return agreeX25519(digest[:32], peer)
}

// NewX25519 makes a private key of its 32-byte scalar, for groups without
// signatures.
func NewX25519(scalar []byte) (PrivateKey, error) {
	private, err := ecdh.X25519().NewPrivateKey(scalar)
	if err != nil {
		return nil, fmt.Errorf("%w: X25519 private key: %w", ErrCredential, err)
	}
	return x25519Key{private}, nil
}

type x25519Key struct{ private *ecdh.PrivateKey }

func (k x25519Key) Public() PublicKey {
	return PublicKey{curve: X25519, point: k.private.PublicKey().Bytes()}
}

func (k x25519Key) Sign([]byte) ([]byte, error) {
	return nil, fmt.Errorf("signing with an X25519 key: %w", ErrUnsupported)
}

func (k x25519Key) SharedSecret(peer PublicKey) ([]byte, error) {
	return agreeX25519(k.private.Bytes(), peer)
}

// agreeX25519 maps an Ed25519 peer by u = (1+y)/(1-y). RFC 10021, Section
// 2.5.2.1.
func agreeX25519(scalar []byte, peer PublicKey) ([]byte, error) {
	u := peer.point
	switch peer.curve {
	case X25519:
	case Ed25519:
		point, err := parsePoint(peer.point)
		if err != nil {
			return nil, err
		}
		u = point.BytesMontgomery()
	default:
		return nil, fmt.Errorf("%w: key agreement with a key on %v", ErrCredential, peer.curve)
	}
	private, err := ecdh.X25519().NewPrivateKey(scalar)
	if err != nil {
		return nil, fmt.Errorf("mapping the private key: %w", err)
	}
	public, err := ecdh.X25519().NewPublicKey(u)
	if err != nil {
		return nil, ErrCredential
	}
	secret, err := private.ECDH(public) // refuses an all-zero secret
	if err != nil {
		return nil, ErrCredential
	}
	return secret, nil
}

// checkX25519 refuses points of small order: only with them is the secret zero,
// whatever the scalar.
func checkX25519(point []byte) error {
	any32 := [32]byte{8}
	_, err := agreeX25519(any32[:], PublicKey{curve: X25519, point: point})
	return err
}

// parsePoint decodes an Ed25519 key and refuses what no honest key generation
// makes: other encodings of a point and points of small order, y = 1 and y = -1
// among them.
func parsePoint(public []byte) (*edwards25519.Point, error) {
	if len(public) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%w: public key of %d bytes", ErrCredential, len(public))
	}
	point, err := new(edwards25519.Point).SetBytes(public)
	if err != nil || !bytes.Equal(point.Bytes(), public) {
		return nil, fmt.Errorf("%w: public key is no canonical point", ErrCredential)
	}
	cleared := new(edwards25519.Point).MultByCofactor(point)
	if cleared.Equal(edwards25519.NewIdentityPoint()) == 1 {
		return nil, fmt.Errorf("%w: public key of small order", ErrCredential)
	}
	return point, nil
}
