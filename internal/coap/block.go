package coap

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"time"
)

// ErrBlocks says that a peer does not play by the rules of block-wise transfer,
// or that what it sends changes faster than it can be fetched.
var ErrBlocks = errors.New("the block-wise transfer failed")

// Block is the value of a Block1 or Block2 Option: the number of a block, whether
// more follow, and the size of all blocks but the last.
//
//	 0 1 2 3 4 5 6 7
//	|  NUM  |M| SZX |   NUM: 4, 12 or 20 bits; size = 2^(SZX+4), 16 to 1024
//
// RFC 7959, Section 2.2.
type Block struct {
	Num  uint32 // at most 2^20-1
	More bool
	Size int
}

// Bounds of a [Block].
const (
	minBlockSize   = 16
	maxBlockSize   = 1024
	maxBlockNum    = 1<<20 - 1
	maxBlockOption = 3 // bytes
)

// BlockOption reads a Block Option and whether m has it. Errors wrap
// [ErrBadOption]. The size exponent 7 is reserved over UDP.
func BlockOption(m *Message, id OptionID) (b Block, has bool, err error) {
	v := GetOption(m, id)
	if v == nil {
		return b, false, nil
	}
	n, _ := OptionUint(m, id)
	if len(v) > maxBlockOption || n&7 == 7 {
		return b, true, fmt.Errorf("%w: number %d", ErrBadOption, id)
	}
	return Block{Num: n >> 4, More: n&8 != 0, Size: minBlockSize << (n & 7)}, true, nil
}

// Encode is the value of the option. Size is a power of two from 16 to 1024.
func (b Block) Encode() []byte {
	n := b.Num<<4 | uint32(bits.TrailingZeros(uint(b.Size))-4)
	if b.More {
		n |= 8
	}
	return EncodeUint(n)
}

// offset is where the block begins in the body.
func (b Block) offset() int { return int(b.Num) * b.Size }

// cut returns the block of body that begins at offset, with its bytes. offset is
// a multiple of size and lies within body.
func cut(body []byte, offset, size int) (Block, []byte) {
	end := min(offset+size, len(body))
	return Block{Num: uint32(offset / size), More: end < len(body), Size: size}, body[offset:end]
}

// BlockLimits bound block-wise transfers; the zero value stands for defaults.
type BlockLimits struct {
	Size         int           // largest block, a power of two from 16 to 1024; default 1024
	Threshold    int           // servers: larger answers go in blocks even when nobody asked; default Size
	Early        bool          // callers: ask for blocks with the first request already; only for servers that know blocks
	MaxBody      int           // bytes of one body; default 64 KiB
	MaxTransfers int           // servers: transfers at a time; default 128. A quarter for one peer, half for all that prove nothing
	MaxBytes     int           // servers: bytes of all bodies, shared out like MaxTransfers; default 2 MiB
	Lifetime     time.Duration // servers: how long a transfer may rest; default 2 minutes
}

// WhenAsked is a Threshold: answers go in blocks to those only who ask for blocks.
const WhenAsked = math.MaxInt

func (l BlockLimits) withDefaults() BlockLimits {
	set := func(v *int, otherwise int) {
		if *v <= 0 {
			*v = otherwise
		}
	}
	set(&l.Size, maxBlockSize)
	l.Size = 1 << (bits.Len(uint(min(max(l.Size, minBlockSize), maxBlockSize))) - 1)
	set(&l.Threshold, l.Size)
	set(&l.MaxBody, 64<<10)
	l.MaxBody = min(l.MaxBody, maxBlockNum*minBlockSize) // else a block could have no number
	set(&l.MaxTransfers, 128)
	set(&l.MaxBytes, 2<<20)
	l.MaxBytes = max(l.MaxBytes, l.MaxBody)
	if l.Lifetime <= 0 {
		l.Lifetime = 2 * time.Minute
	}
	return l
}

// operation tells the requests of one block-wise operation from others: method
// and all options of the cache key. What differs between the requests of one
// operation is left out, and the payload with it: requests for further blocks
// carry none. RFC 7959, Section 2.4; RFC 9175, Section 3.3.
func operation(m *Message) [sha256.Size]byte {
	b := []byte{byte(m.Code)}
	for _, o := range m.Options {
		switch {
		case o.ID == OptionBlock1, o.ID == OptionBlock2, o.ID == OptionObserve, o.ID == OptionETag, noCacheKey(o.ID):
			continue
		}
		b = binary.BigEndian.AppendUint16(b, uint16(o.ID))
		b = binary.BigEndian.AppendUint32(b, uint32(len(o.Value)))
		b = append(b, o.Value...)
	}
	return sha256.Sum256(b)
}

// noCacheKey reports whether an elective option is no part of the cache key.
// RFC 7252, Section 5.4.6.
func noCacheKey(id OptionID) bool { return !Critical(id) && id&0x1e == 0x1c }

type blocksKey struct{}

// WithBlocks says that who makes requests under ctx understands Block Options in
// their responses. Where it is missing an [Exchanger] refuses them, as every
// critical option that nobody understands.
func WithBlocks(ctx context.Context) context.Context {
	return context.WithValue(ctx, blocksKey{}, true)
}

// CheckResponseOptions is [CheckOptions] for the response to a request that was
// made under ctx.
func CheckResponseOptions(ctx context.Context, m *Message) error {
	if ctx.Value(blocksKey{}) != nil {
		return checkOptions(m, anyBlock)
	}
	return CheckOptions(m)
}

func anyBlock(id OptionID) bool { return id == OptionBlock1 || id == OptionBlock2 }
