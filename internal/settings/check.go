package settings

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Refusal is why settings do not fit a schema. Its words are English; Result and Key
// are what a device answers.
type Refusal struct {
	Key    uint64 // 0: all of it
	Result Result
	Text   string
}

func (r *Refusal) Error() string { return r.Text }

// Check says whether m can be what a device runs, and else which key is wrong and
// how: [ResultUnknownKey], [ResultType], [ResultRange] or [ResultTooLarge].
func (s *Schema) Check(m Map) (key uint64, r Result) { return s.Refuse(m, false).answer() }

// CheckPatch is [Schema.Check] for a patch, in which nil deletes and members may be
// missing. What it lets pass can still give settings that Check refuses.
func (s *Schema) CheckPatch(patch Map) (key uint64, r Result) { return s.Refuse(patch, true).answer() }

func (r *Refusal) answer() (uint64, Result) {
	if r == nil {
		return 0, ResultOK
	}
	return r.Key, r.Result
}

// Refuse is [Schema.Check], or [Schema.CheckPatch], in words; nil if nothing is
// wrong. Of several problems it gives the one with the lowest key.
func (s *Schema) Refuse(m Map, patch bool) *Refusal {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		d := s.Def(key)
		if d == nil {
			return &Refusal{key, ResultUnknownKey, fmt.Sprintf("there is no setting with key %d", key)}
		}
		if r := d.refuse(m[key], patch); r != nil {
			r.Key, r.Text = key, d.Name+r.Text
			return r
		}
	}
	if most := map[bool]int{true: MaxPatch, false: MaxValues}[patch]; m.size() > most {
		return &Refusal{0, ResultTooLarge, fmt.Sprintf("these are %d bytes, and %d is the most", m.size(), most)}
	}
	return nil
}

// Refuse says what is wrong with a value of d, nil if nothing is.
func (d *Def) Refuse(v any, patch bool) *Refusal {
	r := d.refuse(v, patch)
	if r != nil {
		r.Key, r.Text = d.Key, d.Name+r.Text
	}
	return r
}

// refuse gives a text that continues the name of d.
func (d *Def) refuse(v any, patch bool) *Refusal {
	if v == nil && patch {
		return nil
	}
	switch v := v.(type) {
	case bool:
		if d.Type == Bool {
			return nil
		}
	case int64:
		if d.Type == Int {
			return d.number(v)
		}
	case string:
		if d.Type == Text {
			return d.length(len(v))
		}
	case []byte:
		if d.Type == Bytes && v != nil {
			return d.length(len(v))
		}
	case Map:
		if d.Type == Table && v != nil {
			return d.table(v, patch)
		}
	}
	return refusal(ResultType, " wants %s", d.kind())
}

func refusal(r Result, format string, args ...any) *Refusal {
	return &Refusal{0, r, fmt.Sprintf(format, args...)}
}

// kind says in words what values of d are.
func (d *Def) kind() string {
	switch d.Type {
	case Bool:
		return "true or false"
	case Int:
		return "a whole number"
	case Text:
		return "a text"
	case Bytes:
		return "bytes"
	}
	if d.IDs != nil {
		return fmt.Sprintf("a map by numbers from %d to %d", d.IDs.Min, d.IDs.Max)
	}
	return "a map"
}

// number checks range, step and choices.
func (d *Def) number(v int64) *Refusal {
	if d.Choices != nil {
		if _, ok := d.Choices[v]; !ok {
			return refusal(ResultRange, ": %d is none of the choices %s", v, d.choices())
		}
		return nil
	}
	low, high := int64(math.MinInt64), int64(math.MaxInt64)
	if d.Min != nil {
		low = *d.Min
	}
	if d.Max != nil {
		high = *d.Max
	}
	unit := ""
	if d.Unit != "" {
		unit = " " + d.Unit
	}
	switch {
	case v < low:
		return refusal(ResultRange, ": %d is below %d%s", v, low, unit)
	case v > high:
		return refusal(ResultRange, ": %d is above %d%s", v, high, unit)
	case !d.onStep(v):
		from := int64(0)
		if d.Min != nil {
			from = *d.Min
		}
		return refusal(ResultRange, ": %d is between two steps of %d%s from %d", v, d.Step, unit, from)
	}
	return nil
}

// onStep counts from Min without overflow: v is not below it.
func (d *Def) onStep(v int64) bool {
	switch {
	case d.Step <= 1:
		return true
	case d.Min == nil:
		return v%d.Step == 0
	}
	return (uint64(v)-uint64(*d.Min))%uint64(d.Step) == 0
}

func (d *Def) choices() string {
	var list []string
	for _, v := range slices.Sorted(maps.Keys(d.Choices)) {
		list = append(list, fmt.Sprintf("%d (%s)", v, d.Choices[v]))
	}
	return strings.Join(list, ", ")
}

func (d *Def) length(n int) *Refusal {
	switch {
	case d.Min != nil && int64(n) < *d.Min:
		return refusal(ResultRange, " has %d bytes, and %d is the least", n, *d.Min)
	case d.Max != nil && int64(n) > *d.Max:
		return refusal(ResultRange, " has %d bytes, and %d is the most", n, *d.Max)
	}
	return nil
}

// table checks a map: of members, or by ids of maps of members.
func (d *Def) table(m Map, patch bool) *Refusal {
	if d.IDs == nil {
		return d.record(m, patch)
	}
	for _, id := range slices.Sorted(maps.Keys(m)) {
		if id < d.IDs.Min || id > d.IDs.Max {
			return refusal(ResultRange, " has no %d: it goes from %d to %d", id, d.IDs.Min, d.IDs.Max)
		}
		inner, ok := m[id].(Map)
		if m[id] == nil && patch {
			continue
		}
		if !ok || inner == nil {
			return refusal(ResultType, " %d wants a map of %s", id, d.memberNames())
		}
		if r := d.record(inner, patch); r != nil {
			r.Text = fmt.Sprintf(" %d%s", id, r.Text)
			return r
		}
	}
	return nil
}

// record checks a map of members. One without a default has to be there.
func (d *Def) record(m Map, patch bool) *Refusal {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		member := d.Member(key)
		if member == nil {
			return refusal(ResultUnknownKey, ": there is no member with key %d", key)
		}
		if r := member.refuse(m[key], patch); r != nil {
			r.Text = ", " + member.Name + r.Text
			return r
		}
	}
	for i := range d.Members {
		member := &d.Members[i]
		if _, has := m[member.Key]; !has && !patch && member.Default == nil {
			return refusal(ResultType, " has no %s", member.Name)
		}
	}
	return nil
}

func (d *Def) memberNames() string {
	var names []string
	for i := range d.Members {
		names = append(names, d.Members[i].Name)
	}
	return strings.Join(names, ", ")
}
