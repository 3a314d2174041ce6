// Package cbor is the one deterministic encoder and the one strict decoder for
// everything in CBOR (RFC 8949): a thin setting of fxamacker/cbor's modes, and
// appenders for structures that are assembled by hand on hot paths.
//
// The encoder follows Core Deterministic Encoding (RFC 8949, Section 4.2.1).
// The decoder refuses duplicate map keys, indefinite lengths, invalid UTF-8,
// trailing bytes, and what is nested deeper or is larger than any message here
// may be. It does not insist on shortest-form integers, as other encoders'
// credentials and messages need not be deterministic.
package cbor

import (
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// ErrDecode is wrapped by every error about malformed or unexpected input.
var ErrDecode = errors.New("malformed CBOR")

// RawMessage is an encoded item kept as it is; Tag is a tag number and its
// content.
type (
	RawMessage = cbor.RawMessage
	Tag        = cbor.Tag
)

// Bounds on input.
const (
	maxNesting = 16
	maxArray   = 65536
	maxPairs   = 4096
)

var (
	encoder = must(cbor.CoreDetEncOptions().EncMode())
	decoder = must(cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		MaxNestedLevels:  maxNesting,
		MaxArrayElements: maxArray,
		MaxMapPairs:      maxPairs,
		UTF8:             cbor.UTF8RejectInvalid,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Marshal encodes v deterministically.
func Marshal(v any) ([]byte, error) { return encoder.Marshal(v) }

// MustMarshal is [Marshal] for values whose type cannot fail to encode. It
// panics otherwise.
func MustMarshal(v any) []byte { return must(encoder.Marshal(v)) }

// Unmarshal decodes exactly one item that fills all of data.
func Unmarshal(data []byte, v any) error {
	if err := decoder.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %w", ErrDecode, err)
	}
	return nil
}

// UnmarshalFirst decodes the first item of a CBOR sequence (RFC 8742) and
// returns the bytes that follow it.
func UnmarshalFirst(data []byte, v any) (rest []byte, err error) {
	rest, err = decoder.UnmarshalFirst(data, v)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDecode, err)
	}
	return rest, nil
}

var untagged = must(cbor.DecOptions{
	IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden, MaxNestedLevels: maxNesting,
}.DecMode())

// Untagged says whether data is exactly one item without any tag in it: decoding
// into a Go type looks through tags that the type does not ask for.
func Untagged(data []byte) bool { return untagged.Wellformed(data) == nil }

// Valid says whether data is exactly one item within the bounds.
func Valid(data []byte) error {
	if err := decoder.Wellformed(data); err != nil {
		return fmt.Errorf("%w: %w", ErrDecode, err)
	}
	return nil
}
