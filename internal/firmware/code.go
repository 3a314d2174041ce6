package firmware

import (
	"errors"
	"fmt"
)

// ErrUnsolvable says that what was given determines no block.
var ErrUnsolvable = errors.New("these parity blocks do not give the missing blocks")

// Coefficient is the factor of a source block (0 to 63) in a parity block (64 to
// 255): 1/(parity XOR source). They make a Cauchy matrix, every square part of which
// can be inverted; so any m parity blocks give any m missing blocks.
func Coefficient(parity, source int) byte { return inverses[byte(parity^source)] }

// Encode makes the parity block with the index (64 to 255) of the k source blocks of
// a generation: the sum of Coefficient(index, j) times source(j). dst has the size
// of a block; a source block that is shorter counts as padded with zeros.
func Encode(dst []byte, index int, source func(j int) []byte, k int) {
	clear(dst)
	for j := range k {
		MulAdd(dst, source(j), Coefficient(index, j))
	}
}

// Solve is what gives the missing source blocks (indices 0 to 63) from as many
// parity blocks (64 to 255): the inverse of the matrix Coefficient(parity[i],
// missing[j]), row by row. With s the sum of Coefficient(parity[i], known) times
// each known source block,
//
//	missing[j] = sum over i of inverse[j*m + i] * (parity block i + s)
//
// It fails with [ErrUnsolvable] when the numbers differ, an index is out of its
// range, or one is repeated.
func Solve(missing, parity []int) (inverse []byte, err error) {
	m := len(missing)
	if m != len(parity) || m > MaxK {
		return nil, fmt.Errorf("%w: %d of them for %d", ErrUnsolvable, len(parity), m)
	}
	a, err := factors(parity, missing, MaxK, MaxSymbols)
	if err != nil {
		return nil, err
	}
	b, err := factors(missing, parity, 0, MaxK)
	if err != nil {
		return nil, err
	}
	inverse = make([]byte, m*m)
	for j := range missing {
		for i := range parity {
			inverse[j*m+i] = products[products[a[i]][b[j]]][Coefficient(parity[i], missing[j])]
		}
	}
	return inverse, nil
}

// factors are those of the rows or of the columns of a Cauchy matrix's inverse: for
// each x, the product of x+y over all ys, divided by the product of x+x' over the
// other xs. (S. Schechter, On the Inversion of Certain Matrices, 1959.)
func factors(xs, ys []int, from, to int) ([]byte, error) {
	out := make([]byte, len(xs))
	for i, x := range xs {
		if x < from || x >= to {
			return nil, fmt.Errorf("%w: there is no index %d", ErrUnsolvable, x)
		}
		f := byte(1)
		for _, y := range ys {
			f = products[f][byte(x^y)]
		}
		for k, other := range xs {
			if k == i {
				continue
			}
			if other == x {
				return nil, fmt.Errorf("%w: index %d is there twice", ErrUnsolvable, x)
			}
			f = products[f][inverses[byte(x^other)]]
		}
		out[i] = f
	}
	return out, nil
}
