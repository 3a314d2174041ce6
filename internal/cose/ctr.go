package cose

import (
	"crypto/aes"
	"crypto/cipher"
	"slices"
)

// ctr is AES-CTR in the shape of an AEAD without tag: it ignores the additional
// data, which RFC 9459, Section 4 forbids to hand in. The block that is counted
// starts as nonce | 00000000. RFC 10021, Section 2.1.7.
type ctr struct{ block cipher.Block }

const nonceSizeCTR = 12

func makeCTR(key []byte, _ aeadParams) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	return ctr{block}, err
}

func (ctr) NonceSize() int { return nonceSizeCTR }
func (ctr) Overhead() int  { return 0 }

func (c ctr) Seal(dst, nonce, plaintext, _ []byte) []byte {
	if len(nonce) != nonceSizeCTR {
		panic("cose: nonce of the wrong length for AES-CTR")
	}
	w := works.Get().(*work)
	defer works.Put(w)
	w.counter = [aes.BlockSize]byte{}
	copy(w.counter[:], nonce)
	n := len(dst)
	dst = slices.Grow(dst, len(plaintext))[:n+len(plaintext)]
	count(c.block, w, dst[n:], plaintext)
	return dst
}

func (c ctr) Open(dst, nonce, ciphertext, _ []byte) ([]byte, error) {
	return c.Seal(dst, nonce, ciphertext, nil), nil
}
