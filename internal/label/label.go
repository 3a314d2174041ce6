// Package label is what is printed on a device, as text behind a QR code and as
// a row of a table.
//
// The text is "LL1:" and the Base45 form (RFC 9285) of one deterministic CBOR
// map, so that a QR code stays in its alphanumeric mode:
//
//	label = { 1: 1,                    ; version
//	          2: bstr .size 8,         ; device id (EUI-64)
//	          3: tstr,                 ; model
//	          4: bstr .size (16..32),  ; SHA-256 of the credential, may be cut
//	          ? 5: [* int],            ; EDHOC suites
//	          ? 6: uint,               ; hardware class
//	          ? 7: bstr,               ; claim code, for devices with EDHOC
//	          ? 8: bstr .size 16 }     ; label secret, for devices without
//
// Unknown keys are ignored, unknown negative keys are not. Keys 5 to 7 are read
// by nobody yet: a label without a label secret is refused with a sentence.
package label

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
)

// Prefix starts the text of every label.
const Prefix = "LL1:"

// Sizes in bytes.
const (
	SecretSize        = 16
	MinThumbprintSize = 16
	MaxThumbprintSize = 32

	maxText  = 4296 // the most that a QR code holds
	maxModel = 64
	maxName  = 120
)

// Label is what one device's label says, and what a table adds to it.
type Label struct {
	ID         [8]byte     // device id (EUI-64)
	Model      string      // "lamp-dim-1"
	Thumbprint []byte      // the first 16 to 32 bytes of SHA-256 over the device's credential
	Secret     cose.Secret // label secret, 16 bytes

	// Only in tables.
	Name    string
	Place   string
	Address netip.AddrPort // the zero value when unknown
}

// Errors by consequence.
var (
	ErrDecode   = errors.New("not a readable label")
	ErrNoSecret = errors.New("the label has no label secret; devices that are claimed another way are not supported yet")
)

// wire is the label's map.
type wire struct {
	Version    uint   `cbor:"1,keyasint"`
	ID         []byte `cbor:"2,keyasint"`
	Model      string `cbor:"3,keyasint"`
	Thumbprint []byte `cbor:"4,keyasint"`
	Secret     []byte `cbor:"8,keyasint,omitempty"`
}

// Encode returns the text of the label's QR code. Name, place and address are
// not in it.
func (l Label) Encode() string {
	return Prefix + encodeBase45(cbor.MustMarshal(wire{
		Version: 1, ID: l.ID[:], Model: l.Model, Thumbprint: l.Thumbprint, Secret: l.Secret,
	}))
}

// Parse reads the text of a QR code. A code of another scheme gives a
// [*SchemeError] that says what it is.
func Parse(text string) (Label, error) {
	text = strings.TrimSpace(text)
	if len(text) > maxText {
		return Label{}, fmt.Errorf("%w: it is too long", ErrDecode)
	}
	if len(text) < len(Prefix) || !strings.EqualFold(text[:len(Prefix)], Prefix) {
		return Label{}, recognise(text)
	}
	// Scanners and people change the case; the alphabet has no small letters.
	data, err := decodeBase45(strings.ToUpper(text[len(Prefix):]))
	if err != nil {
		return Label{}, fmt.Errorf("%w: a character is missing or wrong", ErrDecode)
	}
	return parseMap(data)
}

func parseMap(data []byte) (Label, error) {
	var keys map[int64]cbor.RawMessage
	if err := cbor.Unmarshal(data, &keys); err != nil {
		return Label{}, fmt.Errorf("%w: its contents are damaged", ErrDecode)
	}
	for k := range keys {
		if k < 0 {
			return Label{}, fmt.Errorf("%w: it needs a newer version of this program", ErrDecode)
		}
	}
	var w wire
	if err := cbor.Unmarshal(data, &w); err != nil {
		return Label{}, fmt.Errorf("%w: its contents are damaged", ErrDecode)
	}
	if w.Version != 1 {
		return Label{}, fmt.Errorf("%w: it needs a newer version of this program", ErrDecode)
	}
	l := Label{Model: w.Model, Thumbprint: w.Thumbprint, Secret: w.Secret}
	if copy(l.ID[:], w.ID); len(w.ID) != len(l.ID) {
		return Label{}, fmt.Errorf("%w: the device id is not 8 bytes", ErrDecode)
	}
	if len(w.Secret) == 0 {
		return Label{}, ErrNoSecret
	}
	return l, l.check()
}

// check holds the fields to their sizes.
func (l *Label) check() error {
	switch {
	case len(l.Secret) != SecretSize:
		return fmt.Errorf("%w: the secret is not %d bytes", ErrDecode, SecretSize)
	case len(l.Thumbprint) < MinThumbprintSize || len(l.Thumbprint) > MaxThumbprintSize:
		return fmt.Errorf("%w: the thumbprint is not %d to %d bytes", ErrDecode, MinThumbprintSize, MaxThumbprintSize)
	case !printable(l.Model, maxModel) || l.Model == "":
		return fmt.Errorf("%w: the model is not 1 to %d printable characters", ErrDecode, maxModel)
	case !printable(l.Name, maxName) || !printable(l.Place, maxName):
		return fmt.Errorf("%w: name and place are at most %d printable characters", ErrDecode, maxName)
	}
	return nil
}

// Matches reports whether cred, a credential as distributed, is the one whose
// thumbprint stands on the label.
func (l Label) Matches(cred []byte) bool {
	sum := cose.Thumbprint(cred)
	return len(l.Thumbprint) >= MinThumbprintSize && bytes.HasPrefix(sum[:], l.Thumbprint)
}

func printable(s string, most int) bool {
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > most {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// FormatID writes a device id as 16 lower-case hex digits.
func FormatID(id [8]byte) string { return hex.EncodeToString(id[:]) }

// ParseID reads 16 hex digits of either case, with or without colons, dashes or
// spaces between bytes.
func ParseID(s string) (id [8]byte, err error) {
	b, err := parseHex(s)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("%w: the device id is not 16 hex digits", ErrDecode)
	}
	return [8]byte(b), nil
}

// parseHex reads hex digits, with or without separators. Its error never quotes
// the text, which may be a secret.
func parseHex(s string) ([]byte, error) {
	s = strings.NewReplacer(":", "", "-", "", " ", "").Replace(s)
	b, err := hex.DecodeString(s)
	if err != nil {
		return nil, ErrDecode
	}
	return b, nil
}
