// Package source reads schemas of settings as people write them, in YAML. It is for
// programs that sign schemas, not for browsers and devices.
//
//	model: lamp-dim-1
//	version: 1
//	title: { en: Dimmable lamp, de: Dimmbare Leuchte }
//	settings:
//	  - key: 1
//	    name: min-level
//	    title: { en: Lowest level, de: Kleinster Wert }
//	    type: int
//	    unit: "%"
//	    min: 0
//	    max: 100
//	    default: 1
//
// docs/settings.md has all names. A text is English, or a map of languages in which
// English must be.
package source

import (
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"lamplighter/internal/settings"
)

// Parse reads a schema. What is wrong it says as [settings.Problems].
func Parse(text []byte) (*settings.Schema, error) {
	r := &reader{schema: &settings.Schema{Texts: map[string]map[string]string{}}}
	if root := r.tree(text); root != nil && len(r.problems) == 0 {
		r.root(root)
	}
	if len(r.problems) == 0 {
		r.validate()
	}
	if len(r.problems) > 0 {
		slices.SortStableFunc(r.problems, func(a, b settings.Problem) int { return a.Line - b.Line })
		return nil, r.problems
	}
	return r.schema, nil
}

type reader struct {
	schema   *settings.Schema
	lines    []int // of the settings
	problems settings.Problems
}

func (r *reader) validate() {
	if len(r.schema.Texts) == 0 {
		r.schema.Texts = nil
	}
	var mistake *settings.Mistake
	switch err := r.schema.Validate(); {
	case err == nil:
	case errors.As(err, &mistake) && mistake.Setting >= 0:
		r.wrong(r.lines[mistake.Setting], "%s.", mistake.Text)
	default:
		r.wrong(0, "%s.", err)
	}
}

// fields calls the function of each field that n has, says what fields there are
// otherwise, and which of those that must be there are missing.
func (r *reader) fields(n *node, what string, must []string, known map[string]func(*node)) {
	list, ok := n.value.([]entry)
	if !ok {
		r.wrong(n.line, "%s is a map, with such names as %s.", what, strings.Join(must, ", "))
		return
	}
	for _, e := range list {
		if read := known[e.key]; read != nil {
			read(e.value)
			continue
		}
		r.wrong(e.line, "%s has no %q; there are %s.", what, e.key, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	for _, name := range must {
		if !slices.ContainsFunc(list, func(e entry) bool { return e.key == name }) {
			r.wrong(n.line, "%s needs %q.", what, name)
		}
	}
}

func (r *reader) root(n *node) {
	s := r.schema
	r.fields(n, "A schema", []string{"model", "version", "settings"}, map[string]func(*node){
		"model":   func(n *node) { s.Model = r.text(n) },
		"version": func(n *node) { s.Version = r.count(n) },
		"title": func(n *node) {
			if title := r.words(n, ""); title != "" {
				r.translate("en", "", title)
			}
		},
		"settings": func(n *node) { s.Defs, r.lines = r.defs(n, "") },
	})
}

// defs reads a list of definitions; prefix is of the paths of their texts.
func (r *reader) defs(n *node, prefix string) (defs []settings.Def, lines []int) {
	list, ok := n.value.([]*node)
	if !ok {
		r.wrong(n.line, "A list of settings is expected here, each with a hyphen in front.")
		return nil, nil
	}
	for _, item := range list {
		defs, lines = append(defs, r.def(item, prefix)), append(lines, item.line)
	}
	return defs, lines
}

func (r *reader) def(n *node, prefix string) (d settings.Def) {
	d.Name = textOf(n, "name") // first: the texts of a setting are filed under it
	path := prefix + d.Name
	var standard *node
	flag := func(f settings.Flag) func(*node) {
		return func(n *node) {
			if r.yes(n) {
				d.Flags |= f
			}
		}
	}
	r.fields(n, "A setting", []string{"key", "name", "type"}, map[string]func(*node){
		"key":        func(n *node) { d.Key = r.count(n) },
		"name":       func(n *node) { d.Name = r.text(n) },
		"type":       func(n *node) { d.Type = r.kind(n) },
		"title":      func(n *node) { d.Title = r.words(n, path) },
		"help":       func(n *node) { d.Help = r.words(n, path+"/help") },
		"unit":       func(n *node) { d.Unit = r.text(n) },
		"min":        func(n *node) { v := r.integerOf(n); d.Min = &v },
		"max":        func(n *node) { v := r.integerOf(n); d.Max = &v },
		"step":       func(n *node) { d.Step = r.integerOf(n) },
		"default":    func(n *node) { standard = n },
		"per-device": flag(settings.PerDevice),
		"restart":    flag(settings.Restart),
		"network":    flag(settings.Network),
		"choices":    func(n *node) { d.Choices = r.choices(n, path) },
		"ids":        func(n *node) { d.IDs = r.ids(n) },
		"members":    func(n *node) { d.Members, _ = r.defs(n, path+".") },
	})
	if textOf(n, "type") == "choice" && d.Choices == nil {
		r.wrong(n.line, "%s: a choice needs \"choices\".", d.Name)
	}
	if standard != nil {
		d.Default = r.value(&d, standard)
	}
	return d
}

// textOf is the text of an entry of a map, empty without one.
func textOf(n *node, key string) string {
	list, _ := n.value.([]entry)
	for _, e := range list {
		if text, ok := e.value.value.(string); ok && e.key == key {
			return text
		}
	}
	return ""
}

func (r *reader) kind(n *node) settings.Type {
	switch word := r.text(n); word {
	case "bool":
		return settings.Bool
	case "int", "choice":
		return settings.Int
	case "text":
		return settings.Text
	case "bytes":
		return settings.Bytes
	case "map":
		return settings.Table
	default:
		r.wrong(n.line, "There is no type %q; there are bool, int, choice, text, bytes and map.", word)
		return settings.Bool
	}
}

func (r *reader) choices(n *node, path string) map[int64]string {
	list, ok := n.value.([]entry)
	if !ok {
		r.wrong(n.line, "Choices are a map of numbers and titles, such as \"0: Off\".")
		return nil
	}
	out := map[int64]string{}
	for _, e := range list {
		v, err := strconv.ParseInt(e.key, 10, 64)
		if err != nil || strconv.FormatInt(v, 10) != e.key {
			r.wrong(e.line, "%q: a choice is a whole number with a title, such as \"0: Off\".", e.key)
			continue
		}
		out[v] = r.words(e.value, path+"/"+strconv.FormatInt(v, 10))
	}
	return out
}

func (r *reader) ids(n *node) *settings.Range {
	list, _ := n.value.([]*node)
	if len(list) != 2 {
		r.wrong(n.line, "ids has the first and the last, such as [0, 15].")
		return nil
	}
	return &settings.Range{Min: r.count(list[0]), Max: r.count(list[1])}
}

// words reads a text in one or more languages and returns the English.
func (r *reader) words(n *node, path string) (english string) {
	list, ok := n.value.([]entry)
	if !ok {
		return r.text(n)
	}
	for _, e := range list {
		if text := r.text(e.value); e.key == "en" {
			english = text
		} else {
			r.translate(e.key, path, text)
		}
	}
	if english == "" {
		r.wrong(n.line, "A text in several languages needs one in English, \"en\".")
	}
	return english
}

func (r *reader) translate(language, path, text string) {
	if r.schema.Texts[language] == nil {
		r.schema.Texts[language] = map[string]string{}
	}
	r.schema.Texts[language][path] = text
}

// value reads a value of d. Bytes are written in hexadecimal, members of maps by
// their names.
func (r *reader) value(d *settings.Def, n *node) any {
	switch v := n.value.(type) {
	case string:
		if d.Type != settings.Bytes {
			return v
		}
		b, err := hex.DecodeString(v)
		if err != nil {
			r.wrong(n.line, "%s: bytes are written in hexadecimal, such as \"00ff\".", d.Name)
		}
		return b
	case []entry:
		if d.Type != settings.Table {
			break
		}
		if d.IDs == nil {
			return r.record(d, v)
		}
		out := settings.Map{}
		for _, e := range v {
			id, err := strconv.ParseUint(e.key, 10, 64)
			inner, ok := e.value.value.([]entry)
			if err != nil || !ok || strconv.FormatUint(id, 10) != e.key {
				r.wrong(e.line, "%s: a number with a map of members is expected here.", d.Name)
				continue
			}
			out[id] = r.record(d, inner)
		}
		return out
	case bool, int64:
		return v
	}
	r.wrong(n.line, "%s: this is no value of a setting of type %v.", d.Name, d.Type)
	return nil
}

func (r *reader) record(d *settings.Def, list []entry) settings.Map {
	out := settings.Map{}
	for _, e := range list {
		member := d.MemberNamed(e.key)
		if member == nil {
			r.wrong(e.line, "%s has no member %q.", d.Name, e.key)
			continue
		}
		out[member.Key] = r.value(member, e.value)
	}
	return out
}
