package flash

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func contents(t *testing.T, f *Flash, off, n int) []byte {
	t.Helper()
	p := make([]byte, n)
	if err := f.Read(off, p); err != nil {
		t.Fatal(err)
	}
	return p
}

func want(t *testing.T, what string, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: %v, want %v", what, err, kind)
	}
}

// Programming clears bits, and only erasing a whole sector sets them.
func TestNOR(t *testing.T) {
	f := NewMemory(64, 16)
	if got := contents(t, f, 0, 64); !bytes.Equal(got, bytes.Repeat([]byte{0xff}, 64)) {
		t.Fatalf("new: %x", got)
	}
	for _, p := range []byte{0xf0, 0xf0, 0x30, 0x00} {
		want(t, "clearing", f.Program(17, []byte{p}), nil)
	}
	want(t, "setting", f.Program(16, []byte{0x00, 0x01}), ErrSet)
	if got := contents(t, f, 16, 2); !bytes.Equal(got, []byte{0xff, 0}) {
		t.Errorf("a refused operation changed %x", got)
	}
	want(t, "erasing off a sector's beginning", f.Erase(17), ErrRange)
	want(t, "erasing", f.Erase(16), nil)
	if got := contents(t, f, 16, 2); !bytes.Equal(got, []byte{0xff, 0xff}) {
		t.Errorf("erased: %x", got)
	}
	for _, c := range []struct{ off, n int }{{-1, 1}, {64, 1}, {60, 5}, {1 << 40, 1}} {
		want(t, "reading outside", f.Read(c.off, make([]byte, c.n)), ErrRange)
		want(t, "programming outside", f.Program(c.off, make([]byte, c.n)), ErrRange)
	}
	if erased, programmed := f.Wear(); erased != 1 || programmed != 4 {
		t.Errorf("wear %d, %d", erased, programmed)
	}
}

// A bad place fails each time, and what stands before it is written.
func TestBad(t *testing.T) {
	f := NewMemory(64, 16)
	f.Bad(10, 2)
	want(t, "over it", f.Program(8, []byte{1, 2, 3, 4}), ErrBad)
	want(t, "behind it", f.Program(12, []byte{5}), nil)
	if got := contents(t, f, 8, 5); !bytes.Equal(got, []byte{1, 2, 0xff, 0xff, 5}) {
		t.Errorf("%x", got)
	}
	f.Bad(0, 0)
	want(t, "repaired", f.Program(8, []byte{1, 2, 3, 4}), nil)
}

// The power is cut at any byte, of programming and of erasing: what came before is
// there, what follows is not, and nothing works until it is back.
func TestPowerCut(t *testing.T) {
	for n := range 8 {
		f := NewMemory(64, 16)
		cut := make(chan bool)
		f.CutAfter(n+4, func() { close(cut) })
		want(t, "before", f.Program(16, make([]byte, 4)), nil)
		want(t, "in it", f.Program(20, make([]byte, 8)), ErrPower)
		<-cut
		want(t, "reading", f.Read(0, make([]byte, 1)), ErrPower)
		if f.Powered() {
			t.Error("it says that it is powered")
		}
		want(t, "erasing", f.Erase(16), ErrPower)
		f.Restore()
		expected := append(make([]byte, 4+n), bytes.Repeat([]byte{0xff}, 12-n)...)
		if got := contents(t, f, 16, 16); !bytes.Equal(got, expected) {
			t.Errorf("after %d bytes: %x", n, got)
		}
		f.CutAfter(2, nil)
		want(t, "erasing", f.Erase(16), ErrPower)
		f.Restore()
		expected[0], expected[1] = 0xff, 0xff
		if got := contents(t, f, 16, 16); !bytes.Equal(got, expected) {
			t.Errorf("half erased: %x", got)
		}
	}
}

// In a file the flash outlives the process, and an erased one needs no room.
func TestFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "nor")
	for i := range 3 {
		file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		f := New(file, 1<<20, 4096)
		if got := contents(t, f, 0, 4); !bytes.Equal(got[:i], []byte{0, 1, 2}[:i]) || got[i] != 0xff {
			t.Errorf("start %d: %x", i, got)
		}
		want(t, "programming", f.Program(i, []byte{byte(i)}), nil)
		if got := contents(t, f, 1<<20-4, 4); got[3] != 0xff {
			t.Errorf("the end: %x", got)
		}
		file.Close()
	}
	info, err := os.Stat(name)
	if err != nil || info.Size() > 4096 {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
}
