package cose

import (
	"fmt"

	"lamplighter/internal/cbor"
)

// sign1 is COSE_Sign1 in encoded items: the decoder would let pass null and
// arrays of numbers for byte strings. RFC 9052, Section 4.2.
//
//	[ protected: bstr, unprotected: map, payload: bstr, signature: bstr ]
type sign1 struct {
	_                                          struct{} `cbor:",toarray"`
	Protected, Unprotected, Payload, Signature cbor.RawMessage
}

// elements of a COSE_Encrypt0.
const encrypt0Size = 3

// ParseCWT reads a CWT that stands for its holder: an untagged COSE_Sign1 over a
// claims set, of which it takes what [ParseCCS] takes, and fails like that. The
// signature is of who issued it, for the Group Manager to check. It fails with
// [ErrUnsupported] for a CWT that is encrypted or has a MAC, as not all members
// could read or check that. RFC 8392, Section 7; RFC 10021, Section 2.4.
func ParseCWT(cred []byte) (Credential, error) {
	if !isMajor(cred, cbor.Array) {
		return Credential{}, fmt.Errorf("%w: credential is no untagged CWT", ErrDecode)
	}
	var items []cbor.RawMessage
	if cbor.Unmarshal(cred, &items) == nil && len(items) == encrypt0Size {
		return Credential{}, fmt.Errorf("encrypted CWT as credential: %w", ErrUnsupported)
	}
	var cwt sign1
	if err := cbor.Unmarshal(cred, &cwt); err != nil {
		return Credential{}, fmt.Errorf("%w: CWT: %w", ErrDecode, err)
	}
	if err := cwt.check(); err != nil {
		return Credential{}, err
	}
	claims, err := byteString(cwt.Payload)
	if err != nil {
		return Credential{}, err
	}
	c, err := ParseCCS(claims)
	if err != nil {
		return Credential{}, err
	}
	c.Raw = append([]byte(nil), cred...)
	return c, nil
}

// check looks at all but the payload. A COSE_Mac0 has the same shape and differs
// by its algorithm: those of signatures are negative.
func (s *sign1) check() error {
	protected, err := byteString(s.Protected)
	if err != nil {
		return err
	}
	var header struct {
		Alg Algorithm `cbor:"1,keyasint"`
	}
	if len(protected) > 0 { // no parameters: RFC 9052, Section 3
		if err := cbor.Unmarshal(protected, &header); err != nil {
			return fmt.Errorf("%w: CWT: protected header: %w", ErrDecode, err)
		}
	}
	if header.Alg > 0 {
		return fmt.Errorf("CWT with a MAC as credential: %w", ErrUnsupported)
	}
	if !isMajor(s.Unprotected, cbor.Map) {
		return fmt.Errorf("%w: CWT: unprotected header is no map", ErrDecode)
	}
	_, err = byteString(s.Signature)
	return err
}
