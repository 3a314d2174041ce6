// Package ace holds the messages of ACE and of the Group Manager as Go values,
// without state: token request and response (RFC 9200, RFC 9203), the access
// token (RFC 8392 in a COSE_Encrypt0), token transfer, join and the messages of
// a member (RFC 9594, draft-ietf-ace-key-groupcomm-oscore-21, here KGO),
// scopes (RFC 9237 with AIF-OSCORE-GROUPCOMM), group configurations for
// administrators (draft-ietf-ace-oscore-gm-admin-17, here GMA), and the two forms
// of errors.
//
// Every message is a struct with integer labels; [Encode] and [Decode] are its
// codec. An optional byte string or array that is nil is absent; one that is
// empty but not nil is present and empty.
//
// Rekeying messages that go to many (RFC 9594, Section 6.2) are here for both
// sides, under a scheme of this project: [KeyTree] and [MgtKeyMaterial].
//
// Not here: the EDHOC profile, raw public keys as confirmation.
package ace

import (
	"errors"
	"fmt"

	"lamplighter/internal/cbor"
)

// Errors by consequence.
var (
	ErrDecode  = errors.New("malformed ACE message")
	ErrScope   = errors.New("malformed scope")
	ErrPattern = fmt.Errorf("%w: pattern semantics that are not supported", ErrScope)
	ErrToken   = errors.New("access token cannot be verified")
)

// Encode returns the deterministic encoding of a message of this package. It
// panics on a value that has none, which only a wrong program can make.
func Encode(v any) []byte { return cbor.MustMarshal(v) }

// Decode reads one message and checks its form. Unknown map keys are ignored
// (RFC 9594, Section 4.1.2), required ones are the receiver's to look for. The
// error wraps [ErrDecode], and [ErrScope] when the scope is at fault.
func Decode[T any](data []byte) (*T, error) {
	v := new(T)
	if err := cbor.Unmarshal(data, v); err != nil {
		if errors.Is(err, ErrScope) {
			return nil, fmt.Errorf("%w: %w", ErrDecode, err)
		}
		return nil, fmt.Errorf("%w: %v", ErrDecode, err)
	}
	if c, ok := any(v).(interface{ check() error }); ok {
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDecode, err)
		}
	}
	return v, nil
}
