package settings

import (
	"crypto/sha256"

	"lamplighter/internal/cose"
	"lamplighter/internal/suit"
)

const document = "the schema"

// MaxDocument is the most bytes of a signed schema.
const MaxDocument = MaxSchema + 128

// Sign makes the signed document of a schema: a COSE_Sign1 around its encoding, with
// the keys that sign firmware ([suit.SignDocument]).
func (s *Schema) Sign(signer suit.Signer) ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return suit.SignDocument(document, s.Encode(), signer)
}

// OpenSchema reads a signed schema and returns the one of the anchors that signed
// it. It looks at the schema only after the signature was verified. Errors wrap
// [suit.ErrSigner], [suit.ErrSignature], [suit.ErrDecode], [suit.ErrUnsupported] or
// [cbor.ErrDecode].
func OpenSchema(doc []byte, anchors ...cose.PublicKey) (*Schema, cose.PublicKey, error) {
	payload, key, err := suit.OpenDocument(document, doc, anchors...)
	if err != nil {
		return nil, cose.PublicKey{}, err
	}
	s, err := ParseSchema(payload)
	if err != nil {
		return nil, cose.PublicKey{}, err
	}
	return s, key, nil
}

// ReadSchema reads a signed schema without verifying who signed it.
func ReadSchema(doc []byte) (*Schema, suit.Signature, error) {
	payload, signature, err := suit.ParseDocument(document, doc)
	if err != nil {
		return nil, suit.Signature{}, err
	}
	s, err := ParseSchema(payload)
	if err != nil {
		return nil, suit.Signature{}, err
	}
	return s, signature, nil
}

// Ref names a schema by its signed document.
func (s *Schema) Ref(doc []byte) *SchemaRef {
	sum := sha256.Sum256(doc)
	return &SchemaRef{Model: s.Model, Version: s.Version, Digest: sum[:DigestSize]}
}
