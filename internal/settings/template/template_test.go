package template

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"lamplighter/internal/settings"
)

type m = settings.Map

var (
	given  = Variables{"level": int64(40), "on": true, "room": "Hall", "token": []byte{1, 2}, "n": int64(3), "zero": int64(0), "big": int64(math.MaxInt64), "low": int64(math.MinInt64), "A_1": int64(1)}
	device = Device{ID: "0024befffe804ff1", Name: "Lamp 7", Place: "hall/2", Index: 6}
)

func TestExpand(t *testing.T) {
	for in, want := range map[string]any{
		"":                       "",
		"plain":                  "plain",
		"${level}":               int64(40),
		"${ level }":             int64(40),
		"${on}":                  true,
		"${room}":                "Hall",
		"${token}":               []byte{1, 2},
		"${n+1}":                 int64(4),
		"${index + 1}":           int64(7),
		"${A_1}":                 int64(1),
		"${name}":                "Lamp 7",
		"${place}, ${id}":        "hall/2, 0024befffe804ff1",
		"${level} %":             "40 %",
		"${room} ${index+1}":     "Hall 7",
		"${on}${on}":             "truetrue",
		"${1+2*3}":               int64(7),
		"${(1+2)*3}":             int64(9),
		"${10-2-3}":              int64(5),
		"${-n*-n}":               int64(9),
		"${7/2}${-7/2}":          "3-3",
		"${index%4}":             int64(2),
		"${--n}":                 int64(3),
		"${big}":                 int64(math.MaxInt64),
		"${low+zero}":            int64(math.MinInt64),
		"${low/1}":               int64(math.MinInt64),
		"${9223372036854775807}": int64(math.MaxInt64),
		"$${level}":              "${level}",
		"$$${level}":             "$${level}",
		"a$${b} ${n} $$ $ {n}":   "a${b} 3 $$ $ {n}",
		"}{":                     "}{",
	} {
		got, err := Expand(m{1: in}, given, device)
		if err != nil || !reflect.DeepEqual(got, m{1: want}) {
			t.Errorf("%q: %#v, %v", in, got[1], err)
		}
	}
}

// Expansion reaches into maps, leaves what is no text, and changes no template.
func TestExpandDeep(t *testing.T) {
	in := m{1: int64(5), 2: nil, 3: false, 4: []byte("${n}"), 6: m{3: m{1: "${level}", 2: nil}, 4: nil, 5: m{}}}
	got, err := Expand(in, given, device)
	want := m{1: int64(5), 2: nil, 3: false, 4: []byte("${n}"), 6: m{3: m{1: int64(40), 2: nil}, 4: nil, 5: m{}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if in[6].(m)[3].(m)[1] != "${level}" {
		t.Error("the template was changed")
	}
}

func TestMistakes(t *testing.T) {
	for in, want := range map[string]string{
		"${colour}":              `setting 9: there is no variable "colour"; there are A_1, big, id, index, level, low, n, name, on, place, room, token, zero`,
		"${colour+1}":            `${colour+1}: there is no variable "colour"`,
		"x ${colour} x":          `no variable "colour"`,
		"${room+1}":              `"room" is no number`,
		"${on*2}":                `"on" is no number`,
		"${level":                "lacks a closing brace",
		"${}":                    "a number or a variable is missing",
		"${1+}":                  "a number or a variable is missing",
		"${(1}":                  "a closing parenthesis is missing",
		"${1)}":                  `")" is not expected there`,
		"${n n}":                 `"n" is not expected there`,
		"${1.5}":                 `".5" is not expected there`,
		"${n/0}":                 "nothing can be divided by 0",
		"${n%zero}":              "nothing can be divided by 0",
		"${big+1}":               "too large",
		"${low-1}":               "too large",
		"${1-low}":               "too large",
		"${big*2}":               "too large",
		"${low*-1}":              "too large",
		"${-1*low}":              "too large",
		"${low/-1}":              "too large",
		"${-low}":                "too large",
		"${9223372036854775808}": "too large",
		"${token}!":              "cannot be part of a text",
		"${" + strings.Repeat("(", 30) + "1" + strings.Repeat(")", 30) + "}": "nested too deep",
		strings.Repeat("${room}", 600):                                       "longer than 2048 bytes",
	} {
		got, err := Expand(m{9: m{1: in}}, given, device)
		one := new(Error)
		if got != nil || !errors.As(err, &one) || one.Key != 9 || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	// All settings that are wrong are told.
	_, err := Expand(m{1: "${a}", 2: "${n}", 3: "${b}"}, given, device)
	if err == nil || !strings.Contains(err.Error(), `setting 1: there is no variable "a"`) || !strings.Contains(err.Error(), `setting 3: there is no variable "b"`) {
		t.Errorf("%v", err)
	}
	if _, err := Expand(m{}, Variables{"name": "x"}, device); err == nil || !strings.Contains(err.Error(), "another name") {
		t.Errorf("a variable in place of a fact: %v", err)
	}
	if _, err := Expand(m{1: "${odd}"}, Variables{"odd": 1.5}, device); err == nil || !strings.Contains(err.Error(), "has no value") {
		t.Errorf("%v", err)
	}
}

func TestBind(t *testing.T) {
	declared := []Variable{{Name: "level", Default: int64(40)}, {Name: "room"}, {Name: "n", Default: 3.0}}
	got, err := Bind(declared, Variables{"room": "Hall", "n": nil})
	if err != nil || !reflect.DeepEqual(got, Variables{"level": int64(40), "room": "Hall", "n": int64(3)}) {
		t.Errorf("%v, %v", got, err)
	}
	got, err = Bind(declared, Variables{"room": json.Number("9007199254740993"), "level": false})
	if err != nil || got["room"] != int64(9007199254740993) || got["level"] != false {
		t.Errorf("%v, %v", got, err)
	}
	for want, c := range map[string]struct {
		declared []Variable
		given    Variables
	}{
		`"room" needs a value`:                {declared, nil},
		`has no variable "x"`:                 {declared, Variables{"room": "", "x": int64(1)}},
		`"level": 1.5 is no text`:             {declared, Variables{"room": "", "level": 1.5}},
		`"level": [1] is no`:                  {declared, Variables{"room": "", "level": []any{1}}},
		`"level": 1e3 is no`:                  {declared, Variables{"room": "", "level": json.Number("1e3")}},
		`"level" is there twice`:              {append(slices.Clone(declared), declared[0]), Variables{"room": ""}},
		`"index" must have another`:           {[]Variable{{Name: "index", Default: 1}}, nil},
		`"a-b" cannot be a variable`:          {[]Variable{{Name: "a-b", Default: 1}}, nil},
		`"" cannot be a variable`:             {[]Variable{{Default: 1}}, nil},
		`"` + strings.Repeat("x", 33) + `" c`: {[]Variable{{Name: strings.Repeat("x", 33), Default: 1}}, nil},
	} {
		if got, err := Bind(c.declared, c.given); got != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

func TestNames(t *testing.T) {
	got := Names(m{1: "${b + a*2} ${index}", 2: "$${c} ${", 6: m{1: m{1: "${(d2-1)}"}}, 7: int64(1)})
	if !slices.Equal(got, []string{"a", "b", "d2"}) {
		t.Errorf("%q", got)
	}
}

func FuzzExpand(f *testing.F) {
	for _, seed := range []string{"${n+1} %", "${level}", "$${x}", "${(1+2)*3}", "a${name}b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Expand(m{1: Escape(text)}, given, device)
		if len(text) <= maxText && (err != nil || got[1] != text) {
			t.Fatalf("%q, escaped, became %v, %v", text, got, err)
		}
		got, err = Expand(m{1: text}, given, device)
		if (err == nil) != (got != nil) {
			t.Fatalf("%v, %v", got, err)
		}
		if err == nil && !strings.Contains(text, "${") && got[1] != text {
			t.Fatalf("%q became %v", text, got[1])
		}
		Names(m{1: text})
	})
}

// Whole numbers of JSON and YAML are values, but for those that may have been others.
func TestPlainNumbers(t *testing.T) {
	for v, want := range map[any]any{uint64(40): int64(40), 40: int64(40), 40.0: int64(40), float64(1<<53 - 1): int64(1<<53 - 1), json.Number("9007199254740993"): int64(9007199254740993)} {
		if got, err := Plain(v); err != nil || got != want {
			t.Errorf("%T %v: %v, %v", v, v, got, err)
		}
	}
	for _, v := range []any{uint64(math.MaxInt64) + 1, float64(1 << 53), 0.5, json.Number("1.0")} {
		if got, err := Plain(v); err == nil {
			t.Errorf("%T %v: %v", v, v, got)
		}
	}
}
