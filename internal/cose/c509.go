package cose

import (
	"fmt"

	"lamplighter/internal/cbor"
)

// c509 holds the items of a C509 certificate that count here, still encoded.
// draft-ietf-cose-cbor-encoded-cert, Section 3.1:
//
//	[ c509CertificateType: int, certificateSerialNumber, issuerSignatureAlgorithm,
//	  issuer, validityNotBefore, validityNotAfter, subject: Name,
//	  subjectPublicKeyAlgorithm, subjectPublicKey, extensions, issuerSignatureValue ]
type c509 struct{ kind, subject, algorithm, key, extensions cbor.RawMessage }

const c509Items = 11

// Provisional: draft-ietf-cose-cbor-encoded-cert, Section 8.2 (C509 Certificate
// Types) and Section 3.2.1.
const (
	c509Native    = 2
	c509Reencoded = 3 // from X.509

	c509EvenY = 0xfe // a point that was not compressed in X.509
	c509OddY  = 0xfd
)

// Provisional: draft-ietf-cose-cbor-encoded-cert, Section 8.8 (C509 Extensions).
// The value of basicConstraints is below -1 for what is no CA.
const (
	c509BasicConstraints = 4
	c509CA               = -1
)

// c509Curve names the curve of a C509 Public Key Algorithm, 0 for others.
// Provisional: draft-ietf-cose-cbor-encoded-cert, Section 8.15.
func c509Curve(algorithm uint64) Curve {
	switch algorithm {
	case 1:
		return P256
	case 8:
		return X25519
	case 12:
		return Ed25519
	}
	return 0
}

// ParseC509 reads a C509 certificate, natively signed or re-encoded from X.509:
// the array C509Certificate, or the sequence of its items as it stands in the byte
// strings of chains and bags; Raw is what it was given. It takes the key and the
// common name, and leaves the rest to who checks the certificate. It fails as
// [ParseCCS].
// draft-ietf-cose-cbor-encoded-cert, Section 3.
func ParseC509(cert []byte) (Credential, error) {
	cred, _, err := readC509(cert)
	return cred, err
}

// isC509 says whether data is a certificate and not a container of certificates.
func isC509(data []byte) bool {
	if isMajor(data, cbor.Uint) {
		return true
	}
	var items []cbor.RawMessage
	return isMajor(data, cbor.Array) && cbor.Unmarshal(data, &items) == nil && len(items) == c509Items && isMajor(items[0], cbor.Uint)
}

func readC509(cert []byte) (cred Credential, ca bool, err error) {
	c, err := splitC509(cert)
	if err != nil {
		return Credential{}, false, err
	}
	ca = c.isCA()
	public, err := c.public()
	if err != nil {
		return Credential{}, ca, err
	}
	return Credential{
		Subject: c.commonName(),
		Public:  public,
		Alg:     public.SignatureAlgorithm(),
		Raw:     append([]byte(nil), cert...),
	}, ca, nil
}

func splitC509(cert []byte) (c c509, err error) {
	var items []cbor.RawMessage
	if isMajor(cert, cbor.Array) {
		err = cbor.Unmarshal(cert, &items)
	} else {
		for rest := cert; len(rest) > 0 && len(items) <= c509Items && err == nil; {
			var item cbor.RawMessage
			if rest, err = cbor.UnmarshalFirst(rest, &item); err == nil {
				items = append(items, item)
			}
		}
	}
	if err != nil {
		return c, fmt.Errorf("%w: C509 certificate: %w", ErrDecode, err)
	}
	if len(items) != c509Items {
		return c, fmt.Errorf("%w: C509 certificate of %d items", ErrDecode, len(items))
	}
	return c509{kind: items[0], subject: items[6], algorithm: items[7], key: items[8], extensions: items[9]}, nil
}

func (c *c509) public() (PublicKey, error) {
	kind, algorithm := unsigned(c.kind), unsigned(c.algorithm)
	curve := c509Curve(algorithm)
	if kind != c509Native && kind != c509Reencoded || curve == 0 {
		return PublicKey{}, fmt.Errorf("C509 certificate (type %d, public key algorithm %d): %w", kind, algorithm, ErrUnsupported)
	}
	point, err := byteString(c.key)
	if err != nil {
		return PublicKey{}, err
	}
	if kind == c509Reencoded && curve == P256 && len(point) > 0 {
		switch point[0] {
		case c509EvenY:
			point[0] = pointCompressed
		case c509OddY:
			point[0] = pointCompressed | 1
		}
	}
	return NewPublicKey(curve, point)
}

// isCA looks for basicConstraints; critical ones have a negative label.
func (c *c509) isCA() bool {
	var list []cbor.RawMessage
	if !isMajor(c.extensions, cbor.Array) || cbor.Unmarshal(c.extensions, &list) != nil {
		return false
	}
	for i := 0; i+1 < len(list); i += 2 {
		var id, value int
		if cbor.Unmarshal(list[i], &id) == nil && (id == c509BasicConstraints || id == -c509BasicConstraints) {
			return cbor.Unmarshal(list[i+1], &value) == nil && value >= c509CA
		}
	}
	return false
}

// commonName returns the subject if it is a text, or its attribute 1 (a negative
// label stands for another string type), else "".
func (c *c509) commonName() (name string) {
	if isMajor(c.subject, cbor.Text) {
		return text(c.subject)
	}
	var list []cbor.RawMessage
	if !isMajor(c.subject, cbor.Array) || cbor.Unmarshal(c.subject, &list) != nil {
		return ""
	}
	for i := 0; i+1 < len(list); i += 2 {
		var label int
		if cbor.Unmarshal(list[i], &label) == nil && (label == 1 || label == -1) {
			return text(list[i+1])
		}
	}
	return ""
}

// text returns item if it is a text, else "".
func text(item cbor.RawMessage) (s string) {
	if !isMajor(item, cbor.Text) || cbor.Unmarshal(item, &s) != nil {
		return ""
	}
	return s
}

// unsigned returns item if it is an unsigned integer, else a number that no
// registry has.
func unsigned(item cbor.RawMessage) (n uint64) {
	const none = 1<<64 - 1
	if !isMajor(item, cbor.Uint) || cbor.Unmarshal(item, &n) != nil {
		return none
	}
	return n
}
