package exchange

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"lamplighter/internal/settings"
)

func number(n int64) *int64 { return &n }

const (
	one = "0024befffe804ff1"
	two = "0024befffe804ff2"
)

func lamp() *settings.Schema {
	return &settings.Schema{Model: "lamp", Version: 1, Defs: []settings.Def{
		{Key: 1, Name: "level", Type: settings.Int, Unit: "%", Min: number(0), Max: number(100)},
		{Key: 2, Name: "blink", Type: settings.Bool},
		{Key: 3, Name: "label", Type: settings.Text, Flags: settings.PerDevice},
		{Key: 4, Name: "token", Type: settings.Bytes, Flags: settings.PerDevice},
		{Key: 5, Name: "free", Type: settings.Int},
		{Key: 6, Name: "scenes", Type: settings.Table, IDs: &settings.Range{Min: 0, Max: 15}, Members: []settings.Def{
			{Key: 1, Name: "level", Type: settings.Int, Max: number(100)}, {Key: 2, Name: "fade", Type: settings.Int, Unit: "s", Default: int64(1)}, {Key: 3, Name: "note", Type: settings.Text, Default: ""},
		}},
		{Key: 7, Name: "sun", Type: settings.Table, Members: []settings.Def{{Key: 1, Name: "north", Type: settings.Bool}, {Key: 2, Name: "hold", Type: settings.Int, Unit: "s"}}},
		{Key: 8, Name: "hold", Type: settings.Int, Unit: "s"},
	}}
}

func schemas(id string) *settings.Schema {
	if id == one || id == two {
		return lamp()
	}
	return nil
}

type m = settings.Map

var full = []Device{
	{ID: one, Name: "=Hall, \"1\"", Values: m{1: int64(50), 2: true, 3: "=1+1", 4: []byte{0, 255}, 5: int64(math.MinInt64), 6: m{3: m{1: int64(5), 2: int64(2), 3: "a\r\nb"}, 4: m{}}, 7: m{1: false}, 8: int64(30)}},
	{ID: two, Values: m{1: nil, 2: false, 3: "", 4: []byte{}, 5: int64(math.MaxInt64), 6: m{15: nil, 2: m{1: nil}}, 7: m{}, 8: nil}},
}

// hard are texts that files like to change.
var hard = []string{
	"", " ", "a", "\"", "'", "''", "'=1", "=1", "+1", "-1", "@x", "\t", "\r", "\n", "a\r\nb", "a\nb\n", "{}", "null", "true", "delete", "1,5", "1;5", " x ", "\ufeff", "\\.", "é", "日本", "<&>", "\u2028", "#x", "[", "\x00", "\x7f",
}

type format struct {
	name  string
	write func([]Device, Schemas) ([]byte, error)
	read  func([]byte, Schemas) ([]Device, error)
}

var formats = []format{{"SenML", SenML, ParseSenML}, {"CSV", CSV, ParseCSV}}

func roundTrip(t *testing.T, f format, devices []Device) {
	t.Helper()
	text, err := f.write(devices, schemas)
	if err != nil {
		t.Fatalf("%s: %v: %v", f.name, devices, err)
	}
	got, err := f.read(text, schemas)
	if err != nil {
		t.Fatalf("%s: %s\n%v", f.name, text, err)
	}
	if again, err := Parse(text, schemas); err != nil || !reflect.DeepEqual(again, got) {
		t.Fatalf("%s is not known as such: %v, %v", f.name, again, err)
	}
	want := slices.DeleteFunc(slices.Clone(devices), func(d Device) bool { return len(d.Values) == 0 })
	for i := range want {
		if i >= len(got) || got[i].ID != want[i].ID || !reflect.DeepEqual(got[i].Values, want[i].Values) || f.name == "CSV" && got[i].Name != want[i].Name {
			t.Fatalf("%s: %s\n%v came back as\n%v", f.name, text, want, got)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d devices became %d", f.name, len(want), len(got))
	}
}

func TestRoundTrip(t *testing.T) {
	for _, f := range formats {
		roundTrip(t, f, full)
		roundTrip(t, f, nil)
		roundTrip(t, f, []Device{{ID: one, Values: m{}}, {ID: two, Values: m{2: true}}})
		for _, text := range hard {
			roundTrip(t, f, []Device{{ID: one, Values: m{3: text, 6: m{1: m{3: text}}}}})
		}
	}
}

func TestRandomRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 28))
	text := func() string { return hard[rng.IntN(len(hard))] + hard[rng.IntN(len(hard))] }
	maybe := func(v any) any {
		if rng.IntN(6) == 0 {
			return nil
		}
		return v
	}
	for range 300 {
		var devices []Device
		for _, id := range []string{one, two}[:1+rng.IntN(2)] {
			v := m{}
			for key, make := range map[uint64]func() any{
				1: func() any { return int64(rng.IntN(101)) }, 2: func() any { return rng.IntN(2) == 0 }, 3: func() any { return text() },
				4: func() any { return []byte(text()) }, 5: func() any { return int64(rng.Uint64()) },
				6: func() any {
					scenes := m{}
					for range rng.IntN(3) {
						scene := m{}
						for key, v := range map[uint64]any{1: int64(rng.IntN(101)), 2: int64(rng.IntN(9)), 3: text()} {
							if rng.IntN(2) == 0 {
								scene[key] = maybe(v)
							}
						}
						scenes[uint64(rng.IntN(16))] = maybe(scene)
					}
					return scenes
				},
				7: func() any { return m{1: maybe(true)} },
			} {
				if rng.IntN(3) > 0 {
					v[key] = maybe(make())
				}
			}
			devices = append(devices, Device{ID: id, Values: v})
		}
		for _, f := range formats {
			roundTrip(t, f, devices)
		}
	}
}

// SenML as others write it.
func TestForeignSenML(t *testing.T) {
	for text, want := range map[string]m{
		`[{"bn":"urn:dev:mac:0024BEFFFE804FF1:","bt":1.276020076e+09,"bver":10,"n":"level","u":"%","v":50,"t":-5,"ut":3,"note":"others"}]`: {1: int64(50)},
		`[{"bn":"urn:dev:mac:0024befffe804ff1:scenes/"},{"n":"3/level","v":5e1},{"n":"3/fade","u":"s","v":2.0}]`:                           {6: m{3: m{1: int64(50), 2: int64(2)}}},
		`[{"n":"urn:dev:mac:0024befffe804ff1:hold","bu":"s","bv":100,"v":-70}]`:                                                            {8: int64(30)},
		"\ufeff \n[{\"n\":\"urn:dev:mac:0024befffe804ff1:token\",\"vd\":\"AP8=\"}]":                                                        {4: []byte{0, 255}},
		`[{"bver":26,"n":"urn:dev:mac:0024befffe804ff1:scenes","vs":"{}"}]`:                                                                {6: m{}},
		`[{"n":"urn:dev:mac:0024befffe804ff1:label","vs":"\u00e9{}\ufffd\uD83D\uDE00"}]`:                                                   {3: "é{}\ufffd😀"},
		`[{"n":"urn:dev:mac:0024befffe804ff1:label","v":null}]`:                                                                            {3: nil},
	} {
		got, err := Parse([]byte(text), schemas)
		if err != nil || len(got) != 1 || got[0].ID != one || !reflect.DeepEqual(got[0].Values, want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

// CSV as spreadsheets and people write it.
func TestForeignCSV(t *testing.T) {
	for text, want := range map[string]m{
		"\ufeffDevice;Setting;Value\r\nurn:dev:mac:0024BEFFFE804FF1;level;50\r\n;;\r\n": {1: int64(50)},
		"value,setting,note,device\nTRUE,blink,x," + one + "\n 7 ,free,y," + one + "\n": {2: true, 5: int64(7)},
		"device,setting,value,type\n" + one + ",label,,\n" + one + ",hold,,delete\n":    {3: "", 8: nil},
		"device,setting,value\n" + one + ",free,'-5\n" + one + ",label,'hello\n":        {5: int64(-5), 3: "'hello"},
		"device,setting,value\n" + one + ",token,'0012\n" + one + ",label,'007\n":       {4: []byte{0, 0x12}, 3: "007"},
		"device,setting,value,unit,model\n" + one + ",scenes/3/fade,5,s,lamp\n":         {6: m{3: m{2: int64(5)}}},
	} {
		got, err := Parse([]byte(text), schemas)
		if err != nil || len(got) != 1 || got[0].ID != one || !reflect.DeepEqual(got[0].Values, want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

// What is wrong is told with its line; nothing is taken by half.
func TestMistakes(t *testing.T) {
	const base = "[\n{\"bn\":\"urn:dev:mac:0024befffe804ff1:\",\"n\":\"blink\",\"vb\":true},\n"
	const head = "device,setting,value,type,unit,model\n" + one + ",blink,true,,,\n"
	for _, c := range []struct{ text, want string }{
		{"", "line 1: The file needs a first line"},
		{"\xff", "not in UTF-8"},
		{strings.Repeat(" ", maxText+1), "larger than 8 MiB"},
		{"[" + strings.Repeat(" ", maxText), "larger than 8 MiB"},
		{"[\xff", "not in UTF-8"},
		{"[", "This is no SenML: it ends too early"},
		{"[]x", "This is no SenML: "},
		{"[] []", "one list of records"},
		{"[\n1]", "line 2: This is no SenML: it must be one list of records"},
		{base + "{\"n\":\"level\",\"v\":1}", "line 3: This is no SenML: it ends too early"},
		{base + "{\"n\":\"level\" \"v\":1}]", "line 3: This is no SenML: invalid character"},
		{base + "{\"n\":\"level\",\"v\":1,\"v\":2}]", `line 3: This is no SenML: a record has "v" twice`},
		{base + "{\"n\":\"level\"}]", "line 3: A record needs a value"},
		{base + "{}]", "line 3: A record needs a value"},
		{base + "{\"n\":\"level\",\"v\":1,\"vb\":true}]", "line 3: A record has more than one value"},
		{base + "{\"n\":\"level\",\"v\":101}]", "line 3: level: 101 is above 100 %."},
		{base + "{\"n\":\"level\",\"v\":0.5}]", "line 3: 0.5 is no whole number"},
		{base + "{\"n\":\"free\",\"v\":9223372036854775808}]", "line 3: 9223372036854775808 is no whole number"},
		{base + "{\"n\":\"free\",\"bv\":1,\"v\":9223372036854775807}]", "line 3: 9223372036854775807 is no whole number"},
		{base + "{\"n\":\"free\",\"v\":9007199254740993.0}]", "line 3: 9007199254740993.0 is no whole number"},
		{base + "{\"n\":\"free\",\"v\":1e300}]", "line 3: 1e300 is no whole number"},
		{base + "{\"n\":\"level\",\"vs\":\"50\"}]", "line 3: level wants a whole number."},
		{base + "{\"n\":\"level\",\"u\":\"m\",\"v\":1}]", `line 3: level of lamp is not in "m" but in "%"`},
		{base + "{\"n\":\"level\",\"bu\":\"m\",\"v\":1}]", `line 3: level of lamp is not in "m" but in "%"`},
		{base + "{\"n\":\"level\",\"t\":\"now\",\"v\":1}]", `line 3: The value of "t" is of the wrong type`},
		{base + "{\"n\":\"label\",\"v\":5}]", "line 3: label wants a text."},
		{base + "{\"n\":\"label\",\"vs\":5}]", `line 3: The value of "vs" is of the wrong type`},
		{base + `{"n":"label","vs":"\ud800"}]`, "line 3: This is no SenML: the text"},
		{base + "{\"n\":\"token\",\"vd\":\"!\"}]", `line 3: The value of "vd" is no base64url`},
		{base + "{\"n\":\"scenes\",\"vs\":\"x\"}]", "line 3: scenes wants a map by numbers from 0 to 15."},
		{base + "{\"n\":\"scenes/3\",\"v\":5}]", "line 3: scenes wants a map"},
		{base + "{\"n\":\"scenes/16/level\",\"v\":5}]", `line 3: scenes has no "16": it goes from 0 to 15.`},
		{base + "{\"n\":\"scenes/03/level\",\"v\":5}]", `line 3: scenes has no "03"`},
		{base + "{\"n\":\"scenes/3/colour\",\"v\":5}]", `line 3: scenes has no member "colour".`},
		{base + "{\"n\":\"blink/3\",\"v\":5}]", `line 3: blink is no map, so there is no "blink/3".`},
		{base + "{\"n\":\"colour\",\"v\":5}]", `line 3: lamp has no setting "colour".`},
		{base + "{\"n\":\"blink\",\"vb\":true}]", "line 3: blink is there twice for 0024befffe804ff1, also in line 2."},
		{base + "{\"n\":\"scenes/3/level\",\"v\":5},\n{\"n\":\"scenes\",\"v\":null}]", "line 4: scenes is there twice for 0024befffe804ff1, also in line 3."},
		{base + "{\"n\":\"scenes/3\",\"v\":null},\n{\"n\":\"scenes/3/level\",\"v\":1}]", "line 4: scenes/3/level is there twice"},
		{base + "{\"bn\":\"urn:dev:mac:0024befffe804ff9:\",\"n\":\"blink\",\"vb\":true}]", "line 3: The device 0024befffe804ff9 is not known here"},
		{base + "{\"bn\":\"urn:dev:ow:10e2073a01080063:\",\"n\":\"blink\",\"vb\":true}]", `line 3: "urn:dev:ow:10e2073a01080063:blink" names no setting`},
		{base + "{\"bver\":11,\"n\":\"level\",\"v\":1}]", "line 3: This is version 11 of SenML; only 10 and 26 are read here."},
		{base + "{\"n\":\"level\",\"s\":1}]", `line 3: A sum ("s") is no setting`},
		{base + "{\"n\":\"level\",\"v\":1,\"later_\":2}]", `line 3: "later_" has to be understood`},

		{"device,setting\n", `line 1: There is no column "value"`},
		{"device,device,setting,value\n", `line 1: The column "device" is there twice`},
		{head + "x,level,1,,,\n", `line 3: "x" is no device`},
		{head + "0024befffe804ff9,level,1,,,\n", "line 3: The device 0024befffe804ff9 is not known"},
		{head + one + ",level,101,,,\n", "line 3: level: 101 is above 100 %."},
		{head + one + ",level,1.5,,,\n", `line 3: level: "1.5" is no whole number.`},
		{head + one + ",level,1,,ms,\n", `line 3: level is not in "ms" but in "%".`},
		{head + one + ",level,1,,,switch\n", "line 3: The device 0024befffe804ff1 is no switch but a lamp."},
		{head + one + ",level,1,text,,\n", "line 3: level: the type is not text but int."},
		{head + one + ",level,1,delete,,\n", "line 3: level: a value that is deleted must be empty."},
		{head + one + ",token,0g,,,\n", `line 3: token: "0g" is not in hexadecimal.`},
		{head + one + ",label,!,base64,,\n", `line 3: label: "!" is no text in base64.`},
		{head + one + ",label,QR==,base64,,\n", `line 3: label: "QR==" is no text in base64.`},
		{head + one + ",token,AA==,base64,,\n", "line 3: token: the type is not base64 but bytes."},
		{head + one + ",scenes,5,,,\n", "line 3: scenes: a map has a row for each of its values, such as scenes/0/level."},
		{head + one + ",sun,5,,,\n", "such as sun/north."},
		{head + one + ",blink,yes,,,\n", `line 3: blink: "yes" is neither true nor false.`},
		{head + one + ",blink,false,,,\n", "line 3: blink is there twice for 0024befffe804ff1, also in line 2."},
		{head + one + ",blink,false\n", "line 3: This is no CSV: wrong number of fields."},
		{head + "\"a\n\nb\"x,blink,false,,,\n", "This is no CSV"},
		{head + one + ",label,\"a\nb\",,,\n" + one + ",level,x,,,\n", "line 5: level"},
	} {
		got, err := Parse([]byte(c.text), schemas)
		var problems settings.Problems
		if got != nil || !errors.As(err, &problems) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q is not in: %v", c.want, err)
		}
	}
	var many strings.Builder
	many.WriteString(head)
	for range 3 * maxProblems {
		fmt.Fprintf(&many, "%s,level,x,,,\n", one)
	}
	_, err := Parse([]byte(many.String()), schemas)
	if n := strings.Count(err.Error(), "\n") + 1; n != maxProblems {
		t.Errorf("%d problems are told", n)
	}
	many.Reset()
	many.WriteString("device,setting,value\n")
	for i := range maxDevices + 1 {
		fmt.Fprintf(&many, "%016x,blink,true\n", i)
	}
	_, err = Parse([]byte(many.String()), func(string) *settings.Schema { return lamp() })
	if want := fmt.Sprintf("line %d: There are more than %d devices.", maxDevices+2, maxDevices); err == nil || err.Error() != want {
		t.Errorf("%v, not %q", err, want)
	}
}

// What cannot be written is said, and not left out.
func TestNotWritten(t *testing.T) {
	for want, d := range map[string]Device{
		"key 99 is not in the schema":                {ID: one, Values: m{99: true}},
		"scenes/1/key 9 is not":                      {ID: one, Values: m{6: m{1: m{9: true}}}},
		"level is not of the type":                   {ID: one, Values: m{1: "x"}},
		"label is not of the type":                   {ID: one, Values: m{3: "\xff"}},
		"scenes/1 is no map":                         {ID: one, Values: m{6: m{1: true}}},
		"the schema of 0024befffe804ff9 is not":      {ID: "0024befffe804ff9", Values: m{1: int64(1)}},
		"\"0024BEFFFE804FF1\" is no device id: it m": {ID: "0024BEFFFE804FF1", Values: m{1: int64(1)}},
	} {
		for _, f := range formats {
			if text, err := f.write([]Device{d}, schemas); err == nil || text != nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in: %v", f.name, want, err)
			}
		}
	}
}

// Others can read what we write: SenML is JSON with the fields of the RFC, and in CSV
// nothing looks like a formula.
func TestForOthers(t *testing.T) {
	text, err := SenML(full, schemas)
	if err != nil {
		t.Fatal(err)
	}
	var records []map[string]any
	if err := json.Unmarshal(text, &records); err != nil {
		t.Fatal(err)
	}
	if first := records[0]; first["bn"] != "urn:dev:mac:0024befffe804ff1:" || first["n"] != "level" || first["v"] != 50.0 || first["u"] != nil {
		t.Errorf("%v", first)
	}
	if !strings.Contains(string(text), `{"n":"hold","u":"s","v":30}`) {
		t.Errorf("%s", text)
	}
	for _, r := range records {
		for label := range r {
			if !slices.Contains([]string{"bn", "n", "u", "v", "vs", "vb", "vd"}, label) {
				t.Errorf("a field %q", label)
			}
		}
	}
	text, err = CSV(full, schemas)
	if err != nil {
		t.Fatal(err)
	}
	for _, start := range []string{",=", ",@", ",+", "\"="} {
		if strings.Contains(string(text), start) {
			t.Errorf("%q in\n%s", start, text)
		}
	}
}

// What a spreadsheet would keep as something else stands behind an apostrophe.
func TestSpreadsheetsKeepTexts(t *testing.T) {
	for text, want := range map[string]string{
		"007": "'007", "1-2": "'1-2", "1e5": "'1e5", ".5": "'.5", "3.14": "'3.14", "1234567890123456": "'1234567890123456", "\n=1": "\"'\n=1\"",
		"12": "12", "0": "0", "123456789012345": "123456789012345", "Hall 1": "Hall 1", "'Hall": "'Hall", "'1": "''1",
	} {
		list, err := CSV([]Device{{ID: one, Name: text, Values: m{3: text}}}, schemas)
		if row := urn + one + "," + want + ",lamp,label,text," + want + ",\n"; err != nil || !strings.HasSuffix(string(list), row) {
			t.Errorf("%q: no %q in %q, %v", text, row, list, err)
		}
	}
	for v, want := range map[any]string{int64(999999999999999): "int,999999999999999,", int64(math.MaxInt64): "int,'9223372036854775807,", int64(-5): "int,-5,"} {
		if list, err := CSV([]Device{{ID: one, Values: m{5: v}}}, schemas); err != nil || !strings.Contains(string(list), want) {
			t.Errorf("no %q in %q, %v", want, list, err)
		}
	}
	if list, err := CSV([]Device{{ID: one, Values: m{4: []byte{0, 0x12}}}}, schemas); err != nil || !strings.Contains(string(list), "bytes,'0012,") {
		t.Errorf("%q, %v", list, err)
	}
}

func TestFold(t *testing.T) {
	devices := []Device{
		{ID: one, Values: m{1: int64(5), 2: true, 3: "same", 6: m{1: m{1: int64(1)}}, 8: nil}},
		{ID: two, Values: m{1: int64(6), 2: true, 3: "same", 6: m{1: m{1: int64(1)}}, 8: nil}},
	}
	shared, own := Fold(devices, lamp())
	if !reflect.DeepEqual(shared, m{2: true, 6: m{1: m{1: int64(1)}}, 8: nil}) {
		t.Errorf("shared: %v", shared)
	}
	if !reflect.DeepEqual(own, map[string]m{one: {1: int64(5), 3: "same"}, two: {1: int64(6), 3: "same"}}) {
		t.Errorf("own: %v", own)
	}
	for _, d := range devices {
		if got := settings.Merge(shared, own[d.ID]); own[d.ID] == nil || settings.Merge(m{8: int64(1)}, got).Digest() == got.Digest() {
			t.Errorf("%v", got)
		}
	}
	if shared, own := Fold(nil, lamp()); len(shared)+len(own) != 0 {
		t.Error("nothing is something")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`[{"bn":"urn:dev:mac:0024befffe804ff1:","n":"label","vs":"x"},{"n":"scenes/3/level","v":5},{"n":"token","vd":"AP8"},{"n":"hold","v":null}]`))
	f.Add([]byte("device,setting,value,type,name\n0024befffe804ff1,label,'=1,text,x\n0024befffe804ff2,scenes/3/level,5,,\n0024befffe804ff2,label,AA==,base64,\n"))
	f.Add([]byte("device;setting;value\n0024befffe804ff1;scenes;{}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		devices, err := Parse(text, schemas)
		if err != nil {
			var problems settings.Problems
			if devices != nil || !errors.As(err, &problems) {
				t.Fatalf("%v, %v", devices, err)
			}
			return
		}
		for i := range devices {
			devices[i].Name = ""
		}
		for _, f := range formats {
			roundTrip(t, f, devices)
		}
	})
}
