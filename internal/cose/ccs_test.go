package cose

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"

	"lamplighter/internal/cbor"
)

// One credential of the test vectors of Group OSCORE, and the secret of two of
// their keys.
const (
	vectorCred    = "a501781b636f6170733a2f2f746573746572312e6578616d706c652e636f6d02666d796e616d6503781a636f6170733a2f2f68656c6c6f312e6578616d706c652e6f7267041a70004b4f08a101a4010103272006215820069e912b83963acc5941b63546867dec106e5b9051f2ee14f3bc5cc961acd43a"
	vectorPrivate = "64714d41a240b61d8d823502717ab088c9f4af6fc9844553e4ad4c42cc735239"
	vectorPeer    = "77ec358c1d344e41ee0e87b8383d23a2099acd39bdf989ce45b52e887463389b"
	vectorShared  = "d96cef95976bf48d387bb986457b6cb1c188408764e9c2e77dffb7564da33f59"
)

func TestCCS(t *testing.T) {
	c, err := ParseCCS(unhex(t, vectorCred))
	if err != nil {
		t.Fatal(err)
	}
	private := ed25519.NewKeyFromSeed(unhex(t, vectorPrivate))
	if c.Subject != "myname" || c.Alg != EdDSA || !c.Public.Equal(NewEd25519(private).Public()) || hex.EncodeToString(c.Raw) != vectorCred {
		t.Errorf("%+v", c)
	}
	public, _ := newKey(t)
	cred := NewCCS("lamp 7", public)
	want := "a202666c616d70203708a101a4010103272006215820" + hex.EncodeToString(public)
	if hex.EncodeToString(cred) != want {
		t.Errorf("got %x\nwant %s", cred, want)
	}
	c, err = ParseCCS(cred)
	if err != nil || c.Subject != "lamp 7" || !c.Public.Equal(Ed25519PublicKey(public)) {
		t.Errorf("%+v, %v", c, err)
	}
	cred[0] ^= 0xff
	if c.Raw[0] != 0xa2 {
		t.Error("Raw shares memory with its input")
	}
	if c, err = ParseCCS(NewCCS("", public)); err != nil || c.Subject != "" {
		t.Errorf("without subject: %+v, %v", c, err)
	}
	if Thumbprint([]byte("x")) != sha256.Sum256([]byte("x")) {
		t.Error("thumbprint")
	}
}

// badPoints are encodings of 32 bytes that are no public keys.
var badPoints = map[string]string{
	"y = 1":                   "0100000000000000000000000000000000000000000000000000000000000000",
	"y = -1":                  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"y = 0, order 4":          "0000000000000000000000000000000000000000000000000000000000000000",
	"order 8":                 "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"order 8, negative":       "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"not canonical y = p":     "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"not canonical y = p + 1": "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"y = 1 with sign":         "0100000000000000000000000000000000000000000000000000000000000080",
	"not on the curve":        "0200000000000000000000000000000000000000000000000000000000000000",
}

func TestBadPoints(t *testing.T) {
	_, private := newKey(t)
	for name, s := range badPoints {
		point := unhex(t, s)
		if _, err := ParseCCS(NewCCS("x", point)); !errors.Is(err, ErrCredential) {
			t.Errorf("credential with %s: %v", name, err)
		}
		if _, err := NewEd25519(private).SharedSecret(Ed25519PublicKey(point)); !errors.Is(err, ErrCredential) {
			t.Errorf("shared secret with %s: %v", name, err)
		}
		if _, err := DerivedKey(nil, private, Ed25519PublicKey(point), nil, nil); !errors.Is(err, ErrCredential) {
			t.Errorf("derived key with %s: %v", name, err)
		}
	}
	if _, err := NewEd25519(private).SharedSecret(Ed25519PublicKey(make([]byte, 31))); !errors.Is(err, ErrCredential) {
		t.Errorf("31 bytes: %v", err)
	}
}

func TestBadCredentials(t *testing.T) {
	public, private := newKey(t)
	key := func(edit func(map[int]any)) []byte {
		k := map[int]any{1: 1, 3: -8, -1: 6, -2: []byte(public)}
		edit(k)
		return cbor.MustMarshal(map[int]any{2: "x", 8: map[int]any{1: k}})
	}
	good := NewCCS("x", public)
	for name, c := range map[string]struct {
		cred []byte
		want error
	}{
		"nothing":              {nil, ErrDecode},
		"cut off":              {good[:len(good)-1], ErrDecode},
		"trailing byte":        {append(bytes.Clone(good), 0), ErrDecode},
		"tagged":               {append([]byte{0xd8, 61}, good...), ErrDecode},
		"an array":             {[]byte{0x80}, ErrDecode},
		"no claims":            {[]byte{0xa0}, ErrDecode},
		"null":                 {[]byte{0xf6}, ErrDecode},
		"subject no text":      {cbor.MustMarshal(map[int]any{2: 7}), ErrDecode},
		"no key":               {cbor.MustMarshal(map[int]any{2: "x", 8: map[int]any{3: []byte("kid")}}), ErrDecode},
		"key without x":        {key(func(k map[int]any) { delete(k, -2) }), ErrDecode},
		"x no bytes":           {key(func(k map[int]any) { k[-2] = "text" }), ErrDecode},
		"x of 31 bytes":        {key(func(k map[int]any) { k[-2] = make([]byte, 31) }), ErrCredential},
		"a private key":        {key(func(k map[int]any) { k[-4] = []byte(private.Seed()) }), ErrCredential},
		"key type EC2":         {key(func(k map[int]any) { k[1] = 2 }), ErrUnsupported},
		"X25519 for EdDSA":     {key(func(k map[int]any) { k[-1] = 4 }), ErrUnsupported},
		"algorithm ES256":      {key(func(k map[int]any) { k[3] = -7 }), ErrUnsupported},
		"a duplicate claim":    {append([]byte{0xa3, 2, 0x61, 0x78}, good[1:]...), ErrDecode},
		"symmetric key":        {key(func(k map[int]any) { k[1] = 4 }), ErrUnsupported},
		"an indefinite length": {append(append([]byte{0xbf}, good[1:]...), 0xff), ErrDecode},
	} {
		if got, err := ParseCCS(c.cred); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := ParseCCS(key(func(k map[int]any) { delete(k, 3) })); err != nil {
		t.Errorf("without alg: %v", err)
	}
}

func TestSharedSecret(t *testing.T) {
	private := ed25519.NewKeyFromSeed(unhex(t, vectorPrivate))
	shared, err := NewEd25519(private).SharedSecret(Ed25519PublicKey(unhex(t, vectorPeer)))
	if err != nil || hex.EncodeToString(shared) != vectorShared {
		t.Errorf("%x, %v", shared, err)
	}
}

func TestDerivedKey(t *testing.T) {
	sitePublic, site := newKey(t)
	lampPublic, lamp := newKey(t)
	siteCred, lampCred := NewCCS("site", sitePublic), NewCCS("lamp", lampPublic)
	secret := []byte("label secret 16B")
	a, err := DerivedKey(secret, site, Ed25519PublicKey(lampPublic), siteCred, lampCred)
	if err != nil {
		t.Fatal(err)
	}
	b, err := DerivedKey(secret, lamp, Ed25519PublicKey(sitePublic), siteCred, lampCred)
	if err != nil || !bytes.Equal(a, b) || len(a) != 32 {
		t.Errorf("%x, %x, %v", a, b, err)
	}
	shared, err := NewEd25519(site).SharedSecret(Ed25519PublicKey(lampPublic))
	if err != nil {
		t.Fatal(err)
	}
	info := append(cbor.MustMarshal(siteCred), cbor.MustMarshal(lampCred)...)
	if !bytes.Equal(a, HKDF(shared, secret, info, 32)) {
		t.Error("not the formula of docs/device.md")
	}
	c, _ := DerivedKey([]byte("another secret"), site, Ed25519PublicKey(lampPublic), siteCred, lampCred)
	d, _ := DerivedKey(secret, site, Ed25519PublicKey(lampPublic), lampCred, siteCred)
	if bytes.Equal(a, c) || bytes.Equal(a, d) {
		t.Error("the key does not depend on all of its inputs")
	}
}

func FuzzParseCCS(f *testing.F) {
	f.Add(unhex(f, vectorCred))
	f.Add(NewCCS("x", make([]byte, 32)))
	f.Add([]byte{0xa1, 8, 0xa1, 1, 0xa0})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseCCS(data)
		if err != nil {
			return
		}
		if !bytes.Equal(c.Raw, data) || c.Public.Curve() == 0 {
			t.Fatalf("%+v", c)
		}
		again, err := ParseCCS(c.Public.CCS(c.Subject))
		if err != nil || again.Subject != c.Subject || !again.Public.Equal(c.Public) {
			t.Errorf("%+v comes back as %+v, %v", c, again, err)
		}
	})
}
