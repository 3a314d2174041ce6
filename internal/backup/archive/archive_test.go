package archive

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

var sample = []Item{
	{File, "keys/gm.key", []byte("00ff\n")},
	{Record, "g/hall", []byte{1, 2, 3}},
	{Record, "t/1/2", nil},
}

func written(t testing.TB, items ...Item) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, Head{Role: "gm", Created: 1_795_000_000, Version: "1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range items {
		if err := w.Put(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func read(data []byte) (h Head, items []Item, err error) {
	r, err := NewReader(bytes.NewReader(data))
	if err != nil {
		return h, nil, err
	}
	for {
		i, err := r.Next()
		if err == io.EOF {
			return r.Head(), items, nil
		}
		if err != nil {
			return h, nil, err
		}
		items = append(items, i)
	}
}

func TestArchive(t *testing.T) {
	h, items, err := read(written(t, sample...))
	if err != nil || h != (Head{"gm", 1_795_000_000, "1"}) || !reflect.DeepEqual(items, sample) {
		t.Errorf("%+v %+v %v", h, items, err)
	}
}

// What was cut off anywhere, or goes on after its end, is refused.
func TestCutArchive(t *testing.T) {
	whole := written(t, sample...)
	for n := range whole {
		if _, _, err := read(whole[:n]); !errors.Is(err, ErrFormat) {
			t.Errorf("the first %d bytes: %v", n, err)
		}
	}
	if _, _, err := read(append(bytes.Clone(whole), 0)); !errors.Is(err, ErrFormat) {
		t.Errorf("with a byte more: %v", err)
	}
	if _, _, err := read([]byte(strings.Replace(string(whole), "backup 1", "backup 2", 1))); !errors.Is(err, ErrFormat) {
		t.Errorf("of another format: %v", err)
	}
	if _, _, err := read(append([]byte(magic), 0xff, 0xff, 0xff, 0xff)); !errors.Is(err, ErrFormat) {
		t.Errorf("of a huge item: %v", err)
	}
}

func TestPaths(t *testing.T) {
	w, _ := NewWriter(io.Discard, Head{})
	for _, bad := range []string{"", ".", "..", "../x", "/etc/passwd", "a/../../x", "a//b", "a/", `a\b`, "c:x", strings.Repeat("x", 300)} {
		if err := w.Put(Item{File, bad, nil}); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := w.Put(Item{Record, "", nil}); err == nil {
		t.Error("a record without a key")
	}
	if err := w.Put(Item{Kind: 9, Name: "x"}); err == nil {
		t.Error("an unknown kind")
	}
	if err := w.Put(Item{Record, "big", make([]byte, maxItem)}); err == nil {
		t.Error("a record that nobody could read")
	}
}

// What is read, is written as it was.
func FuzzArchive(f *testing.F) {
	f.Add(written(f, sample...))
	f.Add(written(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, items, err := read(data)
		if err != nil {
			return
		}
		var out bytes.Buffer
		w, err := NewWriter(&out, h)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range items {
			if err := w.Put(i); err != nil {
				t.Fatal(err)
			}
		}
		_ = w.Close()
		if h2, again, err := read(out.Bytes()); err != nil || h2 != h || !reflect.DeepEqual(again, items) {
			t.Errorf("%+v %+v became %+v %+v, %v", h, items, h2, again, err)
		}
	})
}
