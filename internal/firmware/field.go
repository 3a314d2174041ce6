package firmware

import "encoding/binary"

// The field GF(2^8) with the polynomial x^8 + x^4 + x^3 + x^2 + 1. Addition is XOR.
const polynomial = 0x11d

// products is the multiplication table; inverses has 0 at 0, which has none.
var (
	products [256][256]byte
	inverses [256]byte
)

func init() {
	for x := range 256 {
		products[1][x] = byte(x)
	}
	for c := 2; c < 256; c++ {
		for x := range 256 {
			double := int(products[c>>1][x]) << 1
			if double > 0xff {
				double ^= polynomial
			}
			if c&1 != 0 {
				double ^= x
			}
			products[c][x] = byte(double)
			if double == 1 {
				inverses[c] = byte(x)
			}
		}
	}
	inverses[1] = 1
}

// MulAdd adds c times src to dst, in the field: the one hot loop of the code. dst is
// at least as long as src; its bytes behind that stay as they are, so that a short
// src counts as padded with zeros. The race detector looks at the slices where they
// are filled and used: at each byte of each product it would cost a fleet's tests more
// than all the rest.
//
//go:norace
func MulAdd(dst, src []byte, c byte) {
	if c == 0 {
		return
	}
	dst = dst[:len(src)]
	row := &products[c]
	n := len(src) &^ 7
	for i := 0; i < n; i += 8 {
		s := binary.LittleEndian.Uint64(src[i:])
		p := uint64(row[byte(s)]) | uint64(row[byte(s>>8)])<<8 |
			uint64(row[byte(s>>16)])<<16 | uint64(row[byte(s>>24)])<<24 |
			uint64(row[byte(s>>32)])<<32 | uint64(row[byte(s>>40)])<<40 |
			uint64(row[byte(s>>48)])<<48 | uint64(row[byte(s>>56)])<<56
		binary.LittleEndian.PutUint64(dst[i:], binary.LittleEndian.Uint64(dst[i:])^p)
	}
	for i := n; i < len(src); i++ {
		dst[i] ^= row[src[i]]
	}
}
