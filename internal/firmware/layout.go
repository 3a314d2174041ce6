package firmware

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxGenerations is how many generations an image may have: each costs a byte in
// every answer to a sweep.
const MaxGenerations = 4096

// ErrLayout says that an image cannot be cut as asked.
var ErrLayout = errors.New("the image cannot be cut into such blocks")

// Layout is how an image is cut: into blocks of Block bytes, the last one shorter,
// and the blocks into generations of nearly equal size. Equal layouts of one
// manifest have one session id, whoever sends.
type Layout struct {
	Size  int // bytes of the image
	Block int // bytes of a block
	K     int // source blocks of a generation, at most
}

// Check says what is wrong with a layout; the other methods want one that is right.
// Its errors wrap [ErrLayout].
func (l Layout) Check() error {
	switch {
	case l.Size <= 0:
		return fmt.Errorf("%w: it is empty", ErrLayout)
	case l.Block < MinBlock || l.Block > MaxBlock:
		return fmt.Errorf("%w: a block has %d to %d bytes, not %d", ErrLayout, MinBlock, MaxBlock, l.Block)
	case l.K < 1 || l.K > MaxK:
		return fmt.Errorf("%w: a generation has 1 to %d blocks, not %d", ErrLayout, MaxK, l.K)
	case l.Size > MaxGenerations*l.K*l.Block:
		return fmt.Errorf("%w: %d bytes are more than %d generations of %d blocks", ErrLayout, l.Size, MaxGenerations, l.K)
	}
	return nil
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
	n, gens := l.Blocks(), l.Generations()
	k, more := n/gens, n%gens
	if long := more * (k + 1); block >= long {
		return more + (block-long)/k, (block - long) % k
	}
	return block / (k + 1), block % (k + 1)
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
