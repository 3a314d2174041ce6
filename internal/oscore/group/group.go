// Package group protects CoAP messages for a group (Group OSCORE, RFC 10021):
// in group mode, encrypted for all members and countersigned by the sender, and
// in pairwise mode, for one member under keys that both derive from their
// authentication credentials.
//
// A [Context] holds the keys of one epoch of a group, that is of one Gid. After
// a rekeying a member makes a new one; bindings made by the old one stay good,
// so that answers which cross the change still open. [Member] keeps the contexts
// of one member and picks the right one. What is not in a message, above all the
// peers' credentials, the caller supplies: [UnknownPeerError] says which is
// missing. [Checker] verifies countersignatures and cannot decrypt.
//
// Built are the algorithms that package cose has, in all combinations that RFC
// 10021 allows (see [Algorithms.Check]), groups with either mode or both, and
// silent servers. Not implemented: a Response Number that lets late responses
// pass (Section 5.3.1 leaves that to the application; they are refused), requests
// to oneself (Section 7.2), and Ed448 and X448.
package group

import (
	"errors"
	"fmt"

	"lamplighter/internal/coap"
)

// Errors by consequence, beside those of package oscore and
// [coap.ErrNoContext] (another group, another epoch).
var (
	ErrOwn    = errors.New("message from the own Sender ID")
	ErrMode   = errors.New("mode not used in this group")
	ErrSilent = errors.New("a silent server sends nothing")
)

// UnknownPeerError says that the credential of a kid is missing: fetch it from
// the Group Manager, call [Context.SetPeer] and try the message again; if it is
// refused then, [Context.Discard] the peer. Nothing about the message is verified
// yet. RFC 10021, Section 7.2.
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
