package firmware

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/reedsolomon"
)

// generation makes k random blocks of size bytes, the last one short.
func generation(rng *rand.Rand, k, size int) [][]byte {
	blocks := make([][]byte, k)
	for j := range blocks {
		blocks[j] = make([]byte, size)
		if j == k-1 {
			blocks[j] = blocks[j][:1+rng.IntN(size)]
		}
		for i := range blocks[j] {
			blocks[j][i] = byte(rng.Uint32())
		}
	}
	return blocks
}

func of(blocks [][]byte) func(int) []byte { return func(j int) []byte { return blocks[j] } }

// padded is a block with zeros to the full size.
func padded(b []byte, size int) []byte { return append(bytes.Clone(b), make([]byte, size-len(b))...) }

func TestField(t *testing.T) {
	slow := func(a, b int) (p int) {
		for ; b > 0; b >>= 1 {
			if b&1 != 0 {
				p ^= a
			}
			if a <<= 1; a > 255 {
				a ^= polynomial
			}
		}
		return p
	}
	for a := range 256 {
		for b := range 256 {
			if int(products[a][b]) != slow(a, b) {
				t.Fatalf("%d * %d = %d, want %d", a, b, products[a][b], slow(a, b))
			}
		}
		if a > 0 && products[a][inverses[a]] != 1 {
			t.Errorf("1/%d is not %d", a, inverses[a])
		}
	}
}

func TestMulAdd(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		n := rng.IntN(70)
		dst, src := make([]byte, n+rng.IntN(9)), make([]byte, n)
		for i := range dst {
			dst[i] = byte(rng.Uint32())
		}
		for i := range src {
			src[i] = byte(rng.Uint32())
		}
		c := byte(rng.Uint32())
		want := bytes.Clone(dst)
		for i, s := range src {
			want[i] ^= products[c][s]
		}
		if MulAdd(dst, src, c); !bytes.Equal(dst, want) {
			t.Fatalf("%d bytes times %d: %x, want %x", n, c, dst, want)
		}
	}
}

// Parity is that of another implementation, for every k and every index.
func TestEncodeAsOthers(t *testing.T) {
	const size = 67
	rng := rand.New(rand.NewPCG(2, 2))
	for k := 1; k <= MaxK; k++ {
		blocks := generation(rng, k, size)
		oracle, err := reedsolomon.New(k, MaxSymbols-k, reedsolomon.WithCauchyMatrix())
		if err != nil {
			t.Fatal(err)
		}
		shards := make([][]byte, MaxSymbols)
		for j := range shards {
			shards[j] = make([]byte, size)
			if j < k {
				copy(shards[j], blocks[j])
			}
		}
		if err := oracle.Encode(shards); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, size)
		for index := MaxK; index < MaxSymbols; index++ {
			if Encode(got, index, of(blocks), k); !bytes.Equal(got, shards[index]) {
				t.Fatalf("k %d, parity %d: %x, want %x", k, index, got, shards[index])
			}
		}
	}
}

// solve rebuilds the missing blocks the way a receiver does.
func solve(t testing.TB, blocks [][]byte, missing, parity []int, size int) {
	t.Helper()
	inverse, err := Solve(missing, parity)
	if err != nil {
		t.Fatalf("missing %v, parity %v: %v", missing, parity, err)
	}
	gone := map[int]bool{}
	for _, j := range missing {
		gone[j] = true
	}
	m := len(missing)
	syndromes := make([][]byte, m)
	for i, p := range parity {
		syndromes[i] = make([]byte, size)
		Encode(syndromes[i], p, of(blocks), len(blocks))
		for s, b := range blocks {
			if !gone[s] {
				MulAdd(syndromes[i], b, Coefficient(p, s))
			}
		}
	}
	got := make([]byte, size)
	for j, index := range missing {
		clear(got)
		for i := range parity {
			MulAdd(got, syndromes[i], inverse[j*m+i])
		}
		if !bytes.Equal(got, padded(blocks[index], size)) {
			t.Fatalf("missing %v, parity %v: block %d is not the one that was lost", missing, parity, index)
		}
	}
}

// subsets calls f with each subset of m numbers from first on, n of them to choose from.
func subsets(first, n, m int, f func([]int)) {
	set := make([]int, m)
	var fill func(at, from int)
	fill = func(at, from int) {
		if at == m {
			f(set)
			return
		}
		for v := from; v < n; v++ {
			set[at] = first + v
			fill(at+1, v+1)
		}
	}
	fill(0, 0)
}

// Every loss of m of a small generation is repaired by every m of the first parity
// blocks; of large ones many at random.
func TestSolve(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	const size = 9
	for k := 1; k <= 6; k++ {
		blocks := generation(rng, k, size)
		for m := 0; m <= k; m++ {
			subsets(0, k, m, func(missing []int) {
				subsets(MaxK, 7, m, func(parity []int) { solve(t, blocks, missing, parity, size) })
			})
		}
	}
	for range 300 {
		k := 1 + rng.IntN(MaxK)
		blocks := generation(rng, k, size)
		m := 1 + rng.IntN(k)
		parity := rng.Perm(MaxSymbols - MaxK)[:m]
		for i := range parity {
			parity[i] += MaxK
		}
		solve(t, blocks, rng.Perm(k)[:m], parity, size)
	}
}

func TestSolveRefuses(t *testing.T) {
	for _, c := range []struct{ missing, parity []int }{
		{[]int{1}, []int{64, 65}},
		{[]int{1, 2}, []int{64}},
		{[]int{64}, []int{65}},
		{[]int{-1}, []int{65}},
		{[]int{1}, []int{63}},
		{[]int{1}, []int{256}},
		{[]int{1, 1}, []int{64, 65}},
		{[]int{1, 2}, []int{64, 64}},
		{make([]int, 65), make([]int, 65)},
	} {
		if _, err := Solve(c.missing, c.parity); !errors.Is(err, ErrUnsolvable) {
			t.Errorf("missing %v, parity %v: %v", c.missing, c.parity, err)
		}
	}
}

func FuzzSolve(f *testing.F) {
	f.Add([]byte{1, 2, 3}, []byte{9, 7, 190}, byte(8))
	f.Fuzz(func(t *testing.T, missing, parity []byte, k byte) {
		blocks := generation(rand.New(rand.NewPCG(4, uint64(k))), 1+int(k)%MaxK, 5)
		var lost, sent []int
		for _, j := range missing {
			lost = append(lost, int(j)-4)
		}
		for _, p := range parity {
			sent = append(sent, int(p)+MaxK-4)
		}
		if _, err := Solve(lost, sent); err != nil {
			return
		}
		for _, j := range lost {
			if j >= len(blocks) {
				return
			}
		}
		solve(t, blocks, lost, sent, 5)
	})
}

func BenchmarkMulAdd(b *testing.B) {
	dst, src := make([]byte, MaxBlock), make([]byte, MaxBlock)
	b.SetBytes(MaxBlock)
	for b.Loop() {
		MulAdd(dst, src, 77)
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, k := range []int{8, 64} {
		blocks := generation(rand.New(rand.NewPCG(5, 5)), k, MaxBlock)
		dst := make([]byte, MaxBlock)
		b.Run(fmt.Sprint(k), func(b *testing.B) {
			b.SetBytes(int64(k) * MaxBlock)
			for b.Loop() {
				Encode(dst, 100, of(blocks), k)
			}
		})
	}
}

func BenchmarkSolve(b *testing.B) {
	var missing, parity []int
	for i := range 16 {
		missing, parity = append(missing, 3*i), append(parity, 64+i)
	}
	for b.Loop() {
		_, _ = Solve(missing, parity)
	}
}
