package cose

import (
	"crypto/aes"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
)

// A128KW is AES Key Wrap with a key of 128 bits. RFC 9053, Section 6.2.1.
const A128KW Algorithm = -3

// wrapIV is the initial value that says whether a key was unwrapped well. RFC
// 3394, Section 2.2.3.1.
var wrapIV = [8]byte{0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6}

// WrapKey wraps a key of 16 to 32 bytes, a multiple of 8, under a 16-byte key: the
// result is 8 bytes longer. Equal keys make equal results, so nothing but keys
// may be wrapped. RFC 3394, Section 2.2.1.
func WrapKey(kek, key []byte) ([]byte, error) {
	if len(key) < 16 || len(key) > 32 || len(key)%8 != 0 {
		return nil, fmt.Errorf("wrapping: key of %d bytes", len(key))
	}
	if len(kek) != 16 {
		return nil, fmt.Errorf("wrapping: key-encryption key of %d bytes", len(kek))
	}
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, fmt.Errorf("wrapping: %w", err)
	}
	n := len(key) / 8
	out := append(wrapIV[:], key...)
	var b [16]byte
	copy(b[:8], out)
	for t := range 6 * n {
		r := out[8+8*(t%n):][:8]
		copy(b[8:], r)
		block.Encrypt(b[:], b[:])
		copy(r, b[8:])
		mix(b[:8], t+1)
	}
	copy(out, b[:8])
	return out, nil
}

// UnwrapKey takes off what [WrapKey] put on. It fails with [ErrVerify]. RFC 3394,
// Section 2.2.2.
func UnwrapKey(kek, wrapped []byte) ([]byte, error) {
	if len(wrapped) < 24 || len(wrapped) > 40 || len(wrapped)%8 != 0 || len(kek) != 16 {
		return nil, ErrVerify
	}
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, ErrVerify
	}
	n := len(wrapped)/8 - 1
	out := append([]byte(nil), wrapped[8:]...)
	var b [16]byte
	copy(b[:8], wrapped)
	for t := 6*n - 1; t >= 0; t-- {
		r := out[8*(t%n):][:8]
		mix(b[:8], t+1)
		copy(b[8:], r)
		block.Decrypt(b[:], b[:])
		copy(r, b[8:])
	}
	if subtle.ConstantTimeCompare(b[:8], wrapIV[:]) != 1 {
		return nil, ErrVerify
	}
	return out, nil
}

// mix adds the number of the step to the register.
func mix(a []byte, t int) {
	binary.BigEndian.PutUint64(a, binary.BigEndian.Uint64(a)^uint64(t))
}
