package settings

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"strings"
	"testing"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
	"lamplighter/internal/suit"
)

func number(n int64) *int64 { return &n }

// lamp is a schema with one setting of every kind.
func lamp() *Schema {
	return &Schema{
		Model: "lamp", Version: 3,
		Defs: []Def{
			{Key: 1, Name: "min-level", Type: Int, Unit: "%", Min: number(5), Max: number(100), Step: 5, Default: int64(5), Title: "Lowest level", Help: "Never darker."},
			{Key: 2, Name: "blink", Type: Bool, Default: false},
			{Key: 3, Name: "label", Type: Text, Max: number(8), Flags: PerDevice},
			{Key: 4, Name: "token", Type: Bytes, Min: number(2), Max: number(4), Flags: PerDevice | Network},
			{Key: 5, Name: "power-on", Type: Int, Choices: map[int64]string{0: "off", -1: "as before"}, Default: int64(0), Flags: Restart},
			{Key: 6, Name: "scenes", Type: Table, IDs: &Range{Min: 0, Max: 15}, Members: []Def{
				{Key: 1, Name: "level", Type: Int, Min: number(0), Max: number(100)},
				{Key: 2, Name: "fade", Type: Int, Min: number(0), Max: number(1000), Step: 100, Default: int64(100)},
			}, Default: Map{3: Map{1: int64(50)}}},
			{Key: 7, Name: "sun", Type: Table, Members: []Def{{Key: 1, Name: "north", Type: Int, Default: int64(0)}}},
			{Key: 900, Name: "free", Type: Int},
		},
		Texts: map[string]map[string]string{
			"en": {"": "Lamp"}, "de": {"": "Leuchte", "min-level": "Kleinster Wert", "power-on/-1": "wie zuvor", "scenes.fade": "Überblendung"}, "de-AT": {"min-level": "Kleinstwert"},
		},
	}
}

func signers(t testing.TB) (own, other suit.Signer) {
	make := func(seed byte) suit.Signer {
		s, err := suit.NewSigner(cose.Null, cose.NewEd25519(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	return make(1), make(2)
}

func TestSchemaComesBack(t *testing.T) {
	s := lamp()
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	got, err := ParseSchema(s.Encode())
	if err != nil || !reflect.DeepEqual(got, s) {
		t.Fatalf("%+v\n%+v\n%v", got, s, err)
	}
	if want := (Map{1: int64(5), 2: false, 5: int64(0), 6: Map{3: Map{1: int64(50)}}}); !reflect.DeepEqual(got.Defaults(), want) {
		t.Errorf("defaults %v", got.Defaults())
	}
	got.Defaults()[6].(Map)[3].(Map)[1] = int64(0)
	if !reflect.DeepEqual(got, s) {
		t.Error("who changes the defaults changes the schema")
	}
}

func TestSchemaStrictly(t *testing.T) {
	data := lamp().Encode()
	fields := func(change func(map[uint64]any)) []byte {
		var m map[uint64]any
		if err := cbor.Unmarshal(data, &m); err != nil {
			t.Fatal(err)
		}
		change(m)
		return cbor.MustMarshal(m)
	}
	for name, bad := range map[string][]byte{
		"empty": {}, "cut": data[:len(data)-1], "more": append(bytes.Clone(data), 0), "tagged": append([]byte{0xc1}, data...),
		"null": {0xf6}, "an array": {0x80}, "too long": make([]byte, MaxSchema+1),
		"long version":    bytes.Replace(data, []byte{2, 3, 3}, []byte{2, 0x18, 3, 3}, 1),
		"unknown field":   fields(func(m map[uint64]any) { m[5] = "x" }),
		"no settings":     fields(func(m map[uint64]any) { delete(m, 3) }),
		"field of a def":  fields(func(m map[uint64]any) { m[3].([]any)[0].(map[any]any)[uint64(15)] = 1 }),
		"null as default": fields(func(m map[uint64]any) { m[3].([]any)[0].(map[any]any)[uint64(8)] = nil }),
		"float default":   fields(func(m map[uint64]any) { m[3].([]any)[0].(map[any]any)[uint64(8)] = 5.5 }),
		"choices, none":   fields(func(m map[uint64]any) { m[3].([]any)[4].(map[any]any)[uint64(10)] = map[int]string{} }),
	} {
		if s, err := ParseSchema(bad); !errors.Is(err, cbor.ErrDecode) || s != nil {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}

// Every rule about schemas themselves, with the words that tell it.
func TestSchemaMistakes(t *testing.T) {
	for want, spoil := range map[string]func(*Schema){
		`the model "Lamp"`:          func(s *Schema) { s.Model = "Lamp" },
		`the model ""`:              func(s *Schema) { s.Model = "" },
		"version must be":           func(s *Schema) { s.Version = 0 },
		"1 to 128 settings":         func(s *Schema) { s.Defs = nil },
		"and this one 129":          func(s *Schema) { s.Defs = make([]Def, 129) },
		`the name "1x"`:             func(s *Schema) { s.Defs[0].Name = "1x" },
		"the key 0 must":            func(s *Schema) { s.Defs[0].Key = 0 },
		"the key 65536 must":        func(s *Schema) { s.Defs[7].Key = 65536 },
		"is that of min-level, too": func(s *Schema) { s.Defs[1].Key = 1 },
		"in the order of their":     func(s *Schema) { s.Defs[1].Key = 9 },
		"have this name":            func(s *Schema) { s.Defs[1].Name = "min-level" },
		"type 0 is none":            func(s *Schema) { s.Defs[0].Type = 0 },
		"type 6 is none":            func(s *Schema) { s.Defs[0].Type = 6 },
		"flags that this":           func(s *Schema) { s.Defs[0].Flags = 8 },
		"the unit must":             func(s *Schema) { s.Defs[0].Unit = strings.Repeat("x", 17) },
		"the title of at most":      func(s *Schema) { s.Defs[0].Title = "a\nb" },
		"the help must":             func(s *Schema) { s.Defs[0].Help = strings.Repeat("x", 601) },
		"only an int has":           func(s *Schema) { s.Defs[1].Step = 1 },
		"must not be negative":      func(s *Schema) { s.Defs[0].Step = -1 },
		"take the place of":         func(s *Schema) { s.Defs[4].Min = number(1) },
		"1 to 64 choices":           func(s *Schema) { s.Defs[4].Choices = map[int64]string{} },
		"a bool has no range":       func(s *Schema) { s.Defs[1].Max = number(1) },
		"101, is above the most":    func(s *Schema) { s.Defs[0].Min = number(101) },
		"a length must not":         func(s *Schema) { s.Defs[2].Min = number(-1) },
		"choice -1 needs a title":   func(s *Schema) { s.Defs[4].Choices[-1] = "" },
		"only a map has":            func(s *Schema) { s.Defs[0].IDs = &Range{} },
		"1 to 16 members":           func(s *Schema) { s.Defs[5].Members = nil },
		"the ids 3 to 2":            func(s *Schema) { s.Defs[5].IDs = &Range{Min: 3, Max: 2} },
		"the ids 0 to 256":          func(s *Schema) { s.Defs[5].IDs.Max = 256 },
		"has no flags and is no":    func(s *Schema) { s.Defs[5].Members[0].Flags = Restart },
		"scenes: level: a member":   func(s *Schema) { s.Defs[5].Members[0].Type = Table },
		"min-level: 101 is above":   func(s *Schema) { s.Defs[0].Default = int64(101) },
		"min-level: 7 is between":   func(s *Schema) { s.Defs[0].Default = int64(7) },
		"blink wants true or false": func(s *Schema) { s.Defs[1].Default = int64(0) },
		"scenes 3 has no level":     func(s *Schema) { s.Defs[5].Default = Map{3: Map{2: int64(0)}} },
		`"d" is no language`:        func(s *Schema) { s.Texts["d"] = s.Texts["de"] },
		"fr has 0 texts":            func(s *Schema) { s.Texts["fr"] = nil },
		`translates "nothing"`:      func(s *Schema) { s.Texts["de"]["nothing"] = "x" },
		`translates "power-on/1"`:   func(s *Schema) { s.Texts["de"]["power-on/1"] = "x" },
		`text of "min-level"`:       func(s *Schema) { s.Texts["de"]["min-level"] = "a\nb" },
		`text of "scenes.fade"`:     func(s *Schema) { s.Texts["de"]["scenes.fade"] = "" },
		"the defaults cannot be": func(s *Schema) {
			for i := range 5 {
				s.Defs = append(s.Defs, Def{Key: uint64(901 + i), Name: fmt.Sprintf("long-%d", i), Type: Text, Default: strings.Repeat("x", 500)})
			}
		},
		"shorten the texts": func(s *Schema) {
			for i := range 30 {
				s.Texts[string([]byte{'x', byte('a' + i/26), byte('a' + i%26)})] = map[string]string{"min-level/help": strings.Repeat("x", 600)}
			}
		},
	} {
		s := lamp()
		spoil(s)
		err := s.Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
		if _, err := ParseSchema(s.Encode()); err == nil {
			t.Errorf("%q: read all the same", want)
		}
		own, _ := signers(t)
		if _, err := s.Sign(own); err == nil {
			t.Errorf("%q: signed all the same", want)
		}
	}
}

func TestCheck(t *testing.T) {
	s := lamp()
	long := Map{}
	for id := range uint64(16) {
		long[id] = Map{1: int64(100), 2: int64(1000)}
	}
	for _, c := range []struct {
		m     Map
		key   uint64
		whole Result
		patch Result
	}{
		{Map{}, 0, ResultOK, ResultOK},
		{s.Defaults(), 0, ResultOK, ResultOK},
		{Map{1: int64(100), 2: true, 3: "", 4: []byte{1, 2}, 5: int64(-1), 6: long, 7: Map{}, 900: int64(math.MinInt64)}, 0, ResultOK, ResultOK},
		{Map{6: Map{}}, 0, ResultOK, ResultOK},
		{Map{8: true}, 8, ResultUnknownKey, ResultUnknownKey},
		{Map{8: nil}, 8, ResultUnknownKey, ResultUnknownKey},
		{Map{1: nil}, 1, ResultType, ResultOK},
		{Map{1: true}, 1, ResultType, ResultType},
		{Map{1: "5"}, 1, ResultType, ResultType},
		{Map{1: 5.0}, 1, ResultType, ResultType},
		{Map{1: int64(0)}, 1, ResultRange, ResultRange},
		{Map{1: int64(105)}, 1, ResultRange, ResultRange},
		{Map{1: int64(6)}, 1, ResultRange, ResultRange},
		{Map{3: "123456789"}, 3, ResultRange, ResultRange},
		{Map{3: []byte{1}}, 3, ResultType, ResultType},
		{Map{4: []byte{1}}, 4, ResultRange, ResultRange},
		{Map{4: "12"}, 4, ResultType, ResultType},
		{Map{5: int64(1)}, 5, ResultRange, ResultRange},
		{Map{6: int64(1)}, 6, ResultType, ResultType},
		{Map{6: Map(nil)}, 6, ResultType, ResultType},
		{Map{6: Map{16: Map{1: int64(1)}}}, 6, ResultRange, ResultRange},
		{Map{6: Map{16: nil}}, 6, ResultRange, ResultRange},
		{Map{6: Map{1: nil}}, 6, ResultType, ResultOK},
		{Map{6: Map{1: int64(1)}}, 6, ResultType, ResultType},
		{Map{6: Map{1: Map{2: int64(0)}}}, 6, ResultType, ResultOK},
		{Map{6: Map{1: Map{1: nil}}}, 6, ResultType, ResultOK},
		{Map{6: Map{1: Map{3: int64(0)}}}, 6, ResultUnknownKey, ResultUnknownKey},
		{Map{6: Map{1: Map{1: int64(101)}}}, 6, ResultRange, ResultRange},
		{Map{7: Map{1: Map{}}}, 7, ResultType, ResultType},
		{Map{7: Map{2: int64(1)}}, 7, ResultUnknownKey, ResultUnknownKey},
		{Map{1: int64(0), 8: true}, 1, ResultRange, ResultRange},
	} {
		if key, r := s.Check(c.m); key != c.key && r != ResultOK || r != c.whole {
			t.Errorf("Check(%v) = %d, %v", c.m, key, r)
		}
		if key, r := s.CheckPatch(c.m); key != c.key && r != ResultOK || r != c.patch {
			t.Errorf("CheckPatch(%v) = %d, %v", c.m, key, r)
		}
	}
}

func TestCheckSizes(t *testing.T) {
	s := &Schema{Model: "m", Version: 1, Defs: []Def{{Key: 1, Name: "a", Type: Text}}}
	for n, want := range map[int][2]Result{MaxPatch - 5: {ResultOK, ResultOK}, MaxPatch: {ResultOK, ResultTooLarge}, MaxValues: {ResultTooLarge, ResultTooLarge}} {
		m := Map{1: strings.Repeat("x", n)}
		_, whole := s.Check(m)
		_, patch := s.CheckPatch(m)
		if whole != want[0] || patch != want[1] {
			t.Errorf("%d bytes: %v, %v", n, whole, patch)
		}
	}
}

// Steps count from the least value without overflow.
func TestSteps(t *testing.T) {
	d := Def{Key: 1, Name: "a", Type: Int, Min: number(math.MinInt64), Step: 3}
	for v, want := range map[int64]bool{math.MinInt64: true, math.MinInt64 + 3: true, math.MaxInt64: true, math.MaxInt64 - 1: false, 0: false} {
		if got := d.Refuse(v, false) == nil; got != want {
			t.Errorf("%d: %v", v, got)
		}
	}
	d.Min = nil
	for v, want := range map[int64]bool{-3: true, -4: false, 0: true, 9: true, math.MinInt64: false} {
		if got := d.Refuse(v, false) == nil; got != want {
			t.Errorf("%d from 0: %v", v, got)
		}
	}
}

func TestParts(t *testing.T) {
	s := lamp()
	m := Map{1: int64(5), 3: "x", 4: []byte{1, 2}, 6: nil, 77: true}
	if got := s.Shared(m); !reflect.DeepEqual(got, Map{1: int64(5), 6: nil, 77: true}) {
		t.Errorf("shared: %v", got)
	}
	if got := s.PerDevice(m); !reflect.DeepEqual(got, Map{3: "x", 4: []byte{1, 2}}) {
		t.Errorf("per device: %v", got)
	}
	if got := s.Flags(m); got != PerDevice|Network {
		t.Errorf("flags %d", got)
	}
	if got := s.Value(m, 5); got != int64(0) {
		t.Errorf("the default of 5 is %v", got)
	}
	if got := s.Def(6).MemberNamed("fade").In(Map{1: int64(1)}); got != int64(100) {
		t.Errorf("the default of fade is %v", got)
	}
	if s.Value(m, 99) != nil || s.Value(m, 900) != nil || s.Value(m, 1) != int64(5) {
		t.Error("values")
	}
}

func TestLanguages(t *testing.T) {
	s := lamp()
	for language, want := range map[string][5]string{
		"de-AT": {"Leuchte", "Kleinstwert", "Never darker.", "wie zuvor", "Überblendung"},
		"de":    {"Leuchte", "Kleinster Wert", "Never darker.", "wie zuvor", "Überblendung"},
		"fr":    {"Lamp", "Lowest level", "Never darker.", "as before", "fade"},
		"":      {"Lamp", "Lowest level", "Never darker.", "as before", "fade"},
	} {
		in := s.In(language)
		got := [5]string{s.Title(language), in.Defs[0].Title, in.Defs[0].Help, in.Defs[4].Choices[-1], in.Defs[5].Members[1].Title}
		if got != want {
			t.Errorf("%s: %q", language, got)
		}
	}
	if !reflect.DeepEqual(s, lamp()) {
		t.Error("translating changes the schema")
	}
	if s.Texts = nil; s.Title("de") != "lamp" {
		t.Error("a model without title has its name")
	}
}

func TestSignedSchema(t *testing.T) {
	s := lamp()
	own, other := signers(t)
	doc, err := s.Sign(own)
	if err != nil {
		t.Fatal(err)
	}
	got, key, err := OpenSchema(doc, other.Public(), own.Public())
	if err != nil || !key.Equal(own.Public()) || !reflect.DeepEqual(got, s) {
		t.Fatalf("%v, %v", got, err)
	}
	if _, signature, err := ReadSchema(doc); err != nil || !bytes.Equal(signature.KeyID, suit.KeyID(own.Public())) {
		t.Fatalf("%x, %v", signature.KeyID, err)
	}
	if _, _, err := OpenSchema(doc, other.Public()); !errors.Is(err, suit.ErrSigner) {
		t.Errorf("of another: %v", err)
	}
	if _, _, err := OpenSchema(doc); !errors.Is(err, suit.ErrSigner) {
		t.Errorf("without anchors: %v", err)
	}
	ref := s.Ref(doc)
	if ref.Model != "lamp" || ref.Version != 3 || len(ref.Digest) != DigestSize || ref.check() != nil {
		t.Errorf("%+v", ref)
	}
	for i := range doc {
		for bit := range 8 {
			doc[i] ^= 1 << bit
			if _, _, err := OpenSchema(doc, own.Public()); err == nil {
				t.Errorf("bit %d of byte %d was flipped, and nobody noticed", bit, i)
			}
			doc[i] ^= 1 << bit
		}
		if _, _, err := OpenSchema(doc[:i], own.Public()); err == nil {
			t.Errorf("cut after %d bytes, and nobody noticed", i)
		}
	}
	doc[len(doc)-1] ^= 1
	if _, _, err := OpenSchema(doc, own.Public()); !errors.Is(err, suit.ErrSignature) {
		t.Errorf("a wrong signature: %v", err)
	}
}

// A signature of something that is no schema does not make it one, and what is signed
// for a manifest cannot be a document.
func TestSignedOtherwise(t *testing.T) {
	own, _ := signers(t)
	doc, err := suit.SignDocument("a note", cbor.MustMarshal(map[int]int{1: 2}), own)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenSchema(doc, own.Public()); !errors.Is(err, cbor.ErrDecode) {
		t.Errorf("a note: %v", err)
	}
	if _, err := suit.SignDocument("a digest", cbor.MustMarshal([]any{-16, make([]byte, 32)}), own); !errors.Is(err, suit.ErrDecode) {
		t.Errorf("a digest was signed as a document: %v", err)
	}
}

func FuzzSchema(f *testing.F) {
	f.Add(lamp().Encode())
	small := lamp()
	small.Defs, small.Texts = small.Defs[:2], nil
	f.Add(small.Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseSchema(data)
		if err != nil {
			return
		}
		if got := s.Encode(); !bytes.Equal(got, data) {
			t.Fatalf("%x came back as %x", data, got)
		}
		if _, r := s.Check(s.Defaults()); r != ResultOK {
			t.Fatalf("the defaults are refused: %v", r)
		}
		for _, language := range append([]string{"", "de-x-y"}, keysOf(s.Texts)...) {
			if in := s.In(language); len(in.Defs) != len(s.Defs) || in.Defs[0].Title == "" {
				t.Fatalf("in %q there is no title", language)
			}
		}
	})
}

func keysOf(m map[string]map[string]string) (list []string) {
	for key := range maps.Keys(m) {
		list = append(list, key)
	}
	return list
}

// The first id of a map need not be 0: what is below it is out of range.
func TestIDsBelowTheFirst(t *testing.T) {
	s := lamp()
	s.Defs[5].IDs, s.Defs[5].Default = &Range{Min: 2, Max: 4}, nil
	for id, want := range map[uint64]Result{0: ResultRange, 1: ResultRange, 2: ResultOK, 4: ResultOK, 5: ResultRange} {
		if key, r := s.Check(Map{6: Map{id: Map{1: int64(1)}}}); r != want || r != ResultOK && key != 6 {
			t.Errorf("%d: %v at %d", id, r, key)
		}
	}
}
