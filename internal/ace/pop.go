package ace

import "lamplighter/internal/cbor"

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
