package cose

import (
	"bytes"
	"fmt"

	"lamplighter/internal/cbor"
)

// CBOR Tags.
const (
	tagEncrypt0 = 16
	tagSign1    = 18
	tagCWT      = 61
	tagUCCS     = 601 // RFC 9781
)

// AppendEncrypt0 appends the Enc_structure of a COSE_Encrypt0 whose protected
// header is empty, as in OSCORE: [ "Encrypt0", h”, external_aad ]. RFC 9052,
// Section 5.3.
func AppendEncrypt0(dst, externalAAD []byte) []byte {
	return appendEncStructure(dst, nil, externalAAD)
}

func appendEncStructure(dst, protected, externalAAD []byte) []byte {
	dst = append(dst, 0x83)
	dst = cbor.AppendText(dst, "Encrypt0")
	dst = cbor.AppendBytes(dst, protected)
	return cbor.AppendBytes(dst, externalAAD)
}

// header is the protected header of a [SealEncrypt0] object; the unprotected
// one is empty (RFC 9770, Section 3, wants the IV protected too).
type header struct {
	Alg Algorithm `cbor:"1,keyasint"`
	KID []byte    `cbor:"4,keyasint"`
	IV  []byte    `cbor:"5,keyasint"`
}

// encrypt0 is [protected, {}, ciphertext].
type encrypt0 struct {
	_           struct{} `cbor:",toarray"`
	Protected   []byte
	Unprotected map[int]cbor.RawMessage
	Ciphertext  []byte
}

// SealEncrypt0 encrypts plaintext with AES-CCM-16-64-128 under a 16-byte key
// and a 13-byte nonce that must never repeat for the key:
//
//	16([ << {1: 10, 4: kid, 5: nonce} >>, {}, ciphertext ])
//
// RFC 9052, Section 5.2.
func SealEncrypt0(key, kid, nonce, plaintext []byte) ([]byte, error) {
	aead, err := NewAEAD(AESCCM16_64_128, key)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	if len(nonce) != aead.NonceSize() {
		return nil, fmt.Errorf("sealing: nonce of %d bytes", len(nonce))
	}
	if len(plaintext) > MaxPlaintext {
		return nil, fmt.Errorf("sealing: plaintext of %d bytes", len(plaintext))
	}
	protected := cbor.MustMarshal(header{AESCCM16_64_128, kid, nonce})
	out := cbor.AppendHead(nil, cbor.Tagged, tagEncrypt0)
	out = append(out, 0x83)
	out = cbor.AppendBytes(out, protected)
	out = append(out, 0xa0)
	ciphertext := aead.Seal(nil, nonce, plaintext, appendEncStructure(nil, protected, nil))
	return cbor.AppendBytes(out, ciphertext), nil
}

// OpenEncrypt0 opens what [SealEncrypt0] made. It accepts no header parameters
// but those, fails with [ErrUnsupported] for another algorithm, and with
// [ErrVerify] when key is not the one.
func OpenEncrypt0(key, data []byte) (plaintext []byte, err error) {
	obj, h, err := parseEncrypt0(data)
	if err != nil {
		return nil, err
	}
	if h.Alg != AESCCM16_64_128 {
		return nil, fmt.Errorf("opening: algorithm %d: %w", h.Alg, ErrUnsupported)
	}
	aead, err := NewAEAD(h.Alg, key)
	if err != nil {
		return nil, fmt.Errorf("opening: %w", err)
	}
	return aead.Open(nil, h.IV, obj.Ciphertext, appendEncStructure(nil, obj.Protected, nil))
}

// Encrypt0KID returns the kid of what [SealEncrypt0] or [SealCWT] made, before
// anything is verified.
func Encrypt0KID(data []byte) ([]byte, error) {
	_, h, err := parseEncrypt0(trimCWT(data))
	if err != nil {
		return nil, err
	}
	return h.KID, nil
}

func parseEncrypt0(data []byte) (obj encrypt0, h header, err error) {
	body := trimTag(data, tagEncrypt0)
	if len(body) == len(data) {
		return obj, h, fmt.Errorf("%w: no COSE_Encrypt0", ErrDecode)
	}
	if err := cbor.Unmarshal(body, &obj); err != nil {
		return obj, h, fmt.Errorf("%w: %w", ErrDecode, err)
	}
	if err := cbor.Unmarshal(obj.Protected, &h); err != nil {
		return obj, h, fmt.Errorf("%w: protected header: %w", ErrDecode, err)
	}
	// What encodes back to the same bytes has exactly the parameters above, in
	// shortest form.
	if obj.Unprotected == nil || len(obj.Unprotected) != 0 || !bytes.Equal(cbor.MustMarshal(obj), body) || !bytes.Equal(cbor.MustMarshal(h), obj.Protected) {
		return obj, h, fmt.Errorf("%w: unexpected header parameters", ErrDecode)
	}
	return obj, h, nil
}

// SealCWT makes an encrypted CWT of claims: 61(16([...])), as [SealEncrypt0].
// RFC 8392, Section 7.1.
func SealCWT(key, kid, nonce, claims []byte) ([]byte, error) {
	sealed, err := SealEncrypt0(key, kid, nonce, claims)
	if err != nil {
		return nil, err
	}
	return append(cbor.AppendHead(nil, cbor.Tagged, tagCWT), sealed...), nil
}

// OpenCWT opens what [SealCWT] made and returns the claims. RFC 8392, Section
// 7.2.
func OpenCWT(key, data []byte) (claims []byte, err error) {
	body := trimCWT(data)
	if len(body) == len(data) {
		return nil, fmt.Errorf("%w: no CWT", ErrDecode)
	}
	return OpenEncrypt0(key, body)
}

func trimCWT(data []byte) []byte { return trimTag(data, tagCWT) }

// trimTag takes the tag off, if data has it.
func trimTag(data []byte, tag uint64) []byte {
	return bytes.TrimPrefix(data, cbor.AppendHead(nil, cbor.Tagged, tag))
}
