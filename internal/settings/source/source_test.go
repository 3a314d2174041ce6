package source

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"lamplighter/internal/settings"
	"lamplighter/internal/sim/models"
)

func number(n int64) *int64 { return &n }

const whole = `# a schema with all there is
model: lamp
version: 7
title: { en: Lamp, de: Leuchte }
settings:
  - key: 1
    name: level
    title: Level
    help: |
      One line,
      and another.
    type: int
    unit: "%"
    min: -5
    max: 100
    step: 5
    default: 0
    per-device: true
    restart: true
    network: true
  - {key: 2, name: blink, type: bool, default: false, restart: false}
  - {key: 3, name: label, type: text, max: 8, default: "12"}
  - {key: 4, name: token, type: bytes, default: 00ff}
  - key: 5
    name: mode
    type: choice
    choices: {-1: {en: "Off", de: Aus}, 2: "On"}
  - key: 6
    name: scenes
    type: map
    ids: [0, 15]
    members:
      - {key: 1, name: level, title: {en: Level, de-AT: Wert}, type: int}
      - {key: 2, name: fade, type: int, default: 3}
    default: {3: {level: 50}, 4: {level: 1, fade: 2}}
  - key: 7
    name: sun
    type: map
    members: [{key: 1, name: north, type: bool, default: true}]
    default: {north: false}
`

func TestParse(t *testing.T) {
	got, err := Parse([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	type m = settings.Map
	want := &settings.Schema{
		Model: "lamp", Version: 7,
		Defs: []settings.Def{
			{Key: 1, Name: "level", Title: "Level", Help: "One line,\nand another.", Type: settings.Int, Unit: "%", Min: number(-5), Max: number(100), Step: 5, Default: int64(0),
				Flags: settings.PerDevice | settings.Restart | settings.Network},
			{Key: 2, Name: "blink", Type: settings.Bool, Default: false},
			{Key: 3, Name: "label", Type: settings.Text, Max: number(8), Default: "12"},
			{Key: 4, Name: "token", Type: settings.Bytes, Default: []byte{0, 255}},
			{Key: 5, Name: "mode", Type: settings.Int, Choices: map[int64]string{-1: "Off", 2: "On"}},
			{Key: 6, Name: "scenes", Type: settings.Table, IDs: &settings.Range{Min: 0, Max: 15}, Members: []settings.Def{
				{Key: 1, Name: "level", Title: "Level", Type: settings.Int}, {Key: 2, Name: "fade", Type: settings.Int, Default: int64(3)},
			}, Default: m{3: m{1: int64(50)}, 4: m{1: int64(1), 2: int64(2)}}},
			{Key: 7, Name: "sun", Type: settings.Table, Members: []settings.Def{{Key: 1, Name: "north", Type: settings.Bool, Default: true}}, Default: m{1: false}},
		},
		Texts: map[string]map[string]string{"en": {"": "Lamp"}, "de": {"": "Leuchte", "mode/-1": "Aus"}, "de-AT": {"scenes.level": "Wert"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n%+v\n%+v", got, want)
	}
	if again, err := settings.ParseSchema(got.Encode()); err != nil || !reflect.DeepEqual(again, got) {
		t.Errorf("%+v, %v", again, err)
	}
}

// Mistakes are told with the line that they are in.
func TestMistakes(t *testing.T) {
	const head = "model: lamp\nversion: 1\nsettings:\n"
	const one = "  - {key: 1, name: a, type: int}\n"
	for _, c := range []struct{ text, want string }{
		{"", "The file has 0 documents"},
		{"---\na: 1\n---\nb: 1\n", "The file has 2 documents"},
		{"a: [", "This is no YAML"},
		{"just a text", "line 1: A schema is a map"},
		{"model: lamp\nversion: 1\n", `line 1: A schema needs "settings"`},
		{head + one + "colour: red\n", `line 5: A schema has no "colour"; there are model, settings`},
		{head + one + "version: 2\n", `line 5: "version" is there twice; the first is in line 2`},
		{"model: 5\nversion: 1\nsettings:\n" + one, "line 1: A text is expected here"},
		{"model: lamp\nversion: one\nsettings:\n" + one, "line 2: A whole number is expected"},
		{"model: lamp\nversion: -1\nsettings:\n" + one, "line 2: -1 must not be negative"},
		{"model: lamp\nversion: 1.0\nsettings:\n" + one, "line 2: \"1.0\": there are only texts"},
		{"model: lamp\nversion: 010\nsettings:\n" + one, "line 2: 010: write numbers with decimal digits alone"},
		{"model: lamp\nversion: 0x10\nsettings:\n" + one, "line 2: 0x10: write numbers"},
		{"model: lamp\nversion: 1_0\nsettings:\n" + one, "line 2: 1_0: write numbers"},
		{head + one + "  - {key: 2, name: b, type: bytes, default: 0011}\n", "line 5: 0011: write numbers"},
		{head + one + "  - {key: 2, name: b, type: choice}\n", `line 5: b: a choice needs "choices".`},
		{head + one + "  - {key: 2, name: b, type: choice, choices: {1: A, 01: B}}\n", `line 5: "01": a choice is a whole number`},
		{head + one + "  - {key: 2, name: b, type: map, ids: [0, 3], members: [{key: 1, name: x, type: int}], default: {1: {x: 1}, 01: {x: 2}}}\n", "line 5: b: a number with a map of members"},
		{"model: lamp\nversion: 99999999999999999999\nsettings:\n" + one, "line 2: "},
		{"model: lamp\nversion: 10000000000000000000\nsettings:\n" + one, "line 2: 10000000000000000000 is too large"},
		{"model: lamp\nversion: 1\nsettings: 5\n", "line 3: A list of settings is expected"},
		{head + one + "  - {key: 1, name: b, type: int}\n", "line 5: b: the key 1 is that of a, too."},
		{head + one + "  - {key: 2, name: B, type: int}\n", "line 5: the setting with key 2: the name \"B\""},
		{head + one + "  - {key: 2, name: b}\n", `line 5: A setting needs "type"`},
		{head + one + "  - {key: 2, name: b, type: float}\n", `line 5: There is no type "float"; there are bool`},
		{head + one + "  - key: 2\n    name: b\n    type: int\n    min: 2\n    max: 1\n", "line 5: b: the least, 2, is above the most, 1."},
		{head + one + "  - key: 2\n    name: b\n    type: int\n    network: often\n", "line 8: true or false is expected"},
		{head + one + "  - key: 2\n    name: b\n    type: bool\n    default: 1\n", "line 5: b: the default cannot be: b wants true or false."},
		{head + one + "  - key: 2\n    name: b\n    type: bytes\n    default: 0g\n", "line 8: b: bytes are written in hexadecimal"},
		{head + one + "  - key: 2\n    name: b\n    type: int\n    default: [1]\n", "line 8: b: this is no value of a setting of type int"},
		{head + one + "  - key: 2\n    name: b\n    type: int\n    default: {1: 2}\n", "line 8: b: this is no value of a setting of type int"},
		{head + one + "  - key: 2\n    name: b\n    type: choice\n    choices: 5\n", "line 8: Choices are a map"},
		{head + one + "  - key: 2\n    name: b\n    type: choice\n    choices: {off: Off}\n", `line 8: "off": a choice is a whole number`},
		{head + one + "  - key: 2\n    name: b\n    type: map\n    ids: [1]\n    members: [{key: 1, name: x, type: int}]\n", "line 8: ids has the first"},
		{head + one + "  - key: 2\n    name: b\n    type: map\n    members: [{key: 1, name: x, type: int}]\n    default: {y: 1}\n", `line 9: b has no member "y"`},
		{head + one + "  - key: 2\n    name: b\n    type: map\n    ids: [0, 3]\n    members: [{key: 1, name: x, type: int}]\n    default: {1: 5}\n", "line 10: b: a number with a map of members"},
		{head + one + "  - {key: 2, name: b, type: int, title: {de: Wert}}\n", "line 5: A text in several languages needs one in English"},
		{head + one + "  - {key: 2, name: b, type: int, title: {en: b, d: Wert}}\n", `"d" is no language`},
		{head + "  - &x {key: 1, name: a, type: int}\n", `line 4: `},
		{head + "  - !!map {key: 1, name: a, type: int}\n", `line 4: `},
		{strings.Repeat("[", 20) + strings.Repeat("]", 20), "nested too deep"},
		{strings.Repeat("#", maxSource+1), "larger than 256 KiB"},
	} {
		s, err := Parse([]byte(c.text))
		var problems settings.Problems
		if s != nil || !errors.As(err, &problems) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q is not in: %v", c.want, err)
		}
	}
	// All of them are told, in the order of lines.
	_, err := Parse([]byte("model: 5\nversion: one\nsettings:\n  - {key: 1, name: a, type: float}\n"))
	if lines := strings.Count(err.Error(), "\n"); lines != 2 || strings.Index(err.Error(), "line 1") > strings.Index(err.Error(), "line 4") {
		t.Errorf("%v", err)
	}
}

// The simulator's models are good, in English and German, small enough to be fetched
// in a few blocks, and have in all what all must have.
func TestModels(t *testing.T) {
	if names := models.Names(); !reflect.DeepEqual(names, []string{models.Lamp, models.Emergency, models.Sensor, models.Switch}) {
		t.Fatalf("%q", names)
	}
	if models.Source("../models") != nil || models.Source("none") != nil {
		t.Error("a model that there is not has a source")
	}
	for _, name := range models.Names() {
		s, err := Parse(models.Source(name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s.Model != name || s.Version != 1 || s.Title("de") == s.Title("en") || s.Title("en") == name {
			t.Errorf("%s: %s %d, %s, %s", name, s.Model, s.Version, s.Title("en"), s.Title("de"))
		}
		if n := len(s.Encode()); n > 4096 {
			t.Errorf("%s has %d bytes", name, n)
		}
		if label, leisure := s.Def(20), s.Def(21); label.Name != "label" || label.Flags != settings.PerDevice || leisure.Name != "leisure" || leisure.Flags != settings.Network {
			t.Errorf("%s: %+v, %+v", name, label, leisure)
		}
		translated(t, name, s.In("en").Defs, s.In("de").Defs)
	}
}

// translated wants a German text for every English one; words that are the same in
// both must be written twice, so that none is forgotten.
func translated(t *testing.T, model string, english, german []settings.Def) {
	same := map[string]bool{"Linear": true, "In UTC.": true}
	for i, e := range english {
		g := german[i]
		pairs := [][2]string{{e.Title, g.Title}, {e.Help, g.Help}}
		for v := range e.Choices {
			pairs = append(pairs, [2]string{e.Choices[v], g.Choices[v]})
		}
		for _, p := range pairs {
			if p[0] == p[1] && p[0] != "" && !same[p[0]] {
				t.Errorf("%s: %q is not translated", model, p[0])
			}
		}
		translated(t, model, e.Members, g.Members)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("model: a\nversion: 1\nsettings:\n  - {key: 1, name: b, type: int, default: 3}\n"))
	f.Add([]byte("model: a\nversion: 1\ntitle: {en: A, de: B}\nsettings: [{key: 1, name: b, type: map, ids: [0, 2], members: [{key: 1, name: c, type: choice, choices: {1: x}}]}]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(text)
		if err != nil {
			var problems settings.Problems
			if s != nil || !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("%v, %v", s, err)
			}
			return
		}
		if again, err := settings.ParseSchema(s.Encode()); err != nil || !reflect.DeepEqual(again.Encode(), s.Encode()) {
			t.Fatalf("%+v came back as %+v, %v", s, again, err)
		}
	})
}
