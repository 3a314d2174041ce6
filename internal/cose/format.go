package cose

import (
	"bytes"
	"fmt"

	"lamplighter/internal/cbor"
)

// Format is an Authentication Credential Format: how the credentials of a group
// are encoded and, for certificates, in what they are handed out (IANA, COSE
// Header Parameters). RFC 10021, Section 2.1.5.
type Format int

// COSE Header Parameters.
const (
	KCWT    Format = 13 // CWT, RFC 9528
	KCCS    Format = 14 // CCS, RFC 9528
	X5Bag   Format = 32 // X.509, RFC 9360
	X5Chain Format = 33
)

// Provisional: draft-ietf-cose-cbor-encoded-cert, Section 3.4.
const (
	C5B Format = 24 // C509 certificates, a bag
	C5C Format = 25 // a chain
)

// maxCertificates bounds what one member makes others read.
const maxCertificates = 16

// certificateReader reads a certificate and says whether it is of a CA, also
// where err is only about its key.
type certificateReader func(cert []byte) (cred Credential, ca bool, err error)

var readX509 certificateReader

// RegisterX509 supplies the reading of X.509 certificates in DER, which
// lamplighter/internal/cose/x509cert does: crypto/x509 is not for browsers. read
// says whether a certificate is of a CA also where it fails for the key alone. It
// is called in an init function.
func RegisterX509(read func(der []byte) (cred Credential, ca bool, err error)) { readX509 = read }

// Parse reads a credential as it is handed out in the format. Raw of what it
// returns is what endpoints keep and bind: a CWT or CCS without its tag, of a
// chain or bag the end entity's certificate alone. It reads that again, too. Who
// issued it, and whether it is valid, is for the Group Manager to check.
//
// It fails with [ErrUnsupported] for a format that is not built or registered,
// else as [ParseCCS]. RFC 10021, Section 2.4.
func (f Format) Parse(data []byte) (Credential, error) {
	switch {
	case f == KCCS:
		return ParseCCS(trimTag(data, tagUCCS))
	case f == KCWT:
		return ParseCWT(trimTag(trimTag(data, tagCWT), tagSign1))
	case f == C5B || f == C5C:
		return f.endEntity(data, isC509(data), readC509)
	case (f == X5Bag || f == X5Chain) && readX509 != nil:
		return f.endEntity(data, isX509(data), readX509)
	}
	return Credential{}, fmt.Errorf("credential format %d: %w", f, ErrUnsupported)
}

// isX509 says whether data starts as a DER certificate does, with a SEQUENCE: no
// CBOR byte string or array has that first byte.
func isX509(data []byte) bool { return len(data) > 0 && data[0] == 0x30 }

// endEntity reads a certificate, bare or in its container. In a chain it is the
// first, in a bag the only one that is not of a CA. RFC 9360, Section 2.
func (f Format) endEntity(data []byte, bare bool, read certificateReader) (Credential, error) {
	certs := [][]byte{data}
	if !bare {
		var err error
		if certs, err = certificates(data); err != nil {
			return Credential{}, err
		}
	}
	if f == X5Chain || f == C5C || len(certs) == 1 {
		cred, _, err := read(certs[0])
		return cred, err
	}
	var found Credential
	for _, cert := range certs {
		cred, ca, err := read(cert)
		switch {
		case ca:
		case err != nil:
			return Credential{}, err
		case bytes.Equal(cert, found.Raw): // RFC 9360 allows duplicates
		case found.Raw != nil:
			return Credential{}, fmt.Errorf("%w: bag of several end entities", ErrCredential)
		default:
			found = cred
		}
	}
	if found.Raw == nil {
		return Credential{}, fmt.Errorf("%w: bag without an end entity", ErrCredential)
	}
	return found, nil
}

// certificates takes what stands in the byte strings of
//
//	COSE_X509 = bstr / [ 2*certs: bstr ]
//
// and of COSE_C509, which is alike. RFC 9360, Section 2.
func certificates(data []byte) ([][]byte, error) {
	items := []cbor.RawMessage{data}
	if isMajor(data, cbor.Array) {
		items = nil
		if err := cbor.Unmarshal(data, &items); err != nil {
			return nil, fmt.Errorf("%w: certificates: %w", ErrDecode, err)
		}
		if len(items) < 2 || len(items) > maxCertificates {
			return nil, fmt.Errorf("%w: array of %d certificates", ErrDecode, len(items))
		}
	}
	certs := make([][]byte, len(items))
	for i, item := range items {
		var err error
		if certs[i], err = byteString(item); err != nil {
			return nil, err
		}
	}
	return certs, nil
}

// isMajor says whether item begins with the CBOR major type.
func isMajor(item []byte, major byte) bool { return len(item) > 0 && item[0]>>5 == major }

// byteString reads item, which may not be null, an array of numbers or tagged,
// as the decoder alone would let pass.
func byteString(item []byte) (b []byte, err error) {
	if !isMajor(item, cbor.Bytes) {
		return nil, fmt.Errorf("%w: credential: no byte string", ErrDecode)
	}
	if err := cbor.Unmarshal(item, &b); err != nil {
		return nil, fmt.Errorf("%w: credential: %w", ErrDecode, err)
	}
	return b, nil
}
