package join

import (
	"bytes"
	"fmt"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/oscore/group"
)

// News is what a message of the Group Manager about a group's keys means for a
// member.
type News uint8

// Kinds of news.
const (
	NothingNew    News = iota // not newer than what the member has: ignored
	NewKeys                   // the next version: to be installed
	MissedKeys                // a version after the next: what became stale is asked for first
	NewAlgorithms             // the keys stay, and are used otherwise
	GroupDeleted              // there is no such group any more
)

// ReadControl reads a message of the Group Manager about a group's keys: a
// rekeying message (KGO, Section 11.1), or word that the configuration has changed
// or that the group was deleted (draft-ietf-ace-oscore-gm-admin-17, Sections 6.6.2
// and 6.8.1).
func ReadControl(m *coap.Message) (*ace.Control, error) {
	if got, ok := coap.ContentFormat(m); !ok || got != ace.FormatACEGroupcomm {
		return nil, fmt.Errorf("reading a control message: %w: Content-Format", ErrDecode)
	}
	c, err := ace.ParseControl(m.Payload)
	if err != nil {
		return nil, fmt.Errorf("reading a control message: %w", ErrDecode) // the cause could quote a secret
	}
	return c, nil
}

// ReadNum reads the version of the keys in an answer that brings keys, such as
// that to an Observe registration.
func ReadNum(m *coap.Message) (uint64, error) {
	k, err := decode[ace.KeyResponse](m, ace.FormatACEGroupcomm)
	if err != nil {
		return 0, fmt.Errorf("reading keys: %w", err)
	}
	return k.Num, nil
}

// Refusal is the [*GMError] that an error answer of the Group Manager is, nil for
// a success.
func Refusal(m *coap.Message) error { return checkGM(m) }

// Hear judges a message of the Group Manager about the keys. next is the
// membership with what the message brings: after [NewKeys] without whom the
// message purged, after [MissedKeys] to be installed when [Member.StaleSIDs] said
// who else goes; it is nil when the message does not bring the keys. m is not
// changed. It fails with [ErrAlgorithm] when the group uses from now on what this
// build lacks, or credentials of another kind; see [Membership.Fits] for the own
// key. KGO, Sections 11.2 and 11.3.
func (m *Membership) Hear(c *ace.Control) (next *Membership, purged Purge, news News, err error) {
	switch c.Kind {
	case ace.ControlRekeying:
		return m.hearKeys(c.Rekeying)
	case ace.ControlConfig:
		return m.hearAlgorithms(c.Config)
	case ace.ControlDeleted:
		return nil, Purge{All: true}, GroupDeleted, nil
	}
	return nil, Purge{}, NothingNew, fmt.Errorf("%w: another kind of message", ErrDecode)
}

func (m *Membership) hearKeys(msg *ace.RekeyingMessage) (*Membership, Purge, News, error) {
	key := &msg.Key
	if msg.Num <= m.Num {
		return nil, Purge{}, NothingNew, nil
	}
	switch {
	case len(key.MasterSecret) < minSecretLen, len(key.MasterSecret) > maxMaterialLen,
		len(key.Salt) > maxMaterialLen, len(key.GID) == 0, len(key.GID) > maxMaterialLen,
		bytes.Equal(key.GID, m.GID):
		return nil, Purge{}, NothingNew, fmt.Errorf("%w: keys out of bounds", ErrDecode)
	}
	joined, err := kind{format: m.CredFmt}.peersOf(msg.Creds, msg.PeerRoles, msg.PeerIDs, m.SenderID)
	if err != nil {
		return nil, Purge{}, NothingNew, err
	}
	purged := Purge{SIDs: msg.StaleIDs}
	next := m.Without(purged).with(joined)
	next.GID, next.MasterSecret, next.MasterSalt = key.GID, key.MasterSecret, present(key.Salt)
	next.Num, next.Expires, next.ExpiresIn = msg.Num, msg.EXP, msg.EXI
	next.takeTree(msg.MgtKeyMaterial)
	if msg.Num > m.Num+1 {
		return next, purged, MissedKeys, nil
	}
	return next, purged, NewKeys, nil
}

// hearAlgorithms takes up a change of the configuration. What is derived changes;
// Sender Sequence Numbers and Replay Windows go on. A change that makes another
// credential necessary ends the membership: the node may join again.
func (m *Membership) hearAlgorithms(msg *ace.ConfigNotice) (*Membership, Purge, News, error) {
	switch {
	case msg.Num < m.Num:
		return nil, Purge{}, NothingNew, nil
	case msg.Num > m.Num:
		return nil, Purge{}, MissedKeys, nil
	}
	k := msg.Key
	kind, err := readKind(ace.KeyMaterial{
		HKDF: k.HKDF, Alg: k.Alg, CredFmt: k.CredFmt, GpEncAlg: k.GpEncAlg,
		SignAlg: k.SignAlg, SignParams: k.SignParams, ECDHAlg: k.ECDHAlg, ECDHParams: k.ECDHParams,
	})
	if err == nil && (kind.credentials() != m.credentials() || kind.algs.Sign != m.Algs.Sign || m.Curve != 0 && kind.curve != m.Curve) {
		err = fmt.Errorf("%w: the group's credentials are of another kind", ErrAlgorithm)
	}
	switch {
	case err != nil:
		return nil, Purge{}, NewAlgorithms, err
	case kind.algs == m.Algs:
		return nil, Purge{}, NothingNew, nil
	}
	next := *m
	next.Algs = kind.algs
	if msg.EXP != 0 {
		next.Expires = msg.EXP
	}
	return &next, Purge{}, NewAlgorithms, nil
}

// takeTree takes over the keys for messages to many that came with the group's; what
// did not come goes on from what the member has. Those of earlier versions are
// forgotten. RFC 9594, Section 6.2.
func (m *Membership) takeTree(raw []byte) {
	tree := m.Tree
	if raw != nil {
		tree, _ = ace.Decode[ace.MgtKeyMaterial](raw) // without it the member asks
	}
	if tree != nil {
		tree, _ = tree.Advance(m.Num)
	}
	m.Tree = tree
}

// with returns the membership with more peers, in place of those that have their
// Sender IDs.
func (m *Membership) with(peers []group.Peer) *Membership {
	if len(peers) == 0 {
		return m
	}
	ids := make([][]byte, len(peers))
	for i, p := range peers {
		ids[i] = p.KID
	}
	cur := m.Without(Purge{SIDs: ids})
	cur.Peers = append(cur.Peers, peers...)
	return cur
}

// OpenMany opens a rekeying message that went to many members (RFC 9594, Section
// 6.2), signed with the Group Manager's credential of the group; in a group without
// signatures, with the one that came with the tree's keys, which trust judges. What
// is no news fails with [ace.ErrStale]. The signature is verified last.
func (m *Membership) OpenMany(payload []byte, trust func(gmCred []byte) bool) (*ace.Control, error) {
	if m.Tree == nil {
		return nil, fmt.Errorf("opening a message to many: %w: no keys for it", ErrDecode)
	}
	if err := m.Tree.CheckOneToMany(m.Group, payload); err != nil {
		return nil, err
	}
	signer := m.GMCred
	if !m.Algs.HasGroupMode() {
		if signer = m.Tree.KDCCred; !trust(signer) {
			return nil, fmt.Errorf("opening a message to many: %w: another Group Manager's credential", ErrVerify)
		}
	}
	cred, err := m.credentials().Parse(signer)
	if err != nil {
		return nil, fmt.Errorf("opening a message to many: %w: the Group Manager's credential", ErrVerify)
	}
	num, plain, err := m.Tree.OpenOneToMany(m.Group, payload, &cred)
	if err != nil {
		return nil, err
	}
	c, err := ace.ParseControl(plain)
	if err != nil || c.Kind != ace.ControlRekeying || c.Rekeying.Num != num {
		return nil, fmt.Errorf("opening a message to many: %w: content", ErrDecode) // the cause could quote a secret
	}
	return c, nil
}
