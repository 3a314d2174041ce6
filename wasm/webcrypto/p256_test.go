//go:build js && wasm

package webcrypto

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/big"
	"testing"

	"lamplighter/internal/cose"
	"lamplighter/internal/cose/p256"
	"lamplighter/internal/wycheproof"
)

// verifyInGo is the standard library's word.
func verifyInGo(t *testing.T, public cose.PublicKey, message, sig []byte) bool {
	t.Helper()
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), public.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(message)
	return len(sig) == 64 && ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
}

// TestP256: keys in WebCrypto and in Go are of one mind.
func TestP256(t *testing.T) {
	for range 8 {
		scalar, err := p256.Generate(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		inGo, err := p256.NewKey(scalar)
		if err != nil {
			t.Fatal(err)
		}
		inWeb, err := ImportP256(scalar)
		if err != nil {
			t.Fatal(err)
		}
		if !inWeb.Public().Equal(inGo.Public()) {
			t.Fatal("another public key")
		}
		message := bytes.Repeat(scalar[:1], int(scalar[1]))
		for _, k := range []cose.PrivateKey{inGo, inWeb} {
			sig, err := k.Sign(message)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				want := i == 0
				if got := inGo.Public().Verify(message, sig); got != want || verifyInGo(t, k.Public(), message, sig) != want {
					t.Errorf("%T: verified %v, want %v", k, got, want)
				}
				sig[i*31] ^= 1
			}
		}
		other, err := GenerateP256()
		if err != nil {
			t.Fatal(err)
		}
		a, err1 := inGo.SharedSecret(other.Public())
		b, err2 := inWeb.SharedSecret(other.Public())
		c, err3 := other.SharedSecret(inGo.Public())
		if err := errors.Join(err1, err2, err3); err != nil || !bytes.Equal(a, b) || !bytes.Equal(a, c) {
			t.Errorf("secrets %x, %x, %x, %v", a, b, c, err)
		}
	}
}

func TestP256Refuses(t *testing.T) {
	n, _ := hex.DecodeString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
	over := bytes.Clone(n)
	over[31]++
	for _, scalar := range [][]byte{nil, make([]byte, 32), n, over, bytes.Repeat([]byte{0xff}, 32), make([]byte, 31), bytes.Repeat([]byte{1}, 33)} {
		if _, err := ImportP256(scalar); !errors.Is(err, cose.ErrCredential) {
			t.Errorf("scalar %x: %v", scalar, err)
		}
	}
	least := append(make([]byte, 31), 1)
	key, err := ImportP256(least)
	if err != nil {
		t.Fatal(err)
	}
	x, err := cose.NewX25519(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := key.SharedSecret(x.Public()); !errors.Is(err, cose.ErrCredential) {
		t.Errorf("a peer on X25519: %v", err)
	}
	if _, err := key.SharedSecret(cose.PublicKey{}); !errors.Is(err, cose.ErrCredential) {
		t.Errorf("no peer: %v", err)
	}
	if _, err := cose.NewPublicKey(cose.P256, append([]byte{4}, make([]byte, 64)...)); !errors.Is(err, cose.ErrCredential) {
		t.Errorf("a point that is not on the curve: %v", err)
	}
}

// TestWycheproofECDH: WebCrypto's secrets are those of the file. Its public keys
// are SubjectPublicKeyInfo, of which the point is the end; others are for whoever
// reads certificates.
func TestWycheproofECDH(t *testing.T) {
	ran, refused := 0, 0
	for _, g := range wycheproof.Load[wycheproof.Agreement](t, "ecdh_secp256r1_test.json") {
		for _, v := range g.Tests {
			private := new(big.Int).SetBytes(v.Private)
			if len(v.Public) != 91 || private.BitLen() > 256 {
				continue
			}
			public, err := cose.NewPublicKey(cose.P256, v.Public[91-65:])
			if err != nil {
				refused++
				if v.Result == "valid" {
					t.Errorf("test %d (%s): %v", v.ID, v.Comment, err)
				}
				continue
			}
			key, err := ImportP256(private.FillBytes(make([]byte, 32)))
			if err != nil {
				t.Fatalf("test %d (%s): %v", v.ID, v.Comment, err)
			}
			secret, err := key.SharedSecret(public)
			if v.Result == "valid" && !bytes.Equal(secret, v.Shared) {
				t.Errorf("test %d (%s): %x, %v", v.ID, v.Comment, secret, err)
			}
			ran++
		}
	}
	if ran < 200 || refused == 0 {
		t.Errorf("%d were agreed, %d refused", ran, refused)
	}
}

// TestP256Stays: WebCrypto does not give the private key out.
func TestP256Stays(t *testing.T) {
	made, err := GenerateP256()
	if err != nil {
		t.Fatal(err)
	}
	imported, err := ImportP256(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []cose.PrivateKey{made, imported} {
		for _, format := range []string{"jwk", "pkcs8"} {
			k := k.(keyP256)
			if _, err := call("exportKey", format, k.sign); err == nil {
				t.Error("the signing key was given out as " + format)
			}
			if _, err := call("exportKey", format, k.agree); err == nil {
				t.Error("the agreement key was given out as " + format)
			}
		}
	}
}
