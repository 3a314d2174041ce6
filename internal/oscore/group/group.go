// Package group protects CoAP messages for a group (Group OSCORE, RFC 10021):
// in group mode, encrypted for all members and countersigned by the sender, and
// in pairwise mode, for one member under keys that both derive from their
// authentication credentials.
//
// A [Context] holds the keys of one epoch of a group, that is of one Gid. After
// a rekeying a member makes a new one; bindings made by the old one stay good,
// so that answers which cross the change still open. What is not in a message,
// above all the peers' credentials, the caller supplies: [UnknownPeerError]
// says which is missing.
//
// Built are AES-CCM-16-64-128, EdDSA with Ed25519 and ECDH-SS + HKDF-256 with
// X25519. Not implemented: the other algorithms, silent servers, external
// signature checkers (Section 7.5), a Common Context without pairwise or group
// algorithms beyond refusing that mode.
package group

import (
	"errors"
	"fmt"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

// Errors by consequence, beside those of package oscore and
// [coap.ErrNoContext] (another group, another epoch).
var (
	ErrOwn  = errors.New("message from the own Sender ID")
	ErrMode = errors.New("mode not used in this group")
)

// UnknownPeerError says that the credential of a kid is missing: fetch it from
// the Group Manager, call [Context.SetPeer] and try the message again. Nothing
// about the message is verified yet. RFC 10021, Section 7.2.
type UnknownPeerError struct{ GID, KID []byte }

// Error names the identifiers.
func (e *UnknownPeerError) Error() string {
	return fmt.Sprintf("no credential for Sender ID %x in group %x", e.KID, e.GID)
}

// EchoError says that a request is authentic but not known to be fresh.
// Challenge is the protected 4.01 to answer with; the client repeats its request
// by unicast, in pairwise mode if the group has it. RFC 10021, Section 9.
type EchoError struct {
	Challenge *coap.Message
	From      Peer
}

// Error says that freshness must be proven.
func (e *EchoError) Error() string { return "freshness must be proven by Echo" }

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

// Check fails with [cose.ErrUnsupported] when an algorithm is not built, and
// otherwise when no mode is left.
func (a Algorithms) Check() error {
	switch {
	case a.AEAD != cose.Null && !cose.Authenticated(a.AEAD):
		return fmt.Errorf("AEAD algorithm %d: %w", a.AEAD, cose.ErrUnsupported)
	case a.GroupEnc != cose.Null && cose.KeySize(a.GroupEnc) == 0:
		return fmt.Errorf("group encryption algorithm %d: %w", a.GroupEnc, cose.ErrUnsupported)
	case a.Sign != cose.Null && cose.SignatureSize(a.Sign) == 0:
		return fmt.Errorf("signature algorithm %d: %w", a.Sign, cose.ErrUnsupported)
	case a.Pairwise != cose.Null && a.Pairwise != cose.ECDHSSHKDF256:
		return fmt.Errorf("pairwise key agreement algorithm %d: %w", a.Pairwise, cose.ErrUnsupported)
	case a.HKDF != cose.HMAC256 && a.HKDF != cose.HKDFSHA256:
		return fmt.Errorf("HKDF algorithm %d: %w", a.HKDF, cose.ErrUnsupported)
	case !a.hasGroup() && !a.hasPairwise():
		return fmt.Errorf("algorithms for neither mode: %w", ErrMode)
	}
	return nil
}

func (a Algorithms) hasGroup() bool    { return a.GroupEnc != cose.Null && a.Sign != cose.Null }
func (a Algorithms) hasPairwise() bool { return a.AEAD != cose.Null && a.Pairwise != cose.Null }

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

// Mode is how a message is protected.
type Mode uint8

// Modes.
const (
	Group    Mode = iota // for all members, countersigned
	Pairwise             // for one member
)

// String returns "group" or "pairwise".
func (m Mode) String() string {
	if m == Group {
		return "group"
	}
	return "pairwise"
}

// Peer is another member of the group.
type Peer struct {
	KID   []byte // its Sender ID
	Cred  []byte // its authentication credential, as distributed
	Roles uint   // the caller's; not looked at
}
