package main

import (
	"bytes"
	"errors"
	"testing"
)

// module has a memory of one page, data in it, and a custom section behind.
func module(data string) []byte {
	return []byte(preamble + "\x05\x03\x01\x00\x01" + "\x0b" + string(rune(len(data))) + data + "\x00\x03\x02hi")
}

func TestOneSegmentKeepsMemory(t *testing.T) {
	got, err := oneSegment(module("\x03" + "\x00\x41\xc4\x00\x0b\x02cx" + "\x00\x41\xc0\x00\x0b\x02ab" + "\x00\x41\xc5\x00\x0b\x01d"))
	if want := module("\x01" + "\x00\x41\xc0\x00\x0b\x06ab\x00\x00cd"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x, %v; want %x", got, err, want)
	}
	again, err := oneSegment(got)
	if err != nil || !bytes.Equal(again, got) {
		t.Errorf("again: %x, %v", again, err)
	}
}

func TestOneSegmentRefuses(t *testing.T) {
	for name, m := range map[string][]byte{
		"no module":         []byte("<html>"),
		"cut off":           module("\x01\x00\x41\x00\x0b\x01a")[:20],
		"far apart":         module("\x02" + "\x00\x41\x08\x0b\x01a" + "\x00\x41\x80\x80\x80\x80\x04\x0b\x01b"),
		"passive":           module("\x01\x01\x01a"),
		"at a negative":     module("\x01\x00\x41\x7f\x0b\x01a"),
		"too long":          module("\x01\x00\x41\x00\x0b\x05a"),
		"more than counted": module("\x01\x00\x41\x00\x0b\x01aa"),
		"an endless number": module("\x01\x00\x41\x80\x80\x80\x80\x80\x80\x0b\x01a"),
	} {
		if got, err := oneSegment(m); !errors.Is(err, errModule) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
}

func TestSignedNumbers(t *testing.T) {
	for _, v := range []int64{0, 1, 63, 64, -1, -64, -65, 125282, 1<<31 - 1, -1 << 31} {
		r := reader{left: appendSigned(nil, v)}
		if got := r.signed(); int64(got) != v || r.bad || len(r.left) > 0 {
			t.Errorf("%d becomes %d", v, got)
		}
	}
}
