package group

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
)

// keystream hides the countersignatures of one context:
//
//	HKDF(salt = Partial IV, IKM = Signature Encryption Key,
//	     info = [ id, id_context, type: bool, L ])
//
// As the salt changes with every message nothing of it can be kept. crypto/hkdf
// would allocate a dozen times a message; this is the same with buffers that
// stay. RFC 10021, Section 4.2; RFC 5869, Section 2.
type keystream struct {
	hash  func(dst, data []byte) []byte // appends the digest of data
	block int                           // of the hash, longer than a Partial IV and any digest

	info, text, digest, prk, stream []byte // scratch
}

func newKeystream(hkdf cose.Algorithm) keystream {
	if hkdf == cose.HMAC512 || hkdf == cose.HKDFSHA512 {
		return keystream{block: sha512.BlockSize, hash: func(dst, data []byte) []byte {
			d := sha512.Sum512(data)
			return append(dst, d[:]...)
		}}
	}
	return keystream{block: sha256.BlockSize, hash: func(dst, data []byte) []byte {
		d := sha256.Sum256(data)
		return append(dst, d[:]...)
	}}
}

// hide encrypts or decrypts the countersignature of m, which is protected under
// gid. id is the Sender ID of who made the Partial IV, not of who sends; type is
// true for a request.
func (k *keystream) hide(sig []byte, seKey cose.Secret, gid []byte, m *message) {
	info := append(k.info[:0], 0x84)
	info = cbor.AppendBytes(info, m.nonceID)
	info = cbor.AppendBytes(info, gid)
	if m.isRequest {
		info = append(info, 0xf5)
	} else {
		info = append(info, 0xf4)
	}
	k.info = cbor.AppendHead(info, cbor.Uint, uint64(len(sig)))
	k.expand(len(sig), m.noncePIV, seKey)
	subtle.XORBytes(sig, sig, k.stream)
}

// expand makes n bytes of stream: HKDF-Extract and HKDF-Expand.
func (k *keystream) expand(n int, salt, secret []byte) {
	k.text = append(k.pad(salt, 0x36), secret...)
	k.prk = k.mac(k.prk[:0], salt)
	k.stream = k.stream[:0]
	for i := byte(1); len(k.stream) < n; i++ {
		text := k.pad(k.prk, 0x36)
		if i > 1 {
			text = append(text, k.stream[len(k.stream)-len(k.prk):]...)
		}
		k.text = append(append(text, k.info...), i)
		k.stream = k.mac(k.stream, k.prk)
	}
	k.stream = k.stream[:n]
}

// mac appends HMAC with key; k.text is the inner text, with its pad. RFC 2104.
func (k *keystream) mac(dst, key []byte) []byte {
	k.digest = k.hash(k.digest[:0], k.text)
	k.text = append(k.pad(key, 0x5c), k.digest...)
	return k.hash(dst, k.text)
}

// pad begins a text with key XOR pad.
func (k *keystream) pad(key []byte, pad byte) []byte {
	text := append(k.text[:0], key...)
	for len(text) < k.block {
		text = append(text, 0)
	}
	for i := range text {
		text[i] ^= pad
	}
	return text
}
