package join

import (
	"bytes"
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
	CheckInterval uint64           `cbor:"13,keyasint"` // Key Update Check Interval, seconds
	NC            []byte           `cbor:"14,keyasint"` // the latest N_C: the Group Manager's later proofs are over it
}

// defaultCheckInterval is what a member assumes when the group has no policy.
// KGO, Section 14.
const defaultCheckInterval = 3600

// Accept checks a Join Response and makes a membership of it: the Group
// Manager's proof of possession over nc, its credential against gmCred, the
// formats, the algorithms, the lengths. It refuses whatever it cannot verify.
// KGO, Section 6.4.
func Accept(raw []byte, nc []byte, gmCred []byte) (*Membership, error) {
	return AcceptFrom(raw, nc, func(cred []byte) bool { return len(gmCred) > 0 && bytes.Equal(cred, gmCred) })
}

// AcceptFrom is [Accept] for a caller that knows no credential in advance but
// can judge one, by its thumbprint say.
func AcceptFrom(raw []byte, nc []byte, trust func(gmCred []byte) bool) (*Membership, error) {
	r, err := ace.Decode[ace.JoinResponse](raw)
	if err != nil {
		return nil, fmt.Errorf("reading a Join Response: %w", ErrDecode) // the cause could quote a secret
	}
	proof := &ace.KDCCredResponse{KDCCred: r.KDCCred, KDCNonce: r.KDCNonce, KDCCredVerify: r.KDCCredVerify}
	if err := verifyGM(proof, nc, trust); err != nil {
		return nil, fmt.Errorf("checking a Join Response: %w", err)
	}
	m := &Membership{GMCred: r.KDCCred, NC: nc, CheckInterval: r.Policies.CheckInterval}
	if m.CheckInterval == 0 {
		m.CheckInterval = defaultCheckInterval
	}
	if err := m.install(keysOf(r)); err != nil {
		return nil, fmt.Errorf("checking a Join Response: %w", err)
	}
	if m.SenderID == nil {
		return nil, fmt.Errorf("checking a Join Response: %w: no Sender ID", ErrDecode)
	}
	m.Peers, err = peersOf(r.Creds, r.PeerRoles, r.PeerIDs, m.SenderID)
	if err != nil {
		return nil, fmt.Errorf("checking a Join Response: %w", err)
	}
	return m, nil
}

// verifyGM checks that the Group Manager is the trusted one and holds its private
// key. KGO, Section 6.4.
func verifyGM(p *ace.KDCCredResponse, nc []byte, trust func([]byte) bool) error {
	if len(nc) == 0 || len(p.KDCNonce) == 0 || len(p.KDCNonce) > maxNonceLen {
		return fmt.Errorf("%w: nonces", ErrDecode)
	}
	if !trust(p.KDCCred) {
		return fmt.Errorf("%w: another Group Manager's credential", ErrVerify)
	}
	cred, err := cose.ParseCCS(p.KDCCred)
	if err != nil {
		return fmt.Errorf("%w: the Group Manager's credential", ErrVerify)
	}
	if !cred.Verify(ace.KDCPoPInput(nc, p.KDCNonce), p.KDCCredVerify) {
		return fmt.Errorf("%w: the Group Manager's proof", ErrVerify)
	}
	return nil
}

func keysOf(r *ace.JoinResponse) *ace.KeyResponse {
	return &ace.KeyResponse{GKTY: r.GKTY, Key: r.Key, Num: r.Num, Profile: r.Profile, EXP: r.EXP, EXI: r.EXI}
}

// install checks keys and puts them in place. KGO, Sections 6.3 and 6.4.
func (m *Membership) install(k *ace.KeyResponse) error {
	key := k.Key
	switch {
	case k.GKTY != ace.GKTYGroupOSCORE || k.Profile != ace.ProfileCoAPGroupOSCOREApp:
		return fmt.Errorf("%w: another kind of key", ErrDecode)
	case len(key.MasterSecret) < minSecretLen, len(key.MasterSecret) > maxMaterialLen,
		len(key.Salt) > maxMaterialLen, len(key.GID) == 0, len(key.GID) > maxMaterialLen,
		len(key.SenderID) > maxIDLen:
		return fmt.Errorf("%w: keys out of bounds", ErrDecode)
	}
	algs, err := algorithmsOf(key)
	if err != nil {
		return err
	}
	m.GID, m.MasterSecret, m.MasterSalt = key.GID, key.MasterSecret, present(key.Salt)
	m.Algs, m.SenderID = algs, key.SenderID
	m.Num, m.Expires, m.ExpiresIn = k.Num, k.EXP, k.EXI
	return nil
}

// algorithmsOf reads the algorithms of a group with both modes and refuses any
// other. KGO, Section 6.4.
func algorithmsOf(key ace.KeyMaterial) (group.Algorithms, error) {
	algs := group.Algorithms{
		AEAD: key.Alg, GroupEnc: key.GpEncAlg, Sign: key.SignAlg, Pairwise: key.ECDHAlg, HKDF: key.HKDF,
	}
	if algs.HKDF == 0 {
		algs.HKDF = cose.HMAC256
	}
	fits := algs == group.DefaultAlgorithms && key.CredFmt == ace.CredFormatCCS &&
		equalParams(key.SignParams, [][]int{{1}, {1, 6}}) && equalParams(key.ECDHParams, [][]int{{1}, {1, 4}})
	if !fits {
		return algs, ErrAlgorithm
	}
	return algs, nil
}

func equalParams(a, b [][]int) bool {
	return bytes.Equal(ace.Encode(a), ace.Encode(b))
}

// peersOf pairs up the three parallel arrays. It leaves out the own entry and
// whatever is no credential that the group can use, so that one bad credential
// does not cost the others.
func peersOf(creds [][]byte, roles []ace.Role, ids [][]byte, own []byte) ([]group.Peer, error) {
	if len(creds) != len(ids) || len(roles) != len(creds) {
		return nil, fmt.Errorf("%w: credentials without roles or identifiers", ErrDecode)
	}
	peers := make([]group.Peer, 0, len(creds))
	for i, cred := range creds {
		if len(ids[i]) > maxIDLen || own != nil && bytes.Equal(ids[i], own) {
			continue
		}
		if _, err := cose.ParseCCS(cred); err != nil {
			continue
		}
		peers = append(peers, group.Peer{KID: ids[i], Cred: cred, Roles: uint(roles[i])})
	}
	return peers, nil
}

// Context makes the Group OSCORE context of the membership, with all its peers.
// seq is nil or fresh for each (Master Secret, Sender ID). More parameters (window
// size, Echo first, restored windows) are set by the edits.
func (m *Membership) Context(cred []byte, key cose.PrivateKey, seq *oscore.Sequence, rand io.Reader, edits ...func(*group.Params)) (*group.Context, error) {
	p := group.Params{
		Name: m.Group, GID: m.GID, MasterSecret: m.MasterSecret, MasterSalt: m.MasterSalt, Algs: m.Algs,
		GMCred: m.GMCred, SenderID: m.SenderID, Cred: cred, Key: key, Sequence: seq, Rand: rand,
	}
	for _, edit := range edits {
		edit(&p)
	}
	c, err := group.New(p)
	if err != nil {
		return nil, fmt.Errorf("deriving the group's context: %w", err)
	}
	for _, peer := range m.Peers {
		if err := c.SetPeer(peer); err != nil {
			return nil, fmt.Errorf("taking over a member's credential: %w", err)
		}
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
