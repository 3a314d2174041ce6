package cbor

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDeterministic(t *testing.T) {
	got := MustMarshal(map[any]any{"b": 1, 10: 2, -1: 3, "aa": 4, 100: []byte{5}})
	if want := "a5" + "0a02" + "186441" + "05" + "2003" + "616201" + "62616104"; hex.EncodeToString(got) != want {
		t.Errorf("got %x, want %s", got, want)
	}
	if _, err := Marshal(make(chan int)); err == nil {
		t.Error("a channel is encoded")
	}
	defer func() {
		if recover() == nil {
			t.Error("MustMarshal encodes a channel")
		}
	}()
	MustMarshal(make(chan int))
}

func TestStrict(t *testing.T) {
	for name, s := range map[string]string{
		"nothing":                "",
		"trailing byte":          "0100",
		"cut off":                "4201",
		"duplicate key":          "a201000100",
		"duplicate text key":     "a2616100616101",
		"indefinite bytes":       "5f4101ff",
		"indefinite text":        "7f6161ff",
		"indefinite array":       "9f01ff",
		"indefinite map":         "bf0101ff",
		"invalid UTF-8":          "61ff",
		"break alone":            "ff",
		"reserved length":        "1c",
		"17 levels":              strings.Repeat("81", 17) + "00",
		"array that is not here": "9a00ffffff",
		"map that is not here":   "ba00ffffff",
		"bytes that are not":     "5bffffffffffffffff",
	} {
		var v any
		if err := Unmarshal(unhex(t, s), &v); !errors.Is(err, ErrDecode) {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
	for _, s := range []string{"00", "1800", "f6", "a0", "a1010261ff"[:6], strings.Repeat("81", 15) + "00", "d83d40"} {
		var v any
		if err := Unmarshal(unhex(t, s), &v); err != nil {
			t.Errorf("%s: %v", s, err)
		}
		if err := Valid(unhex(t, s)); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{"", "0100", "9f01ff"} {
		if err := Valid(unhex(t, s)); !errors.Is(err, ErrDecode) {
			t.Errorf("%s is valid: %v", s, err)
		}
	}
	var n int
	if err := Unmarshal([]byte{0x40}, &n); !errors.Is(err, ErrDecode) {
		t.Errorf("bytes as a number: %v", err)
	}
}

func TestUnmarshalFirst(t *testing.T) {
	var n int
	rest, err := UnmarshalFirst([]byte{7, 0x41, 9}, &n)
	if err != nil || n != 7 || !bytes.Equal(rest, []byte{0x41, 9}) {
		t.Errorf("%d, %x, %v", n, rest, err)
	}
	if _, err := UnmarshalFirst(nil, &n); !errors.Is(err, ErrDecode) {
		t.Errorf("got %v", err)
	}
}

// The appenders agree with the encoder.
func TestAppend(t *testing.T) {
	for _, n := range []int64{0, 1, 23, 24, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, 1<<63 - 1, -1, -24, -25, -256, -257, -65534, -1 << 63} {
		if got, want := AppendInt(nil, n), MustMarshal(n); !bytes.Equal(got, want) {
			t.Errorf("%d: %x, want %x", n, got, want)
		}
	}
	for _, size := range []int{0, 1, 23, 24, 255, 256, 65535, 65536} {
		b := bytes.Repeat([]byte("x"), size)
		if got := AppendBytes([]byte{1}, b); !bytes.Equal(got[1:], MustMarshal(b)) || got[0] != 1 {
			t.Errorf("%d bytes", size)
		}
		if got := AppendText(nil, string(b)); !bytes.Equal(got, MustMarshal(string(b))) {
			t.Errorf("text of %d bytes", size)
		}
		if got := len(AppendHead(nil, Bytes, uint64(size))); got != HeadSize(size) {
			t.Errorf("head of %d: %d bytes, not %d", size, got, HeadSize(size))
		}
	}
	if got := AppendHead(nil, Tagged, 61); !bytes.Equal(append(got, Null), MustMarshal(Tag{Number: 61})) {
		t.Errorf("tag %x", got)
	}
}

// dated says whether v holds a point in time: the tags 0 and 1 become one where
// any value is asked for, which nothing here does, and it encodes without its tag.
func dated(v any) bool {
	switch v := v.(type) {
	case time.Time:
		return true
	case Tag:
		return dated(v.Content)
	case []any:
		return slices.ContainsFunc(v, dated)
	case map[any]any:
		for key, value := range v {
			if dated(key) || dated(value) {
				return true
			}
		}
	}
	return false
}

func FuzzUnmarshal(f *testing.F) {
	for _, s := range []string{"00", "a10102", "8301820203f6", "d83d40", "fb3ff199999999999a", "a201000100", "c11a514b67b0", "a2c130303030"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		if Unmarshal(data, &v) != nil {
			return
		}
		if err := Valid(data); err != nil {
			t.Fatalf("%x is decoded, but not valid: %v", data, err)
		}
		if dated(v) {
			return
		}
		once, err := Marshal(v)
		if err != nil {
			t.Skip() // values of types that do not encode, such as a map as a key
		}
		var again any
		if err := Unmarshal(once, &again); err != nil {
			t.Fatalf("%x encodes as %x, which is refused: %v", data, once, err)
		}
		if twice := MustMarshal(again); !bytes.Equal(once, twice) {
			t.Errorf("%x encodes as %x, then as %x (%v)", data, once, twice, reflect.TypeOf(again))
		}
	})
}

func TestUntagged(t *testing.T) {
	for data, want := range map[string]bool{
		"\x01": true, "\x82\x01\xf6": true, "\xc1\x01": false, "\x81\xc1\x01": false, "\xa1\x01\xd8\x18\x40": false, "\x82\x01": false, "": false,
	} {
		if got := Untagged([]byte(data)); got != want {
			t.Errorf("%x: %v", data, got)
		}
	}
}
