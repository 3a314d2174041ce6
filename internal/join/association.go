package join

import (
	"context"
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
	IDContext    []byte      `cbor:"3,keyasint,omitempty"`
	SenderID     []byte      `cbor:"4,keyasint"`
	RecipientID  []byte      `cbor:"5,keyasint"`
	NextSSN      uint64      `cbor:"6,keyasint"`
	Expires      uint64      `cbor:"7,keyasint"`

	// What the Token Transfer Response said besides; not encoded.
	NS       []byte           `cbor:"-"` // kdcchallenge, nil when there was none
	SignInfo []ace.SignInfo   `cbor:"-"`
	ECDHInfo []ace.ECDHInfo   `cbor:"-"`
	Scope    []ace.ScopeEntry `cbor:"-"` // what the token grants, when the Authorization Server said so
}

// Transfer posts the token to the Group Manager's /authz-info, unprotected, and
// derives the association. id1 is the client's Recipient ID; in an assisted join
// the device chose it. It refuses an answer whose ID2 equals id1. The caller sets
// Expires, having a clock. RFC 9203, Sections 4.1 to 4.3.
func Transfer(ctx context.Context, ex coap.Exchanger, gm netip.AddrPort, tok *ace.TokenResponse, id1 []byte, rand io.Reader) (*Association, error) {
	panic("not built yet")
}

// Context makes the association's OSCORE context. seq must begin at NextSSN or
// later.
func (a *Association) Context(seq *oscore.Sequence) (*oscore.Context, error) {
	panic("not built yet")
}
