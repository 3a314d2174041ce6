package firmware

import (
	"crypto/sha256"
	"encoding/binary"
)

// Layout is how an image is cut: into blocks of Block bytes, the last one shorter,
// and the blocks into generations of nearly equal size. Equal layouts of one
// manifest have one session id, whoever sends.
type Layout struct {
	Size  int // bytes of the image
	Block int // bytes of a block
	K     int // source blocks of a generation, at most
}

// Blocks is how many source blocks the image has.
func (l Layout) Blocks() int { return (l.Size + l.Block - 1) / l.Block }

// Generations is how many generations there are.
func (l Layout) Generations() int { return (l.Blocks() + l.K - 1) / l.K }

// Generation returns the first block of generation g and how many it has: the
// first ones have one more when they cannot all be equal.
func (l Layout) Generation(g int) (first, k int) {
	n, gens := l.Blocks(), l.Generations()
	k, more := n/gens, n%gens
	first = g*k + min(g, more)
	if g < more {
		k++
	}
	return first, k
}

// Place returns the generation of a block and its index there.
func (l Layout) Place(block int) (g, idx int) {
	for g = range l.Generations() {
		if first, k := l.Generation(g); block < first+k {
			return g, block - first
		}
	}
	return g, 0
}

// Length is how many bytes a source block has.
func (l Layout) Length(block int) int { return min(l.Block, l.Size-block*l.Block) }

// SessionID names the transfer of an image in this layout: the beginning of SHA-256
// over the manifest's digest, the block size and K, 32 bits each.
func (l Layout) SessionID(manifestDigest []byte) []byte {
	b := append([]byte(nil), manifestDigest...)
	b = binary.BigEndian.AppendUint32(b, uint32(l.Block))
	b = binary.BigEndian.AppendUint32(b, uint32(l.K))
	sum := sha256.Sum256(b)
	return sum[:SessionSize]
}
