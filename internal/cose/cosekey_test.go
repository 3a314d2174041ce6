package cose_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	gocose "github.com/veraison/go-cose"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
)

func TestCOSEKey(t *testing.T) {
	for curve, key := range keys(t) {
		public := key.Public()
		encoded := public.COSEKey()
		again, err := cose.ParseCOSEKey(encoded)
		if err != nil || !again.Equal(public) || !bytes.Equal(again.COSEKey(), encoded) {
			t.Errorf("%v: %x, %v", curve, encoded, err)
		}
		var theirs gocose.Key
		if err := theirs.UnmarshalCBOR(encoded); err != nil {
			t.Errorf("%v: go-cose: %v", curve, err)
		}
		point := public.Bytes()
		if curve == cose.P256 {
			_, x, y, _ := theirs.EC2()
			point = append([]byte{4}, append(x, y...)...)
		} else if _, x, _ := theirs.OKP(); !bytes.Equal(x, point) {
			t.Errorf("%v: go-cose reads %x", curve, x)
		}
		if !bytes.Equal(point, public.Bytes()) {
			t.Errorf("%v: go-cose reads %x", curve, point)
		}
	}
	if (cose.PublicKey{}).COSEKey() != nil {
		t.Error("no key has an encoding")
	}
}

// The key of RFC 9679, Section 5.
func TestKeyThumbprint(t *testing.T) {
	x, _ := hex.DecodeString("65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d")
	y, _ := hex.DecodeString("1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c")
	key, err := cose.ParseCOSEKey(cbor.MustMarshal(map[int]any{1: 2, 2: []byte("meriadoc.brandybuck@buckland.example"), -1: 1, -2: x, -3: y}))
	if err != nil {
		t.Fatal(err)
	}
	print := key.KeyThumbprint()
	if got := hex.EncodeToString(print[:]); got != "496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec" {
		t.Errorf("thumbprint %s", got)
	}
}

func TestParseCOSEKey(t *testing.T) {
	ed, p := keys(t)[cose.Ed25519].Public(), keys(t)[cose.P256].Public()
	okp := func(more map[int]any) []byte {
		key := map[int]any{1: 1, -1: 6, -2: ed.Bytes()}
		for k, v := range more {
			key[k] = v
		}
		return cbor.MustMarshal(key)
	}
	x, y := p.Bytes()[1:33], p.Bytes()[33:]
	for name, c := range map[string]struct {
		data []byte
		err  error
	}{
		"as it is":           {okp(nil), nil},
		"with EdDSA":         {okp(map[int]any{3: -8}), nil},
		"with Ed25519":       {okp(map[int]any{3: -19}), nil},
		"with a key id":      {okp(map[int]any{2: []byte{1}}), nil},
		"compressed":         {cbor.MustMarshal(map[int]any{1: 2, -1: 1, -2: x, -3: y[31]&1 == 1}), nil},
		"with ESP256":        {cbor.MustMarshal(map[int]any{1: 2, 3: -9, -1: 1, -2: x, -3: y}), nil},
		"with ES256":         {cbor.MustMarshal(map[int]any{1: 2, 3: -7, -1: 1, -2: x, -3: y}), nil},
		"private":            {okp(map[int]any{-4: make([]byte, 32)}), cose.ErrCredential},
		"for ES256":          {okp(map[int]any{3: -7}), cose.ErrUnsupported},
		"P-256 for Ed25519":  {cbor.MustMarshal(map[int]any{1: 2, 3: -19, -1: 1, -2: x, -3: y}), cose.ErrUnsupported},
		"P-384":              {cbor.MustMarshal(map[int]any{1: 2, -1: 2, -2: x, -3: y}), cose.ErrUnsupported},
		"symmetric":          {cbor.MustMarshal(map[int]any{1: 4, -1: x}), cose.ErrDecode},
		"no type":            {cbor.MustMarshal(map[int]any{-1: 6, -2: x}), cose.ErrDecode},
		"no point":           {cbor.MustMarshal(map[int]any{1: 1, -1: 6}), cose.ErrDecode},
		"not on the curve":   {cbor.MustMarshal(map[int]any{1: 2, -1: 1, -2: x, -3: x}), cose.ErrCredential},
		"short":              {okp(map[int]any{-2: ed.Bytes()[1:]}), cose.ErrCredential},
		"point as text":      {okp(map[int]any{-2: "x"}), cose.ErrDecode},
		"null":               {[]byte{0xf6}, cose.ErrDecode},
		"tagged":             {append([]byte{0xd8, 0x3d}, okp(nil)...), cose.ErrDecode},
		"nothing":            {nil, cose.ErrDecode},
		"followed by a byte": {append(okp(nil), 0), cose.ErrDecode},
	} {
		key, err := cose.ParseCOSEKey(c.data)
		if !errors.Is(err, c.err) || (err == nil) != (key.Curve() != 0) {
			t.Errorf("%s: %v, %v, want %v", name, key, err, c.err)
		}
	}
}

// A key that is accepted is read again from its own encoding.
func FuzzParseCOSEKey(f *testing.F) {
	for _, key := range keys(f) {
		f.Add(key.Public().COSEKey())
	}
	f.Add(cbor.MustMarshal(map[int]any{1: 1, 2: []byte{1}, 3: -19, -1: 6, -2: make([]byte, 32)}))
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := cose.ParseCOSEKey(data)
		if err != nil {
			if !errors.Is(err, cose.ErrDecode) && !errors.Is(err, cose.ErrCredential) && !errors.Is(err, cose.ErrUnsupported) {
				t.Fatal(err)
			}
			return
		}
		again, err := cose.ParseCOSEKey(key.COSEKey())
		if err != nil || !again.Equal(key) {
			t.Errorf("%x is read again as %v, %v", data, again, err)
		}
	})
}
