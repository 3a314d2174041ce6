package ace

import (
	"fmt"

	"lamplighter/internal/cbor"
)

// JoinRequest is what a joining node posts to /ace-group/GROUPNAME. KGO,
// Section 6.1; RFC 9594, Section 4.3.1.
type JoinRequest struct {
	Scope            []byte   `cbor:"3,keyasint,omitzero"` // see [EncodeJoinScope]
	GetCreds         GetCreds `cbor:"4,keyasint,omitzero"`
	ClientCred       []byte   `cbor:"5,keyasint,omitzero"`  // empty: the one that the Group Manager has
	CNonce           []byte   `cbor:"6,keyasint,omitzero"`  // N_C
	ClientCredVerify []byte   `cbor:"24,keyasint,omitzero"` // the proof over [PoPInput]; empty: proven before
	CredsRepo        string   `cbor:"25,keyasint,omitempty"`
	ControlURI       string   `cbor:"26,keyasint,omitempty"`
}

// JoinResponse admits a node. KGO, Section 6.3.
type JoinResponse struct {
	GKTY            int           `cbor:"7,keyasint"` // GKTYGroupOSCORE
	Key             KeyMaterial   `cbor:"8,keyasint"`
	Num             uint64        `cbor:"9,keyasint"`
	Profile         int           `cbor:"10,keyasint"`           // ProfileCoAPGroupOSCOREApp
	EXP             uint64        `cbor:"11,keyasint,omitempty"` // seconds since 1970
	EXI             uint64        `cbor:"12,keyasint"`           // seconds left
	Creds           [][]byte      `cbor:"13,keyasint,omitzero"`
	PeerRoles       []Role        `cbor:"14,keyasint,omitzero"` // one for each of Creds
	PeerIDs         [][]byte      `cbor:"15,keyasint,omitzero"` // one for each of Creds
	Policies        GroupPolicies `cbor:"16,keyasint,omitzero"`
	KDCCred         []byte        `cbor:"17,keyasint,omitzero"`
	KDCNonce        []byte        `cbor:"18,keyasint,omitzero"`
	KDCCredVerify   []byte        `cbor:"19,keyasint,omitzero"` // the proof over [KDCPoPInput]
	RekeyingScheme  int           `cbor:"20,keyasint,omitempty"`
	MgtKeyMaterial  []byte        `cbor:"27,keyasint,omitzero"`
	ControlGroupURI string        `cbor:"28,keyasint,omitempty"`
}

func (r *JoinResponse) check() error { return checkPeers(r.Creds, r.PeerRoles, r.PeerIDs) }

// JoinHints is the Group Manager's 4.00 to a Join Request that it cannot use,
// with what a better one needs. KGO, Section 6.2.
type JoinHints struct {
	SignInfo     []SignInfo  `cbor:"29,keyasint,omitempty"`
	KDCChallenge []byte      `cbor:"30,keyasint,omitzero"` // a new N_S; the former counts no longer
	ECDHInfo     []ECDHInfo  `cbor:"31,keyasint,omitempty"`
	KDCDHCreds   []KDCDHCred `cbor:"32,keyasint,omitempty"`
}

// GroupPolicies are the policies of a group. RFC 9594, Section 4.3.1; KGO,
// Section 6.3. The zero value is a group without policies.
type GroupPolicies struct {
	CheckInterval   uint64 `cbor:"1,keyasint,omitempty"` // Key Update Check Interval, seconds; 0: absent
	ExpirationDelta uint64 `cbor:"2,keyasint"`           // seconds
}

// IsZero reports whether there are none.
func (p GroupPolicies) IsZero() bool { return p == GroupPolicies{} }

// GetCreds asks for members' credentials: those that matter to the joining node
// (null), or those that pass a filter. Its zero value is absent.
//
//	get_creds = null / [ inclusion_flag: bool, role_filter: [ * Tperm ], id_filter: [ * bstr ] ]
type GetCreds struct {
	Relevant bool // null
	Filter   *CredsFilter
}

// CredsFilter chooses members by role and by Sender ID. RFC 9594, Section 4.4.1.
type CredsFilter struct {
	_         struct{} `cbor:",toarray"`
	Inclusive bool     // true: a role matches or the id is listed; false: a role matches and the id is not listed
	Roles     []Role   // a member matches one when it has all the roles in it
	IDs       [][]byte // Sender IDs
}

// IsZero reports whether the parameter is absent.
func (g GetCreds) IsZero() bool { return !g.Relevant && g.Filter == nil }

// MarshalCBOR writes null or the filter.
func (g GetCreds) MarshalCBOR() ([]byte, error) {
	if g.Filter == nil {
		return []byte{cbor.Null}, nil
	}
	f := *g.Filter
	if f.Roles == nil {
		f.Roles = []Role{}
	}
	if f.IDs == nil {
		f.IDs = [][]byte{}
	}
	return cbor.Marshal(f)
}

// UnmarshalCBOR reads null or the filter.
func (g *GetCreds) UnmarshalCBOR(data []byte) error {
	*g = GetCreds{}
	if isNull(data) {
		g.Relevant = true
		return nil
	}
	g.Filter = new(CredsFilter)
	if err := cbor.Unmarshal(data, g.Filter); err != nil {
		return err
	}
	if g.Filter.Roles == nil || g.Filter.IDs == nil {
		return fmt.Errorf("%w: null in get_creds", ErrDecode)
	}
	return nil
}

// Match reports whether a member with this Sender ID and these roles passes.
// Monitors have no Sender ID (nil).
func (f *CredsFilter) Match(id []byte, roles Role) bool {
	role := false
	for _, want := range f.Roles {
		role = role || roles.Has(want)
	}
	listed := id != nil && containsID(f.IDs, id)
	switch {
	case f.Inclusive:
		return role || listed
	case len(f.Roles) == 0:
		return !listed
	default:
		return role && !listed
	}
}

func containsID(ids [][]byte, id []byte) bool {
	for _, i := range ids {
		if string(i) == string(id) {
			return true
		}
	}
	return false
}

// checkPeers checks that three parallel arrays are parallel.
func checkPeers(creds [][]byte, roles []Role, ids [][]byte) error {
	if len(ids) != len(creds) || roles != nil && len(roles) != len(creds) {
		return fmt.Errorf("%w: %d credentials, %d roles, %d identifiers", ErrDecode, len(creds), len(roles), len(ids))
	}
	return nil
}
