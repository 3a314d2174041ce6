package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"lamplighter/internal/sim/image"
	"lamplighter/internal/suit"
)

// The demo's firmware files are what their names say: good updates for the lamps, and
// what must be refused, each for one reason only.
func TestDemoFirmware(t *testing.T) {
	data := t.TempDir()
	key, err := vendorKey(data)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(data, "firmware")
	if err := writeFirmware(folder, key); err != nil {
		t.Fatal(err)
	}
	anchor := key.Public()
	vendor := suit.VendorID(vendorDomain)
	lamp := suit.Recipient{Vendor: vendor, Class: suit.ClassID(vendor, lampClass)}
	for _, f := range demoFirmwares() {
		text, err := os.ReadFile(filepath.Join(folder, f.name+".suit"))
		if err != nil {
			t.Fatal(err)
		}
		e, _, err := suit.Open(text, anchor)
		switch {
		case f.stranger:
			if !errors.Is(err, suit.ErrSigner) {
				t.Errorf("%s: %v", f.name, err)
			}
			continue
		case f.spoil != nil:
			if !errors.Is(err, suit.ErrSignature) {
				t.Errorf("%s: %v", f.name, err)
			}
			continue
		case err != nil:
			t.Fatalf("%s: %v", f.name, err)
		}
		got, err := e.Apply(lamp)
		if f.class != "" {
			if !errors.Is(err, suit.ErrRecipient) {
				t.Errorf("%s: %v", f.name, err)
			}
			continue
		}
		if err != nil || got.Size != uint64(f.size) || got.Sequence != f.sequence {
			t.Errorf("%s: %+v, %v", f.name, got, err)
		}
		i, err := image.Parse(e.Integrated[suit.ImageURI])
		if err != nil || i.Version != f.version() || i.Behaviour != f.image.Behaviour {
			t.Errorf("%s: %v, %v", f.name, i.Version, err)
		}
		if (f.sequence <= factorySequence) != (f.name == "older") {
			t.Errorf("%s has sequence number %d", f.name, f.sequence)
		}
	}
}

// A second start finds key and files where they were.
func TestVendorStays(t *testing.T) {
	data := t.TempDir()
	folder := filepath.Join(data, "firmware")
	var before []byte
	for range 2 {
		key, err := vendorKey(data)
		if err != nil {
			t.Fatal(err)
		}
		if err := writeFirmware(folder, key); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(folder, "unknown-signer.suit"))
		if err != nil {
			t.Fatal(err)
		}
		if before != nil && string(before) != string(text) {
			t.Error("the file was made anew")
		}
		before = text
		anchor, err := readAnchor(filepath.Join(data, "keys", "vendor.pem"))
		if err != nil || !anchor.Equal(key.Public()) {
			t.Errorf("the anchor is another key: %v", err)
		}
	}
	if err := os.WriteFile(filepath.Join(data, "keys", "vendor.pem"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := vendorKey(data); err == nil {
		t.Error("a file without a key is taken")
	}
}

func TestReadAnchor(t *testing.T) {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key  any
		good bool
	}{"Ed25519": {public, true}, "P-256": {&p256.PublicKey, true}, "P-384": {&p384.PublicKey, false}} {
		der, err := x509.MarshalPKIXPublicKey(c.key)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readAnchor(file); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		file := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readAnchor(file); err == nil {
			t.Errorf("%q is taken for a key", text)
		}
	}
}
