package ace

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"lamplighter/internal/cose"
)

// KGO, Section 14: the recommended parameters of the algorithms.
func TestCapabilities(t *testing.T) {
	for _, tt := range []struct {
		what, want string
		params     [][]int
	}{
		{"EdDSA", "828101820106", SignParams(cose.EdDSA)},
		{"ES256", "828102820201", SignParams(cose.ES256)},
		{"X25519", "828101820104", ECDHParams(cose.X25519)},
		{"P-256", "828102820201", ECDHParams(cose.P256)},
	} {
		if got := hex.EncodeToString(Encode(tt.params)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.what, got, tt.want)
		}
	}
	if SignParams(cose.Null) != nil || ECDHParams(cose.Ed25519) != nil || ECDHCurve(cose.Null) != 0 {
		t.Error("parameters of what is not built")
	}
	if ECDHCurve(cose.EdDSA) != cose.X25519 || ECDHCurve(cose.ES256) != cose.P256 {
		t.Error("the curve of a signature algorithm")
	}
}

// The MAC is HKDF-SHA-256 with an empty salt, of eight bytes: RFC 5869, Test Case 3
// has an empty salt and an empty info.
func TestPoPMAC(t *testing.T) {
	got := PoPMAC(bytes.Repeat([]byte{0x0b}, 22), nil)
	if want := unhex(t, "8da4e775a563c18f"); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
	if bytes.Equal(PoPMAC([]byte("a"), []byte("b")), PoPMAC([]byte("a"), []byte("c"))) {
		t.Error("the MAC does not depend on its input")
	}
}

var sampleVerifData = VerifDataResponse{
	GKTY: 1, Key: KeyMaterial{HKDF: 5, GID: []byte{1}, CredFmt: 14, GpEncAlg: 10, SignAlg: -8, SignParams: [][]int{{1}, {1, 6}}},
	Num: 12, Profile: 1, EXP: 1609459200, EXI: 2592000, SignEncKey: cose.Secret("a key of 16 byte"),
}

func TestVerifDataResponse(t *testing.T) {
	roundTrip(t, sampleVerifData)
	if s := fmt.Sprintf("%v %s", sampleVerifData, sampleVerifData); strings.Contains(s, "a key of") {
		t.Errorf("a secret prints: %s", s)
	}
}

func FuzzVerifDataResponse(f *testing.F) { fuzzCodec(f, sampleVerifData) }
