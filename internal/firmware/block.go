package firmware

import "lamplighter/internal/cbor"

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
	const what = "a block"
	if err := parse(what, data, &b); err != nil {
		return Block{}, err
	}
	err = first(want(len(b.Session) == SessionSize, what, sessionText),
		want(b.Generation < MaxGenerations && b.Index < MaxSymbols, what, "a place that exists"),
		want(len(b.Bytes) > 0 && len(b.Bytes) <= MaxBlock, what, "1 to 1024 bytes"))
	if err != nil {
		return Block{}, err
	}
	return b, nil
}
