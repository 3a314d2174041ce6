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

// ReadRekeying reads a message of the Group Manager about a group's keys: a
// rekeying message (KGO, Section 11.1), or word that the configuration has changed
// or that the group was deleted (draft-ietf-ace-oscore-gm-admin-17, Sections 6.6.2
// and 6.8.1).
func ReadRekeying(m *coap.Message) (*ace.RekeyingMessage, error) {
	msg, err := decode[ace.RekeyingMessage](m, ace.FormatACEGroupcomm)
	if err != nil {
		return nil, fmt.Errorf("reading a rekeying message: %w", err)
	}
	return msg, nil
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
// who else goes. m is not changed. It fails with [ErrAlgorithm] when the group
// uses from now on what this build lacks. KGO, Sections 11.2 and 11.3.
func (m *Membership) Hear(msg *ace.RekeyingMessage) (next *Membership, purged Purge, news News, err error) {
	if msg.GKTY != ace.GKTYGroupOSCORE || msg.Profile != ace.ProfileCoAPGroupOSCOREApp {
		return nil, Purge{}, NothingNew, fmt.Errorf("%w: another kind of key", ErrDecode)
	}
	switch {
	case len(msg.Key.MasterSecret) > 0:
		return m.hearKeys(msg)
	case isEmptyKey(&msg.Key):
		return nil, Purge{All: true}, GroupDeleted, nil
	default:
		return m.hearAlgorithms(msg)
	}
}

// isEmptyKey reports whether key was the empty map, which stands for a deleted
// group.
func isEmptyKey(key *ace.KeyMaterial) bool {
	return key.GID == nil && key.HKDF == 0 && key.Alg == 0 && key.CredFmt == 0 && key.GpEncAlg == 0 && key.ECDHAlg == 0
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
	if msg.Num > m.Num+1 {
		return next, purged, MissedKeys, nil
	}
	return next, purged, NewKeys, nil
}

// hearAlgorithms takes up a change of the configuration. What is derived changes;
// Sender Sequence Numbers and Replay Windows go on.
func (m *Membership) hearAlgorithms(msg *ace.RekeyingMessage) (*Membership, Purge, News, error) {
	switch {
	case msg.Num < m.Num:
		return nil, Purge{}, NothingNew, nil
	case msg.Num > m.Num:
		return nil, Purge{}, MissedKeys, nil
	}
	kind, err := readKind(msg.Key)
	if err != nil {
		return nil, Purge{}, NewAlgorithms, err
	}
	if kind.algs == m.Algs && kind.format == m.credentials() {
		return nil, Purge{}, NothingNew, nil
	}
	next := *m
	next.Algs, next.CredFmt, next.Curve = kind.algs, kind.format, kind.curve
	if msg.EXP != 0 {
		next.Expires = msg.EXP
	}
	return &next, Purge{}, NewAlgorithms, nil
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
