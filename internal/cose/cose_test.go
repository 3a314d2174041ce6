package cose

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"lamplighter/internal/cbor"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newKey(t testing.TB) (ed25519.PublicKey, ed25519.PrivateKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return public, private
}

// RFC 5869, Appendix A.1 and A.3.
func TestHKDF(t *testing.T) {
	ikm := bytes.Repeat([]byte{0x0b}, 22)
	got := HKDF(ikm, unhex(t, "000102030405060708090a0b0c"), unhex(t, "f0f1f2f3f4f5f6f7f8f9"), 42)
	if hex.EncodeToString(got) != "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865" {
		t.Errorf("A.1: %x", got)
	}
	got = HKDF(ikm, nil, nil, 42)
	if hex.EncodeToString(got) != "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8" {
		t.Errorf("A.3: %x", got)
	}
	for _, alg := range []Algorithm{Null, 4, 6, -12, A128GCM} { // HMAC 256/64, HMAC 384/384, direct+HKDF-AES-128
		if kdf, err := NewKDF(alg); kdf != nil || !errors.Is(err, ErrUnsupported) {
			t.Errorf("algorithm %d: %v", alg, err)
		}
	}
}

func TestSecret(t *testing.T) {
	s := Secret("abc")
	text, err := json.Marshal(struct{ S Secret }{s})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	untimed := func(_ []string, a slog.Attr) slog.Attr { // a time may hold the digits that are looked for
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	options := &slog.HandlerOptions{ReplaceAttr: untimed}
	slog.New(slog.NewTextHandler(&log, options)).Info("x", "s", s)
	slog.New(slog.NewJSONHandler(&log, options)).Info("x", "s", s)
	if n := strings.Count(log.String(), "[redacted]"); n != 2 {
		t.Errorf("redacted %d times in %q", n, log.String())
	}
	for _, got := range []string{
		s.String(), s.GoString(), string(text), log.String(), slog.AnyValue(s).String(), fmt.Sprint(s), fmt.Sprintf("%x %q %d %#v", s, s, s, s),
		fmt.Sprintf("%v", struct{ S Secret }{s}), fmt.Sprintf("%+v", &struct{ S Secret }{s}),
	} {
		if strings.Contains(got, "abc") || strings.Contains(got, "616263") || strings.Contains(got, "97") || !strings.Contains(got, "[redacted]") {
			t.Errorf("printed as %q", got)
		}
	}
	if got := cbor.MustMarshal(s); !bytes.Equal(got, []byte("\x43abc")) {
		t.Errorf("encoded as %x", got)
	}
}

func TestSignatures(t *testing.T) {
	public, private := newKey(t)
	cred, err := ParseCCS(NewCCS("me", public))
	if err != nil {
		t.Fatal(err)
	}
	sig, err := NewEd25519(private).Sign([]byte("message"))
	if err != nil || len(sig) != SignatureSize(EdDSA) || !cred.Verify([]byte("message"), sig) {
		t.Fatalf("%x, %v", sig, err)
	}
	if cred.Verify([]byte("Message"), sig) || cred.Verify([]byte("message"), sig[:63]) || cred.Verify([]byte("message"), nil) {
		t.Error("a wrong signature verifies")
	}
	for i := range sig {
		bad := bytes.Clone(sig)
		bad[i] ^= 1
		if cred.Verify([]byte("message"), bad) {
			t.Errorf("byte %d changed", i)
		}
	}
	cred.Alg = ES256
	if cred.Verify([]byte("message"), sig) || (&Credential{Alg: EdDSA}).Verify([]byte("message"), sig) {
		t.Error("verified without the algorithm or the key")
	}
}

func TestStructures(t *testing.T) {
	if got := AppendCounterSignature0(nil, []byte{1}, []byte{2, 3}); hex.EncodeToString(got) != "8571436f756e7465725369676e6174757265304040"+"4101"+"420203" {
		t.Errorf("Countersign_structure %x", got)
	}
	if got := AppendEncrypt0(nil, []byte{1}); hex.EncodeToString(got) != "8368456e637279707430"+"40"+"4101" {
		t.Errorf("Enc_structure %x", got)
	}
}

func TestEncrypt0(t *testing.T) {
	key, nonce := make([]byte, 16), make([]byte, 13)
	rand.Read(key)
	rand.Read(nonce)
	sealed, err := SealEncrypt0(key, []byte("kid"), nonce, []byte("claims"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := OpenEncrypt0(key, sealed)
	if err != nil || string(got) != "claims" {
		t.Fatalf("%q, %v", got, err)
	}
	cwt, err := SealCWT(key, []byte("kid"), nonce, []byte("claims"))
	if err != nil || !bytes.Equal(cwt, append([]byte{0xd8, 61}, sealed...)) || sealed[0] != 0xd0 {
		t.Fatalf("%x, %v", cwt, err)
	}
	if got, err := OpenCWT(key, cwt); err != nil || string(got) != "claims" {
		t.Fatalf("%q, %v", got, err)
	}
	for _, b := range [][]byte{sealed, cwt} {
		if kid, err := Encrypt0KID(b); err != nil || string(kid) != "kid" {
			t.Errorf("kid %q, %v", kid, err)
		}
	}
	for i := range cwt {
		bad := bytes.Clone(cwt)
		bad[i] ^= 1
		if _, err := OpenCWT(key, bad); err == nil {
			t.Errorf("byte %d changed", i)
		}
		if _, err := OpenCWT(key, cwt[:i]); err == nil {
			t.Errorf("cut at %d", i)
		}
	}
	if _, err := OpenCWT(key, sealed); !errors.Is(err, ErrDecode) {
		t.Errorf("without the CWT tag: %v", err)
	}
	if _, err := OpenEncrypt0(key, cwt); !errors.Is(err, ErrDecode) {
		t.Errorf("with the CWT tag: %v", err)
	}
	if _, err := OpenEncrypt0(make([]byte, 16), sealed); !errors.Is(err, ErrVerify) {
		t.Errorf("another key: %v", err)
	}
	if _, err := OpenEncrypt0(key[:5], sealed); err == nil {
		t.Error("a short key")
	}
}

func TestEncrypt0Malformed(t *testing.T) {
	seal := func(protected any, unprotected any) []byte {
		return append([]byte{0xd0}, cbor.MustMarshal([]any{cbor.MustMarshal(protected), unprotected, []byte("ciphertext")})...)
	}
	good := map[int]any{1: 10, 4: []byte("k"), 5: make([]byte, 13)}
	for name, b := range map[string][]byte{
		"an unprotected parameter": seal(good, map[int]any{4: []byte("k")}),
		"null for unprotected":     seal(good, nil),
		"another parameter":        seal(map[int]any{1: 10, 2: []any{1}, 4: []byte("k"), 5: make([]byte, 13)}, map[int]any{}),
		"no IV":                    seal(map[int]any{1: 10, 4: []byte("k")}, map[int]any{}),
		"no kid":                   seal(map[int]any{1: 10, 5: make([]byte, 13)}, map[int]any{}),
		"protected no map":         seal(7, map[int]any{}),
		"four elements":            append([]byte{0xd0}, cbor.MustMarshal([]any{[]byte{}, map[int]any{}, []byte{}, 1})...),
		"two elements":             append([]byte{0xd0}, cbor.MustMarshal([]any{[]byte{}, map[int]any{}})...),
		"a long array head":        append([]byte{0xd0, 0x98, 3}, seal(good, map[int]any{})[2:]...),
		"not tagged":               seal(good, map[int]any{})[1:],
		"nothing":                  nil,
	} {
		if _, err := OpenEncrypt0(make([]byte, 16), b); !errors.Is(err, ErrDecode) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Encrypt0KID(b); !errors.Is(err, ErrDecode) {
			t.Errorf("%s: kid: %v", name, err)
		}
	}
	other := seal(map[int]any{1: 24, 4: []byte("k"), 5: make([]byte, 13)}, map[int]any{})
	if _, err := OpenEncrypt0(make([]byte, 16), other); !errors.Is(err, ErrUnsupported) {
		t.Errorf("another algorithm: %v", err)
	}
	short := seal(map[int]any{1: 10, 4: []byte("k"), 5: make([]byte, 7)}, map[int]any{})
	if _, err := OpenEncrypt0(make([]byte, 16), short); !errors.Is(err, ErrVerify) {
		t.Errorf("a short IV: %v", err)
	}
	for name, err := range map[string]error{
		"key":       second(SealCWT(make([]byte, 5), nil, make([]byte, 13), nil)),
		"nonce":     second(SealEncrypt0(make([]byte, 16), nil, make([]byte, 12), nil)),
		"plaintext": second(SealEncrypt0(make([]byte, 16), nil, make([]byte, 13), make([]byte, 1<<16))),
	} {
		if err == nil {
			t.Errorf("sealed with a bad %s", name)
		}
	}
}

func second(_ []byte, err error) error { return err }

func FuzzOpenCWT(f *testing.F) {
	key := make([]byte, 16)
	sealed, err := SealCWT(key, []byte("kid"), make([]byte, 13), []byte("claims"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add(sealed[2:])
	f.Add([]byte{0xd8, 61, 0xd0, 0x83, 0x40, 0xa0, 0x40})
	f.Fuzz(func(t *testing.T, data []byte) {
		claims, err := OpenCWT(key, data)
		if err != nil {
			return
		}
		_, h, err := parseEncrypt0(trimCWT(data))
		if err != nil {
			t.Fatal(err)
		}
		back, err := SealCWT(key, h.KID, h.IV, claims)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(back, data) {
			t.Errorf("%x encodes back as %x", data, back)
		}
	})
}
