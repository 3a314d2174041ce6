package oscore

import (
	"fmt"

	"lamplighter/internal/coap"
)

// OSCORE Flag Bits.
const (
	flagPIVLength  = 0x07
	flagKID        = 0x08
	flagKIDContext = 0x10
	flagGroup      = 0x20 // RFC 10021, Section 4.1
	flagsReserved  = 0xc0
)

// maxOption is the greatest length of the OSCORE Option. RFC 8613, Section 2.
const maxOption = 255

// Option is the value of the OSCORE Option. Absent fields are nil; fields that
// are present but empty are not.
//
//	 0 1 2 3 4 5 6 7 <------------- n bytes -------------->
//	+-+-+-+-+-+-+-+-+--------------------------------------
//	|0 0|g|h|k|  n  |       Partial IV (if any) ...
//	+-+-+-+-+-+-+-+-+--------------------------------------
//	 <- 1 byte -> <----- s bytes ------>
//	+------------+----------------------+------------------+
//	| s (if any) | kid context (if any) | kid (if any) ... |
//	+------------+----------------------+------------------+
//
// RFC 8613, Section 6.1.
type Option struct {
	Group      bool   // group mode
	PIV        []byte // Partial IV, 1 to 5 bytes, shortest form
	KIDContext []byte // at most 255 bytes, and all together
	KID        []byte
}

// ParseOption reads an option value. The fields share its memory. It fails with
// [ErrDecode]. RFC 8613, Section 6.1.
func ParseOption(value []byte) (Option, error) {
	if len(value) == 0 {
		return Option{}, nil
	}
	flags, rest := value[0], value[1:]
	n := int(flags & flagPIVLength)
	if flags == 0 || flags&flagsReserved != 0 || n > 5 || len(rest) < n || len(value) > maxOption {
		return Option{}, fmt.Errorf("%w: OSCORE Option", ErrDecode)
	}
	o := Option{Group: flags&flagGroup != 0}
	if n > 0 {
		o.PIV, rest = rest[:n:n], rest[n:]
		if o.PIV[0] == 0 && n > 1 {
			return Option{}, fmt.Errorf("%w: Partial IV with leading zeroes", ErrDecode)
		}
	}
	if flags&flagKIDContext != 0 {
		if len(rest) == 0 || len(rest)-1 < int(rest[0]) {
			return Option{}, fmt.Errorf("%w: kid context", ErrDecode)
		}
		s := int(rest[0])
		o.KIDContext, rest = rest[1:1+s:1+s], rest[1+s:]
	}
	switch {
	case flags&flagKID != 0:
		o.KID = rest[:len(rest):len(rest)]
	case len(rest) > 0:
		return Option{}, fmt.Errorf("%w: OSCORE Option too long", ErrDecode)
	}
	return o, nil
}

// AppendOption appends the option value of o, which has nothing for the zero
// Option. RFC 8613, Section 6.1.
func AppendOption(dst []byte, o Option) []byte {
	flags := byte(len(o.PIV))
	if o.KID != nil {
		flags |= flagKID
	}
	if o.KIDContext != nil {
		flags |= flagKIDContext
	}
	if o.Group {
		flags |= flagGroup
	}
	if flags == 0 {
		return dst
	}
	dst = append(dst, flags)
	dst = append(dst, o.PIV...)
	if o.KIDContext != nil {
		dst = append(dst, byte(len(o.KIDContext)))
		dst = append(dst, o.KIDContext...)
	}
	return append(dst, o.KID...)
}

// MessageOption reads the OSCORE Option of a message; it fails with
// [ErrDecode] when there is not exactly one.
func MessageOption(m *coap.Message) (Option, error) {
	var value []byte
	count := 0
	for _, o := range m.Options {
		if o.ID == coap.OptionOSCORE {
			value = o.Value
			count++
		}
	}
	if count != 1 {
		return Option{}, fmt.Errorf("%w: %d OSCORE Options", ErrDecode, count)
	}
	return ParseOption(value)
}

// AppendPIV appends a sequence number below 2^40 as a Partial IV: in network
// byte order without leading zeroes, 0 as one byte. RFC 8613, Section 5.
func AppendPIV(dst []byte, n uint64) []byte {
	size := 1
	for size < 5 && n>>(8*size) != 0 {
		size++
	}
	for i := size - 1; i >= 0; i-- {
		dst = append(dst, byte(n>>(8*i)))
	}
	return dst
}

// PIVNumber returns the number that a Partial IV stands for.
func PIVNumber(piv []byte) uint64 {
	var n uint64
	for _, b := range piv {
		n = n<<8 | uint64(b)
	}
	return n
}

// AppendNonce appends the AEAD nonce of size bytes: the first size bytes of the
// Common IV, XORed with size(id) | padded id | padded Partial IV. id is the
// Sender ID of the endpoint that made the Partial IV. RFC 8613, Section 5.2;
// RFC 10021, Section 3.3.
func AppendNonce(dst, commonIV, id, piv []byte, size int) []byte {
	at := len(dst)
	dst = append(dst, commonIV[:size]...)
	nonce := dst[at:]
	nonce[0] ^= byte(len(id))
	for i, b := range id {
		nonce[size-5-len(id)+i] ^= b
	}
	for i, b := range piv {
		nonce[size-len(piv)+i] ^= b
	}
	return dst
}
