package ace

import (
	"fmt"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
)

// ControlKind says what a Group Manager tells a member at its control_uri.
type ControlKind uint8

// What comes as a POST; an eviction comes as a DELETE.
const (
	ControlRekeying ControlKind = iota + 1 // new keys. KGO, Section 11.1
	ControlConfig                          // other algorithms. GMA, Section 6.6.2.2
	ControlDeleted                         // the group is no more. GMA, Section 6.8.1
)

// String names the kind.
func (k ControlKind) String() string {
	switch k {
	case ControlRekeying:
		return "rekeying"
	case ControlConfig:
		return "configuration"
	case ControlDeleted:
		return "deleted"
	}
	return fmt.Sprintf("control message %d", uint8(k))
}

// ConfigMaterial is the `key` of a [ConfigNotice]: no keys, only what is derived
// with. An algorithm that is absent belongs to a mode that the group does not use.
type ConfigMaterial struct {
	HKDF       cose.Algorithm `cbor:"3,keyasint"`
	Alg        cose.Algorithm `cbor:"4,keyasint,omitempty"`
	CredFmt    int            `cbor:"8,keyasint"`
	GpEncAlg   cose.Algorithm `cbor:"9,keyasint,omitempty"`
	SignAlg    cose.Algorithm `cbor:"10,keyasint,omitempty"`
	SignParams [][]int        `cbor:"11,keyasint,omitempty"`
	ECDHAlg    cose.Algorithm `cbor:"12,keyasint,omitempty"`
	ECDHParams [][]int        `cbor:"13,keyasint,omitempty"`
}

// ConfigNotice tells members that the group's configuration was changed: they
// derive new keys of the same Master Secret and keep their Sender Sequence Numbers
// and replay windows. GMA, Section 6.6.2.2. Active is this project's addition: a
// member that does not observe the group's status hears of it here.
type ConfigNotice struct {
	GKTY    int            `cbor:"7,keyasint"`
	Key     ConfigMaterial `cbor:"8,keyasint"`
	Num     uint64         `cbor:"9,keyasint"`
	Profile int            `cbor:"10,keyasint"`
	EXP     uint64         `cbor:"11,keyasint,omitempty"` // seconds since 1970
	Active  *bool          `cbor:"-12,keyasint,omitempty"`
}

// deletedNotice is what tells members that their group was deleted. GMA, Section
// 6.8.1.
type deletedNotice struct {
	GKTY    int      `cbor:"7,keyasint"`
	Key     struct{} `cbor:"8,keyasint"`
	Profile int      `cbor:"10,keyasint"`
}

// GroupDeleted is the payload that tells a member that its group was deleted.
func GroupDeleted() []byte {
	return Encode(deletedNotice{GKTY: GKTYGroupOSCORE, Profile: ProfileCoAPGroupOSCOREApp})
}

// Control is a message to a member's control_uri; of its fields the one of its
// kind is set.
type Control struct {
	Kind     ControlKind
	Rekeying *RekeyingMessage
	Config   *ConfigNotice
}

// controlShape is what tells the kinds apart.
type controlShape struct {
	GKTY    int                     `cbor:"7,keyasint"`
	Key     map[int]cbor.RawMessage `cbor:"8,keyasint"`
	Num     *uint64                 `cbor:"9,keyasint"`
	Profile int                     `cbor:"10,keyasint"`
}

// ParseControl reads the payload of a POST to a member's control_uri: one with a
// Master Secret is a rekeying message, one with num and no Master Secret tells of a
// configuration, and one with an empty `key` and without num of the group's end.
// It fails with [ErrDecode].
func ParseControl(payload []byte) (*Control, error) {
	shape, err := Decode[controlShape](payload)
	if err != nil {
		return nil, err
	}
	_, secret := shape.Key[OSCMS]
	switch {
	case shape.GKTY != GKTYGroupOSCORE || shape.Profile != ProfileCoAPGroupOSCOREApp || shape.Key == nil:
		return nil, fmt.Errorf("%w: not of this application profile", ErrDecode)
	case secret && shape.Num != nil:
		m, err := parseRekeying(payload)
		return &Control{Kind: ControlRekeying, Rekeying: m}, err
	case !secret && shape.Num != nil && shape.Key[GroupOSCCredFmt] != nil:
		m, err := Decode[ConfigNotice](payload)
		return &Control{Kind: ControlConfig, Config: m}, err
	case len(shape.Key) == 0 && shape.Num == nil:
		return &Control{Kind: ControlDeleted}, nil
	}
	return nil, fmt.Errorf("%w: no control message", ErrDecode)
}

// parseRekeying reads a rekeying message that has all it must have. KGO, Section
// 11.1.
func parseRekeying(payload []byte) (*RekeyingMessage, error) {
	m, err := Decode[RekeyingMessage](payload)
	if err != nil {
		return nil, err
	}
	if len(m.Key.MasterSecret) == 0 || m.Key.GID == nil || m.StaleIDs == nil {
		return nil, fmt.Errorf("%w: a rekeying message without Master Secret, Gid or stale Sender IDs", ErrDecode)
	}
	all := m.Creds != nil && m.PeerRoles != nil && m.PeerIDs != nil
	if !all && (m.Creds != nil || m.PeerRoles != nil || m.PeerIDs != nil) {
		return nil, fmt.Errorf("%w: credentials of who joined are not complete", ErrDecode)
	}
	return m, nil
}
