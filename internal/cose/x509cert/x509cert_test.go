package x509cert

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
	"lamplighter/internal/cose/p256"
	"lamplighter/internal/wycheproof"
)

// issue makes a certificate of the public key, by an issuer of its own.
func issue(t testing.TB, public any, edit func(*x509.Certificate)) []byte {
	t.Helper()
	_, issuer, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7),
		Subject:      pkix.Name{CommonName: "lamp", Organization: []string{"Example"}},
		NotBefore:    time.Unix(1672531200, 0),
		NotAfter:     time.Unix(1767225600, 0),
	}
	if edit != nil {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, &x509.Certificate{Subject: pkix.Name{CommonName: "CA"}}, public, issuer)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func ca(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = true, true }

func ec(t testing.TB, curve elliptic.Curve) *ecdsa.PublicKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey
}

func ed(t testing.TB) ed25519.PublicKey {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func TestParse(t *testing.T) {
	x, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	e, p := ed(t), ec(t, elliptic.P256())
	point, err := p.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		der   []byte
		curve cose.Curve
		point []byte
		alg   cose.Algorithm
	}{
		{issue(t, e, nil), cose.Ed25519, e, cose.EdDSA},
		{issue(t, p, nil), cose.P256, point, cose.ES256},
		{x25519(t, issue(t, e, nil), e, x.PublicKey().Bytes()), cose.X25519, x.PublicKey().Bytes(), cose.Null},
	} {
		der := c.der
		got, err := Parse(der)
		if err != nil || got.Public.Curve() != c.curve || !bytes.Equal(got.Public.Bytes(), c.point) || got.Alg != c.alg || got.Subject != "lamp" || !bytes.Equal(got.Raw, der) {
			t.Errorf("%v: %+v, %v", c.curve, got, err)
		}
		raw := bytes.Clone(der)
		der[20] ^= 0xff
		if !bytes.Equal(got.Raw, raw) {
			t.Error("Raw shares memory with its input")
		}
	}
}

// replace puts other bytes of the same length in the place of a key.
func replace(t *testing.T, der, old, fresh []byte) []byte {
	t.Helper()
	if bytes.Count(der, old) != 1 || len(old) != len(fresh) {
		t.Fatalf("%x does not stand once in the certificate", old)
	}
	return bytes.Replace(der, old, fresh, 1)
}

// The end of an AlgorithmIdentifier and the head of the key that follows, up to the
// count of unused bits. RFC 8410, Section 3.
const (
	headEd25519 = "\x65\x70\x03\x21\x00"
	headX25519  = "\x65\x6e\x03\x21\x00"
	headEd448   = "\x65\x71\x03\x21\x00"
	headUnused  = "\x65\x70\x03\x21\x01"
)

// x25519 makes a certificate of an X25519 key, which crypto/x509 does not issue,
// of one of an Ed25519 key.
func x25519(t *testing.T, der, old, fresh []byte) []byte {
	t.Helper()
	return replace(t, replace(t, der, old, fresh), []byte(headEd25519), []byte(headX25519))
}

func TestBadCertificates(t *testing.T) {
	e, p := ed(t), ec(t, elliptic.P256())
	good := issue(t, e, nil)
	point, err := p.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	off := bytes.Clone(point)
	off[64] ^= 1
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	one := append([]byte{1}, make([]byte, 31)...)
	minusOne := append(append([]byte{0xec}, bytes.Repeat([]byte{0xff}, 30)...), 0x7f)
	for name, c := range map[string]struct {
		der  []byte
		want error
	}{
		"nothing":                 {nil, cose.ErrDecode},
		"cut off":                 {good[:len(good)-1], cose.ErrDecode},
		"trailing byte":           {append(bytes.Clone(good), 0), cose.ErrDecode},
		"PEM":                     {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: good}), cose.ErrDecode},
		"a private key":           {pkcs8, cose.ErrDecode},
		"RSA":                     {issue(t, &rsaKey.PublicKey, nil), cose.ErrUnsupported},
		"P-384":                   {issue(t, ec(t, elliptic.P384()), nil), cose.ErrUnsupported},
		"P-256, not on the curve": {replace(t, issue(t, p, nil), point, off), cose.ErrCredential},
		"Ed25519, y = 1":          {replace(t, good, e, one), cose.ErrCredential},
		"Ed25519, y = -1":         {replace(t, good, e, minusOne), cose.ErrCredential},
		"Ed25519, small order":    {replace(t, good, e, make([]byte, 32)), cose.ErrCredential},
		"X25519, small order":     {x25519(t, good, e, make([]byte, 32)), cose.ErrCredential},
		"Ed448's OID":             {replace(t, good, []byte(headEd25519), []byte(headEd448)), cose.ErrUnsupported},
		"unused bits":             {replace(t, good, []byte(headEd25519), []byte(headUnused)), cose.ErrDecode},
	} {
		if got, err := Parse(c.der); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestContainers(t *testing.T) {
	end, other := issue(t, ed(t), nil), issue(t, ec(t, elliptic.P256()), nil)
	root := issue(t, ec(t, elliptic.P384()), ca) // a CA's key need not be built
	array := func(certs ...[]byte) []byte { return cbor.MustMarshal(certs) }
	for name, c := range map[string]struct {
		format cose.Format
		data   []byte
		want   []byte
		err    error
	}{
		"chain: bare":               {cose.X5Chain, end, end, nil},
		"chain: one":                {cose.X5Chain, cbor.AppendBytes(nil, end), end, nil},
		"chain: the first":          {cose.X5Chain, array(end, root), end, nil},
		"chain: rest not looked at": {cose.X5Chain, array(end, []byte("x")), end, nil},
		"chain: starts with the CA": {cose.X5Chain, array(root, end), nil, cose.ErrUnsupported},
		"chain: array of one":       {cose.X5Chain, array(end), nil, cose.ErrDecode},
		"chain: nothing":            {cose.X5Chain, nil, nil, cose.ErrDecode},
		"bag: bare":                 {cose.X5Bag, end, end, nil},
		"bag: one":                  {cose.X5Bag, cbor.AppendBytes(nil, end), end, nil},
		"bag: the last":             {cose.X5Bag, array(root, end), end, nil},
		"bag: twice":                {cose.X5Bag, array(end, root, end), end, nil},
		"bag: two":                  {cose.X5Bag, array(end, other), nil, cose.ErrCredential},
		"bag: CAs":                  {cose.X5Bag, array(root, root), nil, cose.ErrCredential},
		"bag: with rubbish":         {cose.X5Bag, array(end, []byte{0x30}), nil, cose.ErrDecode},
	} {
		got, err := c.format.Parse(c.data)
		if !errors.Is(err, c.err) || !bytes.Equal(got.Raw, c.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// The public keys of Wycheproof's ECDH tests stand in subjectPublicKeyInfo. What
// is "acceptable" is compressed or names its curve otherwise.
func TestWycheproofECDH(t *testing.T) {
	const file = "ecdh_secp256r1_test.json"
	var n wycheproof.Count
	defer n.Report(t, file, 612)
	for _, g := range wycheproof.Load[wycheproof.Agreement](t, file) {
		for _, v := range g.Tests {
			private, err := p256.NewKey(new(big.Int).SetBytes(v.Private).FillBytes(make([]byte, 32)))
			if err != nil {
				t.Errorf("test %d: %v", v.ID, err)
				continue
			}
			public, err := parseKeyInfo(cryptobyte.String(v.Public))
			var shared []byte
			if err == nil {
				shared, err = private.SharedSecret(public)
			}
			switch {
			case errors.Is(err, cose.ErrUnsupported) && v.Result != "valid":
				n.NotOffered++
			case err != nil:
				n.Refused++
			default:
				n.Accepted++
			}
			if err != nil && v.Result == "valid" || err == nil && v.Result == "invalid" {
				t.Errorf("test %d (%s, %s): %v", v.ID, v.Comment, v.Result, err)
			}
			if err == nil && !bytes.Equal(shared, v.Shared) {
				t.Errorf("test %d (%s): %x", v.ID, v.Comment, shared)
			}
		}
	}
}

func FuzzParseX509(f *testing.F) {
	for _, public := range []any{ed(f), ec(f, elliptic.P256()), ec(f, elliptic.P384())} {
		der := issue(f, public, nil)
		f.Add(der)
		f.Add(cbor.AppendBytes(nil, der))
		f.Add(cbor.MustMarshal([][]byte{issue(f, public, ca), der}))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, format := range []cose.Format{cose.X5Chain, cose.X5Bag} {
			c, err := format.Parse(data)
			if err != nil {
				continue
			}
			if !bytes.Contains(data, c.Raw) || len(c.Raw) == 0 || c.Public.Curve() == 0 {
				t.Fatalf("%+v", c)
			}
			if again, err := Parse(c.Raw); err != nil || again.Subject != c.Subject || !again.Public.Equal(c.Public) {
				t.Errorf("%+v is read again as %+v, %v", c, again, err)
			}
		}
	})
}
