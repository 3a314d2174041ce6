package join

import (
	"crypto/ed25519"
	"io"

	"lamplighter/internal/ace"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
	"lamplighter/internal/oscore/group"
)

// Membership is all that a member knows of its group. It encodes as CBOR for a
// store.
type Membership struct {
	Group         string           `cbor:"1,keyasint"` // the caller's to fill: no answer says it
	NodePath      string           `cbor:"2,keyasint"` // the caller's to fill: Answer.NodePath
	GID           []byte           `cbor:"3,keyasint"`
	MasterSecret  cose.Secret      `cbor:"4,keyasint"`
	MasterSalt    []byte           `cbor:"5,keyasint"`
	Algs          group.Algorithms `cbor:"6,keyasint"`
	SenderID      []byte           `cbor:"7,keyasint"`
	GMCred        []byte           `cbor:"8,keyasint"`
	Num           uint64           `cbor:"9,keyasint"`
	Expires       uint64           `cbor:"10,keyasint"` // seconds since 1970
	ExpiresIn     uint64           `cbor:"11,keyasint"` // seconds, for a member without a clock
	Peers         []group.Peer     `cbor:"12,keyasint"`
	CheckInterval uint64           `cbor:"13,keyasint"` // Key Update Check Interval, seconds
	NC            []byte           `cbor:"14,keyasint"` // the latest N_C: the Group Manager's later proofs are over it
}

// Accept checks a Join Response and makes a membership of it: the Group
// Manager's proof of possession over nc, its credential against gmCred, the
// formats, the algorithms, the lengths. It refuses whatever it cannot verify.
// KGO, Section 6.4.
func Accept(raw []byte, nc []byte, gmCred []byte) (*Membership, error) {
	panic("not built yet")
}

// AcceptFrom is [Accept] for a caller that knows no credential in advance but
// can judge one, by its thumbprint say.
func AcceptFrom(raw []byte, nc []byte, trust func(gmCred []byte) bool) (*Membership, error) {
	panic("not built yet")
}

// Context makes the Group OSCORE context of the membership, with all its peers.
// seq is nil or fresh for each (Master Secret, Sender ID). More parameters (window
// size, Echo first, restored windows) are set by the edits.
func (m *Membership) Context(cred []byte, key ed25519.PrivateKey, seq *oscore.Sequence, rand io.Reader, edits ...func(*group.Params)) (*group.Context, error) {
	panic("not built yet")
}

// Roles of a peer are the Tperm values that the Group Manager gave.
var _ = ace.RoleRequester
