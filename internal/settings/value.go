package settings

import (
	"crypto/sha256"
	"fmt"
	"maps"

	"lamplighter/internal/cbor"
)

// Map is settings by their keys. A value is a bool, an int64, a string, a []byte, or
// a Map; in a patch nil stands for "delete". Maps are at most levels deep: scenes are
// a Map of Maps.
type Map map[uint64]any

// MarshalCBOR encodes deterministically: equal settings have equal bytes.
func (m Map) MarshalCBOR() ([]byte, error) {
	if m == nil {
		m = Map{}
	}
	return cbor.Marshal(map[uint64]any(m))
}

// UnmarshalCBOR decodes and holds the values to their types. Errors wrap
// [cbor.ErrDecode].
func (m *Map) UnmarshalCBOR(data []byte) (err error) {
	*m, err = decodeMap(data, levels)
	return err
}

// levels is how many levels of maps there may be below the settings.
const levels = 2

// decodeMap reads a map of at most so many levels of maps below it.
func decodeMap(data []byte, levels int) (Map, error) {
	if len(data) == 0 || data[0]>>5 != cbor.Map {
		return nil, fmt.Errorf("%w: settings are a map", cbor.ErrDecode)
	}
	var raw map[uint64]cbor.RawMessage
	if err := cbor.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("reading settings: %w", err)
	}
	m := make(Map, len(raw))
	for key, item := range raw {
		v, err := decodeValue(item, levels)
		if err != nil {
			return nil, fmt.Errorf("reading setting %d: %w", key, err)
		}
		m[key] = v
	}
	return m, nil
}

func decodeValue(item []byte, levels int) (any, error) {
	if len(item) > 0 && item[0]>>5 == 5 {
		if levels == 0 {
			return nil, fmt.Errorf("%w: a map too deep", cbor.ErrDecode)
		}
		return decodeMap(item, levels-1)
	}
	var v any
	if err := cbor.Unmarshal(item, &v); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case nil, bool, string, []byte, int64:
		return v, nil
	case uint64:
		if v < 1<<63 {
			return int64(v), nil
		}
	}
	return nil, fmt.Errorf("%w: a value of a type that settings do not have", cbor.ErrDecode)
}

// Merge applies a patch as RFC 7396 does to objects: values replace, maps are
// merged, nil deletes. Neither argument changes.
func Merge(base, patch Map) Map {
	out := maps.Clone(base)
	if out == nil {
		out = Map{}
	}
	for key, v := range patch {
		switch v := v.(type) {
		case nil:
			delete(out, key)
		case Map:
			inner, _ := out[key].(Map)
			out[key] = Merge(inner, v)
		default:
			out[key] = v
		}
	}
	return out
}

// Overlay puts one patch on top of another: what over has goes before, members of maps
// are put together. Unlike [Merge] it keeps what deletes.
func Overlay(under, over Map) Map {
	out := maps.Clone(under)
	if out == nil {
		out = Map{}
	}
	for key, v := range over {
		inner, isMap := v.(Map)
		below, wasMap := out[key].(Map)
		if isMap && wasMap {
			v = Overlay(below, inner)
		}
		out[key] = v
	}
	return out
}

// Digest identifies settings: SHA-256 of their deterministic encoding.
func (m Map) Digest() [sha256.Size]byte {
	return sha256.Sum256(cbor.MustMarshal(m))
}

// Short is the beginning of the digest, as it is quoted.
func (m Map) Short() []byte {
	sum := m.Digest()
	return sum[:DigestSize]
}

// Diff is the least patch that makes to of from.
func Diff(from, to Map) Map {
	patch := Map{}
	for key := range from {
		if _, still := to[key]; !still {
			patch[key] = nil
		}
	}
	for key, want := range to {
		have, had := from[key]
		inner, isMap := want.(Map)
		old, wasMap := have.(Map)
		switch {
		case had && equal(have, want):
		case isMap && wasMap:
			patch[key] = Diff(old, inner)
		default:
			patch[key] = want
		}
	}
	return patch
}

func equal(a, b any) bool { return string(cbor.MustMarshal(a)) == string(cbor.MustMarshal(b)) }
