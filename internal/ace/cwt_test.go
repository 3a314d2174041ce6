package ace

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
)

var testKey = TokenKey{KID: []byte("gm"), Key: cose.Secret("token key of 16B")}

func seal(t testing.TB, claims *CWTClaims) []byte {
	t.Helper()
	token, err := SealToken(testKey, claims, bytes.NewReader(make([]byte, 64)))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestToken(t *testing.T) {
	token := seal(t, &sampleClaims)
	got, err := OpenToken(testKey, token)
	if err != nil || !reflect.DeepEqual(*got, sampleClaims) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if bytes.Contains(token, sampleMaterial.MasterSecret) || bytes.Contains(token, []byte(sampleClaims.SUB)) {
		t.Error("the token shows its claims")
	}
	// Every bit counts.
	for i := range token {
		bad := bytes.Clone(token)
		bad[i] ^= 1
		if _, err := OpenToken(testKey, bad); !errors.Is(err, ErrToken) && !errors.Is(err, ErrDecode) {
			t.Errorf("byte %d flipped: %v", i, err)
		}
	}
}

// A token is 61(16([protected, {}, ciphertext])) with all header parameters protected;
// one with an unprotected parameter is refused. RFC 9770, Sections 3 and 11.1.
func TestStatement028_NothingUnprotected(t *testing.T) {
	token := seal(t, &sampleClaims)
	if !bytes.HasPrefix(token, unhex(t, "d83d d0 83")) {
		t.Fatalf("the token begins with %x", token[:4])
	}
	var parts []cbor.RawMessage
	if err := cbor.Unmarshal(token[3:], &parts); err != nil || len(parts) != 3 || !bytes.Equal(parts[1], []byte{0xa0}) {
		t.Fatalf("got %x, %v", parts, err)
	}
	var protected []byte
	var header map[int]cbor.RawMessage
	if cbor.Unmarshal(parts[0], &protected) != nil || cbor.Unmarshal(protected, &header) != nil || len(header) != 3 {
		t.Fatalf("protected header %x, want alg, kid and IV", protected)
	}
	parts[1] = unhex(t, "a1 04 42 676d")
	bad := append(unhex(t, "d83dd0"), Encode(parts)...)
	if _, err := OpenToken(testKey, bad); !errors.Is(err, ErrDecode) && !errors.Is(err, ErrToken) {
		t.Errorf("an unprotected kid was accepted: %v", err)
	}
}

// Of a token itself, garbage is malformed, and one of another Authorization Server
// cannot be verified. RFC 9200, Section 5.10.1.1.
func TestStatement030_GarbageAndForeignTokens(t *testing.T) {
	token := seal(t, &sampleClaims)
	for name, data := range map[string][]byte{
		"nothing":      nil,
		"garbage":      []byte("garbage"),
		"no tag":       token[3:],
		"truncated":    token[:len(token)-1],
		"trailing":     append(bytes.Clone(token), 0),
		"other claims": sealRaw(t, []byte{0x80}),
		"scope claim":  sealRaw(t, unhex(t, "a1 09 01")),
	} {
		if _, err := OpenToken(testKey, data); !errors.Is(err, ErrDecode) || errors.Is(err, ErrToken) {
			t.Errorf("%s: %v, want ErrDecode", name, err)
		}
	}
	other := TokenKey{KID: testKey.KID, Key: cose.Secret("another key, 16B")}
	if _, err := OpenToken(other, token); !errors.Is(err, ErrToken) {
		t.Errorf("foreign token: %v, want ErrToken", err)
	}
}

func sealRaw(t *testing.T, claims []byte) []byte {
	t.Helper()
	token, err := cose.SealCWT(testKey.Key, testKey.KID, make([]byte, tokenNonceSize), claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestExpired(t *testing.T) {
	for _, tt := range []struct {
		exp, nbf uint64
		now      int64
		want     bool
	}{
		{2000, 0, 1999, false}, {2000, 0, 2000, true}, {2000, 1500, 1499, true}, {2000, 1500, 1500, false},
		{0, 0, 1, true}, {2000, 0, -1, true}, {1 << 63, 0, 1 << 40, false},
	} {
		c := CWTClaims{EXP: tt.exp, NBF: tt.nbf}
		if got := c.Expired(time.Unix(tt.now, 0)); got != tt.want {
			t.Errorf("exp %d, nbf %d at %d: %v", tt.exp, tt.nbf, tt.now, got)
		}
	}
}

func TestSealTokenWithoutRandomness(t *testing.T) {
	if _, err := SealToken(testKey, &sampleClaims, bytes.NewReader(make([]byte, 5))); err == nil {
		t.Error("sealed with a short nonce")
	}
}

func FuzzOpenToken(f *testing.F) {
	f.Add(seal(f, &sampleClaims))
	f.Add([]byte{0xd8, 0x3d, 0xd0, 0x83, 0x40, 0xa0, 0x40})
	f.Fuzz(func(t *testing.T, data []byte) {
		claims, err := OpenToken(testKey, data)
		if err == nil && !bytes.Equal(Encode(claims), Encode(sampleClaims)) {
			t.Fatalf("forged: %x", data)
		}
	})
}
