package label

import (
	"bytes"
	"reflect"
	"testing"
)

// What Parse accepts encodes back to itself.
func FuzzParse(f *testing.F) {
	f.Add(lamp(1).Encode())
	f.Add(lamp(1).Encode()[:30])
	f.Add("MT:Y.K9042C00KA0648G00")
	f.Add("LL2:")
	f.Add("90000")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(l.Encode())
		if err != nil || !reflect.DeepEqual(l, again) {
			t.Fatalf("%+v became %+v, %v", l, again, err)
		}
	})
}

func FuzzParseCSV(f *testing.F) {
	var out bytes.Buffer
	if err := WriteCSV(&out, []Label{lamp(1), lamp(2)}); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Add([]byte("id;label\n\"\n" + lamp(3).Encode()))
	f.Add([]byte("a,b\x00\n\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		labels, bad, err := ParseCSV(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if len(labels)+len(bad) > bytes.Count(data, []byte("\n"))+1 {
			t.Fatal("more rows than lines")
		}
		var out bytes.Buffer
		if err := WriteCSV(&out, labels); err != nil {
			t.Fatal(err)
		}
		again, bad, err := ParseCSV(&out)
		if err != nil || len(bad) != 0 || len(again) != len(labels) {
			t.Fatalf("%d labels became %d, %v, %v", len(labels), len(again), bad, err)
		}
	})
}
