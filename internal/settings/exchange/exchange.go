// Package exchange writes settings of devices to files of others and reads them
// from there: SenML (RFC 8428, in JSON) and CSV. Nothing is lost on the way: what is
// written is read again as the same settings.
//
// Both name a setting by a path of names and ids: "min-level", "scenes/3/level".
package exchange

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"lamplighter/internal/settings"
)

// Bounds on what is read.
const (
	maxText     = 8 << 20 // bytes
	maxProblems = 100     // that are told
	maxDevices  = 10000
)

// urn is in front of a device's id. RFC 9039, Section 4.1.
const urn = "urn:dev:mac:"

// Device is one device and its settings, or a patch of them: nil deletes.
type Device struct {
	ID     string // EUI-64, 16 lower-case hexadecimal digits
	Name   string // for people; CSV only
	Values settings.Map
}

// Schemas gives the schema of a device, nil if there is none to be had.
type Schemas func(id string) *settings.Schema

// Parse reads SenML or CSV, whichever it is.
func Parse(text []byte, schemas Schemas) ([]Device, error) {
	if t := strings.TrimLeft(string(text[:min(len(text), 64)]), "\ufeff \t\r\n"); strings.HasPrefix(t, "[") {
		return ParseSenML(text, schemas)
	}
	return ParseCSV(text, schemas)
}

// Fold takes what is the same for all devices apart, except for what each has for
// itself: a change sends it in one message. All devices have this schema.
func Fold(devices []Device, s *settings.Schema) (shared settings.Map, own map[string]settings.Map) {
	shared, own = settings.Map{}, map[string]settings.Map{}
	if len(devices) == 0 {
		return shared, own
	}
	for key, v := range s.Shared(devices[0].Values) {
		same := func(d Device) bool {
			other, has := d.Values[key]
			return has && settings.Map{0: other}.Digest() == settings.Map{0: v}.Digest()
		}
		if !slices.ContainsFunc(devices, func(d Device) bool { return !same(d) }) {
			shared[key] = v
		}
	}
	for _, d := range devices {
		rest := maps.Clone(d.Values)
		maps.DeleteFunc(rest, func(key uint64, _ any) bool { _, has := shared[key]; return has })
		if len(rest) > 0 {
			own[d.ID] = rest
		}
	}
	return shared, own
}

// item is one value with its place: a bool, int64, string, []byte, an empty Map, or
// nil to delete.
type item struct {
	name  string
	def   *settings.Def // of the value: a member's for a member
	value any
}

// items takes settings apart, in the order of keys.
func items(m settings.Map, defs []settings.Def, prefix string) ([]item, error) {
	var list []item
	for _, key := range slices.Sorted(maps.Keys(m)) {
		d := find(defs, key)
		if d == nil {
			return nil, fmt.Errorf("%skey %d is not in the schema that is known here; read the device's schema anew", prefix, key)
		}
		inner, err := d.items(m[key], prefix+d.Name)
		if err != nil {
			return nil, err
		}
		list = append(list, inner...)
	}
	return list, nil
}

func find(defs []settings.Def, key uint64) *def {
	for i := range defs {
		if defs[i].Key == key {
			return (*def)(&defs[i])
		}
	}
	return nil
}

type def settings.Def

func (d *def) items(v any, name string) ([]item, error) {
	own := (*settings.Def)(d)
	m, isMap := v.(settings.Map)
	if v != nil && !typed(own, v) {
		return nil, fmt.Errorf("%s is not of the type that the schema says; read the device's schema anew", name)
	}
	if !isMap || len(m) == 0 {
		return []item{{name, own, v}}, nil
	}
	if d.IDs == nil {
		return items(m, d.Members, name+"/")
	}
	var list []item
	for _, id := range slices.Sorted(maps.Keys(m)) {
		path := name + "/" + strconv.FormatUint(id, 10)
		inner, isMap := m[id].(settings.Map)
		switch {
		case m[id] != nil && !isMap:
			return nil, fmt.Errorf("%s is no map, and the schema says it is one; read the device's schema anew", path)
		case len(inner) == 0:
			list = append(list, item{path, own, m[id]})
			continue
		}
		more, err := items(inner, d.Members, path+"/")
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	return list, nil
}

// typed says whether v has the type of d.
func typed(d *settings.Def, v any) bool {
	switch v := v.(type) {
	case bool:
		return d.Type == settings.Bool
	case int64:
		return d.Type == settings.Int
	case string:
		return d.Type == settings.Text && utf8.ValidString(v)
	case []byte:
		return d.Type == settings.Bytes
	case settings.Map:
		return d.Type == settings.Table
	}
	return false
}

// place is where a name leads.
type place struct {
	top    *settings.Def
	id     *uint64
	member *settings.Def // nil: the setting, or the entry, itself
}

// def is the definition of the value there; of a map for an entry of it.
func (p place) def() *settings.Def {
	if p.member != nil {
		return p.member
	}
	return p.top
}

// lookup finds a name in a schema.
func lookup(s *settings.Schema, name string) (p place, err error) {
	first, rest, more := strings.Cut(name, "/")
	if p.top = s.Named(first); p.top == nil {
		return p, fmt.Errorf("%s has no setting %q", s.Model, first)
	}
	if !more {
		return p, nil
	}
	if p.top.Type != settings.Table {
		return p, fmt.Errorf("%s is no map, so there is no %q", first, name)
	}
	if p.top.IDs != nil {
		first, rest, more = strings.Cut(rest, "/")
		id, err := strconv.ParseUint(first, 10, 64)
		if err != nil || strconv.FormatUint(id, 10) != first || id < p.top.IDs.Min || id > p.top.IDs.Max {
			return p, fmt.Errorf("%s has no %q: it goes from %d to %d", p.top.Name, first, p.top.IDs.Min, p.top.IDs.Max)
		}
		if p.id = &id; !more {
			return p, nil
		}
	}
	if p.member = p.top.MemberNamed(rest); p.member == nil {
		return p, fmt.Errorf("%s has no member %q", p.top.Name, rest)
	}
	return p, nil
}

// put puts a value to its place.
func (p place) put(m settings.Map, v any) {
	key := p.top.Key
	for _, inner := range []struct {
		there bool
		key   uint64
	}{{p.id != nil, deref(p.id)}, {p.member != nil, keyOf(p.member)}} {
		if !inner.there {
			continue
		}
		next, _ := m[key].(settings.Map)
		if next == nil {
			next = settings.Map{}
			m[key] = next
		}
		m, key = next, inner.key
	}
	m[key] = v
}

func deref(id *uint64) uint64 {
	if id == nil {
		return 0
	}
	return *id
}

func keyOf(d *settings.Def) uint64 {
	if d == nil {
		return 0
	}
	return d.Key
}

// check says what is wrong with a value at its place.
func (p place) check(v any) error {
	if v == nil {
		return nil
	}
	if m, isMap := v.(settings.Map); isMap && p.top.Type == settings.Table && p.member == nil && len(m) == 0 {
		return nil // whether members are missing shows when all is together
	}
	if r := p.def().Refuse(v, true); r != nil {
		return r
	}
	return nil
}

// deviceID reads an id with or without the URN.
func deviceID(s string) (string, bool) {
	if len(s) > len(urn) && strings.EqualFold(s[:len(urn)], urn) {
		s = s[len(urn):]
	}
	b, err := hex.DecodeString(s)
	return strings.ToLower(s), err == nil && len(b) == 8
}
