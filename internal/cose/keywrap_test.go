package cose

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The vector of RFC 3394, Section 4.1, and what of it must not be accepted.
func TestKeyWrap(t *testing.T) {
	kek := fromHex(t, "000102030405060708090a0b0c0d0e0f")
	key := fromHex(t, "00112233445566778899aabbccddeeff")
	want := fromHex(t, "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5")
	got, err := WrapKey(kek, key)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%x (%v), want %x", got, err, want)
	}
	back, err := UnwrapKey(kek, got)
	if err != nil || !bytes.Equal(back, key) {
		t.Errorf("unwrapped %x (%v)", back, err)
	}
	for i := range 8 * len(want) {
		bad := bytes.Clone(want)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := UnwrapKey(kek, bad); !errors.Is(err, ErrVerify) {
			t.Errorf("bit %d flipped: %v", i, err)
		}
	}
	for n := range len(want) {
		if _, err := UnwrapKey(kek, want[:n]); !errors.Is(err, ErrVerify) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := UnwrapKey(key, want); !errors.Is(err, ErrVerify) {
		t.Error("another key:", err)
	}
	for _, size := range []int{16, 24, 32} {
		key := bytes.Repeat([]byte{byte(size)}, size)
		wrapped, err := WrapKey(kek, key)
		if err != nil || len(wrapped) != size+8 {
			t.Fatal(size, len(wrapped), err)
		}
		if back, err := UnwrapKey(kek, wrapped); err != nil || !bytes.Equal(back, key) {
			t.Errorf("%d bytes came back as %x (%v)", size, back, err)
		}
	}
	for _, size := range []int{0, 8, 15, 17, 40} {
		if _, err := WrapKey(kek, make([]byte, size)); err == nil {
			t.Errorf("a key of %d bytes is wrapped", size)
		}
	}
	if _, err := WrapKey(kek[:8], key); err == nil {
		t.Error("a short key-encryption key is taken")
	}
}
