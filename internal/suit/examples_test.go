package suit_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"lamplighter/internal/cose"
	_ "lamplighter/internal/cose/p256"
	"lamplighter/internal/suit"
)

// examples returns the draft's example envelopes and the key that signed them.
// Without LAMPLIGHTER_VECTORS_DIR it skips the test, as they are not part of the
// project.
func examples(t testing.TB) ([][]byte, cose.PublicKey) {
	t.Helper()
	dir := os.Getenv("LAMPLIGHTER_VECTORS_DIR")
	if dir == "" {
		t.Skip("skipping the draft's examples: LAMPLIGHTER_VECTORS_DIR is not set")
	}
	text, err := os.ReadFile(filepath.Join(dir, "fetched", "suit-envelopes.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Envelopes []struct{ Name, Envelope string }
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Envelopes) != 6 {
		t.Fatalf("%d examples, want 6", len(file.Envelopes))
	}
	var list [][]byte
	for _, e := range file.Envelopes {
		b, err := hex.DecodeString(e.Envelope)
		if err != nil {
			t.Fatalf("%s: %v", e.Name, err)
		}
		list = append(list, b)
	}
	text, err = os.ReadFile(filepath.Join(dir, "fetched", "suit-public-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	point, err := public.(*ecdsa.PublicKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	key, err := cose.NewPublicKey(cose.P256, point)
	if err != nil {
		t.Fatal(err)
	}
	return list, key
}

func digest(t testing.TB, text string) (d suit.Digest) {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil || copy(d[:], b) != len(d) {
		t.Fatalf("digest %s, %v", text, err)
	}
	return d
}

// The vendor and class of all examples. Section 8.4.8.2 has how they are made.
var (
	exampleVendor = suit.VendorID("arm.com")
	exampleClass  = suit.UUID{0x14, 0x92, 0xaf, 0x14, 0x25, 0x69, 0x5e, 0x48, 0xbf, 0x42, 0x9b, 0x2d, 0x51, 0xf2, 0xab, 0x45}
)

func TestExamples(t *testing.T) {
	list, key := examples(t)
	first := digest(t, "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210")
	second := digest(t, "0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff")
	fits := suit.Recipient{Vendor: exampleVendor, Class: exampleClass}
	inSlot1 := fits
	inSlot1.Slot = 1
	for i, want := range []struct {
		uri        string
		invoke     bool
		components int
		applies    bool
	}{
		{"", true, 1, false},
		{"http://example.com/file.bin", false, 1, true},
		{"http://example.com/very/long/path/to/file/file.bin", true, 1, true},
		{"http://example.com/file1.bin", false, 1, true},
		{"", true, 3, false},
		{"http://example.com/file1.bin", true, 2, false},
	} {
		e, signer, err := suit.Open(list[i], key)
		if err != nil || !signer.Equal(key) {
			t.Errorf("example %d: %v", i, err)
			continue
		}
		if !bytes.Equal(e.Encode(), list[i]) {
			t.Errorf("example %d is encoded as %x", i, e.Encode())
		}
		image, err := e.Image()
		if err != nil || image.Sequence != uint64(i) || image.Vendor != exampleVendor || image.Class != exampleClass ||
			image.Digest != first || image.Size != 34768 || image.URI != want.uri || image.Invoke != want.invoke {
			t.Errorf("example %d: %+v, %v", i, image, err)
		}
		if len(e.Manifest.Components) != want.components || e.Signatures[0].Algorithm != cose.ES256 {
			t.Errorf("example %d: %+v", i, e.Manifest)
		}
		applied, err := e.Apply(fits)
		if want.applies != (err == nil) || err != nil && !errors.Is(err, suit.ErrUnsupported) {
			t.Errorf("example %d applied: %v", i, err)
		}
		if err == nil && (applied.Digest != first || applied.URI != want.uri) {
			t.Errorf("example %d applied: %+v", i, applied)
		}
	}
	e, err := suit.Parse(list[3])
	if err != nil {
		t.Fatal(err)
	}
	if image, err := e.Apply(inSlot1); err != nil || image.Digest != second || image.Size != 76834 || image.URI != "http://example.com/file2.bin" {
		t.Errorf("in the second slot: %+v, %v", image, err)
	}
	inSlot1.Slot = 2
	if _, err := e.Apply(inSlot1); !errors.Is(err, suit.ErrRecipient) {
		t.Errorf("in a slot that it is not for: %v", err)
	}
}

// The sizes of example 2 are those that the draft's appendix has.
func TestSeveredExample(t *testing.T) {
	list, key := examples(t)
	e, _, err := suit.Open(list[2], key)
	if err != nil {
		t.Fatal(err)
	}
	text := e.Text["en-US"]
	if len(e.Text) != 1 || text.Components[0].VendorDomain != "arm.com" || len(text.Description) != 0x19d ||
		e.Manifest.ReferenceURI != "https://git.io/JJYoj" {
		t.Errorf("%+v, %+v", e.Text, e.Manifest)
	}
	if len(list[2]) != 923 {
		t.Errorf("%d bytes", len(list[2]))
	}
	bare := e.Bare()
	again, _, err := suit.Open(bare, key)
	if err != nil || again.Text != nil || len(again.Manifest.Severed) != 2 || again.Digest != e.Digest {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := again.Apply(suit.Recipient{Vendor: exampleVendor, Class: exampleClass}); err != nil {
		t.Errorf("bare, applied: %v", err)
	}
}

// flipped gives data with each bit flipped; in WASM, where signatures take long, one
// of each byte.
func flipped(data []byte) iter.Seq2[int, []byte] {
	return func(yield func(bit int, bad []byte) bool) {
		for bit := range 8 * len(data) {
			if runtime.GOARCH == "wasm" && bit%8 != bit/8%8 {
				continue
			}
			bad := bytes.Clone(data)
			bad[bit/8] ^= 1 << (bit % 8)
			if !yield(bit, bad) {
				return
			}
		}
	}
}

// Whichever bit is flipped, no envelope is accepted.
func TestFlippedExamples(t *testing.T) {
	list, key := examples(t)
	flips := 0
	for i, data := range list {
		for bit, bad := range flipped(data) {
			if _, _, err := suit.Open(bad, key); err == nil {
				t.Errorf("example %d with bit %d flipped is accepted", i, bit)
			}
			flips++
			if bit%8 != 0 { // the other way comes to the same
				continue
			}
			e, err := suit.Parse(bad)
			if err == nil {
				_, err = e.Verify(key)
			}
			if err == nil {
				t.Errorf("example %d with bit %d flipped is verified after it was read", i, bit)
			}
		}
	}
	t.Logf("%d bits flipped", flips)
}

// Nor if it is cut anywhere, or goes on.
func TestTruncatedExamples(t *testing.T) {
	list, _ := examples(t)
	for i, data := range list {
		for n := range data {
			if _, err := suit.Parse(data[:n]); err == nil {
				t.Errorf("example %d cut to %d bytes is accepted", i, n)
			}
		}
		if _, err := suit.Parse(append(bytes.Clone(data), 0)); err == nil {
			t.Errorf("example %d with a byte more is accepted", i)
		}
	}
}

func TestExampleSigner(t *testing.T) {
	list, key := examples(t)
	other := cose.NewEd25519(bytes.Repeat([]byte{7}, 32)).Public()
	e, err := suit.Parse(list[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Verify(); !errors.Is(err, suit.ErrSigner) {
		t.Errorf("no anchor: %v", err)
	}
	if _, err := e.Verify(other); !errors.Is(err, suit.ErrSigner) {
		t.Errorf("another anchor: %v", err)
	}
	if signer, err := e.Verify(other, key); err != nil || !signer.Equal(key) {
		t.Errorf("the second anchor: %v", err)
	}
}
