package suit

import (
	"bytes"
	"fmt"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
)

// Header parameters (IANA, COSE Header Parameters).
const (
	headerAlg = 1
	headerKID = 4
)

const signatureSize = 64 // of all algorithms that are built

// Signature is an authentication block, a COSE_Sign1 over the digest, which is
// detached (RFC 9052, Section 4.2; Section 8.3):
//
//	18([ << { 1: alg, ? 4: kid } >>, {}, null, signature ])
type Signature struct {
	Algorithm cose.Algorithm
	KeyID     []byte // nil: it names none
	Bytes     []byte

	protected []byte
}

// parseSignature reads an authentication block.
func parseSignature(block []byte) (Signature, error) {
	s, _, err := parseSign1(block, false)
	return s, err
}

// parseSign1 reads a COSE_Sign1, with its payload attached or detached.
func parseSign1(block []byte, attached bool) (s Signature, payload []byte, err error) {
	r := cbor.NewReader(block)
	if tag := r.Tag(); r.Err() == nil && tag != tagSign1 {
		if name := blockNames[tag]; name != "" {
			return s, nil, unsupported("%s as authentication block", name)
		}
		return s, nil, fmt.Errorf("%w: an authentication block with tag %d", ErrDecode, tag)
	}
	if n := r.Array(); r.Err() == nil && n != 4 {
		return s, nil, fmt.Errorf("%w: a COSE_Sign1 of %d elements", ErrDecode, n)
	}
	s.protected = r.Bytes()
	r.Map(func(key *cbor.Reader) {
		r.Item()
		err = unsupported("header parameter %x of the signature that is not protected", key.Item())
	})
	if err != nil {
		return s, nil, err
	}
	switch {
	case attached:
		payload = r.Bytes()
	case r.Next() == cbor.Bytes:
		return s, nil, unsupported("a signature with an attached payload")
	default:
		r.Null()
	}
	s.Bytes = r.Bytes()
	if err := r.End(); err != nil {
		return s, nil, fmt.Errorf("%w: authentication block: %w", ErrDecode, err)
	}
	if len(s.Bytes) != signatureSize {
		return s, nil, fmt.Errorf("%w: a signature of %d bytes instead of %d", ErrDecode, len(s.Bytes), signatureSize)
	}
	return s, payload, s.readProtected()
}

// readProtected reads the header parameters that are signed.
func (s *Signature) readProtected() (err error) {
	r := cbor.NewReader(s.protected)
	r.Map(func(key *cbor.Reader) {
		switch label := key.Item(); {
		case bytes.Equal(label, []byte{headerAlg}):
			s.Algorithm = cose.Algorithm(r.Int())
		case bytes.Equal(label, []byte{headerKID}):
			s.KeyID = r.Bytes()
		default:
			r.Item()
			err = unsupported("header parameter %x of the signature", label)
		}
	})
	if err != nil {
		return err
	}
	if err := r.End(); err != nil {
		return fmt.Errorf("%w: header of the signature: %w", ErrDecode, err)
	}
	if curve(s.Algorithm) == 0 {
		return unsupported("signature algorithm %d", int(s.Algorithm))
	}
	return nil
}

// protect makes the header parameters that are signed.
func protect(alg cose.Algorithm, kid []byte) []byte {
	b := cbor.AppendHead(nil, cbor.Map, 2)
	b = cbor.AppendInt(append(b, headerAlg), int64(alg))
	return cbor.AppendBytes(append(b, headerKID), kid)
}

// encode is the inverse of [parseSignature].
func (s *Signature) encode() []byte {
	return cbor.AppendBytes(append(s.head(), cbor.Null), s.Bytes)
}

// head is what stands in front of the payload.
func (s *Signature) head() []byte {
	b := cbor.AppendHead(nil, cbor.Tagged, tagSign1)
	b = cbor.AppendHead(b, cbor.Array, 4)
	b = cbor.AppendBytes(b, s.protected)
	return cbor.AppendHead(b, cbor.Map, 0)
}

// toBeSigned is the Sig_structure of RFC 9052, Section 4.4. payload is the encoded
// SUIT_Digest.
func toBeSigned(protected, payload []byte) []byte {
	b := cbor.AppendHead(nil, cbor.Array, 4)
	b = cbor.AppendText(b, "Signature1")
	b = cbor.AppendBytes(b, protected)
	b = cbor.AppendBytes(b, nil)
	return cbor.AppendBytes(b, payload)
}

// curve returns the curve of a signature algorithm, 0 for one that is not built.
// EdDSA and ES256 name no curve (RFC 9053, Section 2): they are taken on those that
// Ed25519 and ESP256 name (RFC 9864, Section 2).
func curve(alg cose.Algorithm) cose.Curve {
	switch alg {
	case cose.ES256, cose.ESP256:
		return cose.P256
	case cose.EdDSA, cose.AlgEd25519:
		return cose.Ed25519
	}
	return 0
}

// KeyIDSize is the length of a [KeyID].
const KeyIDSize = 8

// KeyID is how our envelopes name the signer's key: the first 8 bytes of the key's
// thumbprint (RFC 9679).
func KeyID(key cose.PublicKey) []byte {
	print := key.KeyThumbprint()
	return print[:KeyIDSize]
}

// verify says whether s is the key's over the payload.
func (s *Signature) verify(key cose.PublicKey, payload []byte) bool {
	return curve(s.Algorithm) == key.Curve() && key.Verify(toBeSigned(s.protected, payload), s.Bytes)
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%s is %w", fmt.Sprintf(format, args...), ErrUnsupported)
}
