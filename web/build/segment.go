package main

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Parts of a WebAssembly module. WebAssembly Core Specification 2.0, Sections 5.4
// and 5.5.
const (
	preamble    = "\x00asm\x01\x00\x00\x00"
	dataSection = 11
	active      = 0 // a data segment of memory 0 at an offset
	i32Const    = 0x41
	end         = 0x0b
)

var errModule = errors.New("this is no WebAssembly module as Go's linker writes it")

// oneSegment gives a module the same memory in one data segment. Go's linker cuts
// its data at every run of 8 zeros into up to 100,000 segments, to save bytes: each
// has its offset and length before it. To brotli zeros are nothing and offsets that
// never come again are a lot: the engine is 5 % smaller in one segment.
func oneSegment(module []byte) ([]byte, error) {
	if len(module) < len(preamble) || string(module[:len(preamble)]) != preamble {
		return nil, errModule
	}
	out := []byte(preamble)
	r := reader{left: module[len(preamble):]}
	for len(r.left) > 0 && !r.bad {
		id := r.byte()
		content := r.bytes(r.unsigned())
		if id == dataSection {
			start, memory, err := memoryOf(content)
			if err != nil {
				return nil, err
			}
			content = []byte{1, active, i32Const}
			content = append(appendSigned(content, int64(start)), end)
			content = append(binary.AppendUvarint(content, uint64(len(memory))), memory...)
		}
		out = binary.AppendUvarint(append(out, id), uint64(len(content)))
		out = append(out, content...)
	}
	if r.bad {
		return nil, errModule
	}
	return out, nil
}

// memoryOf lays the segments of a data section out one after the other, as a
// browser does, from the lowest address on.
func memoryOf(content []byte) (start int, memory []byte, err error) {
	type segment struct {
		at   int
		data []byte
	}
	var segments []segment
	start, stop := 1<<31, 0
	r := reader{left: content}
	for n := r.unsigned(); n > 0 && !r.bad; n-- {
		kind, code, at, last := r.byte(), r.byte(), r.signed(), r.byte()
		data := r.bytes(r.unsigned())
		if kind != active || code != i32Const || last != end || at < 0 {
			return 0, nil, fmt.Errorf("%w: a data segment of kind %d at %d", errModule, kind, at)
		}
		segments = append(segments, segment{at, data})
		start, stop = min(start, at), max(stop, at+len(data))
	}
	if r.bad || len(r.left) > 0 || stop-start > 64<<20 {
		return 0, nil, errModule
	}
	memory = make([]byte, max(stop-start, 0))
	for _, s := range segments {
		copy(memory[s.at-start:], s.data)
	}
	return start, memory, nil
}

// A reader takes a module apart; bad is set when it ends too early.
type reader struct {
	left []byte
	bad  bool
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.left) {
		r.bad = true
		return nil
	}
	head := r.left[:n:n]
	r.left = r.left[n:]
	return head
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// unsigned reads a number in LEB128, which is what encoding/binary calls Uvarint.
// Section 5.2.2.
func (r *reader) unsigned() int {
	v, n := binary.Uvarint(r.left)
	if n <= 0 || v > 1<<31 {
		r.bad = true
		return 0
	}
	r.left = r.left[n:]
	return int(v)
}

// signed reads a number in signed LEB128.
func (r *reader) signed() int {
	v := 0
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		v |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			if b&0x40 != 0 {
				v -= 1 << (shift + 7)
			}
			return v
		}
	}
	r.bad = true
	return 0
}

func appendSigned(out []byte, v int64) []byte {
	for v < -64 || v > 63 {
		out = append(out, byte(v&0x7f|0x80))
		v >>= 7
	}
	return append(out, byte(v&0x7f))
}
