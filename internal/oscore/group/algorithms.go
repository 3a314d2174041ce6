package group

import (
	"fmt"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
)

// Algorithms of a group. [cose.Null] stands for one that is not set: without
// GroupEnc or Sign there is no group mode, without AEAD or Pairwise no pairwise
// mode. RFC 10021, Section 2.1.
type Algorithms struct {
	AEAD     cose.Algorithm // AEAD Algorithm (pairwise mode)
	GroupEnc cose.Algorithm // Group Encryption Algorithm
	Sign     cose.Algorithm // Signature Algorithm
	Pairwise cose.Algorithm // Pairwise Key Agreement Algorithm
	HKDF     cose.Algorithm // HKDF Algorithm, named by its HMAC
}

// DefaultAlgorithms has both modes.
var DefaultAlgorithms = Algorithms{
	AEAD:     cose.AESCCM16_64_128,
	GroupEnc: cose.AESCCM16_64_128,
	Sign:     cose.EdDSA,
	Pairwise: cose.ECDHSSHKDF256,
	HKDF:     cose.HMAC256,
}

// Check fails with [cose.ErrUnsupported] when an algorithm is not built or must
// not be used in its place: AEAD without integrity protection, AES-CBC, a key
// agreement with another HKDF than the group's. It fails with [ErrMode] when no
// mode is left. RFC 10021, Sections 2.1.1, 2.1.7 and 2.1.10.
func (a Algorithms) Check() error {
	_, err := cose.NewKDF(a.HKDF)
	switch {
	case a.AEAD != cose.Null && !cose.Authenticated(a.AEAD):
		return fmt.Errorf("AEAD algorithm %d: %w", a.AEAD, cose.ErrUnsupported)
	case a.GroupEnc != cose.Null && cose.KeySize(a.GroupEnc) == 0:
		return fmt.Errorf("group encryption algorithm %d: %w", a.GroupEnc, cose.ErrUnsupported)
	case a.Sign != cose.Null && cose.SignatureSize(a.Sign) == 0:
		return fmt.Errorf("signature algorithm %d: %w", a.Sign, cose.ErrUnsupported)
	case err != nil:
		return err
	case a.Pairwise != cose.Null && a.Pairwise != a.agreement():
		return fmt.Errorf("pairwise key agreement algorithm %d with HKDF %d: %w", a.Pairwise, a.HKDF, cose.ErrUnsupported)
	case !a.hasGroup() && !a.hasPairwise():
		return fmt.Errorf("algorithms for neither mode: %w", ErrMode)
	}
	return nil
}

// agreement is the only key agreement that goes with the HKDF. RFC 10021,
// Section 2.1.10.
func (a Algorithms) agreement() cose.Algorithm {
	switch a.HKDF {
	case cose.HMAC256, cose.HKDFSHA256:
		return cose.ECDHSSHKDF256
	case cose.HMAC512, cose.HKDFSHA512:
		return cose.ECDHSSHKDF512
	}
	return cose.Null
}

func (a Algorithms) hasGroup() bool    { return a.GroupEnc != cose.Null && a.Sign != cose.Null }
func (a Algorithms) hasPairwise() bool { return a.AEAD != cose.Null && a.Pairwise != cose.Null }

// HasGroupMode says whether the group uses the group mode; without the pairwise
// mode it is a signature-only group.
func (a Algorithms) HasGroupMode() bool { return a.hasGroup() }

// HasPairwiseMode says whether the group uses the pairwise mode; without the group
// mode it is a pairwise-only group.
func (a Algorithms) HasPairwiseMode() bool { return a.hasPairwise() }

// MaxSenderID is the greatest length of a Sender ID in bytes: 6 less than the
// shortest nonce of the algorithms that are set. RFC 10021, Section 2.2.
func (a Algorithms) MaxSenderID() int {
	least, _ := a.nonceSizes()
	return least - 6
}

// derivation is the algorithm that stands in the info of derivations. RFC
// 10021, Section 2.3.
func (a Algorithms) derivation() cose.Algorithm {
	if a.GroupEnc != cose.Null {
		return a.GroupEnc
	}
	return a.AEAD
}

// nonceSizes returns the least and the greatest nonce length of the set
// algorithms: the one bounds Sender IDs, the other is the length of the Common
// IV. RFC 10021, Sections 2.1.4 and 2.2.
func (a Algorithms) nonceSizes() (least, greatest int) {
	for _, alg := range []cose.Algorithm{a.AEAD, a.GroupEnc} {
		if n := cose.NonceSize(alg); n > 0 {
			greatest = max(greatest, n)
			if least == 0 || n < least {
				least = n
			}
		}
	}
	return least, greatest
}

// longestGID is what an OSCORE Option of 255 bytes has room for beside the rest.
// RFC 8613, Section 2.
func (a Algorithms) longestGID() int {
	least, _ := a.nonceSizes()
	const flags, length = 1, 1
	return 255 - flags - maxPIV - length - (least - 6)
}

// checkSenderID holds a Sender ID to its greatest length. RFC 10021, Section
// 2.2.
func (a Algorithms) checkSenderID(id []byte) error {
	if longest := a.MaxSenderID(); len(id) > longest {
		return fmt.Errorf("a Sender ID of more than %d bytes", longest)
	}
	return nil
}

// checkCred refuses a credential whose key the group's algorithms cannot use:
// with the group mode it is a key of the Signature Algorithm, else one for key
// agreement. own is the key that it is to agree with, the zero one for a member
// without pairwise mode. RFC 10021, Section 2.4.
func (a Algorithms) checkCred(cred *cose.Credential, own cose.PublicKey) error {
	switch {
	case a.hasGroup() && (cred.Alg != a.Sign || cred.Public.SignatureAlgorithm() != a.Sign):
		return fmt.Errorf("%w: a key on %v in a group with signature algorithm %d", cose.ErrCredential, cred.Public.Curve(), a.Sign)
	case a.hasPairwise() && own.Curve() != 0 && montgomery(own.Curve()) != montgomery(cred.Public.Curve()):
		return fmt.Errorf("%w: no key agreement between %v and %v", cose.ErrCredential, own.Curve(), cred.Public.Curve())
	}
	return nil
}

// montgomery is the curve on which a key agrees. RFC 10021, Section 2.5.2.
func montgomery(c cose.Curve) cose.Curve {
	if c == cose.Ed25519 {
		return cose.X25519
	}
	return c
}

// encode makes the algorithms of external_aad. RFC 10021, Section 3.4.
func (a Algorithms) encode() []byte {
	dst := []byte{0x84}
	for _, alg := range []cose.Algorithm{a.AEAD, a.GroupEnc, a.Sign, a.Pairwise} {
		if alg == cose.Null {
			dst = append(dst, cbor.Null)
		} else {
			dst = cbor.AppendInt(dst, int64(alg))
		}
	}
	return dst
}
