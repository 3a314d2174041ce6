package cose

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
)

// RFC 3610, Packet Vector 1, has another nonce of the same length and tag.
func TestAEAD(t *testing.T) {
	key := unhex(t, "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf")
	a, err := NewAEAD(AESCCM16_64_128, key)
	if err != nil {
		t.Fatal(err)
	}
	nonce := unhex(t, "00000003020100a0a1a2a3a4a5")
	aad, plaintext := unhex(t, "0001020304050607"), unhex(t, "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e")
	want := "588c979a61c663d2f066d0c2c0f989806d5f6b61dac38417e8d12cfdf926e0"
	got := a.Seal([]byte{9}, nonce, plaintext, aad)
	if hex.EncodeToString(got) != "09"+want {
		t.Errorf("got %x", got)
	}
	back, err := a.Open([]byte{8}, nonce, got[1:], aad)
	if err != nil || !bytes.Equal(back[1:], plaintext) {
		t.Errorf("%x, %v", back, err)
	}
	for i := range got[1:] {
		bad := bytes.Clone(got[1:])
		bad[i] ^= 0x10
		if out, err := a.Open(nil, nonce, bad, aad); out != nil || err != ErrVerify { //nolint:errorlint // nothing may be wrapped
			t.Errorf("byte %d changed: %x, %v", i, out, err)
		}
	}
	for name, open := range map[string]func() ([]byte, error){
		"another nonce":      func() ([]byte, error) { return a.Open(nil, make([]byte, 13), got[1:], aad) },
		"a short nonce":      func() ([]byte, error) { return a.Open(nil, nonce[:12], got[1:], aad) },
		"no nonce":           func() ([]byte, error) { return a.Open(nil, nil, got[1:], aad) },
		"another AAD":        func() ([]byte, error) { return a.Open(nil, nonce, got[1:], nil) },
		"half a tag":         func() ([]byte, error) { return a.Open(nil, nonce, got[1:5], aad) },
		"nothing":            func() ([]byte, error) { return a.Open(nil, nonce, nil, aad) },
		"more than is legal": func() ([]byte, error) { return a.Open(nil, nonce, make([]byte, 70000), aad) },
	} {
		if _, err := open(); err != ErrVerify { //nolint:errorlint // as above
			t.Errorf("%s: %v", name, err)
		}
	}
	if a.Overhead() != TagSize(AESCCM16_64_128) || a.NonceSize() != NonceSize(AESCCM16_64_128) || KeySize(AESCCM16_64_128) != 16 {
		t.Error("sizes")
	}
	a.Seal(nil, nonce, make([]byte, MaxPlaintext), nil)
	if _, err := NewAEAD(AESCCM16_64_128, key[:15]); err == nil {
		t.Error("a key of 15 bytes")
	}
	if _, err := NewAEAD(ES256, key); !errors.Is(err, ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

func TestRecorder(t *testing.T) {
	key, nonce := make([]byte, 16), make([]byte, 13)
	a, err := NewAEAD(AESCCM16_64_128, key)
	if err != nil {
		t.Fatal(err)
	}
	var log []string
	Recorder = func(key, nonce, plaintext, ciphertext []byte) {
		log = append(log, fmt.Sprintf("%x %x %s %x", key, nonce, plaintext, ciphertext))
	}
	defer func() { Recorder = nil }()
	prefix := []byte("dst")
	sealed := a.Seal(prefix, nonce, []byte("text"), nil)[3:]
	if _, err := a.Open(prefix, nonce, sealed, nil); err != nil {
		t.Fatal(err)
	}
	sealed[0] ^= 1
	a.Open(nil, nonce, sealed, nil)
	sealed[0] ^= 1
	want := fmt.Sprintf("%x %x text %x", key, nonce, sealed)
	if len(log) != 2 || log[0] != want || log[1] != want {
		t.Errorf("recorded %q, want twice %q", log, want)
	}
}

// knownAnswers has a row for every algorithm of aeadTable: its value in IANA's
// registry, its sizes in bytes as RFC 9053, Section 4 and RFC 9459, Section 4 have
// them (of AES-CTR the nonce as RFC 10021, Section 2.1.7), and what OpenSSL makes
// of key 000102..., nonce f0f1f2..., plaintext 404142... (37 bytes) and "external
// aad", which AES-CTR leaves out.
var knownAnswers = []struct {
	name            string
	alg             Algorithm
	value           int
	key, nonce, tag int
	sealed          string
}{
	{"A128GCM", A128GCM, 1, 16, 12, 16, "515ba4307e9d23337bb575fb9b4de33815de7167bf9ea11a80e88f1038ec46fd72078f620867528724820be180c05716ecf231dad6"},
	{"A192GCM", A192GCM, 2, 24, 12, 16, "acb84f7ec8253c5d0da88c1a43630890f3a914f62d0270f0123c7663d6ba3b53d3ac1cf2ed14ebbc712403a9d3ba250f2a5c903152"},
	{"A256GCM", A256GCM, 3, 32, 12, 16, "29470143387f9433d7bebdd1c2072cf940b00b916c5219cf0e0f69fb056e8c587c7174e7243b5a00ab0a1dc4a478fe16a7a567ece6"},
	{"AES-CCM-16-64-128", AESCCM16_64_128, 10, 16, 13, 8, "2fe2be0b754089ff3bfdc4dc5727bbfb62cccb22119e3bc4a44a1ce4162d8d58a008e2418a32e4eaf8d96e5f05"},
	{"AES-CCM-16-64-256", AESCCM16_64_256, 11, 32, 13, 8, "d98bd64625b122306c3d35a97a20cc8bb5b8fbda30fbf0ca480138fc95d5f654f8a8421467810268a773027c52"},
	{"AES-CCM-64-64-128", AESCCM64_64_128, 12, 16, 7, 8, "5c73707e29da2b28aef92fb013bed4dcfa92fef055006aee316fc7ca3afa7ee833fb8e3ef26cfe4754b09a094d"},
	{"AES-CCM-64-64-256", AESCCM64_64_256, 13, 32, 7, 8, "600ac8746cb48b186a33e4435d3e80c7219d67d95871c64802caa5046af1acd89bc1cd8e28bc19d0204547bf89"},
	{"ChaCha20/Poly1305", ChaCha20Poly1305, 24, 32, 12, 16, "800d7c85c3ed989017b7d1b6cb60769e65daf6c156d6b51d65dc2a5fc1c142eeb773d3fde4cfd20c32c0333327972d984edcdfe901"},
	{"AES-CCM-16-128-128", AESCCM16_128_128, 30, 16, 13, 16, "2fe2be0b754089ff3bfdc4dc5727bbfb62cccb22119e3bc4a44a1ce4162d8d58a008e2418a639ca0dfe645d939cbae2c3324693aad"},
	{"AES-CCM-16-128-256", AESCCM16_128_256, 31, 32, 13, 16, "d98bd64625b122306c3d35a97a20cc8bb5b8fbda30fbf0ca480138fc95d5f654f8a84214676765a936243c572f759673ec1571f505"},
	{"AES-CCM-64-128-128", AESCCM64_128_128, 32, 16, 7, 16, "5c73707e29da2b28aef92fb013bed4dcfa92fef055006aee316fc7ca3afa7ee833fb8e3ef20788a2bf2cf8e7014f6f1eb124161e6c"},
	{"AES-CCM-64-128-256", AESCCM64_128_256, 33, 32, 7, 16, "600ac8746cb48b186a33e4435d3e80c7219d67d95871c64802caa5046af1acd89bc1cd8e28ec117632e8708ece7047c39aa3336165"},
	{"A128CTR", A128CTR, -65534, 16, 12, 0, "2a5ddf4935dd796290ae6b14f05db96f82261b0a7d502fc1c22322c88774187c717b84105e"},
	{"A192CTR", A192CTR, -65533, 24, 12, 0, "cd670daaccde207769f1ec9efdea7f98ee8d48c1b109dbe94820e558bc5c85d58c986f5ee8"},
	{"A256CTR", A256CTR, -65532, 32, 12, 0, "e3dbc0aa21a70189f5d73deff04449a42ad0eddbd89b110bedb48e4619ab8cd80967216318"},
}

// counting returns n bytes that count up from first.
func counting(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

func TestKnownAnswers(t *testing.T) {
	plaintext, aad := counting(0x40, 37), []byte("external aad")
	for _, k := range knownAnswers {
		if int(k.alg) != k.value || KeySize(k.alg) != k.key || NonceSize(k.alg) != k.nonce || TagSize(k.alg) != k.tag || Authenticated(k.alg) != (k.tag > 0) {
			t.Errorf("%s is %d: key %d, nonce %d, tag %d, authenticated %t", k.name, k.alg, KeySize(k.alg), NonceSize(k.alg), TagSize(k.alg), Authenticated(k.alg))
		}
		key, nonce := counting(0, k.key), counting(0xf0, k.nonce)
		a, err := NewAEAD(k.alg, key)
		if err != nil {
			t.Errorf("%s: %v", k.name, err)
			continue
		}
		if a.NonceSize() != k.nonce || a.Overhead() != k.tag {
			t.Errorf("%s: nonce %d, overhead %d", k.name, a.NonceSize(), a.Overhead())
		}
		sealed := a.Seal([]byte("dst"), nonce, plaintext, aad)
		if hex.EncodeToString(sealed[3:]) != k.sealed || string(sealed[:3]) != "dst" {
			t.Errorf("%s: %x", k.name, sealed)
		}
		buffer := append(make([]byte, 0, 100), plaintext...)
		if inPlace := a.Seal(buffer[:0], nonce, buffer, aad); !bytes.Equal(inPlace, sealed[3:]) {
			t.Errorf("%s: in place %x", k.name, inPlace)
		}
		if got, err := a.Open(nil, nonce, sealed[3:], aad); err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("%s: %x, %v", k.name, got, err)
		}
		if _, err := a.Open(nil, nonce[1:], sealed[3:], aad); !errors.Is(err, ErrVerify) {
			t.Errorf("%s: a short nonce: %v", k.name, err)
		}
		for name, bad := range map[string][]byte{"no": nil, "a short": key[1:], "a long": append(key, 0)} {
			if _, err := NewAEAD(k.alg, bad); err == nil {
				t.Errorf("%s: %s key", k.name, name)
			}
		}
		if !panics(func() { a.Seal(nil, nonce[1:], plaintext, aad) }) {
			t.Errorf("%s: sealed under a short nonce", k.name)
		}
		tagged := Authenticated(k.alg)
		if _, err := a.Open(nil, nonce, sealed[3:], nil); (err != nil) != tagged {
			t.Errorf("%s: without the AAD: %v", k.name, err)
		}
		sealed[5] ^= 1
		if _, err := a.Open(nil, nonce, sealed[3:], aad); (err != nil) != tagged {
			t.Errorf("%s: a bit changed: %v", k.name, err)
		}
	}
	if len(knownAnswers) != len(aeadTable) {
		t.Errorf("%d algorithms are built, %d tested", len(aeadTable), len(knownAnswers))
	}
}

func panics(do func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	do()
	return false
}

// AES-CBC (RFC 9459, Section 5), AES-MAC, AES-KW and what is no encryption at all.
func TestUnsupportedAEAD(t *testing.T) {
	for _, alg := range []Algorithm{-65531, -65530, -65529, 14, 25, -3, Null, HMAC256, ES256, EdDSA, ECDHSSHKDF256, 4, 34} {
		for _, size := range []int{16, 24, 32} {
			if a, err := NewAEAD(alg, make([]byte, size)); !errors.Is(err, ErrUnsupported) {
				t.Errorf("algorithm %d: %v, %v", alg, a, err)
			}
		}
		if KeySize(alg) != 0 || NonceSize(alg) != 0 || TagSize(alg) != 0 || Authenticated(alg) {
			t.Errorf("algorithm %d has sizes", alg)
		}
	}
}

// Over several blocks the counter counts.
func TestCTRCounts(t *testing.T) {
	a, err := NewAEAD(A128CTR, make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	nonce := make([]byte, 12)
	stream := a.Seal(nil, nonce, make([]byte, 16*300), nil)
	for i := 16; i < len(stream); i += 16 {
		if bytes.Equal(stream[i:i+16], stream[i-16:i]) {
			t.Fatalf("blocks %d and %d are alike", i/16-1, i/16)
		}
	}
}

// [Recorder] costs nothing where it is nil: as many allocations as the cipher.
func TestNoAllocation(t *testing.T) {
	for _, k := range knownAnswers {
		a, err := NewAEAD(k.alg, make([]byte, k.key))
		if err != nil {
			t.Fatal(err)
		}
		nonce, plaintext, aad, dst := make([]byte, k.nonce), make([]byte, 64), make([]byte, 40), make([]byte, 0, 100)
		sealed := a.Seal(nil, nonce, plaintext, aad)
		count := func(a AEAD) (seal, open float64) {
			return testing.AllocsPerRun(20, func() { a.Seal(dst, nonce, plaintext, aad) }),
				testing.AllocsPerRun(20, func() { a.Open(dst, nonce, sealed, aad) }) //nolint:errcheck // only counted
		}
		seal, open := count(a)
		bareSeal, bareOpen := count(a.(*recorded).AEAD)
		if seal != bareSeal || open != bareOpen {
			t.Errorf("%s: %v and %v allocations, the cipher %v and %v", k.name, seal, open, bareSeal, bareOpen)
		}
	}
}

func BenchmarkAEAD(b *testing.B) {
	for _, k := range knownAnswers {
		a, err := NewAEAD(k.alg, make([]byte, k.key))
		if err != nil {
			b.Fatal(err)
		}
		for _, size := range []int{16, 64, 1024} {
			nonce, aad, dst := make([]byte, k.nonce), make([]byte, 40), make([]byte, 0, 2048)
			plaintext := make([]byte, size)
			sealed := a.Seal(nil, nonce, plaintext, aad)
			b.Run(fmt.Sprintf("%s/seal/%d", k.name, size), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					a.Seal(dst, nonce, plaintext, aad)
				}
			})
			b.Run(fmt.Sprintf("%s/open/%d", k.name, size), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					a.Open(dst, nonce, sealed, aad) //nolint:errcheck // only timed
				}
			})
		}
	}
}
