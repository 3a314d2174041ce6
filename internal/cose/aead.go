package cose

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// AEAD is an authenticated cipher with one key. It is safe for concurrent use.
// A failed Open returns [ErrVerify] and nothing else; every Seal and every
// successful Open is shown to [Recorder].
type AEAD = cipher.AEAD

// MaxPlaintext is the longest plaintext in bytes that every AEAD here takes
// (CCM with a 2-byte length field). Seal panics above it.
const MaxPlaintext = 1<<16 - 1

// aeadParams is one row of the table of algorithms. Lengths are in bytes.
type aeadParams struct {
	keySize, nonceSize, tagSize int
	make                        func(key []byte, p aeadParams) (cipher.AEAD, error)
}

// aeadTable lists the content encryption algorithms that are built. RFC 9053,
// Section 4; RFC 9459, Section 4 for AES-CTR, which authenticates nothing. AES-CBC
// is not among them: RFC 10021, Section 2.1.7.
var aeadTable = map[Algorithm]aeadParams{
	A128GCM:          {16, 12, 16, makeGCM},
	A192GCM:          {24, 12, 16, makeGCM},
	A256GCM:          {32, 12, 16, makeGCM},
	AESCCM16_64_128:  {16, 13, 8, makeCCM},
	AESCCM16_64_256:  {32, 13, 8, makeCCM},
	AESCCM64_64_128:  {16, 7, 8, makeCCM},
	AESCCM64_64_256:  {32, 7, 8, makeCCM},
	ChaCha20Poly1305: {32, 12, 16, makeChaCha},
	AESCCM16_128_128: {16, 13, 16, makeCCM},
	AESCCM16_128_256: {32, 13, 16, makeCCM},
	AESCCM64_128_128: {16, 7, 16, makeCCM},
	AESCCM64_128_256: {32, 7, 16, makeCCM},
	A128CTR:          {16, 12, 0, makeCTR},
	A192CTR:          {24, 12, 0, makeCTR},
	A256CTR:          {32, 12, 0, makeCTR},
}

func makeGCM(key []byte, _ aeadParams) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func makeChaCha(key []byte, _ aeadParams) (cipher.AEAD, error) { return chacha20poly1305.New(key) }

// NewAEAD returns the cipher alg with key. It fails with [ErrUnsupported] for
// an algorithm that is not built.
func NewAEAD(alg Algorithm, key []byte) (AEAD, error) {
	p, ok := aeadTable[alg]
	if !ok {
		return nil, fmt.Errorf("AEAD algorithm %d: %w", alg, ErrUnsupported)
	}
	if len(key) != p.keySize {
		return nil, fmt.Errorf("AEAD algorithm %d: key of %d bytes", alg, len(key))
	}
	a, err := p.make(key, p)
	if err != nil {
		return nil, fmt.Errorf("making AEAD: %w", err)
	}
	return &recorded{AEAD: a, key: append(Secret(nil), key...)}, nil
}

// Authenticated says whether alg is built and authenticates: with AES-CTR only a
// signature over the ciphertext does.
func Authenticated(alg Algorithm) bool { return aeadTable[alg].tagSize > 0 }

// KeySize returns the key length in bytes of an AEAD algorithm, 0 if it is not
// built.
func KeySize(alg Algorithm) int { return aeadTable[alg].keySize }

// NonceSize returns the nonce length in bytes of an AEAD algorithm, 0 if it is
// not built.
func NonceSize(alg Algorithm) int { return aeadTable[alg].nonceSize }

// TagSize returns the tag length in bytes of an AEAD algorithm, 0 if it is not
// built.
func TagSize(alg Algorithm) int { return aeadTable[alg].tagSize }

// recorded passes everything through [Recorder] and makes failures opaque.
type recorded struct {
	cipher.AEAD
	key Secret
}

func (r *recorded) Seal(dst, nonce, plaintext, aad []byte) []byte {
	if Recorder == nil {
		return r.AEAD.Seal(dst, nonce, plaintext, aad)
	}
	plaintext = bytes.Clone(plaintext) // dst may overlap it
	out := r.AEAD.Seal(dst, nonce, plaintext, aad)
	Recorder(r.key, nonce, plaintext, out[len(dst):])
	return out
}

func (r *recorded) Open(dst, nonce, ciphertext, aad []byte) ([]byte, error) {
	if len(nonce) != r.NonceSize() {
		return nil, ErrVerify
	}
	if Recorder != nil {
		ciphertext = bytes.Clone(ciphertext) // dst may overlap it
	}
	out, err := r.AEAD.Open(dst, nonce, ciphertext, aad)
	if err != nil {
		return nil, ErrVerify
	}
	if Recorder != nil {
		Recorder(r.key, nonce, out[len(dst):], ciphertext)
	}
	return out, nil
}
