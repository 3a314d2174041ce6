package suit_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"lamplighter/internal/cose"
	"lamplighter/internal/cose/p256"
	"lamplighter/internal/suit"
)

var algorithms = []cose.Algorithm{cose.ES256, cose.ESP256, cose.EdDSA, cose.AlgEd25519}

// signer makes a key for an algorithm.
func signer(t testing.TB, alg cose.Algorithm) suit.Signer {
	t.Helper()
	key := cose.NewEd25519(bytes.Repeat([]byte{byte(-alg)}, 32))
	if alg == cose.ES256 || alg == cose.ESP256 {
		var err error
		if key, err = p256.NewKey(bytes.Repeat([]byte{byte(-alg)}, 32)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := suit.NewSigner(alg, key)
	if err != nil || s.Algorithm() != alg {
		t.Fatalf("%v, %v", s, err)
	}
	return s
}

var image = bytes.Repeat([]byte("firmware"), 100)

func params() suit.Params {
	return suit.Params{
		Sequence: 7, Vendor: "example.com", Class: "lamp-dim-1", Image: image, Integrate: true,
		Version: "2.4.0", VendorName: "Example Lamps", Model: "Dim 1", Description: "Fewer flickers",
	}
}

func sign(t testing.TB, p suit.Params, s suit.Signer) []byte {
	t.Helper()
	data, err := suit.Sign(p, s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSign(t *testing.T) {
	vendor := suit.VendorID("example.com")
	for _, alg := range algorithms {
		s := signer(t, alg)
		data := sign(t, params(), s)
		e, key, err := suit.Open(data, s.Public())
		if err != nil || !key.Equal(s.Public()) || !bytes.Equal(e.Encode(), data) {
			t.Fatalf("algorithm %d: %v", alg, err)
		}
		want := suit.Image{
			Sequence: 7, Vendor: vendor, Class: suit.ClassID(vendor, "lamp-dim-1"), Size: uint64(len(image)),
			Digest: sha256.Sum256(image), URI: suit.ImageURI, Version: "2.4.0", Invoke: true,
		}
		got, err := e.Image()
		if err != nil || !same(got, want) {
			t.Errorf("%+v, %v", got, err)
		}
		text := e.Text["en"]
		if c := text.Components[0]; text.Description != "Fewer flickers" || c.VendorName != "Example Lamps" || c.ModelName != "Dim 1" ||
			c.VendorDomain != "example.com" || c.ModelInfo != "lamp-dim-1" || c.Version != "2.4.0" {
			t.Errorf("%+v", text)
		}
		bare, _, err := suit.Open(e.Bare(), s.Public())
		if err != nil || bare.Text != nil || len(bare.Integrated) != 0 || bare.Digest != e.Digest || len(e.Bare()) > 400 {
			t.Fatalf("algorithm %d, bare: %d bytes, %v", alg, len(e.Bare()), err)
		}
		want.Version = ""
		got, err = bare.Apply(suit.Recipient{Vendor: want.Vendor, Class: want.Class})
		if err != nil || !same(got, want) {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

// same compares all but the component, which is always the same.
func same(a, b suit.Image) bool {
	ok := len(a.Component) == 1 && bytes.Equal(a.Component[0], []byte{0})
	a.Component, b.Component = nil, nil
	return ok && a.Sequence == b.Sequence && a.Vendor == b.Vendor && a.Class == b.Class && a.Device == b.Device &&
		a.Size == b.Size && a.Digest == b.Digest && a.URI == b.URI && a.Version == b.Version && a.Invoke == b.Invoke
}

// What we make is the same each time, and its bits count, whatever the algorithm.
func TestFlippedEnvelopes(t *testing.T) {
	p := params()
	p.Image = []byte("small")
	for _, alg := range algorithms {
		s := signer(t, alg)
		data := sign(t, p, s)
		for bit, bad := range flipped(data) {
			if _, _, err := suit.Open(bad, s.Public()); err == nil {
				t.Errorf("algorithm %d: bit %d flipped is accepted", alg, bit)
			}
		}
	}
	ed := signer(t, cose.AlgEd25519)
	if !bytes.Equal(sign(t, p, ed), sign(t, p, ed)) {
		t.Error("two envelopes of one image differ")
	}
}

func TestSwappedImage(t *testing.T) {
	s := signer(t, cose.AlgEd25519)
	data := sign(t, params(), s)
	at := bytes.Index(data, image)
	other := append(bytes.Clone(data[:at]), bytes.Repeat([]byte("FIRMWARE"), 100)...)
	if _, err := suit.Parse(other); !errors.Is(err, suit.ErrDigest) || !strings.Contains(err.Error(), "#image") {
		t.Errorf("a swapped image: %v", err)
	}
	head := bytes.Clone(data[:at])
	head[at-2], head[at-1] = 0x01, 0x00 // 256 bytes
	if _, err := suit.Parse(append(head, image[:256]...)); !errors.Is(err, suit.ErrDigest) || !strings.Contains(err.Error(), "256 bytes") {
		t.Errorf("a shorter image: %v", err)
	}
	if _, err := suit.Parse(data[:len(data)-1]); !errors.Is(err, suit.ErrDecode) {
		t.Errorf("a cut file: %v", err)
	}
}

func TestVerify(t *testing.T) {
	s := signer(t, cose.ESP256)
	data := sign(t, params(), s)
	others := []cose.PublicKey{signer(t, cose.ES256).Public(), signer(t, cose.EdDSA).Public(), {}}
	e, err := suit.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Verify(others...); !errors.Is(err, suit.ErrSigner) {
		t.Errorf("other keys: %v", err)
	}
	if key, err := e.Verify(append(others, s.Public())...); err != nil || !key.Equal(s.Public()) {
		t.Errorf("the key among others: %v", err)
	}
	if !bytes.Equal(e.Signatures[0].KeyID, suit.KeyID(s.Public())) || len(e.Signatures[0].KeyID) != suit.KeyIDSize {
		t.Errorf("key id %x", e.Signatures[0].KeyID)
	}
	bad := bytes.Clone(data)
	bad[bytes.Index(bad, e.Signatures[0].Bytes)] ^= 1
	if _, _, err := suit.Open(bad, s.Public()); !errors.Is(err, suit.ErrSignature) {
		t.Errorf("a wrong signature that names the key: %v", err)
	}
	if _, _, err := suit.Open(bad, others...); !errors.Is(err, suit.ErrSigner) {
		t.Errorf("a wrong signature of a key that is not known: %v", err)
	}
}

// The manifest of a device's maker who does not say who it is for, and the like.
func TestApply(t *testing.T) {
	s := signer(t, cose.AlgEd25519)
	p := params()
	p.Device = suit.UUID{15: 9}
	e, err := suit.Parse(sign(t, p, s))
	if err != nil {
		t.Fatal(err)
	}
	vendor := suit.VendorID(p.Vendor)
	fits := suit.Recipient{Vendor: vendor, Class: suit.ClassID(vendor, p.Class), Device: p.Device}
	if i, err := e.Apply(fits); err != nil || i.Device != p.Device {
		t.Errorf("%+v, %v", i, err)
	}
	for name, change := range map[string]func(r *suit.Recipient){
		"vendor": func(r *suit.Recipient) { r.Vendor[0]++ }, "class": func(r *suit.Recipient) { r.Class[0]++ }, "device": func(r *suit.Recipient) { r.Device = suit.UUID{} },
	} {
		other := fits
		change(&other)
		if _, err := e.Apply(other); !errors.Is(err, suit.ErrRecipient) || !strings.Contains(err.Error(), name) {
			t.Errorf("another %s: %v", name, err)
		}
	}
}

type tokenSigner struct {
	suit.Signer
	alg    cose.Algorithm
	public cose.PublicKey
	err    error
}

func (s tokenSigner) Algorithm() cose.Algorithm { return s.alg }
func (s tokenSigner) Public() cose.PublicKey    { return s.public }
func (s tokenSigner) Sign(b []byte) ([]byte, error) {
	if s.err != nil {
		return nil, s.err
	}
	return s.Signer.Sign(b)
}

func TestSignRefuses(t *testing.T) {
	s := signer(t, cose.AlgEd25519)
	for name, change := range map[string]func(p *suit.Params){
		"no vendor": func(p *suit.Params) { p.Vendor = "" }, "no class": func(p *suit.Params) { p.Class = "" },
		"no image": func(p *suit.Params) { p.Image = nil }, "not UTF-8": func(p *suit.Params) { p.Version = "\xff" },
	} {
		p := params()
		change(&p)
		if _, err := suit.Sign(p, s); err == nil {
			t.Errorf("%s: it is signed", name)
		}
	}
	broken := errors.New("the token is not plugged in")
	if _, err := suit.Sign(params(), tokenSigner{s, s.Algorithm(), s.Public(), broken}); !errors.Is(err, broken) {
		t.Errorf("a token that fails: %v", err)
	}
	if _, err := suit.Sign(params(), tokenSigner{s, s.Algorithm(), signer(t, cose.EdDSA).Public(), nil}); !errors.Is(err, suit.ErrSignature) {
		t.Errorf("a token with another key: %v", err)
	}
	if _, err := suit.Sign(params(), tokenSigner{s, cose.ES256, s.Public(), nil}); !errors.Is(err, suit.ErrUnsupported) {
		t.Errorf("a token with another algorithm: %v", err)
	}
	key := cose.NewEd25519(make([]byte, 32))
	if _, err := suit.NewSigner(cose.ES256, key); !errors.Is(err, suit.ErrUnsupported) {
		t.Errorf("ES256 with Ed25519: %v", err)
	}
	if s, err := suit.NewSigner(cose.Null, key); err != nil || s.Algorithm() != cose.AlgEd25519 {
		t.Errorf("the algorithm of an Ed25519 key: %v", err)
	}
	x, err := cose.NewX25519(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := suit.NewSigner(cose.Null, x); !errors.Is(err, suit.ErrUnsupported) {
		t.Errorf("an X25519 key: %v", err)
	}
}
