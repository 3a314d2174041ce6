package cose

import (
	"bytes"
	"crypto/cipher"
	"errors"
	"testing"

	"lamplighter/internal/wycheproof"
)

// bySize finds the algorithm among those given that has the sizes, in bytes.
func bySize(key, nonce, tag int, among []Algorithm) (Algorithm, bool) {
	for _, alg := range among {
		if KeySize(alg) == key && NonceSize(alg) == nonce && TagSize(alg) == tag {
			return alg, true
		}
	}
	return Null, false
}

// runAEAD takes the ciphers through NewAEAD; other gives those of sizes that no
// algorithm has, nil for none.
func runAEAD(t *testing.T, file string, want int, among []Algorithm, other func(key []byte, p aeadParams) (cipher.AEAD, error)) {
	var n wycheproof.Count
	defer n.Report(t, file, want)
	own := 0
	for _, g := range wycheproof.Load[wycheproof.AEAD](t, file) {
		p := aeadParams{keySize: g.KeySize / 8, nonceSize: g.IVSize / 8, tagSize: g.TagSize / 8}
		alg, offered := bySize(p.keySize, p.nonceSize, p.tagSize, among)
		for _, v := range g.Tests {
			var a AEAD
			var err error
			switch {
			case offered:
				own++
				a, err = NewAEAD(alg, v.Key)
			case other != nil:
				var inner cipher.AEAD
				inner, err = other(v.Key, p)
				a = &recorded{AEAD: inner, key: Secret(v.Key)}
			default:
				n.NotOffered++
				continue
			}
			if err != nil {
				n.Refused++
				if v.Result == "valid" {
					t.Errorf("test %d (%s): %v", v.ID, v.Comment, err)
				}
				continue
			}
			sealed := append(bytes.Clone(v.CT), v.Tag...)
			plaintext, err := a.Open(nil, v.IV, sealed, v.AAD)
			if (err == nil) != (v.Result == "valid") || err == nil && !bytes.Equal(plaintext, v.Msg) {
				t.Errorf("test %d (%s, %s): %v", v.ID, v.Comment, v.Result, err)
			}
			if v.Result != "valid" {
				n.Refused++
				continue
			}
			n.Accepted++
			if got := a.Seal(nil, v.IV, v.Msg, v.AAD); !bytes.Equal(got, sealed) {
				t.Errorf("test %d: sealed %x", v.ID, got)
			}
		}
	}
	t.Logf("%d through NewAEAD", own)
	if own == 0 {
		t.Errorf("%s: none has the sizes of an algorithm", file)
	}
}

// Most sizes of the file are of no COSE algorithm: they test the primitive.
func TestWycheproofCCM(t *testing.T) {
	among := []Algorithm{
		AESCCM16_64_128, AESCCM16_64_256, AESCCM64_64_128, AESCCM64_64_256,
		AESCCM16_128_128, AESCCM16_128_256, AESCCM64_128_128, AESCCM64_128_256,
	}
	runAEAD(t, "aes_ccm_test.json", 552, among, makeCCM)
}

func TestWycheproofGCM(t *testing.T) {
	runAEAD(t, "aes_gcm_test.json", 316, []Algorithm{A128GCM, A192GCM, A256GCM}, nil)
}

func TestWycheproofChaCha(t *testing.T) {
	runAEAD(t, "chacha20_poly1305_test.json", 325, []Algorithm{ChaCha20Poly1305}, nil)
}

func TestWycheproofHKDF(t *testing.T) {
	for _, f := range []struct {
		file string
		algs []Algorithm
		want int
	}{
		{"hkdf_sha256_test.json", []Algorithm{HMAC256, HKDFSHA256}, 86},
		{"hkdf_sha512_test.json", []Algorithm{HMAC512, HKDFSHA512}, 83},
	} {
		t.Run(f.file, func(t *testing.T) {
			var n wycheproof.Count
			defer n.Report(t, f.file, f.want)
			for _, g := range wycheproof.Load[wycheproof.HKDF](t, f.file) {
				for _, v := range g.Tests {
					for _, alg := range f.algs {
						got := derive(t, alg, v.IKM, v.Salt, v.Info, v.Size)
						if (got != nil) != (v.Result == "valid") || got != nil && !bytes.Equal(got, v.OKM) {
							t.Errorf("test %d (%s), algorithm %d: %x", v.ID, v.Comment, alg, got)
						}
					}
					if v.Result == "valid" {
						n.Accepted++
					} else {
						n.Refused++
					}
				}
			}
		})
	}
}

// derive returns nil for a size that makes the KDF panic.
func derive(t *testing.T, alg Algorithm, secret, salt, info []byte, size int) (key []byte) {
	kdf, err := NewKDF(alg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() != nil {
			key = nil
		}
	}()
	return kdf(secret, salt, info, size)
}

func TestWycheproofEd25519(t *testing.T) {
	const file = "ed25519_test.json"
	var n wycheproof.Count
	defer n.Report(t, file, 151)
	for _, g := range wycheproof.Load[wycheproof.Signature](t, file) {
		public, err := NewPublicKey(Ed25519, g.PublicKey.PK)
		if err != nil {
			t.Errorf("%x: %v", g.PublicKey.PK, err)
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

// What is "acceptable" has a public key of small order, which is to be refused, or
// one on the twist or not reduced, which RFC 7748 wants accepted.
func TestWycheproofX25519(t *testing.T) {
	const file = "x25519_test.json"
	var n wycheproof.Count
	defer n.Report(t, file, 518)
	for _, g := range wycheproof.Load[wycheproof.Agreement](t, file) {
		for _, v := range g.Tests {
			private, err := NewX25519(v.Private)
			if err != nil {
				t.Errorf("test %d: %v", v.ID, err)
				continue
			}
			public, err := NewPublicKey(X25519, v.Public)
			if bytes.Equal(v.Shared, make([]byte, 32)) {
				n.Refused++
				if !errors.Is(err, ErrCredential) {
					t.Errorf("test %d (%s): %v", v.ID, v.Comment, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("test %d (%s): %v", v.ID, v.Comment, err)
				continue
			}
			n.Accepted++
			if got, err := private.SharedSecret(public); err != nil || !bytes.Equal(got, v.Shared) {
				t.Errorf("test %d (%s): %x, %v", v.ID, v.Comment, got, err)
			}
		}
	}
}
