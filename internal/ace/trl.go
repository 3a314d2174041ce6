package ace

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
)

// TokenHashSize is the size of a [TokenHash] in bytes.
const TokenHashSize = 1 + sha256.Size

// hashSHA256 is sha-256 in the Named Information Hash Algorithm Registry.
const hashSHA256 = 1

// TokenHash names an access token in a token revocation list: the identifier of
// the hash function, then SHA-256 over the token in base64url without padding.
// RFC 9770, Section 4; RFC 6920, Section 6.
func TokenHash(token []byte) []byte {
	sum := sha256.Sum256([]byte(base64.RawURLEncoding.EncodeToString(token)))
	return append([]byte{hashSHA256}, sum[:]...)
}

// TRL is an answer of the TRL endpoint: to a full query Full, to a diff query
// Diff, newest first, and More. RFC 9770, Sections 7 to 9.
//
//	{ ? 0: full_set: [* bstr], ? 1: diff_set: [* [removed: [* bstr], added: [* bstr]]],
//	  ? 2: cursor: uint / null, ? 3: more: bool }
type TRL struct {
	Full   [][]byte  `cbor:"0,keyasint,omitzero"`
	Diff   []TRLDiff `cbor:"1,keyasint,omitzero"`
	Cursor TRLCursor `cbor:"2,keyasint,omitzero"`
	More   *bool     `cbor:"3,keyasint,omitempty"`
}

// maxTRLHashes bounds a list that is read.
const maxTRLHashes = 1 << 16

func (t *TRL) check() error {
	sets := [][][]byte{t.Full}
	for _, d := range t.Diff {
		sets = append(sets, d.Removed, d.Added)
	}
	n := 0
	for _, set := range sets {
		n += len(set)
		for _, hash := range set {
			if len(hash) < 2 || len(hash) > 65 {
				return fmt.Errorf("%w: a token hash of %d bytes", ErrDecode, len(hash))
			}
		}
	}
	if n > maxTRLHashes {
		return fmt.Errorf("%w: %d token hashes", ErrDecode, n)
	}
	return nil
}

// TRLDiff is one update of the list.
type TRLDiff struct {
	_       struct{} `cbor:",toarray"`
	Removed [][]byte
	Added   [][]byte
}

// TRLCursor is a place among the updates: absent, null for none, or an index. Its
// zero value is absent.
type TRLCursor struct {
	Null  bool
	Index *uint64
}

// CursorAt is the cursor of an index.
func CursorAt(index uint64) TRLCursor { return TRLCursor{Index: &index} }

// IsZero reports whether the cursor is absent.
func (c TRLCursor) IsZero() bool { return c == TRLCursor{} }

// MarshalCBOR writes the index or null.
func (c TRLCursor) MarshalCBOR() ([]byte, error) {
	if c.Index == nil {
		return []byte{cbor.Null}, nil
	}
	return cbor.Marshal(*c.Index)
}

// UnmarshalCBOR reads the index or null.
func (c *TRLCursor) UnmarshalCBOR(data []byte) error {
	if *c = (TRLCursor{Null: isNull(data)}); c.Null {
		return nil
	}
	c.Index = new(uint64)
	return cbor.Unmarshal(data, c.Index)
}

// TRLErrorID is an error of the TRL endpoint.
type TRLErrorID int

// ACE Token Revocation List Errors.
const (
	TRLErrorValue  TRLErrorID = 0 // Invalid parameter value
	TRLErrorSet    TRLErrorID = 1 // Invalid set of parameters
	TRLErrorCursor TRLErrorID = 2 // Out of bound cursor value
)

// trlProblem is a Concise Problem Details object with the ACE TRL entry.
//
//	{ ? -2: detail: tstr, 1: { 0: error-id: int, ? 1: cursor: uint / null } }
type trlProblem struct {
	Detail string           `cbor:"-2,keyasint,omitempty"`
	Error  *trlProblemError `cbor:"1,keyasint,omitempty"`
}

type trlProblemError struct {
	ID     *TRLErrorID `cbor:"0,keyasint"`
	Cursor TRLCursor   `cbor:"1,keyasint,omitzero"`
}

// TRLProblem returns a 4.00 of the TRL endpoint. RFC 9770, Section 6.1.
func TRLProblem(id TRLErrorID, cursor TRLCursor, detail string) *coap.Message {
	return coap.Respond(coap.BadRequest, FormatProblem,
		Encode(trlProblem{Detail: detail, Error: &trlProblemError{ID: &id, Cursor: cursor}}))
}

// ParseTRLProblem reads what [TRLProblem] makes. ok is false for any other
// message.
func ParseTRLProblem(m *coap.Message) (id TRLErrorID, cursor TRLCursor, ok bool) {
	if format, has := coap.ContentFormat(m); !has || format != FormatProblem {
		return 0, cursor, false
	}
	var p trlProblem
	if err := cbor.Unmarshal(m.Payload, &p); err != nil || p.Error == nil || p.Error.ID == nil {
		return 0, cursor, false
	}
	return *p.Error.ID, p.Error.Cursor, true
}
