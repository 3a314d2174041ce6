package ace

import (
	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
)

// PoPInput returns what a joining node signs to prove that it has the private
// key of its credential. scope is the content of the Join Request's byte
// string, ns the Group Manager's challenge, nc the cnonce. RFC 9594, Section
// 4.3.1; KGO, Section 6.1.
//
//	PoP input = bstr(scope) | bstr(N_S) | bstr(N_C)
func PoPInput(scope, ns, nc []byte) []byte {
	return cbor.AppendBytes(cbor.AppendBytes(cbor.AppendBytes(nil, scope), ns), nc)
}

// KDCPoPInput returns what the Group Manager signs to prove that it has the
// private key of kdc_cred. RFC 9594, Section 4.3.1; KGO, Section 6.3.
//
//	PoP input = bstr(N_C) | bstr(N_KDC)
func KDCPoPInput(nc, nkdc []byte) []byte {
	return cbor.AppendBytes(cbor.AppendBytes(nil, nc), nkdc)
}

// macSize is the length of a proof in pairwise-only groups. KGO, Section 6.1.
const macSize = 8

// PoPMAC is the proof of possession where a group has no signatures: a MAC over a
// PoP input under the Diffie-Hellman secret of the joining node and the Group
// Manager. Both sides compute it alike; compare with crypto/hmac. KGO, Sections 6.1
// and 6.3.
//
//	MAC = HKDF-SHA-256(salt: h'', IKM: shared secret, info: PoP input, L: 8)
func PoPMAC(shared, input []byte) []byte { return cose.HKDF(shared, nil, input, macSize) }
