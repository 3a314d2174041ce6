package join

import (
	"crypto/hmac"
	"errors"
	"fmt"
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
	Expires       uint64           `cbor:"10,keyasint"` // seconds since 1970, 0: unknown
	ExpiresIn     uint64           `cbor:"11,keyasint"` // seconds from when the keys were got, for a member without a clock
	Peers         []group.Peer     `cbor:"12,keyasint"`
	CheckInterval uint64           `cbor:"13,keyasint"`           // Key Update Check Interval, seconds
	NC            []byte           `cbor:"14,keyasint"`           // the latest N_C: the Group Manager's later proofs are over it
	CredFmt       cose.Format      `cbor:"15,keyasint,omitempty"` // 0: CCS
	Curve         cose.Curve       `cbor:"16,keyasint,omitempty"` // of key agreement; 0: that of the signatures, or none

	Tree *ace.MgtKeyMaterial `cbor:"20,keyasint,omitempty"` // for rekeying messages to many; nil: there are none
}

// defaultCheckInterval is what a member assumes when the group has no policy.
// KGO, Section 14.
const defaultCheckInterval = 3600

// AcceptParams are what a joining node holds a Join Response against.
type AcceptParams struct {
	NC    []byte                   // of its Join Request
	Trust func(gmCred []byte) bool // judges the Group Manager's credential: see [Trusts]

	// Key is the node's own. It may be nil where the group has signatures; without
	// them the Group Manager's proof cannot be verified without it.
	Key     cose.PrivateKey
	Monitor bool // the node joined as a monitor: it has no Sender ID
}

// Accept checks a Join Response and makes a membership of it: the Group
// Manager's proof of possession over nc, its credential against gmCred (see
// [Trusts]), the formats, the algorithms, the lengths. It refuses whatever it cannot
// verify, a group without signatures among it. KGO, Section 6.4.
func Accept(raw []byte, nc []byte, gmCred []byte) (*Membership, error) {
	return AcceptWith(raw, AcceptParams{NC: nc, Trust: Trusts(gmCred)})
}

// AcceptWith is [Accept] for groups and roles of all kinds. It fails with
// [ErrAlgorithm] for a group that the node cannot take part in.
func AcceptWith(raw []byte, p AcceptParams) (*Membership, error) {
	r, err := ace.Decode[ace.JoinResponse](raw)
	if err != nil {
		return nil, fmt.Errorf("reading a Join Response: %w", ErrDecode) // the cause could quote a secret
	}
	m := &Membership{GMCred: r.KDCCred, NC: p.NC, CheckInterval: r.Policies.CheckInterval}
	if m.CheckInterval == 0 {
		m.CheckInterval = defaultCheckInterval
	}
	if err := m.accept(r, &p); err != nil {
		return nil, fmt.Errorf("checking a Join Response: %w", err)
	}
	return m, nil
}

func (m *Membership) accept(r *ace.JoinResponse, p *AcceptParams) error {
	k, err := readKind(r.Key)
	if err != nil {
		return err
	}
	if p.Key != nil && !p.Monitor {
		if err := checkKey(k.algs, k.curve, p.Key.Public()); err != nil {
			return err
		}
	}
	proof := &ace.KDCCredResponse{KDCCred: r.KDCCred, KDCNonce: r.KDCNonce, KDCCredVerify: r.KDCCredVerify}
	if err := k.verifyGM(proof, p); err != nil {
		return err
	}
	if err := m.install(keysOf(r)); err != nil {
		return err
	}
	if (m.SenderID == nil) != p.Monitor {
		return fmt.Errorf("%w: a Sender ID for a monitor, or none for another", ErrDecode)
	}
	m.Peers, err = k.peersOf(r.Creds, r.PeerRoles, r.PeerIDs, m.SenderID)
	return err
}

// verifyGM checks that the Group Manager is the trusted one and holds its private
// key: by a signature, or by the MAC of a pairwise-only group. KGO, Section 6.4.
func (k kind) verifyGM(r *ace.KDCCredResponse, p *AcceptParams) error {
	if len(p.NC) == 0 || len(r.KDCNonce) == 0 || len(r.KDCNonce) > maxNonceLen {
		return fmt.Errorf("%w: nonces", ErrDecode)
	}
	if p.Trust == nil || !p.Trust(r.KDCCred) {
		return fmt.Errorf("%w: another Group Manager's credential", ErrVerify)
	}
	cred, err := k.credentials().Parse(r.KDCCred)
	switch {
	case errors.Is(err, cose.ErrUnsupported):
		return fmt.Errorf("%w: the Group Manager's key", ErrAlgorithm)
	case err != nil:
		return fmt.Errorf("%w: the Group Manager's credential", ErrVerify)
	}
	input := ace.KDCPoPInput(p.NC, r.KDCNonce)
	if k.algs.HasGroupMode() {
		if cred.Alg != k.algs.Sign || !cred.Verify(input, r.KDCCredVerify) {
			return fmt.Errorf("%w: the Group Manager's proof", ErrVerify)
		}
		return nil
	}
	if p.Key == nil {
		return fmt.Errorf("%w: a group without signatures, and no own key", ErrAlgorithm)
	}
	mac, err := macOf(p.Key, k.credentials(), r.KDCCred, input)
	if err != nil || !hmac.Equal(mac, r.KDCCredVerify) {
		return fmt.Errorf("%w: the Group Manager's proof", ErrVerify)
	}
	return nil
}

func keysOf(r *ace.JoinResponse) *ace.KeyResponse {
	return &ace.KeyResponse{
		GKTY: r.GKTY, Key: r.Key, Num: r.Num, Profile: r.Profile, EXP: r.EXP, EXI: r.EXI,
		RekeyingScheme: r.RekeyingScheme, MgtKeyMaterial: r.MgtKeyMaterial,
	}
}

// install checks keys and puts them in place. KGO, Sections 6.3 and 6.4.
func (m *Membership) install(k *ace.KeyResponse) error {
	key := k.Key
	switch {
	case k.GKTY != ace.GKTYGroupOSCORE || k.Profile != ace.ProfileCoAPGroupOSCOREApp:
		return fmt.Errorf("%w: another kind of key", ErrDecode)
	case len(key.MasterSecret) < minSecretLen, len(key.MasterSecret) > maxMaterialLen,
		len(key.Salt) > maxMaterialLen, len(key.GID) == 0, len(key.GID) > maxMaterialLen:
		return fmt.Errorf("%w: keys out of bounds", ErrDecode)
	}
	kind, err := readKind(key)
	if err != nil {
		return err
	}
	if len(key.SenderID) > kind.algs.MaxSenderID() {
		return fmt.Errorf("%w: a Sender ID that the nonces have no room for", ErrDecode)
	}
	m.GID, m.MasterSecret, m.MasterSalt = key.GID, key.MasterSecret, present(key.Salt)
	m.Algs, m.CredFmt, m.Curve, m.SenderID = kind.algs, kind.format, kind.curve, key.SenderID
	m.Num, m.Expires, m.ExpiresIn = k.Num, k.EXP, k.EXI
	if k.RekeyingScheme != ace.RekeyingCompleteSubtree {
		k.MgtKeyMaterial = nil // of a scheme that is not built
	}
	m.takeTree(k.MgtKeyMaterial)
	return nil
}

// Context makes the Group OSCORE context of the membership, with all its peers
// whose credentials the group can use: one bad credential does not cost the others.
// seq is nil or fresh for each (Master Secret, Sender ID). A monitor has neither
// cred nor key. More parameters (window size, Echo first, restored windows) are set
// by the edits.
func (m *Membership) Context(cred []byte, key cose.PrivateKey, seq *oscore.Sequence, rand io.Reader, edits ...func(*group.Params)) (*group.Context, error) {
	p := group.Params{
		Name: m.Group, GID: m.GID, MasterSecret: m.MasterSecret, MasterSalt: m.MasterSalt, Algs: m.Algs,
		GMCred: m.GMCred, SenderID: m.SenderID, Cred: cred, Key: key, Sequence: seq, Rand: rand,
		ParseCred: m.credentials().Parse,
	}
	for _, edit := range edits {
		edit(&p)
	}
	c, err := group.New(p)
	if err != nil {
		return nil, fmt.Errorf("deriving the group's context: %w", err)
	}
	for _, peer := range m.Peers {
		_ = c.SetPeer(peer) // who cannot be known is not: its messages name it as unknown
	}
	return c, nil
}

// Without returns the membership without the peers that purge names.
func (m *Membership) Without(purge Purge) *Membership {
	cur := *m
	cur.Peers = nil
	for _, p := range m.Peers {
		if !purge.Has(p.KID) {
			cur.Peers = append(cur.Peers, p)
		}
	}
	return &cur
}
