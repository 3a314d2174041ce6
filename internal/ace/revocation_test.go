package ace

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

var (
	sampleSymmetric     = SymmetricKey([]byte("kid"), cose.Secret("0123456789abcdef"))
	sampleIntrospect    = IntrospectionRequest{Token: []byte("token"), TokenTypeHint: TokenPoP}
	sampleIntrospection = IntrospectionResponse{ISS: "as", SUB: "000b57fffe401ac2", AUD: "gm", EXP: 2000, NBF: 1000, IAT: 1000, CTI: []byte{1},
		CNF: &Confirmation{OSCORE: &sampleMaterial}, Scope: sampleScope, Active: true, TokenType: TokenPoP, Profile: 2, CNonce: []byte("n"), EXI: 60,
		CredThumbprint: bytes.Repeat([]byte{7}, ThumbprintSize), Actor: "anna"}
	sampleTRLFull = TRL{Full: [][]byte{TokenHash([]byte("a"))}, Cursor: CursorAt(3)}
	sampleTRLDiff = TRL{Diff: []TRLDiff{{Removed: [][]byte{}, Added: [][]byte{TokenHash([]byte("a"))}}}, Cursor: TRLCursor{Null: true}, More: ptr(true)}
)

func TestRoundTripOfRevocation(t *testing.T) {
	roundTrip(t, *sampleSymmetric)
	roundTrip(t, Confirmation{COSEKey: sampleSymmetric})
	roundTrip(t, sampleIntrospect)
	roundTrip(t, sampleIntrospection)
	roundTrip(t, sampleTRLFull)
	roundTrip(t, sampleTRLDiff)
	if got := Encode(TRL{Full: [][]byte{}}); !bytes.Equal(got, unhex(t, "a1 00 80")) {
		t.Errorf("an empty list is %x", got)
	}
	if got := Encode(IntrospectionResponse{}); !bytes.Equal(got, unhex(t, "a1 0a f4")) {
		t.Errorf("an inactive token is %x", got)
	}
}

func TestCOSEKey(t *testing.T) {
	for name, tt := range map[string]struct {
		data string
		want COSEKey
	}{
		"symmetric":           {"a3 01 04 02 41 07 20 42 0102", COSEKey{KTY: 4, KID: []byte{7}, K: cose.Secret{1, 2}}},
		"its name":            {"a2 01 04 02 41 07", COSEKey{KTY: 4, KID: []byte{7}}},
		"an algorithm":        {"a3 01 04 02 41 07 03 0a", COSEKey{KTY: 4, KID: []byte{7}, Alg: cose.AESCCM16_64_128}},
		"a raw public key":    {"a3 01 01 20 06 21 41 00", COSEKey{KTY: 1}},
		"a named type of key": {"a1 01 63 4f4b50", COSEKey{}},
	} {
		got, err := Decode[COSEKey](unhex(t, tt.data))
		if err != nil || !reflect.DeepEqual(*got, tt.want) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	for name, data := range map[string]string{
		"no type": "a1 02 41 07", "kid is text": "a2 01 04 02 61 07", "k is a number": "a2 01 04 20 07", "no map": "80",
		"a long kid": "a2 01 04 02 58 41" + strings.Repeat("00", 65), "a long k": "a2 01 04 20 58 41" + strings.Repeat("00", 65),
	} {
		if _, err := Decode[COSEKey](unhex(t, data)); !errors.Is(err, ErrDecode) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !sampleSymmetric.Symmetric() || (&COSEKey{KTY: 1, KID: []byte{1}}).Symmetric() || (*COSEKey)(nil).Symmetric() || (&COSEKey{KTY: 4}).Symmetric() {
		t.Error("which keys are symmetric ones with a name")
	}
}

// A token's hash is 0x01, for sha-256, and SHA-256 over the token in base64url
// without padding. RFC 9770, Section 4. The vector is SHA-256("_-8"), computed
// with another program.
func TestStatement027_TokenHash(t *testing.T) {
	got := TokenHash([]byte{0xff, 0xef}) // "_-8" in base64url
	want := unhex(t, "01 4bc97f30c3f4963501652fefb418ae7a2bd08ef96839a02cba480b457733da20")
	if !bytes.Equal(got, want) || len(got) != TokenHashSize {
		t.Errorf("got %x, want %x", got, want)
	}
	if bytes.Equal(TokenHash([]byte{0xff, 0xee}), got) {
		t.Error("another token has the same hash")
	}
}

func TestTRLProblem(t *testing.T) {
	for _, tt := range []struct {
		id     TRLErrorID
		cursor TRLCursor
		want   string
	}{
		{TRLErrorValue, TRLCursor{}, "a1 01 a1 00 00"},
		{TRLErrorValue, TRLCursor{Null: true}, "a1 01 a2 00 00 01 f6"},
		{TRLErrorValue, CursorAt(42), "a1 01 a2 00 00 01 18 2a"},
		{TRLErrorCursor, TRLCursor{}, "a1 01 a1 00 02"},
	} {
		m := TRLProblem(tt.id, tt.cursor, "")
		if m.Code != coap.BadRequest || !bytes.Equal(m.Payload, unhex(t, tt.want)) {
			t.Errorf("got %v %x, want %s", m.Code, m.Payload, tt.want)
		}
		if id, cursor, ok := ParseTRLProblem(m); !ok || id != tt.id || !reflect.DeepEqual(cursor, tt.cursor) {
			t.Errorf("read as %v %+v %v", id, cursor, ok)
		}
	}
	if _, _, ok := ParseTRLProblem(Problem(coap.BadRequest, ErrorPoP, "")); ok {
		t.Error("a problem of a Group Manager was taken for one of the TRL")
	}
	for name, data := range map[string]string{"a short hash": "a1 00 81 41 01", "hash is text": "a1 00 81 61 61", "cursor -1": "a1 02 20",
		"a diff entry of one": "a1 01 81 81 80", "no map": "80"} {
		if _, err := Decode[TRL](unhex(t, data)); !errors.Is(err, ErrDecode) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Decode[IntrospectionRequest]([]byte{0xa0}); !errors.Is(err, ErrDecode) {
		t.Errorf("introspection of nothing: %v", err)
	}
}

func FuzzTRLProblem(f *testing.F) {
	f.Add(TRLProblem(TRLErrorValue, CursorAt(1), "why").Payload)
	f.Fuzz(func(t *testing.T, data []byte) {
		id, cursor, ok := ParseTRLProblem(coap.Respond(coap.BadRequest, FormatProblem, data))
		if !ok {
			return
		}
		again := TRLProblem(id, cursor, "")
		if id2, cursor2, ok := ParseTRLProblem(again); !ok || id2 != id || !bytes.Equal(cbor.MustMarshal(cursor2), cbor.MustMarshal(cursor)) {
			t.Fatalf("%x reads as %v %+v and then as %v %+v", data, id, cursor, id2, cursor2)
		}
	})
}
