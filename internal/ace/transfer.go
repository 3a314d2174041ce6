package ace

import (
	"fmt"

	"lamplighter/internal/cbor"
)

// AuthzInfoRequest uploads a token to /authz-info with the OSCORE profile (RFC
// 9203, Section 4.1) and asks what the groups use (RFC 9594, Section 3.3; KGO,
// Section 5.3).
type AuthzInfoRequest struct {
	AccessToken []byte `cbor:"1,keyasint,omitzero"`
	Nonce1      []byte `cbor:"40,keyasint,omitzero"`
	ID1         []byte `cbor:"43,keyasint,omitzero"` // ace_client_recipientid; may be empty
	SignInfo    Ask    `cbor:"45,keyasint,omitzero"`
	ECDHInfo    Ask    `cbor:"47,keyasint,omitzero"`
	KDCDHCreds  Ask    `cbor:"48,keyasint,omitzero"`
}

// AuthzInfoResponse is the answer to an [AuthzInfoRequest].
type AuthzInfoResponse struct {
	Nonce2       []byte      `cbor:"42,keyasint,omitzero"`
	ID2          []byte      `cbor:"44,keyasint,omitzero"` // ace_server_recipientid; may be empty
	SignInfo     []SignInfo  `cbor:"45,keyasint,omitempty"`
	KDCChallenge []byte      `cbor:"46,keyasint,omitzero"` // N_S
	ECDHInfo     []ECDHInfo  `cbor:"47,keyasint,omitempty"`
	KDCDHCreds   []KDCDHCred `cbor:"48,keyasint,omitempty"`
}

// SignInfo says how groups sign. RFC 9594, Section 3.3.1.
//
//	sign_info_entry = [ id: gname / [ + gname ], sign_alg: int,
//	  sign_parameters: [ any ], sign_key_parameters: [ + any ], cred_fmt: int / null ]
type SignInfo struct {
	_         struct{}   `cbor:",toarray"`
	Groups    GroupNames // the groups that this is about
	Alg       int        // COSE Algorithms
	Params    []int      // capabilities of the algorithm, [1] for EdDSA
	KeyParams []int      // capabilities of the key type, [1, 6] for Ed25519
	CredFmt   int        // COSE Header Parameters; 0 stands for null
}

// ECDHInfo says how groups derive pairwise keys. KGO, Section 5.3.1.
//
//	ecdh_info_entry = [ id: gname / [ + gname ], ecdh_alg: int,
//	  ecdh_parameters: [ any ], ecdh_key_parameters: [ + any ], cred_fmt: int / null ]
type ECDHInfo struct {
	_         struct{}   `cbor:",toarray"`
	Groups    GroupNames // the groups that this is about
	Alg       int        // COSE Algorithms
	Params    []int      // capabilities of the algorithm, [1] for OKP
	KeyParams []int      // capabilities of the key type, [1, 4] for X25519
	CredFmt   int        // COSE Header Parameters; 0 stands for null
}

// KDCDHCred is the Group Manager's Diffie-Hellman credential in pairwise-only
// groups. KGO, Section 5.3.2.
//
//	kdc_dh_creds_entry = [ id: gname / [ + gname ], cred_fmt: int, cred: bstr ]
type KDCDHCred struct {
	_       struct{} `cbor:",toarray"`
	Groups  GroupNames
	CredFmt int
	Cred    []byte
}

// GroupNames is one name as a text string, or several as an array.
type GroupNames []string

// MarshalCBOR writes one name bare.
func (g GroupNames) MarshalCBOR() ([]byte, error) {
	if len(g) == 1 {
		return cbor.Marshal(g[0])
	}
	return cbor.Marshal([]string(g))
}

// UnmarshalCBOR reads both forms.
func (g *GroupNames) UnmarshalCBOR(data []byte) error {
	if len(data) > 0 && data[0]>>5 == cbor.Text {
		*g = make(GroupNames, 1)
		return cbor.Unmarshal(data, &(*g)[0])
	}
	if err := cbor.Unmarshal(data, (*[]string)(g)); err != nil {
		return err
	}
	if len(*g) == 0 {
		return fmt.Errorf("%w: no group name", ErrDecode)
	}
	return nil
}
