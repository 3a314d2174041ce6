// Package template expands variables in settings. An installer's program does it:
// devices never see templates.
//
// A template is settings whose texts may hold expressions in ${ and }:
//
//	"${level}"              the variable itself, of whatever type it is
//	"Lamp ${index + 1}"     a text with a number in it
//	"${2 * (step - 1)}"     whole numbers with + - * / % and parentheses
//	"$${"                   the characters ${ themselves
//
// Besides the variables of the template there are the facts of the device that a
// value is for: id, name, place, and index, which counts from 0 in the order of the
// devices.
package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"lamplighter/internal/settings"
)

// maxText bounds a text that was expanded, in bytes.
const maxText = settings.MaxValues

// Variables are values by name: a bool, an int64, a string or a []byte.
type Variables map[string]any

// Device is what a template can know of a device.
type Device struct {
	ID, Name, Place string
	Index           int // from 0
}

// facts are the names that a device's facts have.
var facts = []string{"id", "index", "name", "place"}

func (d Device) facts() Variables {
	return Variables{"id": d.ID, "index": int64(d.Index), "name": d.Name, "place": d.Place}
}

// Variable is a variable that a template has.
type Variable struct {
	Name, Title string
	Default     any // nil: it must be given
}

// Error is what is wrong in one setting of a template.
type Error struct {
	Key  uint64
	Text string
}

func (e *Error) Error() string { return fmt.Sprintf("setting %d: %s", e.Key, e.Text) }

// Bind gives the variables of a template their values. It says which are missing,
// which there are not, and which are no values.
func Bind(declared []Variable, given Variables) (Variables, error) {
	out, errs := Variables{}, []error(nil)
	for _, v := range declared {
		if err := validName(v.Name, out); err != nil {
			errs = append(errs, err)
			continue
		}
		value, has := given[v.Name]
		if !has || value == nil {
			value = v.Default
		}
		out[v.Name] = nil
		if value == nil {
			errs = append(errs, fmt.Errorf("the variable %q needs a value", v.Name))
			continue
		}
		plain, err := Plain(value)
		if err != nil {
			errs = append(errs, fmt.Errorf("the variable %q: %w", v.Name, err))
		}
		out[v.Name] = plain
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, is := out[name]; !is {
			errs = append(errs, fmt.Errorf("the template has no variable %q", name))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return out, nil
}

func validName(name string, taken Variables) error {
	if _, twice := taken[name]; twice {
		return fmt.Errorf("the variable %q is there twice", name)
	}
	if slices.Contains(facts, name) {
		return fmt.Errorf("the variable %q must have another name: each device has a %s of its own", name, name)
	}
	if n := nameLength(name); n == 0 || n != len(name) || n > 32 {
		return fmt.Errorf("%q cannot be a variable: a name has letters, digits and _, at most 32, and begins with a letter", name)
	}
	return nil
}

// Plain makes a variable's value of what JSON has: numbers without a fraction become
// int64.
func Plain(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, string, []byte, int64:
		return v, nil
	case int:
		return int64(v), nil
	case uint64: // as YAML has them
		if v <= math.MaxInt64 {
			return int64(v), nil
		}
	case float64:
		if n, ok := settings.Whole(v); ok {
			return n, nil
		}
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return n, nil
		}
	}
	return nil, fmt.Errorf("%v is no text, whole number, true or false", v)
}

// Expand gives the settings that a template is for a device. What is wrong in it, it
// says of each setting, with an [Error] each.
func Expand(values settings.Map, variables Variables, d Device) (settings.Map, error) {
	all := d.facts()
	for name, v := range variables {
		if _, is := all[name]; is {
			return nil, validName(name, nil)
		}
		all[name] = v
	}
	out, errs := settings.Map{}, []error(nil)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		v, err := expand(values[key], all)
		if err != nil {
			errs = append(errs, &Error{key, err.Error()})
		}
		out[key] = v
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return out, nil
}

func expand(v any, all Variables) (any, error) {
	switch v := v.(type) {
	case string:
		pieces, err := split(v)
		if err != nil {
			return nil, err
		}
		return join(pieces, all)
	case settings.Map:
		out := settings.Map{}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			inner, err := expand(v[key], all)
			if err != nil {
				return nil, err
			}
			out[key] = inner
		}
		return out, nil
	}
	return v, nil
}

// join evaluates the pieces; one expression alone keeps its type.
func join(pieces []piece, all Variables) (any, error) {
	if len(pieces) == 1 && pieces[0].expression {
		return evaluate(pieces[0].text, all)
	}
	var out strings.Builder
	for _, p := range pieces {
		text := p.text
		if p.expression {
			v, err := evaluate(p.text, all)
			if err != nil {
				return nil, err
			}
			switch v := v.(type) {
			case string:
				text = v
			case int64, bool:
				text = fmt.Sprint(v)
			default:
				return nil, fmt.Errorf("${%s} are bytes, which cannot be part of a text", p.text)
			}
		}
		if out.WriteString(text); out.Len() > maxText {
			return nil, fmt.Errorf("the text becomes longer than %d bytes", maxText)
		}
	}
	return out.String(), nil
}

// piece is a piece of a text: characters, or an expression without its braces.
type piece struct {
	text       string
	expression bool
}

// split takes a text apart at its expressions.
func split(s string) (pieces []piece, err error) {
	var plain strings.Builder
	for s != "" {
		at := strings.Index(s, "${")
		if at < 0 {
			break
		}
		if at > 0 && s[at-1] == '$' {
			plain.WriteString(s[:at-1] + "${")
			s = s[at+2:]
			continue
		}
		plain.WriteString(s[:at])
		expression, rest, ok := strings.Cut(s[at+2:], "}")
		if !ok {
			return nil, fmt.Errorf("%q lacks a closing brace; write $${ for the characters ${", s[at:])
		}
		if plain.Len() > 0 {
			pieces = append(pieces, piece{text: plain.String()})
			plain.Reset()
		}
		pieces, s = append(pieces, piece{expression, true}), rest
	}
	if plain.WriteString(s); plain.Len() > 0 {
		pieces = append(pieces, piece{text: plain.String()})
	}
	return pieces, nil
}

// Escape makes a template of a text that stands for itself.
func Escape(s string) string { return strings.ReplaceAll(s, "${", "$${") }

// Names returns the variables that a template uses, without a device's facts, in
// order; what is wrong in it is for [Expand] to say.
func Names(values settings.Map) []string {
	found := map[string]bool{}
	collect(values, found)
	for _, fact := range facts {
		delete(found, fact)
	}
	return slices.Sorted(maps.Keys(found))
}

func collect(v any, found map[string]bool) {
	switch v := v.(type) {
	case settings.Map:
		for _, inner := range v {
			collect(inner, found)
		}
	case string:
		pieces, _ := split(v)
		for _, p := range pieces {
			for text := p.text; p.expression && text != ""; {
				n := nameLength(text)
				if n > 0 {
					found[text[:n]] = true
				}
				text = text[max(n, 1):]
			}
		}
	}
}
