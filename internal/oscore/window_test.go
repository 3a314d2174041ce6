package oscore

import (
	"errors"
	"math/rand/v2"
	"testing"
)

func TestWindow(t *testing.T) {
	w, err := NewWindow(0, WindowState{})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		n      uint64
		accept bool
	}{
		{5, true}, {5, false}, {0, true}, {0, false}, {4, true}, {36, true}, {36, false},
		{4, false}, // older than 32
		{5, false}, // the oldest in the window, received
		{6, true}, {6, false}, {100, true}, {69, true}, {68, false}, {1<<40 - 1, true}, {1<<40 - 1, false}, {100, false},
	} {
		err := w.Check(step.n)
		if (err == nil) != step.accept || err != nil && !errors.Is(err, ErrReplay) {
			t.Fatalf("%d: %v", step.n, err)
		}
		if err == nil {
			w.Accept(step.n)
		}
	}
}

// The window agrees with a set of all numbers received.
func TestWindowModel(t *testing.T) {
	for _, size := range []int{1, 32, 64} {
		w, err := NewWindow(size, WindowState{})
		if err != nil {
			t.Fatal(err)
		}
		seen, top := map[uint64]bool{}, int64(-1)
		random := rand.New(rand.NewPCG(1, uint64(size)))
		for range 20000 {
			n := uint64(max(0, top-int64(random.IntN(80))+int64(random.IntN(40))))
			want := !seen[n] && int64(n) > top-int64(size)
			if got := w.Check(n) == nil; got != want {
				t.Fatalf("size %d, top %d: %d gives %v", size, top, n, got)
			}
			if want {
				w.Accept(n)
				seen[n], top = true, max(top, int64(n))
			}
			if random.IntN(50) == 0 { // a restart loses nothing
				if w, err = NewWindow(size, w.State()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestWindowStartAt(t *testing.T) {
	w, _ := NewWindow(32, WindowState{})
	w.StartAt(50)
	for _, n := range []uint64{0, 30, 49, 50} {
		if w.Check(n) == nil {
			t.Errorf("%d is accepted", n)
		}
	}
	if err := w.Check(51); err != nil {
		t.Error(err)
	}
	for _, size := range []int{-1, 65} {
		if _, err := NewWindow(size, WindowState{}); err == nil {
			t.Errorf("window of %d", size)
		}
	}
}
