package cose

import "lamplighter/internal/cbor"

// SignatureSize returns the length in bytes of alg's signatures, 0 if it is not
// built.
func SignatureSize(alg Algorithm) int {
	switch alg {
	case EdDSA, ES256:
		return 64
	}
	return 0
}

// Verify says whether sig is c's signature over message.
func (c *Credential) Verify(message, sig []byte) bool {
	return c.Alg != Null && c.Alg == c.Public.SignatureAlgorithm() && c.Public.Verify(message, sig)
}

// AppendCounterSignature0 appends the bytes that an abbreviated, version 2
// countersignature signs:
//
//	[ "CounterSignature0", h'', h'', external_aad, ciphertext ]
//
// RFC 9338, Section 3.3 would leave out the third element (sign_protected) for
// an abbreviated countersignature, which makes four. Both known implementations
// of Group OSCORE sign the five elements with sign_protected empty, and so do
// the test vectors; this is the one place that says so.
func AppendCounterSignature0(dst, externalAAD, ciphertext []byte) []byte {
	dst = append(dst, 0x85)
	dst = cbor.AppendText(dst, "CounterSignature0")
	dst = append(dst, 0x40, 0x40)
	dst = cbor.AppendBytes(dst, externalAAD)
	return cbor.AppendBytes(dst, ciphertext)
}
