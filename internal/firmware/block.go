package firmware

import (
	"fmt"

	"lamplighter/internal/cbor"
)

// Block is one source or parity block. Source blocks have the indices from 0,
// parity blocks those from [MaxK].
//
//	block = [ session: bstr .size 4, generation: uint, index: uint, bytes: bstr ]
type Block struct {
	_          struct{} `cbor:",toarray"`
	Session    []byte
	Generation uint
	Index      uint
	Bytes      []byte
}

// Append appends the encoding of b to dst.
func (b *Block) Append(dst []byte) []byte { return append(dst, cbor.MustMarshal(b)...) }

// ParseBlock decodes a block and holds it to the bounds that need no layout. Errors
// wrap [cbor.ErrDecode].
func ParseBlock(data []byte) (b Block, err error) {
	if err := cbor.Unmarshal(data, &b); err != nil {
		return Block{}, fmt.Errorf("reading a block: %w", err)
	}
	if len(b.Session) != SessionSize || b.Index >= MaxSymbols || len(b.Bytes) == 0 || len(b.Bytes) > MaxBlock {
		return Block{}, fmt.Errorf("%w: a block out of bounds", cbor.ErrDecode)
	}
	return b, nil
}
