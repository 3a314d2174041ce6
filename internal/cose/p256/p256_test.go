package p256

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"

	"lamplighter/internal/cose"
	"lamplighter/internal/wycheproof"
)

// order is that of P-256. SP 800-186, Section 3.2.1.3.
var order, _ = new(big.Int).SetString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)

func generate(t testing.TB) cose.PrivateKey {
	t.Helper()
	scalar, err := Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewKey(scalar)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestSign(t *testing.T) {
	key := generate(t)
	message := []byte("message")
	sig, err := key.Sign(message)
	if err != nil || len(sig) != cose.SignatureSize(cose.ES256) || !key.Public().Verify(message, sig) {
		t.Fatalf("%x, %v", sig, err)
	}
	if key.Public().Curve() != cose.P256 || key.Public().SignatureAlgorithm() != cose.ES256 {
		t.Errorf("%v", key.Public())
	}
	again, err := key.Sign(message)
	if err != nil || bytes.Equal(sig, again) || !key.Public().Verify(message, again) {
		t.Errorf("the second signature %x, %v", again, err)
	}
	for i := range sig {
		bad := bytes.Clone(sig)
		bad[i] ^= 1
		if key.Public().Verify(message, bad) {
			t.Errorf("byte %d changed", i)
		}
	}
	for name, bad := range map[string][]byte{
		"none": nil, "zero": make([]byte, 64), "s = 0": append(bytes.Clone(sig[:32]), make([]byte, 32)...),
		"63 bytes": sig[:63], "65 bytes": append(bytes.Clone(sig), 0), "r + n": append(order.Bytes(), sig[32:]...),
	} {
		if key.Public().Verify(message, bad) {
			t.Errorf("signature verifies: %s", name)
		}
	}
	if generate(t).Public().Verify(message, sig) || key.Public().Verify([]byte("Message"), sig) {
		t.Error("verifies under another key or for another message")
	}
}

func TestSharedSecret(t *testing.T) {
	a, b := generate(t), generate(t)
	ab, err := a.SharedSecret(b.Public())
	if err != nil || len(ab) != 32 {
		t.Fatalf("%x, %v", ab, err)
	}
	if ba, err := b.SharedSecret(a.Public()); err != nil || !bytes.Equal(ab, ba) {
		t.Errorf("%x and %x, %v", ab, ba, err)
	}
	x, err := cose.NewX25519(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	e := cose.NewEd25519(make([]byte, 32))
	for _, other := range []cose.PrivateKey{x, e} {
		if _, err := a.SharedSecret(other.Public()); !errors.Is(err, cose.ErrCredential) {
			t.Errorf("with %v: %v", other.Public().Curve(), err)
		}
		if _, err := other.SharedSecret(a.Public()); !errors.Is(err, cose.ErrCredential) {
			t.Errorf("%v with P-256: %v", other.Public().Curve(), err)
		}
	}
	if _, err := a.SharedSecret(cose.PublicKey{}); !errors.Is(err, cose.ErrCredential) {
		t.Errorf("with no key: %v", err)
	}
}

func TestNewKey(t *testing.T) {
	for name, scalar := range map[string][]byte{
		"nothing": nil, "31 bytes": bytes.Repeat([]byte{1}, 31), "33 bytes": append([]byte{0}, bytes.Repeat([]byte{1}, 32)...),
		"zero": make([]byte, 32), "the order": order.Bytes(), "above the order": bytes.Repeat([]byte{0xff}, 32),
	} {
		if _, err := NewKey(scalar); !errors.Is(err, cose.ErrCredential) {
			t.Errorf("%s: %v", name, err)
		}
	}
	last := new(big.Int).Sub(order, big.NewInt(1)).Bytes()
	if _, err := NewKey(last); err != nil {
		t.Errorf("n - 1: %v", err)
	}
}

// What is drawn above the order is drawn again.
func TestGenerate(t *testing.T) {
	good := bytes.Repeat([]byte{7}, 32)
	random := io.MultiReader(bytes.NewReader(make([]byte, 32)), bytes.NewReader(bytes.Repeat([]byte{0xff}, 32)), bytes.NewReader(good))
	if got, err := Generate(random); err != nil || !bytes.Equal(got, good) {
		t.Errorf("%x, %v", got, err)
	}
	if _, err := Generate(strings.NewReader("too short")); err == nil {
		t.Error("a key of too little randomness")
	}
}

func TestNewVerifier(t *testing.T) {
	if _, err := newVerifier(make([]byte, 65)); err == nil {
		t.Error("a verifier of no point")
	}
}

func TestWycheproofECDSA(t *testing.T) {
	const file = "ecdsa_secp256r1_sha256_p1363_test.json"
	var n wycheproof.Count
	defer n.Report(t, file, 262)
	for _, g := range wycheproof.Load[wycheproof.Signature](t, file) {
		public, err := cose.NewPublicKey(cose.P256, g.PublicKey.Uncompressed)
		if err != nil {
			t.Errorf("%x: %v", g.PublicKey.Uncompressed, err)
			continue
		}
		for _, v := range g.Tests {
			if public.Verify(v.Msg, v.Sig) != (v.Result == "valid") {
				t.Errorf("test %d (%s): want %s", v.ID, v.Comment, v.Result)
			}
			if v.Result == "valid" {
				n.Accepted++
			} else {
				n.Refused++
			}
		}
	}
}
