package settings

import (
	"bytes"
	"fmt"

	"lamplighter/internal/cbor"
)

// Bounds on schemas.
const (
	MaxKey      = 65535
	MaxID       = 65535
	MaxSchema   = 16 << 10 // bytes
	MaxDefs     = 128
	maxIDs      = 256 // of one map
	maxMembers  = 16
	maxChoices  = 64
	maxName     = 32   // bytes
	maxUnit     = 16   // bytes
	maxTitle    = 80   // bytes
	maxHelp     = 600  // bytes
	maxLanguage = 35   // bytes; RFC 5646, Section 4.4.1
	maxTexts    = 1024 // of a language
)

// Type is what a setting's value is.
type Type uint8

// Types.
const (
	Bool  Type = 1
	Int   Type = 2 // with Choices: one of them
	Text  Type = 3 // Min and Max are of its length in bytes
	Bytes Type = 4 // likewise
	Table Type = 5 // a map: of Members, or by IDs of maps of Members
)

var typeNames = [...]string{Bool: "bool", Int: "int", Text: "text", Bytes: "bytes", Table: "map"}

// String is the word for a type.
func (t Type) String() string {
	if t > 0 && int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// Flag is a property of a setting; flags are joined by "or".
type Flag uint

// Flags.
const (
	PerDevice Flag = 1 // each device has its own: it is not for a group message
	Restart   Flag = 2 // takes effect after a restart
	Network   Flag = 4 // may cut the device off: only with a confirmation that arrives over the new setting

	allFlags = PerDevice | Restart | Network
)

// Def defines a setting, or a member of a map.
//
//	def = { 1: uint, 2: tstr, 3: type, ? 4: tstr, ? 5: int, ? 6: int, ? 7: uint, ? 8: any, ? 9: flags,
//	        ? 10: {+ int => tstr}, ? 11: [min: uint, max: uint], ? 12: [+ def], ? 13: tstr, ? 14: tstr }
//	type = 1..5   bool, int, text, bytes, map
type Def struct {
	Key     uint64           `cbor:"1,keyasint"` // 1 to 65535
	Name    string           `cbor:"2,keyasint"` // a to z, 0 to 9 and hyphens
	Type    Type             `cbor:"3,keyasint"`
	Unit    string           `cbor:"4,keyasint,omitempty"`
	Min     *int64           `cbor:"5,keyasint,omitempty"`
	Max     *int64           `cbor:"6,keyasint,omitempty"`
	Step    int64            `cbor:"7,keyasint,omitempty"`  // from Min, or from 0 without it
	Default any              `cbor:"8,keyasint,omitempty"`  // as in a [Map]; nil: none
	Flags   Flag             `cbor:"9,keyasint,omitempty"`  // not of members
	Choices map[int64]string `cbor:"10,keyasint,omitempty"` // the values that there are, and their titles
	IDs     *Range           `cbor:"11,keyasint,omitempty"` // a map by an id, such as the number of a scene
	Members []Def            `cbor:"12,keyasint,omitempty"` // of a map; no maps
	Title   string           `cbor:"13,keyasint,omitempty"` // in English
	Help    string           `cbor:"14,keyasint,omitempty"`
}

// Range is from one id to another, both included.
type Range struct {
	_        struct{} `cbor:",toarray"`
	Min, Max uint64
}

// Schema gives settings their meaning. A device has one; its maker signs it.
//
//	schema = { 1: tstr, 2: uint, 3: [+ def], ? 4: {+ language: tstr => {+ path: tstr => tstr}} }
//
// A path names what a text is of, as [Schema.In] has it.
type Schema struct {
	Model   string                       `cbor:"1,keyasint"`
	Version uint64                       `cbor:"2,keyasint"` // from 1; each has its own meaning of all keys
	Defs    []Def                        `cbor:"3,keyasint"` // in the order of keys
	Texts   map[string]map[string]string `cbor:"4,keyasint,omitempty"`
}

// UnmarshalCBOR decodes a definition; its default has the types that a [Map] has.
func (d *Def) UnmarshalCBOR(data []byte) error {
	type plain Def
	var raw struct {
		Default cbor.RawMessage `cbor:"8,keyasint,omitempty"`
	}
	var p plain
	if err := cbor.Unmarshal(data, &p); err != nil {
		return err
	}
	if err := cbor.Unmarshal(data, &raw); err != nil {
		return err
	}
	*d, d.Default = Def(p), nil
	if raw.Default == nil {
		return nil
	}
	v, err := decodeValue(raw.Default, levels)
	if err != nil {
		return fmt.Errorf("reading a default: %w", err)
	}
	d.Default = v
	return nil
}

// Encode returns the deterministic encoding.
func (s *Schema) Encode() []byte { return cbor.MustMarshal(s) }

// ParseSchema reads a schema strictly: only the deterministic encoding of what
// [Schema.Validate] finds nothing wrong with, without fields that this program does
// not know. Errors wrap [cbor.ErrDecode].
func ParseSchema(data []byte) (*Schema, error) {
	const what = "a schema"
	if len(data) > MaxSchema {
		return nil, fmt.Errorf("%w: a schema of %d bytes; at most %d are taken", cbor.ErrDecode, len(data), MaxSchema)
	}
	s := new(Schema)
	if err := parse(what, data, 4, s); err != nil {
		return nil, err
	}
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", cbor.ErrDecode, err)
	}
	if !bytes.Equal(s.Encode(), data) {
		return nil, fmt.Errorf("%w: reading a schema: it is not in deterministic encoding, or has fields that this program does not know", cbor.ErrDecode)
	}
	return s, nil
}

// Def returns the definition of a key, nil if there is none.
func (s *Schema) Def(key uint64) *Def { return find(s.Defs, func(d *Def) bool { return d.Key == key }) }

// Named returns the definition with a name, nil if there is none.
func (s *Schema) Named(name string) *Def {
	return find(s.Defs, func(d *Def) bool { return d.Name == name })
}

// Member returns the definition of a member by its key, nil if there is none.
func (d *Def) Member(key uint64) *Def {
	return find(d.Members, func(d *Def) bool { return d.Key == key })
}

// MemberNamed returns the definition of a member by its name, nil if there is none.
func (d *Def) MemberNamed(name string) *Def {
	return find(d.Members, func(d *Def) bool { return d.Name == name })
}

func find(defs []Def, is func(*Def) bool) *Def {
	for i := range defs {
		if is(&defs[i]) {
			return &defs[i]
		}
	}
	return nil
}

// Defaults returns what a new device runs. What has no default is absent.
func (s *Schema) Defaults() Map {
	m := Map{}
	for i := range s.Defs {
		if v := s.Defs[i].Default; v != nil {
			m[s.Defs[i].Key] = clone(v)
		}
	}
	return m
}

// Value is what m has at a key, the default if it has nothing, nil if there is none.
func (s *Schema) Value(m Map, key uint64) any {
	d := s.Def(key)
	if d == nil {
		return nil
	}
	return d.In(m)
}

// In is the value that m has for d, else the default, else nil. It serves members
// of maps as well.
func (d *Def) In(m Map) any {
	if v := m[d.Key]; v != nil {
		return v
	}
	return d.Default
}

func clone(v any) any {
	switch v := v.(type) {
	case Map:
		out := make(Map, len(v))
		for key, inner := range v {
			out[key] = clone(inner)
		}
		return out
	case []byte:
		return bytes.Clone(v)
	}
	return v
}

// Shared returns the part of m that all devices of a model can get in one message.
func (s *Schema) Shared(m Map) Map { return s.part(m, false) }

// PerDevice returns the part of m that each device has for itself.
func (s *Schema) PerDevice(m Map) Map { return s.part(m, true) }

func (s *Schema) part(m Map, own bool) Map {
	out := Map{}
	for key, v := range m {
		d := s.Def(key)
		if perDevice := d != nil && d.Flags&PerDevice != 0; perDevice == own {
			out[key] = v
		}
	}
	return out
}

// Flags returns the flags of all settings in m, joined.
func (s *Schema) Flags(m Map) (flags Flag) {
	for key := range m {
		if d := s.Def(key); d != nil {
			flags |= d.Flags
		}
	}
	return flags
}
