package settings

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// JSON gives settings as pages have them: keys in decimal, bytes in hexadecimal,
// null to delete. Numbers beyond 2^53 lose digits in JavaScript, so a schema for
// pages stays below.
func (m Map) JSON() map[string]any {
	out := make(map[string]any, len(m))
	for key, v := range m {
		switch v := v.(type) {
		case Map:
			out[strconv.FormatUint(key, 10)] = v.JSON()
		case []byte:
			out[strconv.FormatUint(key, 10)] = hex.EncodeToString(v)
		default:
			out[strconv.FormatUint(key, 10)] = v
		}
	}
	return out
}

// FromJSON is the inverse of [Map.JSON], of what encoding/json makes of an object.
// It fails for what cannot be a key. What is no value of a setting it leaves as it
// is, an expression of a template for one: [Schema.Refuse] says what is wrong with
// it. Without a setting of that key a text stays a text.
func (s *Schema) FromJSON(values map[string]any) (Map, error) {
	return fromJSON(values, s.Defs, nil)
}

// fromJSON reads a map of settings or members, or one by ids of maps of members.
func fromJSON(values map[string]any, defs []Def, byID *Def) (Map, error) {
	out := make(Map, len(values))
	for name, v := range values {
		key, err := strconv.ParseUint(name, 10, 64)
		if err != nil || strconv.FormatUint(key, 10) != name {
			return nil, fmt.Errorf("%q cannot be the key of a setting: keys are whole numbers", name)
		}
		d := byID
		if d == nil {
			d = find(defs, func(d *Def) bool { return d.Key == key })
		}
		if out[key], err = d.fromJSON(v, byID != nil); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Whole is a number that JSON had as a whole one. From 2^53 on it may have been
// another.
func Whole(v float64) (int64, bool) {
	return int64(v), v == math.Trunc(v) && math.Abs(v) < 1<<53
}

// fromJSON reads a value of d, which may be nil; entry: of one of its ids.
func (d *Def) fromJSON(v any, entry bool) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		switch {
		case d == nil:
			return fromJSON(v, nil, nil)
		case d.IDs != nil && !entry:
			return fromJSON(v, nil, d)
		}
		return fromJSON(v, d.Members, nil)
	case float64:
		if n, ok := Whole(v); ok {
			return n, nil
		}
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return n, nil
		}
	case string:
		if d != nil && d.Type == Bytes {
			if b, err := hex.DecodeString(v); err == nil {
				return b, nil
			}
		}
	}
	return v, nil
}
