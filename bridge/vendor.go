package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"lamplighter/internal/cose"
	"lamplighter/internal/sim/image"
	"lamplighter/internal/suit"
)

// The simulator's vendor: who makes the lamps and signs their firmware.
const (
	vendorDomain = "lamps.example"
	lampClass    = "lamp-1"
)

// vendorKey reads the vendor's key in a data folder, or makes it at the first start.
func vendorKey(data string) (cose.PrivateKey, error) {
	file := filepath.Join(data, "keys", "vendor.pem")
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		private, _, _, err := drawKey("ed25519")
		if err == nil {
			err = os.MkdirAll(filepath.Dir(file), 0o700)
		}
		if err == nil {
			err = writeFresh(file, private, 0o600)
		}
		if err != nil {
			return nil, fmt.Errorf("making the vendor's key: %w", err)
		}
	}
	return readPrivateKey(file)
}

// readAnchor reads the key that a vendor's firmware is checked with: PEM, of the public
// key or of the private one.
func readAnchor(file string) (cose.PublicKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return cose.PublicKey{}, fmt.Errorf("reading the vendor's key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return cose.PublicKey{}, fmt.Errorf("%s is not in PEM", file)
	}
	var key any
	if block.Type == "PUBLIC KEY" {
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	} else if key, err = x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		key = key.(crypto.Signer).Public()
	}
	switch key := key.(type) {
	case ed25519.PublicKey:
		return cose.Ed25519PublicKey(key), nil
	case *ecdsa.PublicKey:
		if point, err := key.Bytes(); err == nil && key.Curve == elliptic.P256() {
			return cose.NewPublicKey(cose.P256, point)
		}
	}
	return cose.PublicKey{}, fmt.Errorf("%s holds no Ed25519 or P-256 key (PKIX or PKCS #8)", file)
}

// demoFirmware is one file in the demo's folder of firmware.
type demoFirmware struct {
	name     string
	sequence uint64
	class    string // empty: the lamps'
	size     int
	image    image.Image
	spoil    func(envelope []byte) ([]byte, error) // nil: it is good
	stranger bool                                  // somebody else signed it
}

func blink(on, off int) image.Image {
	return image.Image{On: time.Duration(on) * time.Millisecond, Off: time.Duration(off) * time.Millisecond}
}

// demoFirmwares are what to try out: two good updates, one that does not start, and
// what a device must refuse.
func demoFirmwares() []demoFirmware {
	crash := blink(50, 50)
	crash.Behaviour = image.Crashes
	hang := blink(50, 950)
	hang.Behaviour = image.Hangs
	const kib = 1 << 10
	return []demoFirmware{
		{name: "lamp-2.0.0", sequence: 20, size: 256 * kib, image: blink(200, 800)},
		{name: "lamp-2.1.0", sequence: 21, size: 256 * kib, image: blink(800, 200)},
		{name: "lamp-2.1.0-bootloop", sequence: 22, size: 256 * kib, image: crash},
		{name: "lamp-2.1.0-hangs", sequence: 23, size: 64 * kib, image: hang},
		{name: "small", sequence: 24, size: 16 * kib, image: blink(100, 100)},
		{name: "other-class", sequence: 25, class: otherClass, size: 64 * kib, image: blink(100, 900)},
		{name: "older", sequence: factorySequence - 1, size: 64 * kib, image: blink(500, 500)},
		{name: "unknown-signer", sequence: 26, size: 64 * kib, image: blink(300, 300), stranger: true},
		{name: "wrong-signature", sequence: 27, size: 64 * kib, image: blink(300, 300), spoil: spoilSignature},
	}
}

// versions of files whose name does not say it.
var firmwareVersions = map[string]string{"small": "2.2.0", "older": "0.9.0"}

func (f demoFirmware) version() string {
	if v, ok := firmwareVersions[f.name]; ok {
		return v
	}
	if v, ok := bytes.CutPrefix([]byte(f.name), []byte("lamp-")); ok {
		return string(v)
	}
	return "3.0.0"
}

// writeFirmware writes the demo's firmware files, those that are not there yet.
func writeFirmware(folder string, key cose.PrivateKey) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for _, f := range demoFirmwares() {
		file := filepath.Join(folder, f.name+".suit")
		if _, err := os.Stat(file); err == nil {
			continue
		}
		envelope, err := f.envelope(key)
		if err != nil {
			return fmt.Errorf("making %s: %w", file, err)
		}
		if err := os.WriteFile(file, envelope, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (f demoFirmware) envelope(key cose.PrivateKey) ([]byte, error) {
	if f.stranger {
		_, drawn, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		key = cose.NewEd25519(drawn)
	}
	signer, err := suit.NewSigner(cose.Null, key)
	if err != nil {
		return nil, err
	}
	class := f.class
	if class == "" {
		class = lampClass
	}
	f.image.Version = f.version()
	envelope, err := suit.Sign(suit.Params{
		Sequence: f.sequence, Vendor: vendorDomain, Class: class, Version: f.image.Version,
		VendorName: "Example Lamps", Model: lampModel, Description: "Firmware of a simulated lamp",
		Image: image.Make(f.image, f.size), Integrate: true,
	}, signer)
	if err == nil && f.spoil != nil {
		return f.spoil(envelope)
	}
	return envelope, err
}

// spoilSignature changes the last byte of the signature.
func spoilSignature(envelope []byte) ([]byte, error) {
	e, err := suit.Parse(envelope)
	if err != nil {
		return nil, err
	}
	sig := e.Signatures[0].Bytes
	at := bytes.Index(envelope, sig)
	if at < 0 {
		return nil, errors.New("the signature is not in the envelope")
	}
	out := bytes.Clone(envelope)
	out[at+len(sig)-1] ^= 1
	return out, nil
}
