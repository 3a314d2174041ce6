package ace

import (
	"bytes"
	"fmt"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
)

// Param is an optional parameter of a group configuration: absent, null, or a
// value. Its zero value is absent.
type Param[T any] struct {
	Present bool
	Null    bool // null, and Value is none
	Value   T
}

// Is returns a present parameter.
func Is[T any](v T) Param[T] { return Param[T]{Present: true, Value: v} }

// IsNull returns a parameter that is present and null.
func IsNull[T any]() Param[T] { return Param[T]{Present: true, Null: true} }

// Or is the value, or v where there is none.
func (p Param[T]) Or(v T) T {
	if !p.Present || p.Null {
		return v
	}
	return p.Value
}

// IsZero reports whether the parameter is absent.
func (p Param[T]) IsZero() bool { return !p.Present }

// MarshalCBOR writes null or the value.
func (p Param[T]) MarshalCBOR() ([]byte, error) {
	if p.Null {
		return []byte{cbor.Null}, nil
	}
	return cbor.Marshal(p.Value)
}

// UnmarshalCBOR reads null or the value. It takes nothing for a value that is
// encoded as another: no tag around it, no null inside.
func (p *Param[T]) UnmarshalCBOR(data []byte) error {
	*p = Param[T]{}
	if isNull(data) {
		*p = IsNull[T]()
		return nil
	}
	var v T
	if _, pattern := any(v).(Pattern); !pattern && !cbor.Untagged(data) {
		return fmt.Errorf("%w: a tagged value", ErrDecode)
	}
	if err := cbor.Unmarshal(data, &v); err != nil {
		return err
	}
	var item any
	if err := cbor.Unmarshal(data, &item); err != nil {
		return err
	}
	once, err := cbor.Marshal(item)
	if err != nil {
		return err
	}
	if again, err := cbor.Marshal(v); err != nil || !bytes.Equal(once, again) {
		return fmt.Errorf("%w: a value of another type", ErrDecode)
	}
	*p = Is(v)
	return nil
}

func (p *Param[T]) clear() { *p = Param[T]{} }

// parameter is one [Param] of whatever type.
type parameter interface {
	IsZero() bool
	MarshalCBOR() ([]byte, error)
	UnmarshalCBOR([]byte) error
	clear()
}

// AlgorithmID names an algorithm by its number or, as nobody does who is
// supported here, by a text.
//
//	tstr / int
type AlgorithmID struct {
	Alg  cose.Algorithm
	Text string // not empty: instead of Alg
}

// Alg is an algorithm as a parameter; [cose.Null] is null.
func Alg(alg cose.Algorithm) Param[AlgorithmID] {
	if alg == cose.Null {
		return IsNull[AlgorithmID]()
	}
	return Is(AlgorithmID{Alg: alg})
}

// String is the number or the text.
func (a AlgorithmID) String() string {
	if a.Text != "" {
		return fmt.Sprintf("%q", a.Text)
	}
	return fmt.Sprint(int(a.Alg))
}

// MarshalCBOR writes the number or the text.
func (a AlgorithmID) MarshalCBOR() ([]byte, error) {
	if a.Text != "" {
		return cbor.Marshal(a.Text)
	}
	return cbor.Marshal(int(a.Alg))
}

// UnmarshalCBOR reads both forms.
func (a *AlgorithmID) UnmarshalCBOR(data []byte) error {
	*a = AlgorithmID{}
	if len(data) == 0 || data[0]>>5 != cbor.Text {
		return cbor.Unmarshal(data, &a.Alg)
	}
	if err := cbor.Unmarshal(data, &a.Text); err != nil {
		return err
	}
	if a.Text == "" {
		return fmt.Errorf("%w: an algorithm without a name", ErrDecode)
	}
	return nil
}

// Capabilities are the parameters of an algorithm: its capabilities and those of
// the type of its keys, [[1],[1,6]] for EdDSA with Ed25519 (RFC 9053, Section 8).
type Capabilities [][]int

// Equal reports whether both are the same.
func (c Capabilities) Equal(other Capabilities) bool {
	return bytes.Equal(Encode([][]int(c)), Encode([][]int(other)))
}
