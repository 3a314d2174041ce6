package cose

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// wycheproof is the part that the files of C2SP Wycheproof share.
type wycheproof[T any] struct {
	Groups []struct {
		KeySize int `json:"keySize"`
		IVSize  int `json:"ivSize"`
		TagSize int `json:"tagSize"`
		Public  struct {
			PK hexBytes `json:"pk"`
		} `json:"publicKey"`
		Tests []T `json:"tests"`
	} `json:"testGroups"`
}

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	*h = b
	return err
}

// readWycheproof reads a file of the directory named in
// LAMPLIGHTER_VECTORS_DIR, which a clone alone does not have.
func readWycheproof[T any](t *testing.T, name string) wycheproof[T] {
	t.Helper()
	dir := os.Getenv("LAMPLIGHTER_VECTORS_DIR")
	if dir == "" {
		t.Skipf("%s: LAMPLIGHTER_VECTORS_DIR is not set", name)
	}
	b, err := os.ReadFile(filepath.Join(dir, "fetched", "wycheproof", name))
	if err != nil {
		t.Skipf("%s: %v", name, err)
	}
	var file wycheproof[T]
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestWycheproofCCM(t *testing.T) {
	type test struct {
		ID                         int `json:"tcId"`
		Key, IV, AAD, Msg, CT, Tag hexBytes
		Result, Comment            string
	}
	ran := 0
	for _, g := range readWycheproof[test](t, "aes_ccm_test.json").Groups {
		// The sizes of the algorithms here are not among them: take the primitive.
		p := aeadParams{keySize: g.KeySize / 8, nonceSize: g.IVSize / 8, tagSize: g.TagSize / 8}
		for _, v := range g.Tests {
			inner, err := makeCCM(v.Key, p)
			if err != nil {
				if v.Result == "valid" {
					t.Errorf("test %d (%s): %v", v.ID, v.Comment, err)
				}
				continue
			}
			ran++
			a := &recorded{AEAD: inner, key: Secret(v.Key)}
			sealed := append(bytes.Clone(v.CT), v.Tag...)
			plaintext, err := a.Open(nil, v.IV, sealed, v.AAD)
			if (err == nil) != (v.Result == "valid") || err == nil && !bytes.Equal(plaintext, v.Msg) {
				t.Errorf("test %d (%s, %s): %v", v.ID, v.Comment, v.Result, err)
			}
			if v.Result != "valid" {
				continue
			}
			if got := a.Seal(nil, v.IV, v.Msg, v.AAD); !bytes.Equal(got, sealed) {
				t.Errorf("test %d: sealed %x", v.ID, got)
			}
		}
	}
	if ran < 400 {
		t.Errorf("only %d tests", ran)
	}
}

func TestWycheproofHKDF(t *testing.T) {
	type test struct {
		ID                   int `json:"tcId"`
		IKM, Salt, Info, OKM hexBytes
		Size                 int
		Result               string
	}
	for _, g := range readWycheproof[test](t, "hkdf_sha256_test.json").Groups {
		for _, v := range g.Tests {
			if v.Result == "valid" && !bytes.Equal(HKDF(v.IKM, v.Salt, v.Info, v.Size), v.OKM) {
				t.Errorf("test %d", v.ID)
			}
		}
	}
}

func TestWycheproofEd25519(t *testing.T) {
	type test struct {
		ID              int `json:"tcId"`
		Msg, Sig        hexBytes
		Result, Comment string
	}
	for _, g := range readWycheproof[test](t, "ed25519_test.json").Groups {
		c := Credential{Alg: EdDSA, Public: Ed25519PublicKey([]byte(g.Public.PK))}
		for _, v := range g.Tests {
			if c.Verify(v.Msg, v.Sig) != (v.Result == "valid") {
				t.Errorf("test %d (%s): want %s", v.ID, v.Comment, v.Result)
			}
		}
	}
}
