package cose

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
)

// ccm is AES-CCM (RFC 3610). The messages here are short, and the libraries that
// have it make 500 bytes of garbage for each, which costs as much as the cipher:
// this one makes none. pion's is its oracle in the tests, with Wycheproof.
type ccm struct {
	block              cipher.Block
	tagSize, nonceSize int
}

// makeCCM takes tags of 4, 6, ... 16 bytes and nonces of 7 to 13. RFC 3610,
// Section 2.
func makeCCM(key []byte, p aeadParams) (cipher.AEAD, error) {
	if p.tagSize < 4 || p.tagSize > 16 || p.tagSize%2 != 0 || p.nonceSize < 7 || p.nonceSize > 13 {
		return nil, fmt.Errorf("AES-CCM with a tag of %d and a nonce of %d bytes: %w", p.tagSize, p.nonceSize, ErrUnsupported)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return &ccm{block, p.tagSize, p.nonceSize}, nil
}

func (c *ccm) NonceSize() int { return c.nonceSize }
func (c *ccm) Overhead() int  { return c.tagSize }

// work holds the blocks that one message needs. They are kept apart because they
// would escape to the heap.
type work struct{ mac, counter, stream [aes.BlockSize]byte }

var works = sync.Pool{New: func() any { return new(work) }}

func (c *ccm) check(nonce []byte, plaintext int) {
	if len(nonce) != c.nonceSize || plaintext > MaxPlaintext {
		panic("cose: nonce or plaintext of the wrong length for AES-CCM")
	}
}

// Seal is RFC 3610, Sections 2.2 to 2.4.
func (c *ccm) Seal(dst, nonce, plaintext, aad []byte) []byte {
	c.check(nonce, len(plaintext))
	w := works.Get().(*work)
	defer works.Put(w)
	c.authenticate(w, nonce, plaintext, aad)
	c.begin(w, nonce)
	tag := w.mac
	subtle.XORBytes(tag[:], tag[:], w.stream[:])
	n := len(dst)
	dst = slices.Grow(dst, len(plaintext)+c.tagSize)[:n+len(plaintext)]
	count(c.block, w, dst[n:], plaintext)
	return append(dst, tag[:c.tagSize]...)
}

// Open is RFC 3610, Section 2.5. Nothing of the plaintext is left when it fails.
func (c *ccm) Open(dst, nonce, ciphertext, aad []byte) ([]byte, error) {
	size := len(ciphertext) - c.tagSize
	if size < 0 || size > MaxPlaintext || len(nonce) != c.nonceSize {
		return nil, ErrVerify
	}
	w := works.Get().(*work)
	defer works.Put(w)
	c.begin(w, nonce)
	tag := w.stream
	subtle.XORBytes(tag[:c.tagSize], tag[:c.tagSize], ciphertext[size:])
	n := len(dst)
	dst = slices.Grow(dst, size)[:n+size]
	count(c.block, w, dst[n:], ciphertext[:size])
	c.authenticate(w, nonce, dst[n:], aad)
	if subtle.ConstantTimeCompare(w.mac[:c.tagSize], tag[:c.tagSize]) != 1 {
		clear(dst[n:])
		return nil, ErrVerify
	}
	return dst, nil
}

// begin sets the counter block to zero and makes S_0, which hides the tag. RFC
// 3610, Section 2.3.
func (c *ccm) begin(w *work, nonce []byte) {
	w.counter = [aes.BlockSize]byte{byte(14 - c.nonceSize)}
	copy(w.counter[1:], nonce)
	c.block.Encrypt(w.stream[:], w.counter[:])
	w.counter[aes.BlockSize-1] = 1
}

// manyBlocks is the length in bytes from which the library's counter mode, which
// does several blocks at a time, is worth what setting it up costs.
const manyBlocks = 256

// count encrypts or decrypts src in counter mode, beginning with w.counter.
func count(block cipher.Block, w *work, dst, src []byte) {
	if len(src) >= manyBlocks {
		cipher.NewCTR(block, w.counter[:]).XORKeyStream(dst, src)
		return
	}
	for len(src) > 0 {
		block.Encrypt(w.stream[:], w.counter[:])
		w.counter[aes.BlockSize-1]++ // below manyBlocks it does not overflow
		n := subtle.XORBytes(dst, src, w.stream[:])
		dst, src = dst[n:], src[n:]
	}
}

// authenticate makes T in w.mac. RFC 3610, Section 2.2.
func (c *ccm) authenticate(w *work, nonce, plaintext, aad []byte) {
	w.mac = [aes.BlockSize]byte{byte(c.tagSize-2)<<2 | byte(14-c.nonceSize)}
	if len(aad) > 0 {
		w.mac[0] |= 1 << 6
	}
	copy(w.mac[1:], nonce)
	binary.BigEndian.PutUint16(w.mac[14:], uint16(len(plaintext)))
	c.block.Encrypt(w.mac[:], w.mac[:])
	if len(aad) > 0 {
		head := w.stream[:0]
		if len(aad) < 0xff00 {
			head = binary.BigEndian.AppendUint16(head, uint16(len(aad)))
		} else {
			head = binary.BigEndian.AppendUint32(append(head, 0xff, 0xfe), uint32(len(aad)))
		}
		n := copy(w.stream[len(head):], aad)
		c.chain(w, w.stream[:len(head)+n])
		c.chain(w, aad[n:])
	}
	c.chain(w, plaintext)
}

// chain goes on with the CBC-MAC over data, padded with zeroes.
func (c *ccm) chain(w *work, data []byte) {
	for len(data) >= aes.BlockSize {
		xorBlock(&w.mac, (*[aes.BlockSize]byte)(data))
		c.block.Encrypt(w.mac[:], w.mac[:])
		data = data[aes.BlockSize:]
	}
	if len(data) > 0 {
		subtle.XORBytes(w.mac[:], w.mac[:], data)
		c.block.Encrypt(w.mac[:], w.mac[:])
	}
}

// xorBlock is subtle.XORBytes without its overhead, which counts in a browser.
func xorBlock(a, b *[aes.BlockSize]byte) {
	for i := 0; i < aes.BlockSize; i += 8 {
		sum := binary.NativeEndian.Uint64(a[i:]) ^ binary.NativeEndian.Uint64(b[i:])
		binary.NativeEndian.PutUint64(a[i:], sum)
	}
}
