package group

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"testing"
	"time"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
	_ "lamplighter/internal/cose/x509cert"
	"lamplighter/internal/oscore"
)

// Credentials of a key; number tells those of one key apart.

func certificate(t *testing.T, key ed25519.PrivateKey, number byte) []byte {
	t.Helper()
	const ca = 0
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(number) + 1), Subject: pkix.Name{CommonName: "lamp"}, NotAfter: time.Unix(4e9, 0),
		BasicConstraintsValid: number == ca, IsCA: number == ca,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func certificateC509(_ *testing.T, key ed25519.PrivateKey, number byte) []byte {
	public := []byte(key.Public().(ed25519.PublicKey))
	return cbor.MustMarshal([]any{2, []byte{number}, 0, "issuer", 1672531200, nil, "lamp", 12, public, 1, make([]byte, 64)})
}

func tokenCWT(_ *testing.T, key ed25519.PrivateKey, number byte) []byte {
	claims := cose.NewCCS("lamp", key.Public().(ed25519.PublicKey))
	return cbor.MustMarshal([]any{[]byte{0xa1, 1, 0x27}, map[int]any{4: []byte{number}}, claims, make([]byte, 64)})
}

// A group in each format of credentials. What is bound is the credential of the
// end entity, byte by byte: with another one of the same key nothing verifies. RFC
// 10021, Section 2.4.
func TestCredentialFormats(t *testing.T) {
	_, issuer, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := certificate(t, issuer, 0)
	bare := func(b []byte) []byte { return b }
	for name, x := range map[string]struct {
		format cose.Format
		make   func(*testing.T, ed25519.PrivateKey, byte) []byte
		hand   func([]byte) []byte // as it is distributed
	}{
		"CWT":          {cose.KCWT, tokenCWT, bare},
		"tagged CWT":   {cose.KCWT, tokenCWT, func(b []byte) []byte { return append([]byte{0xd8, 0x3d, 0xd2}, b...) }},
		"C509":         {cose.C5C, certificateC509, bare},
		"X.509 in DER": {cose.X5Chain, certificate, bare},
		"X.509 chain":  {cose.X5Chain, certificate, func(b []byte) []byte { return cbor.MustMarshal([][]byte{b, ca}) }},
		"X.509 bag":    {cose.X5Bag, certificate, func(b []byte) []byte { return cbor.MustMarshal([][]byte{ca, b}) }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2)
			var bound [][]byte
			for i, key := range w.keys {
				bound = append(bound, x.make(t, key, 1))
				w.creds[i] = x.hand(bound[i])
			}
			format := func(p *Params) { p.ParseCred = x.format.Parse }
			client, server := w.member(0, format), w.member(1, format)
			if p, _ := client.Peer([]byte{1}); !bytes.Equal(client.Cred(), bound[0]) || !bytes.Equal(p.Cred, bound[1]) {
				t.Errorf("bound are %x and %x", client.Cred(), p.Cred)
			}
			exchange(t, client, server, []byte("on"))
			w.creds[0] = x.hand(x.make(t, w.keys[0], 2))
			other := w.member(1, format)
			for _, to := range [][]byte{nil, {1}} {
				outer, _, err := client.ProtectRequest(get("/a"), to)
				if err != nil {
					t.Fatal(err)
				}
				if _, _, err := other.UnprotectRequest(outer); !errors.Is(err, oscore.ErrVerify) {
					t.Errorf("to %x: the key counts, and not the credential: %v", to, err)
				}
			}
		})
	}
}
