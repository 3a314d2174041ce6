package ace

import (
	"errors"
	"fmt"

	"lamplighter/internal/cbor"
)

// N_S of a node that gave its token in the DTLS handshake is keying material that
// is exported from the session, with an empty context. KGO, Section 6.1.1.
const (
	ExporterPoPInput = "EXPORTER-ACE-Pop-Input-coap-group-oscore-app"
	ExporterPoPLen   = 32 // bytes
)

// maxPSKIdentity bounds a psk_identity, in bytes: a token with a long scope fits.
const maxPSKIdentity = 4096

// ErrIdentity says that a psk_identity selects no token.
var ErrIdentity = errors.New("malformed psk_identity")

// PSKIdentity returns the psk_identity of a client that has uploaded its token:
// the key's identifier is all that it says. RFC 9202, Section 3.3.2.
//
//	{ 8: { 1: { 1: 4, 2: kid: bstr } } }
func PSKIdentity(kid []byte) []byte {
	return Encode(map[int]*Confirmation{ClaimCNF: {COSEKey: SymmetricKey(kid, nil)}})
}

// ParsePSKIdentity reads a psk_identity: either the identifier of a key whose token
// was uploaded, or an access token, which is not opened here. Nothing else may
// stand beside the identifier: claims without protection are nobody's. RFC 9202,
// Section 3.3.2.
func ParsePSKIdentity(identity []byte) (kid, token []byte, err error) {
	if len(identity) == 0 || len(identity) > maxPSKIdentity || cbor.Valid(identity) != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrDecode, ErrIdentity)
	}
	switch identity[0] >> 5 {
	case cborTag:
		return nil, identity, nil
	case cborMap:
		if kid, ok := soleKID(identity); ok {
			return kid, nil, nil
		}
	}
	return nil, nil, fmt.Errorf("%w: %w", ErrDecode, ErrIdentity)
}

// Major types. RFC 8949, Section 3.1.
const (
	cborMap = 5
	cborTag = 6
)

// soleKID reads {cnf: {COSE_Key: {kty, kid}}}.
func soleKID(identity []byte) ([]byte, bool) {
	var outer, cnf, key map[int64]cbor.RawMessage
	if cbor.Unmarshal(identity, &outer) != nil || len(outer) != 1 ||
		cbor.Unmarshal(outer[ClaimCNF], &cnf) != nil || len(cnf) != 1 ||
		cbor.Unmarshal(cnf[MethodCOSEKey], &key) != nil || len(key) != 2 {
		return nil, false
	}
	var kty int
	var kid []byte
	if cbor.Unmarshal(key[1], &kty) != nil || kty != KeyTypeSymmetric || cbor.Unmarshal(key[2], &kid) != nil {
		return nil, false
	}
	return kid, len(kid) > 0 && len(kid) <= maxCOSEKeyID
}
