package image

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

var steady = Image{Version: "2.0.0", On: 200 * time.Millisecond, Off: 800 * time.Millisecond}

func TestMake(t *testing.T) {
	for _, size := range []int{16, 17, 4096, 256 << 10} {
		b := Make(steady, size)
		if len(b) != size || !bytes.Equal(b, Make(steady, size)) {
			t.Fatalf("%d bytes, want %d, the same each time", len(b), size)
		}
		got, err := Parse(b)
		if err != nil || got.Version != "2.0.0" || got.On != steady.On || got.Off != steady.Off || got.Behaviour != Runs {
			t.Errorf("%+v, %v", got, err)
		}
		if !bytes.Equal(got.Bytes(), b) {
			t.Error("it encodes to something else")
		}
	}
	other := steady
	other.Version = "2.0.1"
	if a, b := Make(steady, 1024), Make(other, 1024); bytes.Equal(a[512:], b[512:]) {
		t.Error("two versions share their filler")
	}
}

func TestParseRefuses(t *testing.T) {
	good := Make(steady, 64)
	edit := func(at int, v byte) []byte { b := bytes.Clone(good); b[at] = v; return b }
	for name, b := range map[string][]byte{
		"empty": nil, "cut off": good[:12], "another magic": edit(0, 'X'), "another format": edit(4, 2),
		"unknown behaviour": edit(5, 3), "no version": edit(10, 0), "long version": append(edit(10, 65), make([]byte, 64)...),
		"unprintable version": edit(11, 7), "no UTF-8": edit(11, 0xff),
	} {
		if _, err := Parse(b); !errors.Is(err, ErrImage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, i := range map[string]Image{
		"long": {Version: strings.Repeat("x", 65)}, "half a millisecond": {Version: "1", On: time.Microsecond}, "long blink": {Version: "1", Off: 2 * time.Minute},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: made", name)
				}
			}()
			i.Bytes()
		}()
	}
}

func TestLit(t *testing.T) {
	for since, want := range map[time.Duration]bool{0: true, 199 * time.Millisecond: true, 200 * time.Millisecond: false, 999 * time.Millisecond: false, time.Second: true} {
		if steady.Lit(since) != want {
			t.Errorf("after %v: %v", since, !want)
		}
	}
	if !(Image{}).Lit(time.Second) {
		t.Error("an image without a pattern is dark")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Make(steady, 64))
	f.Add([]byte("LLFW\x01\x00\x00\x00\x00\x00\x011"))
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := Parse(b)
		if err != nil {
			return
		}
		if !bytes.Equal(i.Bytes(), b) {
			t.Fatalf("%+v encodes to something else", i)
		}
		if again, err := Parse(i.Bytes()); err != nil || !reflect.DeepEqual(i, again) {
			t.Fatalf("%+v, %v", again, err)
		}
	})
}
