package cose

import (
	"encoding/hex"
	"errors"
	"testing"
)

// Without an implementation there is no P-256, and one that refuses a point has
// the last word.
func TestRegisterP256(t *testing.T) {
	defer RegisterP256(verifierP256)
	base := unhex(t, "036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296") // SP 800-186, Section 3.2.1.3
	RegisterP256(nil)
	if _, err := NewPublicKey(P256, base); !errors.Is(err, ErrUnsupported) {
		t.Errorf("not registered: %v", err)
	}
	var got []byte
	RegisterP256(func(point []byte) (func(message, sig []byte) bool, error) {
		got = point
		return func(message, sig []byte) bool { return string(message) == "good" && len(sig) == 64 }, nil
	})
	key, err := NewPublicKey(P256, base)
	if err != nil || hex.EncodeToString(got[33:]) != "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5" {
		t.Errorf("%x, %v", got, err)
	}
	for _, message := range []string{"good", "bad"} {
		for _, size := range []int{0, 63, 64, 65, 72} {
			want := message == "good" && size == 64
			if key.Verify([]byte(message), make([]byte, size)) != want {
				t.Errorf("%s, %d bytes: not %t", message, size, want)
			}
		}
	}
	RegisterP256(func([]byte) (func(message, sig []byte) bool, error) { return nil, errors.New("no") })
	if _, err := NewPublicKey(P256, base); !errors.Is(err, ErrCredential) {
		t.Errorf("refused: %v", err)
	}
}

func TestRegisterX509(t *testing.T) {
	defer RegisterX509(readX509)
	RegisterX509(nil)
	for _, f := range []Format{X5Bag, X5Chain} {
		if _, err := f.Parse([]byte{0x30}); !errors.Is(err, ErrUnsupported) {
			t.Errorf("format %d: %v", f, err)
		}
	}
}
