package join

import (
	"context"
	"crypto/ed25519"
	"io"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/oscore/group"
)

// Member is a member's client at the Group Manager. It holds no state of its own
// and is as safe for concurrent use as its Caller.
type Member struct {
	gm       coap.Caller
	group    string
	nodePath string
}

// NewMember makes the client. nodePath is the node's path at the Group Manager,
// "/ace-group/hall/nodes/n3".
func NewMember(gm coap.Caller, group, nodePath string) *Member {
	return &Member{gm: gm, group: group, nodePath: nodePath}
}

// Num is the version of the group's keys. RFC 9594, Section 4.6.1.
func (m *Member) Num(ctx context.Context) (uint64, error) { panic("not built yet") }

// Creds gets the credentials of the members with the Sender IDs kids, in as many
// requests as that takes; unknown ones are left out. num is the version of the
// keys when it was answered. RFC 9594, Section 4.4.1.
func (m *Member) Creds(ctx context.Context, kids [][]byte) (peers []group.Peer, num uint64, err error) {
	panic("not built yet")
}

// CredsByRole gets the credentials of all members that hold all of roles.
func (m *Member) CredsByRole(ctx context.Context, roles ace.Role) (peers []group.Peer, num uint64, err error) {
	panic("not built yet")
}

// AllCreds gets the credentials of all members. RFC 9594, Section 4.4.2.
func (m *Member) AllCreds(ctx context.Context) (peers []group.Peer, num uint64, err error) {
	panic("not built yet")
}

// Keys gets the current keys and the own Sender ID and returns old with them in
// place; the peers are old's. RFC 9594, Section 4.8.1.
func (m *Member) Keys(ctx context.Context, old *Membership) (*Membership, error) {
	panic("not built yet")
}

// StaleSIDs asks which Sender IDs became stale since the version v. all means
// that the Group Manager cannot say: purge everything. KGO, Section 11.3.
func (m *Member) StaleSIDs(ctx context.Context, v uint64) (sids [][]byte, all bool, err error) {
	panic("not built yet")
}

// Renew gets a new Sender ID under the same keys. KGO, Section 9.2.
func (m *Member) Renew(ctx context.Context) (senderID []byte, err error) { panic("not built yet") }

// Leave leaves the group; having left before is no error. KGO, Section 9.11.
func (m *Member) Leave(ctx context.Context) error { panic("not built yet") }

// Update brings old up to date after a rekeying, with the fewest messages: it asks
// for the keys and, when they are newer, for what became stale. It returns the
// new membership without the purged peers, and what was purged so that the caller
// drops contexts and windows. changed is false when old was current. KGO,
// Section 11.3.
func (m *Member) Update(ctx context.Context, old *Membership) (cur *Membership, purged Purge, changed bool, err error) {
	panic("not built yet")
}

// Purge says which Recipient Contexts a member deletes.
type Purge struct {
	All  bool     // every one
	SIDs [][]byte // these
}

// SelfParams are what a node that joins by itself brings along.
type SelfParams struct {
	Group    string
	Roles    ace.Role
	Cred     []byte // its authentication credential
	Key      ed25519.PrivateKey
	GMCred   []byte // the Group Manager's credential, known in advance
	GetCreds bool
	NS       []byte // from [Transfer]; nil: the Group Manager is asked for one
	Rand     io.Reader
}

// Self runs the Join Request for a node that holds its own key: offer, proof,
// request, once more when the Group Manager wants another challenge, and [Accept].
// Group, NodePath and NC are filled in.
func Self(ctx context.Context, gm coap.Caller, p SelfParams) (*Membership, *Answer, error) {
	panic("not built yet")
}
