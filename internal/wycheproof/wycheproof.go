// Package wycheproof gives tests the vectors of C2SP Wycheproof. They are not part
// of the project: the environment variable LAMPLIGHTER_VECTORS_DIR names the
// directory above fetched/wycheproof.
package wycheproof

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Hex is bytes that stand as hexadecimal text.
type Hex []byte

// UnmarshalText reads hexadecimal digits.
func (h *Hex) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	*h = b
	return err
}

// Case is what every test of every file has.
type Case struct {
	ID      int `json:"tcId"`
	Comment string
	Result  string // "valid", "invalid" or "acceptable"
	Flags   []string
}

// AEAD is a group of tests of an authenticated cipher; sizes are in bits.
type AEAD struct {
	KeySize, IVSize, TagSize int
	Tests                    []struct {
		Case
		Key, IV, AAD, Msg, CT, Tag Hex
	}
}

// HKDF is a group of tests of a key derivation; Size is in bytes.
type HKDF struct {
	Tests []struct {
		Case
		IKM, Salt, Info, OKM Hex
		Size                 int
	}
}

// Signature is a group of tests under one public key.
type Signature struct {
	PublicKey struct {
		PK           Hex // Ed25519
		Uncompressed Hex // ECDSA
	}
	Tests []struct {
		Case
		Msg, Sig Hex
	}
}

// Agreement is a group of tests of a key agreement.
type Agreement struct {
	Tests []struct {
		Case
		Public, Private, Shared Hex
	}
}

// Load returns the test groups of a file. Without LAMPLIGHTER_VECTORS_DIR it skips
// the test, as a clone alone has no vectors; a file that is missing where the
// variable points is a failure.
func Load[Group any](t testing.TB, name string) []Group {
	t.Helper()
	dir := os.Getenv("LAMPLIGHTER_VECTORS_DIR")
	if dir == "" {
		t.Skipf("skipping %s: LAMPLIGHTER_VECTORS_DIR is not set", name)
	}
	b, err := os.ReadFile(filepath.Join(dir, "fetched", "wycheproof", name))
	if err != nil {
		t.Fatalf("%s is missing where LAMPLIGHTER_VECTORS_DIR points: %v", name, err)
	}
	var file struct {
		TestGroups []Group
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return file.TestGroups
}

// Count says at the end of a test what became of the file's tests, and fails if
// there are not as many as there were when the test was written.
type Count struct{ Accepted, Refused, NotOffered int }

// Report logs the counts of name. It may be deferred before [Load].
func (c *Count) Report(t testing.TB, name string, want int) {
	t.Helper()
	sum := c.Accepted + c.Refused + c.NotOffered
	if t.Skipped() || t.Failed() && sum == 0 {
		return // Load has said why
	}
	t.Logf("%s: %d tests: %d accepted, %d refused, %d of what is not offered", name, sum, c.Accepted, c.Refused, c.NotOffered)
	if sum < want {
		t.Errorf("%s: %d tests, want at least %d", name, sum, want)
	}
}
