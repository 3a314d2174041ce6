package ace

import "lamplighter/internal/cose"

// KeyMaterial is the Group_OSCORE_Input_Material object. KGO, Section 6.3.
//
//	{ ? 2: ms: bstr, ? 3: hkdf: int, ? 4: alg: int, ? 5: salt: bstr,
//	  6: contextId: bstr, ? 7: group_SenderId: bstr, 8: cred_fmt: int,
//	  ? 9: gp_enc_alg: int, ? 10: sign_alg: int, ? 11: sign_params: [ * [ * int ] ],
//	  ? 12: ecdh_alg: int, ? 13: ecdh_params: [ * [ * int ] ] }
type KeyMaterial struct {
	MasterSecret cose.Secret    `cbor:"2,keyasint,omitempty"`
	HKDF         cose.Algorithm `cbor:"3,keyasint,omitempty"` // 0: absent, that is HKDF SHA-256
	Alg          cose.Algorithm `cbor:"4,keyasint,omitempty"` // pairwise mode; 0: absent
	Salt         []byte         `cbor:"5,keyasint,omitempty"` // absent: empty
	GID          []byte         `cbor:"6,keyasint"`           // contextId
	SenderID     []byte         `cbor:"7,keyasint,omitzero"`  // absent for monitors
	CredFmt      int            `cbor:"8,keyasint,omitempty"`
	GpEncAlg     cose.Algorithm `cbor:"9,keyasint,omitempty"` // group mode; 0: absent
	SignAlg      cose.Algorithm `cbor:"10,keyasint,omitempty"`
	SignParams   [][]int        `cbor:"11,keyasint,omitempty"` // [[1],[1,6]] for Ed25519
	ECDHAlg      cose.Algorithm `cbor:"12,keyasint,omitempty"`
	ECDHParams   [][]int        `cbor:"13,keyasint,omitempty"` // [[1],[1,4]] for X25519
}

// KeyResponse answers GET /ace-group/GROUPNAME (without a Sender ID) and GET
// nodes/NODENAME (with it). KGO, Sections 9.1 and 9.2.
type KeyResponse struct {
	GKTY    int         `cbor:"7,keyasint"`
	Key     KeyMaterial `cbor:"8,keyasint"`
	Num     uint64      `cbor:"9,keyasint"`
	Profile int         `cbor:"10,keyasint"`
	EXP     uint64      `cbor:"11,keyasint,omitempty"` // seconds since 1970
	EXI     uint64      `cbor:"12,keyasint"`           // seconds left

	RekeyingScheme int    `cbor:"20,keyasint,omitempty"` // both as in the Join Response: RFC 9594, Section 4.3.2
	MgtKeyMaterial []byte `cbor:"27,keyasint,omitzero"`
}

// RekeyingMessage brings members the next keying material. KGO, Section 11.1.
type RekeyingMessage struct {
	GKTY      int         `cbor:"7,keyasint"`
	Key       KeyMaterial `cbor:"8,keyasint"`
	Num       uint64      `cbor:"9,keyasint"`
	Profile   int         `cbor:"10,keyasint"`
	EXP       uint64      `cbor:"11,keyasint,omitempty"` // seconds since 1970
	EXI       uint64      `cbor:"12,keyasint"`           // seconds left
	Creds     [][]byte    `cbor:"13,keyasint,omitzero"`  // of those who joined
	PeerRoles []Role      `cbor:"14,keyasint,omitzero"`
	PeerIDs   [][]byte    `cbor:"15,keyasint,omitzero"`
	StaleIDs  [][]byte    `cbor:"34,keyasint,omitzero"` // stale_node_ids

	MgtKeyMaterial []byte `cbor:"27,keyasint,omitzero"` // when it changed: RFC 9594, Section 6
}

func (m *RekeyingMessage) check() error { return checkPeers(m.Creds, m.PeerRoles, m.PeerIDs) }

// RenewalResponse answers a Key Renewal Request: POST nodes/NODENAME. KGO,
// Section 9.2.
type RenewalResponse struct {
	SenderID []byte `cbor:"21,keyasint"` // group_SenderId
}

// CredsRequest is the payload of FETCH /ace-group/GROUPNAME/creds. RFC 9594,
// Section 4.4.1.
type CredsRequest struct {
	GetCreds GetCreds `cbor:"4,keyasint,omitzero"`
}

// CredsResponse answers GET and FETCH /ace-group/GROUPNAME/creds.
type CredsResponse struct {
	Num       uint64   `cbor:"9,keyasint"`
	Creds     [][]byte `cbor:"13,keyasint"`
	PeerRoles []Role   `cbor:"14,keyasint"`
	PeerIDs   [][]byte `cbor:"15,keyasint"`
}

func (r *CredsResponse) check() error { return checkPeers(r.Creds, r.PeerRoles, r.PeerIDs) }

// CredUpload is the payload of POST nodes/NODENAME/cred. RFC 9594, Section
// 4.9.1.
type CredUpload struct {
	ClientCred       []byte `cbor:"5,keyasint,omitzero"`
	CNonce           []byte `cbor:"6,keyasint,omitzero"`
	ClientCredVerify []byte `cbor:"24,keyasint,omitzero"`
}

// KDCCredRequest is the payload of a verifier's FETCH .../kdc-cred. KGO, Section
// 9.5.2.
type KDCCredRequest struct {
	CNonce []byte `cbor:"6,keyasint,omitzero"`
}

// KDCCredResponse carries the Group Manager's credential with its proof over
// [KDCPoPInput]. RFC 9594, Section 4.5.1.
type KDCCredResponse struct {
	KDCCred       []byte `cbor:"17,keyasint"`
	KDCNonce      []byte `cbor:"18,keyasint"`
	KDCCredVerify []byte `cbor:"19,keyasint"`
}

// VerifDataResponse answers GET .../verif-data: what a signature verifier needs
// and no more. Its key has neither Master Secret nor salt. KGO, Section 9.6.
type VerifDataResponse struct {
	GKTY       int         `cbor:"7,keyasint"`
	Key        KeyMaterial `cbor:"8,keyasint"`
	Num        uint64      `cbor:"9,keyasint"`
	Profile    int         `cbor:"10,keyasint"`
	EXP        uint64      `cbor:"11,keyasint,omitempty"` // seconds since 1970
	EXI        uint64      `cbor:"12,keyasint"`           // seconds left
	SignEncKey cose.Secret `cbor:"33,keyasint,omitempty"` // Signature Encryption Key
}

// PoliciesResponse answers GET .../policies. RFC 9594, Section 4.6.1.
type PoliciesResponse struct {
	Policies GroupPolicies `cbor:"16,keyasint"`
}

// GroupsRequest is the payload of FETCH /ace-group: which groups have these
// Gids. RFC 9594, Section 4.2.1.
type GroupsRequest struct {
	GIDs [][]byte `cbor:"0,keyasint,omitzero"`
}

// GroupsResponse answers a [GroupsRequest]; the three arrays are parallel.
type GroupsResponse struct {
	GIDs  [][]byte `cbor:"0,keyasint"`
	Names []string `cbor:"1,keyasint"`
	URIs  []string `cbor:"2,keyasint"`
}
