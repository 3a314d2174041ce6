package cose

import (
	"fmt"
	"io"
)

const redacted = "[redacted]"

// Secret is key material. However it is printed, logged or encoded as text, it
// says "[redacted]"; as CBOR it is a byte string. log/slog takes it as text: with a
// method of its own for slog the engine would weigh 1 % more in a browser.
type Secret []byte

// String returns "[redacted]".
func (Secret) String() string { return redacted }

// GoString returns "[redacted]".
func (Secret) GoString() string { return redacted }

// Format writes "[redacted]" for every verb.
func (Secret) Format(s fmt.State, _ rune) { io.WriteString(s, redacted) } //nolint:errcheck // fmt keeps the error

// MarshalText returns "[redacted]", for JSON and the like.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
