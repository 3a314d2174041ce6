package ace

import (
	"fmt"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
)

// TokenRequest is what a client posts to /token. RFC 9200, Section 5.8.1.
type TokenRequest struct {
	ReqCnf    *Confirmation `cbor:"4,keyasint,omitempty"`
	Audience  string        `cbor:"5,keyasint,omitempty"`
	Scope     ScopeParam    `cbor:"9,keyasint,omitzero"`
	ClientID  string        `cbor:"24,keyasint,omitempty"` // an assisted join: the device's id, 16 lower-case hex digits
	GrantType *uint         `cbor:"33,keyasint,omitempty"` // nil: client_credentials
	Refresh   []byte        `cbor:"37,keyasint,omitzero"`  // refresh_token
	Profile   ProfileParam  `cbor:"38,keyasint,omitzero"`
	CNonce    []byte        `cbor:"39,keyasint,omitzero"`
}

// TokenResponse is a granted token. RFC 9200, Section 5.8.2.
type TokenResponse struct {
	AccessToken []byte        `cbor:"1,keyasint"`
	ExpiresIn   uint64        `cbor:"2,keyasint,omitempty"` // seconds
	Cnf         *Confirmation `cbor:"8,keyasint,omitempty"`
	Scope       ScopeParam    `cbor:"9,keyasint,omitzero"` // absent: what was asked for
	TokenType   int           `cbor:"34,keyasint,omitempty"`
	Refresh     cose.Secret   `cbor:"37,keyasint,omitempty"`
	Profile     int           `cbor:"38,keyasint,omitempty"`
	RSCnf       *Confirmation `cbor:"41,keyasint,omitempty"`
}

func (r *TokenResponse) check() error {
	if len(r.AccessToken) == 0 {
		return fmt.Errorf("%w: no access token", ErrDecode)
	}
	return nil
}

// Confirmation is the cnf claim and the parameters that carry one (RFC 8747,
// RFC 9201).
//
//	Confirmation = { ? 1: COSE_Key, ? 3: kid: bstr, ? 4: OSCORE_Input_Material }
type Confirmation struct {
	COSEKey *COSEKey        `cbor:"1,keyasint,omitempty"`
	KID     []byte          `cbor:"3,keyasint,omitzero"`
	OSCORE  *OSCOREMaterial `cbor:"4,keyasint,omitempty"`
}

// OSCOREMaterial is the OSCORE_Input_Material object. RFC 9203, Section 3.2.1.
//
//	{ 0: id: bstr, ? 1: version: uint, 2: ms: bstr, ? 3: hkdf: int,
//	  ? 4: alg: int, ? 5: salt: bstr, ? 6: contextId: bstr }
type OSCOREMaterial struct {
	ID           []byte         `cbor:"0,keyasint"`
	Version      uint           `cbor:"1,keyasint,omitempty"` // 0: absent, that is 1
	MasterSecret cose.Secret    `cbor:"2,keyasint"`
	HKDF         cose.Algorithm `cbor:"3,keyasint,omitempty"` // 0: absent, that is HKDF SHA-256
	Alg          cose.Algorithm `cbor:"4,keyasint,omitempty"` // 0: absent, that is AES-CCM-16-64-128
	Salt         []byte         `cbor:"5,keyasint,omitzero"`
	ContextID    []byte         `cbor:"6,keyasint,omitzero"`
}

// OSCOREInputMaterial is the name of the object in RFC 9203.
type OSCOREInputMaterial = OSCOREMaterial

// UnmarshalCBOR refuses what is not known or not complete: keys derived without
// a parameter would differ (RFC 9203, Sections 4.2 and 4.3).
func (m *OSCOREMaterial) UnmarshalCBOR(data []byte) error {
	var fields map[int64]cbor.RawMessage
	if err := cbor.Unmarshal(data, &fields); err != nil {
		return fmt.Errorf("%w: OSCORE_Input_Material", ErrDecode)
	}
	for label, value := range fields {
		if label < OSCID || label > OSCContextID || isNull(value) {
			return fmt.Errorf("%w: parameter %d of OSCORE_Input_Material", ErrDecode, label)
		}
	}
	type plain OSCOREMaterial
	if err := cbor.Unmarshal(data, (*plain)(m)); err != nil {
		return fmt.Errorf("%w: OSCORE_Input_Material", ErrDecode) // err could quote the secret
	}
	if m.ID == nil || len(m.MasterSecret) == 0 || m.Version > 1 {
		return fmt.Errorf("%w: OSCORE_Input_Material without id or ms, or of another version", ErrDecode)
	}
	return nil
}

// MasterSalt returns the Master Salt of the OSCORE context between client and
// resource server: the three byte strings with their CBOR heads. An absent salt
// counts as the empty one. RFC 9203, Section 4.3.
func MasterSalt(salt, nonce1, nonce2 []byte) []byte {
	return cbor.AppendBytes(cbor.AppendBytes(cbor.AppendBytes(nil, salt), nonce1), nonce2)
}

// ASHints are the AS Request Creation Hints. RFC 9200, Section 5.3.
type ASHints struct {
	AS       string     `cbor:"1,keyasint,omitempty"`
	KID      []byte     `cbor:"2,keyasint,omitzero"`
	Audience string     `cbor:"5,keyasint,omitempty"`
	Scope    ScopeParam `cbor:"9,keyasint,omitzero"`
	CNonce   []byte     `cbor:"39,keyasint,omitzero"`
}
