package settings

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"testing"
)

func TestJSON(t *testing.T) {
	s := lamp()
	m := Map{
		1: int64(50), 2: true, 3: "00", 4: []byte{0, 255}, 5: int64(-1), 6: Map{3: Map{1: int64(5), 2: nil}, 4: nil, 5: Map{}}, 7: Map{1: int64(7)}, 900: nil, 77: Map{1: "00"},
	}
	text, err := json.Marshal(m.JSON())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"1":50,"2":true,"3":"00","4":"00ff","5":-1,"6":{"3":{"1":5,"2":null},"4":null,"5":{}},"7":{"1":7},"77":{"1":"00"},"900":null}`
	if string(text) != want {
		t.Errorf("%s", text)
	}
	var values map[string]any
	if err := json.Unmarshal(text, &values); err != nil {
		t.Fatal(err)
	}
	if got, err := s.FromJSON(values); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("%v, %v", got, err)
	}
	m[900] = int64(math.MaxInt64)
	if text, err = json.Marshal(m.JSON()); err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&values); err != nil {
		t.Fatal(err)
	}
	if got, err := s.FromJSON(values); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("%v, %v", got, err)
	}
}

// What is no value stays what it is, for a template or a refusal.
func TestJSONOtherwise(t *testing.T) {
	s := lamp()
	got, err := s.FromJSON(map[string]any{"1": "${level}", "4": "${token}", "5": 1.5, "6": "x", "3": []any{"a"}, "2": json.Number("1e3")})
	if want := (Map{1: "${level}", 4: "${token}", 5: 1.5, 6: "x", 3: []any{"a"}, 2: json.Number("1e3")}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%#v, %v", got, err)
	}
	for key := range got {
		if _, r := s.CheckPatch(Map{key: got[key]}); r != ResultType {
			t.Errorf("%v: %v", got[key], r)
		}
	}
	for v, ok := range map[float64]bool{1<<53 - 1: true, -(1<<53 - 1): true, 1 << 53: false, -(1 << 53): false, 0.5: false} { // 2^53+1 is read as 2^53
		if got, err := s.FromJSON(map[string]any{"5": v}); err != nil || (got[5] == int64(v)) != ok {
			t.Errorf("%v: %#v, %v", v, got, err)
		}
	}
	for _, key := range []string{"", "x", "-1", "01", "1.0", "18446744073709551616"} {
		if got, err := s.FromJSON(map[string]any{key: true}); err == nil {
			t.Errorf("%q: %v", key, got)
		}
		if got, err := s.FromJSON(map[string]any{"6": map[string]any{key: true}}); err == nil {
			t.Errorf("%q in a map: %v", key, got)
		}
	}
}
