package cbor_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"lamplighter/internal/cbor"
)

func TestReader(t *testing.T) {
	data := cbor.MustMarshal([]any{7, -25, []byte{1, 2}, "ä", map[int]any{1: nil, -1: true}, cbor.Tag{Number: 107, Content: "x"}})
	r := cbor.NewReader(data)
	if n := r.Array(); n != 6 {
		t.Errorf("array of %d", n)
	}
	if n := r.Uint(); n != 7 {
		t.Errorf("uint %d", n)
	}
	if n := r.Int(); n != -25 {
		t.Errorf("int %d", n)
	}
	if b := r.Bytes(); !bytes.Equal(b, []byte{1, 2}) {
		t.Errorf("bytes %x", b)
	}
	if s := r.Text(); s != "ä" {
		t.Errorf("text %q", s)
	}
	var keys []int64
	r.Map(func(key *cbor.Reader) {
		n := key.Int()
		if err := key.End(); err != nil {
			t.Error(err)
		}
		if keys = append(keys, n); n == 1 {
			r.Null()
		} else if item := r.Item(); !bytes.Equal(item, []byte{cbor.True}) {
			t.Errorf("item %x", item)
		}
	})
	if len(keys) != 2 || keys[0] != 1 || keys[1] != -1 {
		t.Errorf("keys %v", keys)
	}
	if next := r.Next(); next != cbor.Tagged {
		t.Errorf("next %d", next)
	}
	if n := r.Tag(); n != 107 {
		t.Errorf("tag %d", n)
	}
	if s := r.Text(); s != "x" || r.Err() != nil || r.End() != nil {
		t.Errorf("%q, %v", s, r.End())
	}
	if r.Next() != 7 {
		t.Error("something follows the end")
	}
}

// What another decoder lets pass, and what is none at all.
func TestReaderRefuses(t *testing.T) {
	for name, data := range map[string]string{
		"nothing":                "",
		"a long head":            "1817",
		"a longer head":          "190017",
		"a head of eight":        "1b00000000ffffffff",
		"an indefinite length":   "5f4101ff",
		"an indefinite array":    "9f01ff",
		"a reserved length":      "1c",
		"a cut head":             "19ff",
		"cut bytes":              "4201",
		"a cut array":            "8201",
		"a huge array":           "9bffffffffffffffff",
		"a huge map":             "bbffffffffffffffff",
		"a cut map":              "a1",
		"keys out of order":      "a202000100",
		"a key twice":            "a201000100",
		"not UTF-8":              "61ff",
		"undefined":              "f7",
		"a float":                "f90000",
		"a simple value":         "f820",
		"what follows":           "0101",
		"a tag of nothing":       "d86b",
		"too deep":               "8181818181818181818181818181818181818181",
		"keys that are too deep": "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a100",
	} {
		b, err := hex.DecodeString(data)
		if err != nil {
			t.Fatal(err)
		}
		r := cbor.NewReader(b)
		item := r.Item()
		if err := r.End(); !errors.Is(err, cbor.ErrDecode) {
			t.Errorf("%s: %x, %v", name, item, err)
		}
	}
	one := []byte{0x01}
	for name, read := range map[string]func(r *cbor.Reader){
		"bytes": func(r *cbor.Reader) { r.Bytes() }, "text": func(r *cbor.Reader) { r.Text() }, "array": func(r *cbor.Reader) { r.Array() },
		"map": func(r *cbor.Reader) { r.Map(func(*cbor.Reader) {}) }, "tag": func(r *cbor.Reader) { r.Tag() }, "null": func(r *cbor.Reader) { r.Null() },
	} {
		r := cbor.NewReader(one)
		if read(r); !errors.Is(r.Err(), cbor.ErrDecode) {
			t.Errorf("an integer as %s: %v", name, r.Err())
		}
		if r.Uint() != 0 || r.Err() == nil {
			t.Errorf("%s: the error did not stay", name)
		}
	}
	if r := cbor.NewReader([]byte{0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}); r.Int() != 0 || r.Err() == nil {
		t.Error("an integer below int64")
	}
}

// What the reader accepts, the encoder makes of the decoded value.
func FuzzReader(f *testing.F) {
	f.Add(cbor.MustMarshal([]any{7, -25, []byte{1, 2}, "ä", map[int]any{1: nil, -1: true}}))
	f.Add([]byte{0x18, 0x17})
	f.Add([]byte{0xa2, 0x02, 0x00, 0x01, 0x00})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := cbor.NewReader(data)
		item := r.Item()
		if r.End() != nil {
			return
		}
		if !bytes.Equal(item, data) {
			t.Fatalf("%x of %x", item, data)
		}
		var v any
		if !cbor.Untagged(data) || cbor.Unmarshal(data, &v) != nil {
			return // tags, which the decoder may interpret; keys that Go's maps cannot have
		}
		if again, err := cbor.Marshal(v); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%x is encoded as %x, %v", data, again, err)
		}
	})
}
