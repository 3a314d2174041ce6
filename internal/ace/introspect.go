package ace

import "fmt"

// IntrospectionRequest is what a resource server posts to /introspect. RFC 9200,
// Section 5.9.1.
type IntrospectionRequest struct {
	Token         []byte `cbor:"11,keyasint,omitzero"`
	TokenTypeHint int    `cbor:"33,keyasint,omitempty"`
}

func (r *IntrospectionRequest) check() error {
	if len(r.Token) == 0 {
		return fmt.Errorf("%w: no token", ErrDecode)
	}
	return nil
}

// IntrospectionResponse says what a token grants, or only that it is not active.
// Its labels are those of claims, and two of this project (see [CWTClaims]).
// RFC 9200, Section 5.9.2.
type IntrospectionResponse struct {
	ISS            string        `cbor:"1,keyasint,omitempty"`
	SUB            string        `cbor:"2,keyasint,omitempty"`
	AUD            string        `cbor:"3,keyasint,omitempty"`
	EXP            uint64        `cbor:"4,keyasint,omitempty"` // seconds since 1970
	NBF            uint64        `cbor:"5,keyasint,omitempty"`
	IAT            uint64        `cbor:"6,keyasint,omitempty"`
	CTI            []byte        `cbor:"7,keyasint,omitzero"`
	CNF            *Confirmation `cbor:"8,keyasint,omitempty"`
	Scope          ScopeParam    `cbor:"9,keyasint,omitzero"` // never in the extended form
	Active         bool          `cbor:"10,keyasint"`
	TokenType      int           `cbor:"34,keyasint,omitempty"`
	Profile        int           `cbor:"38,keyasint,omitempty"`
	CNonce         []byte        `cbor:"39,keyasint,omitzero"`
	EXI            uint64        `cbor:"40,keyasint,omitempty"` // seconds
	CredThumbprint []byte        `cbor:"-65537,keyasint,omitzero"`
	Actor          string        `cbor:"-65538,keyasint,omitempty"`
}

// Introspection returns the answer about an active token.
func Introspection(c *CWTClaims) IntrospectionResponse {
	return IntrospectionResponse{
		ISS: c.ISS, SUB: c.SUB, AUD: c.AUD, EXP: c.EXP, NBF: c.NBF, IAT: c.IAT, CTI: c.CTI, CNF: c.CNF,
		Scope: c.Scope.Scope, Active: true, TokenType: TokenPoP, Profile: c.Profile, CNonce: c.CNonce, EXI: c.EXI,
		CredThumbprint: c.CredThumbprint, Actor: c.Actor,
	}
}

// Format keeps the key out.
func (r IntrospectionResponse) Format(w fmt.State, _ rune) {
	type plain IntrospectionResponse
	fmt.Fprintf(w, "%+v", plain(r))
}
