package join

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// Association is the OSCORE association with the Group Manager, seen from the
// client. Its CBOR form is what a device is handed in an assisted join:
//
//	gm-association = { 1: bstr,    ; Master Secret
//	                   2: bstr,    ; Master Salt
//	                   ? 3: bstr,  ; ID Context
//	                   4: bstr,    ; the client's Sender ID (ID2)
//	                   5: bstr,    ; the client's Recipient ID (ID1)
//	                   6: uint,    ; first Sender Sequence Number that may be used
//	                   7: uint }   ; when the token expires, seconds since 1970
type Association struct {
	MasterSecret cose.Secret `cbor:"1,keyasint"`
	MasterSalt   []byte      `cbor:"2,keyasint"`
	IDContext    []byte      `cbor:"3,keyasint,omitzero"`
	SenderID     []byte      `cbor:"4,keyasint"`
	RecipientID  []byte      `cbor:"5,keyasint"`
	NextSSN      uint64      `cbor:"6,keyasint"`
	Expires      uint64      `cbor:"7,keyasint"`

	// What the Token Transfer Response said besides; not encoded.
	NS       []byte          `cbor:"-"` // kdcchallenge, nil when there was none
	SignInfo []ace.SignInfo  `cbor:"-"`
	ECDHInfo []ace.ECDHInfo  `cbor:"-"`
	DHCreds  []ace.KDCDHCred `cbor:"-"`
	Scope    ace.Scope       `cbor:"-"` // what the token grants, when the Authorization Server said so
}

const (
	nonceLen       = 8 // N1, N_C
	maxIDLen       = 7 // nonce length 13 less 6: RFC 8613, Section 3.3
	maxNonceLen    = 64
	maxMaterialLen = 64
	minSecretLen   = 16
)

// Transfer posts the token to the Group Manager's /authz-info, unprotected, and
// derives the association. id1 is the client's Recipient ID; in an assisted join
// the device chose it. It refuses an answer whose ID2 equals id1. The caller sets
// Expires, having a clock. RFC 9203, Sections 4.1 to 4.3.
func Transfer(ctx context.Context, ex coap.Exchanger, gm netip.AddrPort, tok *ace.TokenResponse, id1 []byte, rand io.Reader) (*Association, error) {
	material, err := materialOf(tok)
	if err != nil {
		return nil, fmt.Errorf("transferring a token: %w", err)
	}
	n1 := make([]byte, nonceLen)
	if _, err := io.ReadFull(rand, n1); err != nil {
		return nil, fmt.Errorf("drawing N1: %w", err)
	}
	m := coap.NewRequest(coap.POST, "/authz-info", ace.Encode(ace.AuthzInfoRequest{
		AccessToken: tok.AccessToken, Nonce1: n1, ID1: present(id1), SignInfo: true, ECDHInfo: true, KDCDHCreds: true,
	}))
	coap.AddUint(m, coap.OptionContentFormat, ace.FormatACE)
	resp, err := ex.Exchange(ctx, gm, m)
	if err != nil {
		return nil, fmt.Errorf("transferring a token: %w", err)
	}
	if err := checkGM(resp); err != nil {
		return nil, fmt.Errorf("transferring a token: %w", err)
	}
	r, err := decode[ace.AuthzInfoResponse](resp, ace.FormatACE)
	if err != nil {
		return nil, fmt.Errorf("transferring a token: %w", err)
	}
	a, err := derive(material, n1, id1, r)
	if err != nil {
		return nil, fmt.Errorf("transferring a token: %w", err)
	}
	if tok.Scope != nil {
		if a.Scope, err = ace.ParseScope(tok.Scope); err != nil {
			return nil, fmt.Errorf("transferring a token: %w: scope", ErrDecode)
		}
	}
	return a, nil
}

// materialOf returns the OSCORE input material of a token that this build can use.
func materialOf(tok *ace.TokenResponse) (*ace.OSCOREMaterial, error) {
	if tok.Cnf == nil || tok.Cnf.OSCORE == nil {
		return nil, fmt.Errorf("%w: a token without OSCORE input material", ErrDecode)
	}
	m := tok.Cnf.OSCORE
	switch {
	case len(m.MasterSecret) < minSecretLen, len(m.MasterSecret) > maxMaterialLen,
		len(m.Salt) > maxMaterialLen, len(m.ContextID) > maxMaterialLen:
		return nil, fmt.Errorf("%w: OSCORE input material out of bounds", ErrDecode)
	case m.HKDF != 0 && m.HKDF != cose.HMAC256, m.Alg != 0 && m.Alg != cose.AESCCM16_64_128:
		return nil, ErrAlgorithm
	}
	return m, nil
}

// derive makes the association. RFC 9203, Section 4.3.
func derive(m *ace.OSCOREMaterial, n1, id1 []byte, r *ace.AuthzInfoResponse) (*Association, error) {
	switch {
	case len(r.Nonce2) == 0 || len(r.Nonce2) > maxNonceLen || r.ID2 == nil || len(r.ID2) > maxIDLen:
		return nil, fmt.Errorf("%w: nonce or identifier of the Group Manager", ErrDecode)
	case bytes.Equal(r.ID2, id1): // both directions would have one key
		return nil, fmt.Errorf("%w: both sides have the same identifier", ErrVerify)
	case len(r.KDCChallenge) > maxNonceLen:
		return nil, fmt.Errorf("%w: kdcchallenge", ErrDecode)
	}
	return &Association{
		MasterSecret: m.MasterSecret, MasterSalt: ace.MasterSalt(m.Salt, n1, r.Nonce2), IDContext: m.ContextID,
		SenderID: r.ID2, RecipientID: present(id1),
		NS: r.KDCChallenge, SignInfo: r.SignInfo, ECDHInfo: r.ECDHInfo, DHCreds: r.KDCDHCreds,
	}, nil
}

// present is b, never nil: an empty identifier is one that is there.
func present(b []byte) []byte { return append([]byte{}, b...) }

// Check reports whether an association that came from elsewhere can be used.
func (a *Association) Check() error {
	switch {
	case len(a.MasterSecret) < minSecretLen, len(a.MasterSecret) > maxMaterialLen,
		len(a.MasterSalt) > 4*maxMaterialLen, len(a.IDContext) > maxMaterialLen,
		len(a.SenderID) > maxIDLen, len(a.RecipientID) > maxIDLen:
		return fmt.Errorf("%w: association out of bounds", ErrDecode)
	case bytes.Equal(a.SenderID, a.RecipientID):
		return fmt.Errorf("%w: both sides have the same identifier", ErrVerify)
	}
	return nil
}

// Context makes the association's OSCORE context. seq must begin at NextSSN or
// later. The edits set more parameters: who serves the Group Manager too restores
// its replay window, or challenges first.
func (a *Association) Context(seq *oscore.Sequence, edits ...func(*oscore.Params)) (*oscore.Context, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	p := oscore.Params{
		MasterSecret: a.MasterSecret, MasterSalt: a.MasterSalt, IDContext: a.IDContext,
		SenderID: a.SenderID, RecipientID: a.RecipientID, Sequence: seq,
	}
	for _, edit := range edits {
		edit(&p)
	}
	c, err := oscore.New(p)
	if err != nil {
		return nil, fmt.Errorf("deriving the association: %w", err)
	}
	return c, nil
}
