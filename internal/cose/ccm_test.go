package cose

import (
	"bytes"
	"crypto/aes"
	"crypto/rand"
	"fmt"
	"testing"

	oracle "github.com/pion/dtls/v3/pkg/crypto/ccm"
)

// Every length around the block size and the switch to the library's counter
// mode, and additional data up to its long form, against another implementation.
func TestCCMOracle(t *testing.T) {
	aads := []int{0, 1, 13, 14, 15, 16, 30, 230, 0xff00 - 1, 0xff00, 0x10001}
	for _, p := range []aeadParams{{16, 13, 8, nil}, {32, 13, 16, nil}, {16, 7, 8, nil}, {32, 7, 16, nil}, {24, 11, 4, nil}} {
		key := random(p.keySize)
		ours, err := makeCCM(key, p)
		if err != nil {
			t.Fatal(err)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := oracle.NewCCM(block, p.tagSize, p.nonceSize)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 300 {
			nonce, plaintext, aad := random(p.nonceSize), random(n), random(aads[n%len(aads)])
			want := theirs.Seal(nil, nonce, plaintext, aad)
			got := ours.Seal([]byte("head"), nonce, plaintext, aad)
			if !bytes.Equal(got, append([]byte("head"), want...)) {
				t.Fatalf("%d bytes, %d of AAD, %+v: other ciphertext", n, len(aad), p)
			}
			back, err := ours.Open(want[:0], nonce, want, aad) // in place
			if err != nil || !bytes.Equal(back, plaintext) {
				t.Fatalf("%d bytes, %d of AAD, %+v: %v", n, len(aad), p, err)
			}
		}
	}
}

// A refused ciphertext leaves no plaintext in the caller's memory.
func TestCCMLeavesNothing(t *testing.T) {
	c, err := makeCCM(random(16), aeadParams{16, 13, 8, nil})
	if err != nil {
		t.Fatal(err)
	}
	nonce, plaintext := random(13), []byte("a secret that must not show")
	sealed := c.Seal(nil, nonce, plaintext, nil)
	sealed[len(sealed)-1] ^= 1
	room := make([]byte, 0, 64)
	if out, err := c.Open(room, nonce, sealed, nil); err != ErrVerify || out != nil { //nolint:errorlint // opaque
		t.Errorf("%x, %v", out, err)
	}
	if !bytes.Equal(room[:64], make([]byte, 64)) {
		t.Errorf("left %q", room[:64])
	}
}

func TestCCMSizes(t *testing.T) {
	for _, p := range []aeadParams{{16, 13, 2, nil}, {16, 13, 18, nil}, {16, 13, 7, nil}, {16, 6, 8, nil}, {16, 14, 8, nil}, {15, 13, 8, nil}} {
		if _, err := makeCCM(make([]byte, p.keySize), p); err == nil {
			t.Errorf("made with %+v", p)
		}
	}
	c, err := makeCCM(make([]byte, 16), aeadParams{16, 13, 8, nil})
	if err != nil {
		t.Fatal(err)
	}
	for name, seal := range map[string]func(){
		"a short nonce":    func() { c.Seal(nil, make([]byte, 12), nil, nil) },
		"a long plaintext": func() { c.Seal(nil, make([]byte, 13), make([]byte, MaxPlaintext+1), nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: sealed", name)
				}
			}()
			seal()
		}()
	}
}

func BenchmarkCCM(b *testing.B) {
	c, err := makeCCM(random(16), aeadParams{16, 13, 8, nil})
	if err != nil {
		b.Fatal(err)
	}
	block, err := aes.NewCipher(random(16))
	if err != nil {
		b.Fatal(err)
	}
	theirs, err := oracle.NewCCM(block, 8, 13)
	if err != nil {
		b.Fatal(err)
	}
	nonce, aad, room := random(13), random(24), make([]byte, 0, 2048)
	for _, n := range []int{16, 64, 256, 1024} {
		plaintext := random(n)
		b.Run(fmt.Sprintf("seal/%d/ours", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Seal(room, nonce, plaintext, aad)
			}
		})
		b.Run(fmt.Sprintf("seal/%d/theirs", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				theirs.Seal(room, nonce, plaintext, aad)
			}
		})
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
