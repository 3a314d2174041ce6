package cbor

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// Reader takes an item apart piece by piece and accepts deterministic encoding only
// (RFC 8949, Section 4.2.1): shortest heads, no indefinite lengths, the keys of a
// map in order and none twice. It is for what is signed or hashed in parts, and for
// shapes that Go types do not have, such as maps with arrays as keys. Floating-point
// numbers and simple values other than false, true and null are refused.
//
// The first error stays, everything read after it is zero: it is enough to ask for
// it at the end. What is returned shares memory with the data.
type Reader struct {
	rest []byte
	err  error
}

// NewReader reads data.
func NewReader(data []byte) *Reader { return &Reader{rest: data} }

// Err returns the first error, which wraps [ErrDecode].
func (r *Reader) Err() error { return r.err }

// End returns the first error, one too if something is left.
func (r *Reader) End() error {
	if len(r.rest) > 0 {
		r.fail("%d bytes too many", len(r.rest))
	}
	return r.err
}

// Next returns the major type of the next item without reading it, 7 at the end.
func (r *Reader) Next() byte {
	if r.err != nil || len(r.rest) == 0 {
		return 7
	}
	return r.rest[0] >> 5
}

// Uint reads an unsigned integer.
func (r *Reader) Uint() uint64 { return r.head(Uint) }

// Int reads an integer within the range of int64.
func (r *Reader) Int() int64 {
	major := Uint
	if r.Next() == Negint {
		major = Negint
	}
	n := r.head(major)
	if n >= 1<<63 {
		r.fail("an integer out of range")
		return 0
	}
	if major == Negint {
		return ^int64(n)
	}
	return int64(n)
}

// Bytes reads a byte string.
func (r *Reader) Bytes() []byte { return r.take(r.head(Bytes)) }

// Text reads a text string.
func (r *Reader) Text() string {
	s := r.take(r.head(Text))
	if !utf8.Valid(s) {
		r.fail("a text that is not UTF-8")
		return ""
	}
	return string(s)
}

// Array reads the head of an array and returns how many items follow.
func (r *Reader) Array() int {
	n := r.head(Array)
	if n > uint64(len(r.rest)) {
		r.fail("an array that is longer than the data")
		return 0
	}
	return int(n)
}

// Map reads a map. For each pair it calls each with a reader of the key alone; each
// reads the value from r.
func (r *Reader) Map(each func(key *Reader)) {
	n := r.head(Map)
	var last []byte
	for i := uint64(0); i < n && r.err == nil; i++ {
		key := r.Item()
		if r.err == nil && last != nil && bytes.Compare(last, key) >= 0 {
			r.fail("the keys of a map out of order")
			return
		}
		last = key
		if r.err == nil {
			each(NewReader(key))
		}
	}
}

// Tag reads the number of a tag; its content follows.
func (r *Reader) Tag() uint64 { return r.head(Tagged) }

// Null reads null.
func (r *Reader) Null() {
	if b := r.take(1); r.err == nil && b[0] != Null {
		r.fail("no null where there must be one")
	}
}

// Item reads any item and returns its encoding.
func (r *Reader) Item() []byte {
	start := r.rest
	r.skip(maxNesting)
	if r.err != nil {
		return nil
	}
	return start[:len(start)-len(r.rest)]
}

func (r *Reader) skip(depth int) {
	if depth == 0 {
		r.fail("nested too deep")
		return
	}
	switch major := r.Next(); major {
	case Bytes:
		r.Bytes()
	case Text:
		r.Text()
	case Array:
		for n := r.Array(); n > 0 && r.err == nil; n-- {
			r.skip(depth - 1)
		}
	case Map:
		r.skipMap(depth)
	case Tagged:
		r.Tag()
		r.skip(depth - 1)
	case 7:
		if b := r.take(1); r.err == nil && (b[0] < False || b[0] > Null) {
			r.fail("a number or simple value that is not used here")
		}
	default:
		r.head(major)
	}
}

// skipMap reads keys one level further down: Map reads them as items of their own.
func (r *Reader) skipMap(depth int) {
	n := r.head(Map)
	var last []byte
	for ; n > 0 && r.err == nil; n-- {
		start := r.rest
		r.skip(depth - 1)
		key := start[:len(start)-len(r.rest)]
		if r.err == nil && last != nil && bytes.Compare(last, key) >= 0 {
			r.fail("the keys of a map out of order")
		}
		last = key
		r.skip(depth - 1)
	}
}

// head reads the head of an item of the major type and returns its argument.
func (r *Reader) head(major byte) uint64 {
	first := r.take(1)
	if r.err != nil {
		return 0
	}
	if first[0]>>5 != major {
		r.fail("%s where there must be %s", kinds[first[0]>>5], kinds[major])
		return 0
	}
	info := first[0] & 31
	if info < 24 {
		return uint64(info)
	}
	if info > 27 {
		r.fail("an indefinite or reserved length")
		return 0
	}
	var n uint64
	for _, b := range r.take(1 << (info - 24)) {
		n = n<<8 | uint64(b)
	}
	least := [...]uint64{24, 1 << 8, 1 << 16, 1 << 32}
	if r.err == nil && n < least[info-24] {
		r.fail("a head that is longer than it has to be")
		return 0
	}
	return n
}

// take reads n bytes.
func (r *Reader) take(n uint64) []byte {
	if r.err != nil {
		return nil
	}
	if n > uint64(len(r.rest)) {
		r.fail("it ends too early")
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

var kinds = [...]string{"an unsigned integer", "a negative integer", "a byte string", "a text", "an array", "a map", "a tag", "a simple value"}

// fail keeps the first error.
func (r *Reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrDecode}, args...)...)
	}
	r.rest = nil
}
