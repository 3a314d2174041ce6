// Package x509cert reads X.509 certificates (RFC 5280) as authentication
// credentials of package cose. Importing it registers the formats x5chain and
// x5bag (RFC 9360). It is apart from cose because crypto/x509 is large, and no
// browser needs it; keys on P-256 need package p256 as well.
//
// Certificates are not verified: paths, validity and key usage are for the Group
// Manager to check.
package x509cert

import (
	"crypto/x509"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"lamplighter/internal/cose"
)

func init() { cose.RegisterX509(read) }

// curves are AlgorithmIdentifiers in DER. RFC 5480, Section 2.1.1; RFC 8410,
// Section 3.
var curves = map[string]cose.Curve{
	"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07": cose.P256,
	"\x30\x05\x06\x03\x2b\x65\x6e": cose.X25519,
	"\x30\x05\x06\x03\x2b\x65\x70": cose.Ed25519,
}

// Parse reads one certificate in DER; Subject is its common name. It fails with
// [cose.ErrDecode] for what is no certificate, with [cose.ErrUnsupported] for
// keys that are not built, and with [cose.ErrCredential] for a key that is no
// good. A compressed point is not accepted. RFC 10021, Section 2.4.
func Parse(der []byte) (cose.Credential, error) {
	cred, _, err := read(der)
	return cred, err
}

// read is [Parse], and says whether the certificate is of a CA.
func read(der []byte) (cred cose.Credential, ca bool, err error) {
	public, keyErr := publicKey(der)
	cert, err := x509.ParseCertificate(der)
	if err != nil { // also for a bad point
		if !errors.Is(keyErr, cose.ErrCredential) {
			keyErr = fmt.Errorf("%w: certificate: %w", cose.ErrDecode, err)
		}
		return cose.Credential{}, false, keyErr
	}
	ca = cert.BasicConstraintsValid && cert.IsCA
	if keyErr != nil {
		return cose.Credential{}, ca, keyErr
	}
	return cose.Credential{
		Subject: cert.Subject.CommonName,
		Public:  public,
		Alg:     public.SignatureAlgorithm(),
		Raw:     append([]byte(nil), der...),
	}, ca, nil
}

// publicKey finds the subject's key in
//
//	Certificate    ::= SEQUENCE { TBSCertificate, signatureAlgorithm, signature }
//	TBSCertificate ::= SEQUENCE { [0] version, serialNumber, signature, issuer,
//	                              validity, subject, subjectPublicKeyInfo, ... }
//
// RFC 5280, Section 4.1.
func publicKey(der []byte) (cose.PublicKey, error) {
	in := cryptobyte.String(der)
	var cert, tbs, info cryptobyte.String
	if !in.ReadASN1(&cert, asn1.SEQUENCE) || !cert.ReadASN1(&tbs, asn1.SEQUENCE) ||
		!tbs.SkipOptionalASN1(asn1.Tag(0).ContextSpecific().Constructed()) || // version
		!tbs.SkipASN1(asn1.INTEGER) || // serialNumber
		!tbs.SkipASN1(asn1.SEQUENCE) || !tbs.SkipASN1(asn1.SEQUENCE) || // signature, issuer
		!tbs.SkipASN1(asn1.SEQUENCE) || !tbs.SkipASN1(asn1.SEQUENCE) || // validity, subject
		!tbs.ReadASN1Element(&info, asn1.SEQUENCE) {
		return cose.PublicKey{}, fmt.Errorf("%w: certificate", cose.ErrDecode)
	}
	return parseKeyInfo(info)
}

// parseKeyInfo reads
//
//	SubjectPublicKeyInfo ::= SEQUENCE { algorithm AlgorithmIdentifier,
//	                                    subjectPublicKey BIT STRING }
//
// RFC 5280, Section 4.1.2.7.
func parseKeyInfo(in cryptobyte.String) (cose.PublicKey, error) {
	var info, algorithm cryptobyte.String
	var point []byte
	if !in.ReadASN1(&info, asn1.SEQUENCE) || !in.Empty() ||
		!info.ReadASN1Element(&algorithm, asn1.SEQUENCE) ||
		!info.ReadASN1BitStringAsBytes(&point) || !info.Empty() {
		return cose.PublicKey{}, fmt.Errorf("%w: subjectPublicKeyInfo", cose.ErrDecode)
	}
	curve, known := curves[string(algorithm)]
	if !known {
		return cose.PublicKey{}, fmt.Errorf("certificate's public key algorithm: %w", cose.ErrUnsupported)
	}
	return cose.NewPublicKey(curve, point)
}
