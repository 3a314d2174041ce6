package cose_test

import (
	"bytes"
	"errors"
	"testing"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
)

// What a format accepts is kept as it was handed out, and is read again alike;
// what the parser of the bare credential accepts, the format does.
func FuzzFormat(f *testing.F) {
	algorithm := map[cose.Curve]int{cose.P256: 1, cose.X25519: 8, cose.Ed25519: 12}
	for curve, key := range keys(f) {
		ccs := key.Public().CCS("x")
		f.Add(ccs)
		f.Add(append([]byte{0xd9, 0x02, 0x59}, ccs...))
		f.Add(cwt(-7, ccs))
		f.Add(append([]byte{0xd8, 0x3d, 0xd2}, cwt(-8, ccs)...))
		cert := c509Items(3, algorithm[curve], key.Public().Bytes())
		f.Add(cbor.MustMarshal(cert))
		ca := c509Items(2, algorithm[curve], key.Public().Bytes())
		ca[9] = []any{-4, -1}
		f.Add(cbor.MustMarshal([][]byte{sequence(ca), sequence(cert)}))
	}
	for _, name := range []string{"native", "nativeCertData", "reencoded", "devIDReencoded", "x509"} {
		f.Add(draft(f, name))
	}
	bare := map[cose.Format]parser{cose.KCCS: cose.ParseCCS, cose.KCWT: cose.ParseCWT, cose.C5B: cose.ParseC509, cose.C5C: cose.ParseC509}
	f.Fuzz(func(t *testing.T, data []byte) {
		for format, parse := range bare {
			c, err := format.Parse(data)
			direct, directErr := parse(data)
			if err != nil {
				if directErr == nil || !errors.Is(err, cose.ErrDecode) && !errors.Is(err, cose.ErrCredential) && !errors.Is(err, cose.ErrUnsupported) {
					t.Fatalf("format %d: %v, bare: %v", format, err, directErr)
				}
				continue
			}
			if directErr == nil && !bytes.Equal(direct.Raw, data) || !bytes.Contains(data, c.Raw) || len(c.Raw) == 0 {
				t.Fatalf("format %d: %+v, bare %+v", format, c, direct)
			}
			again, err := parse(c.Raw)
			if err != nil || again.Subject != c.Subject || again.Alg != c.Alg || !again.Public.Equal(c.Public) || c.Public.Curve() == 0 {
				t.Errorf("format %d: %+v is read again as %+v, %v", format, c, again, err)
			}
		}
	})
}

// A fuzzer's key is either refused or its own canonical form.
func FuzzNewPublicKey(f *testing.F) {
	for curve, key := range keys(f) {
		f.Add(int(curve), key.Public().Bytes())
		if curve == cose.P256 {
			f.Add(int(curve), compress(key.Public(), 2))
		}
	}
	f.Add(2, make([]byte, 97))
	peers := keys(f)
	f.Fuzz(func(t *testing.T, curve int, point []byte) {
		key, err := cose.NewPublicKey(cose.Curve(curve), point)
		if err != nil {
			if !errors.Is(err, cose.ErrCredential) && !errors.Is(err, cose.ErrUnsupported) || key.Curve() != 0 {
				t.Fatal(err)
			}
			return
		}
		again, err := cose.NewPublicKey(key.Curve(), key.Bytes())
		if err != nil || !again.Equal(key) || len(key.Bytes()) != len(point) && len(point) != 33 {
			t.Fatalf("%x comes back as %x, %v", point, again.Bytes(), err)
		}
		if _, err := peers[key.Curve()].SharedSecret(key); err != nil {
			t.Errorf("%v, %x: %v", key.Curve(), point, err)
		}
		if key.Verify([]byte("x"), bytes.Repeat([]byte{1}, 64)) {
			t.Error("a made-up signature verifies")
		}
		if c, err := cose.ParseCCS(key.CCS("x")); err != nil || !c.Public.Equal(key) {
			t.Errorf("in a CCS: %v, %v", c, err)
		}
	})
}
