package suit

import (
	"bytes"
	"fmt"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
)

// Besides manifests a maker signs documents, such as the schema of a model's
// settings, with the same keys: a COSE_Sign1 with the document in it (RFC 9052,
// Section 4.2), as strict as the signatures of manifests are:
//
//	18([ << { 1: alg, 4: kid } >>, {}, document, signature ])
//
// What is signed for a manifest is an array, a digest; a document must be no array,
// so that neither can stand for the other.

// SignDocument signs a document. It checks that the signature is of the signer's
// key. what names the document in errors.
func SignDocument(what string, document []byte, signer Signer) ([]byte, error) {
	if err := checkDocument(what, document); err != nil {
		return nil, err
	}
	s, err := newSignature(what, document, signer)
	if err != nil {
		return nil, err
	}
	return cbor.AppendBytes(cbor.AppendBytes(s.head(), document), s.Bytes), nil
}

// ParseDocument reads what [SignDocument] made without looking for who signed it.
// Errors wrap [ErrDecode] or [ErrUnsupported].
func ParseDocument(what string, data []byte) (document []byte, s Signature, err error) {
	s, document, err = parseSign1(data, true)
	if err == nil {
		err = checkDocument(what, document)
	}
	if err != nil {
		return nil, Signature{}, err
	}
	return document, s, nil
}

// OpenDocument reads what [SignDocument] made and returns it with the one of the
// anchors that signed it. It fails as [ParseDocument] and [Envelope.Verify] do.
func OpenDocument(what string, data []byte, anchors ...cose.PublicKey) ([]byte, cose.PublicKey, error) {
	document, s, err := ParseDocument(what, data)
	if err != nil {
		return nil, cose.PublicKey{}, err
	}
	err = fmt.Errorf("%s: %w", what, ErrSigner)
	for _, key := range anchors {
		if s.verify(key, document) {
			return document, key, nil
		}
		if bytes.Equal(s.KeyID, KeyID(key)) {
			err = fmt.Errorf("%s: %w", what, ErrSignature)
		}
	}
	return nil, cose.PublicKey{}, err
}

func checkDocument(what string, document []byte) error {
	if len(document) == 0 || document[0]>>5 != cbor.Map {
		return fmt.Errorf("%w: %s must be a map", ErrDecode, what)
	}
	return nil
}

// newSignature signs a payload and checks that the signature is of the signer's key.
func newSignature(what string, payload []byte, signer Signer) (s Signature, err error) {
	s = Signature{Algorithm: signer.Algorithm(), KeyID: KeyID(signer.Public())}
	if _, err := AlgorithmOf(s.Algorithm, signer.Public()); err != nil {
		return s, err
	}
	s.protected = protect(s.Algorithm, s.KeyID)
	if s.Bytes, err = signer.Sign(toBeSigned(s.protected, payload)); err != nil {
		return s, fmt.Errorf("signing %s: %w", what, err)
	}
	if !s.verify(signer.Public(), payload) {
		return s, fmt.Errorf("signing %s: %w: what came back is not of the public key", what, ErrSignature)
	}
	return s, nil
}
