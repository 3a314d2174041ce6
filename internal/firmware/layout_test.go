package firmware

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

// Every block stands in one generation, generations differ by one block at most, and
// the lengths add up.
func TestLayout(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 3000 {
		l := Layout{Size: 1 + rng.IntN(200_000), Block: MinBlock + rng.IntN(MaxBlock-MinBlock+1), K: 1 + rng.IntN(MaxK)}
		if i%3 == 0 {
			l.Size = 1 + rng.IntN(4*l.Block)
		}
		if err := l.Check(); err != nil {
			t.Fatal(err)
		}
		next, size, low, high := 0, 0, MaxK+1, 0
		for g := range l.Generations() {
			first, k := l.Generation(g)
			if first != next {
				t.Fatalf("%+v: generation %d begins at %d, not at %d", l, g, first, next)
			}
			next, low, high = first+k, min(low, k), max(high, k)
			for idx := range k {
				if pg, pi := l.Place(first + idx); pg != g || pi != idx {
					t.Fatalf("%+v: block %d is at %d, %d, not at %d, %d", l, first+idx, pg, pi, g, idx)
				}
				n := l.Length(first + idx)
				if n <= 0 || n > l.Block || n < l.Block && first+idx != l.Blocks()-1 {
					t.Fatalf("%+v: block %d has %d bytes", l, first+idx, n)
				}
				size += n
			}
		}
		if next != l.Blocks() || size != l.Size || low < 1 || high > l.K || high-low > 1 {
			t.Fatalf("%+v: %d of %d blocks, %d bytes, generations of %d to %d", l, next, l.Blocks(), size, low, high)
		}
	}
}

func TestLayoutCheck(t *testing.T) {
	const most = MaxGenerations * MaxK * MaxBlock
	for _, l := range []Layout{{1, 64, 1}, {262144, 1024, 64}, {most, 1024, 64}, {4096 * 64, 64, 1}} {
		if err := l.Check(); err != nil || l.Generations() > MaxGenerations {
			t.Errorf("%+v: %v", l, err)
		}
	}
	for _, l := range []Layout{
		{0, 1024, 64}, {-1, 1024, 64}, {1, 63, 64}, {1, 1025, 64}, {1, 1024, 0}, {1, 1024, 65}, {1, 0, 0}, {1, -1024, -64},
		{most + 1, 1024, 64}, {4096*64 + 1, 64, 1},
	} {
		if err := l.Check(); !errors.Is(err, ErrLayout) {
			t.Errorf("%+v: %v", l, err)
		}
	}
}

// One manifest in one layout has one session, in another layout another.
func TestSessionID(t *testing.T) {
	digest := bytes.Repeat([]byte{7}, 32)
	id := Layout{1000, 512, 64}.SessionID(digest)
	if len(id) != SessionSize || !bytes.Equal(id, Layout{1000, 512, 64}.SessionID(digest)) {
		t.Errorf("%x", id)
	}
	digest[31] = 8
	other := Layout{1000, 512, 64}.SessionID(digest)
	digest[31] = 7
	for _, o := range [][]byte{other, Layout{1000, 256, 64}.SessionID(digest), Layout{1000, 512, 32}.SessionID(digest)} {
		if bytes.Equal(o, id) {
			t.Error("two transfers have one id")
		}
	}
}
