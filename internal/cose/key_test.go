package cose_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
	"lamplighter/internal/cose/p256"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCurves(t *testing.T) {
	for curve, want := range map[cose.Curve]struct {
		value int
		name  string
		alg   cose.Algorithm
		size  int
	}{
		cose.P256:    {1, "P-256", cose.ES256, 64},
		cose.X25519:  {4, "X25519", cose.Null, 0},
		cose.Ed25519: {6, "Ed25519", cose.EdDSA, 64},
	} {
		public := keys(t)[curve].Public()
		if int(curve) != want.value || curve.String() != want.name || public.Curve() != curve ||
			public.SignatureAlgorithm() != want.alg || cose.SignatureSize(want.alg) != want.size {
			t.Errorf("%v is %d and signs with %d", curve, int(curve), public.SignatureAlgorithm())
		}
		again, err := cose.NewPublicKey(curve, public.Bytes())
		if err != nil || !again.Equal(public) || !bytes.Equal(again.Bytes(), public.Bytes()) {
			t.Errorf("%v: %v, %v", curve, again, err)
		}
	}
	if got := cose.Curve(2).String(); got != "curve 2" {
		t.Error(got)
	}
	if _, err := cose.NewPublicKey(2, make([]byte, 48)); !errors.Is(err, cose.ErrUnsupported) {
		t.Errorf("P-384: %v", err)
	}
}

// Every pair of curves: what signs verifies under its own key only, what agrees
// comes to the same secret.
func TestKeysMixed(t *testing.T) {
	mine, theirs := keys(t), keys(t)
	message := []byte("message")
	for curve, key := range mine {
		sig, err := key.Sign(message)
		if curve == cose.X25519 {
			if !errors.Is(err, cose.ErrUnsupported) || sig != nil {
				t.Errorf("X25519 signs: %x, %v", sig, err)
			}
			sig = make([]byte, 64)
		} else if err != nil || !key.Public().Verify(message, sig) {
			t.Errorf("%v: %x, %v", curve, sig, err)
		}
		for peerCurve, peer := range theirs {
			if peer.Public().Verify(message, sig) {
				t.Errorf("signature on %v verifies under another key on %v", curve, peerCurve)
			}
			ours, err := key.SharedSecret(peer.Public())
			if (curve == cose.P256) != (peerCurve == cose.P256) {
				if !errors.Is(err, cose.ErrCredential) {
					t.Errorf("%v with %v: %x, %v", curve, peerCurve, ours, err)
				}
				continue
			}
			other, otherErr := peer.SharedSecret(key.Public())
			if err != nil || otherErr != nil || !bytes.Equal(ours, other) || len(ours) != 32 {
				t.Errorf("%v with %v: %x, %v and %x, %v", curve, peerCurve, ours, err, other, otherErr)
			}
		}
		if _, err := key.SharedSecret(cose.PublicKey{}); !errors.Is(err, cose.ErrCredential) {
			t.Errorf("%v with no key: %v", curve, err)
		}
	}
}

func TestNoKey(t *testing.T) {
	var none cose.PublicKey
	if none.Curve() != 0 || none.Bytes() != nil || none.SignatureAlgorithm() != cose.Null || !none.Equal(cose.PublicKey{}) {
		t.Errorf("%+v", none)
	}
	for _, size := range []int{0, 32, 64} {
		if none.Verify(nil, make([]byte, size)) || (&cose.Credential{}).Verify(nil, make([]byte, size)) {
			t.Errorf("no key verifies %d bytes", size)
		}
	}
	for _, key := range keys(t) {
		if key.Public().Equal(none) || none.Equal(key.Public()) {
			t.Errorf("%v equals no key", key.Public().Curve())
		}
		if key.Public().Verify(nil, nil) {
			t.Errorf("%v verifies nothing", key.Public().Curve())
		}
	}
	if cose.Ed25519PublicKey(make([]byte, 31)).Verify(nil, make([]byte, 64)) {
		t.Error("31 bytes verify")
	}
	if _, err := cose.ParseCCS(none.CCS("x")); err == nil {
		t.Error("a credential of no key")
	}
}

// The second half of an Ed25519 key is not believed.
func TestEd25519Seed(t *testing.T) {
	seed := bytes.Repeat([]byte{7}, 32)
	whole := ed25519.NewKeyFromSeed(seed)
	wrong := append(bytes.Clone(seed), make([]byte, 32)...)
	for name, private := range map[string]ed25519.PrivateKey{"seed": seed, "seed and key": whole, "seed and another": wrong} {
		key := cose.NewEd25519(private)
		sig, err := key.Sign([]byte("x"))
		if err != nil || !bytes.Equal(key.Public().Bytes(), whole[32:]) || !ed25519.Verify(ed25519.PublicKey(whole[32:]), []byte("x"), sig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewX25519(t *testing.T) {
	for _, size := range []int{0, 31, 33} {
		if _, err := cose.NewX25519(make([]byte, size)); !errors.Is(err, cose.ErrCredential) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// Points that are no public keys.
func TestBadPublicKeys(t *testing.T) {
	p := keys(t)[cose.P256].Public().Bytes()
	prime := unhex(t, "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff")
	change := func(i int) []byte {
		b := bytes.Clone(p)
		b[i] ^= 1
		return b
	}
	// 5 is the x of a point, and so is 5 + p to who does not look.
	five, err := cose.NewPublicKey(cose.P256, append([]byte{2}, big.NewInt(5).FillBytes(make([]byte, 32))...))
	if err != nil {
		t.Fatal(err)
	}
	above := new(big.Int).Add(new(big.Int).SetBytes(prime), big.NewInt(5)).Bytes()
	for name, c := range map[string]struct {
		curve cose.Curve
		point []byte
	}{
		"P-256: nothing":               {cose.P256, nil},
		"P-256: infinity":              {cose.P256, []byte{0}},
		"P-256: 64 bytes":              {cose.P256, p[1:]},
		"P-256: 66 bytes":              {cose.P256, append(bytes.Clone(p), 0)},
		"P-256: 34 bytes, compressed":  {cose.P256, append([]byte{2}, p[1:34]...)},
		"P-256: 65 bytes as 2":         {cose.P256, append([]byte{2}, p[1:]...)},
		"P-256: 33 bytes as 4":         {cose.P256, p[:33]},
		"P-256: hybrid":                {cose.P256, append([]byte{6 | p[64]&1}, p[1:]...)},
		"P-256: x off the curve":       {cose.P256, change(1)},
		"P-256: y off the curve":       {cose.P256, change(64)},
		"P-256: zero":                  {cose.P256, append([]byte{4}, make([]byte, 64)...)},
		"P-256: no y for x":            {cose.P256, append([]byte{2}, big.NewInt(1).FillBytes(make([]byte, 32))...)},
		"P-256: x = p":                 {cose.P256, append([]byte{2}, prime...)},
		"P-256: x + p":                 {cose.P256, append([]byte{2}, above...)},
		"P-256: x + p, not compressed": {cose.P256, append(append([]byte{4}, above...), five.Bytes()[33:]...)},
		"P-256: y = p":                 {cose.P256, append(bytes.Clone(p[:33]), prime...)},
		"P-256: y = 2^256 - 1":         {cose.P256, append(bytes.Clone(p[:33]), bytes.Repeat([]byte{0xff}, 32)...)},
		"X25519: 31 bytes":             {cose.X25519, make([]byte, 31)},
		"X25519: 33 bytes":             {cose.X25519, append(bytes.Repeat([]byte{9}, 32), 0)},
		"X25519: u = 0":                {cose.X25519, make([]byte, 32)},
		"X25519: u = 1":                {cose.X25519, append([]byte{1}, make([]byte, 31)...)},
		"X25519: u = -1":               {cose.X25519, unhex(t, "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")},
		"X25519: order 8":              {cose.X25519, unhex(t, "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")},
		"X25519: order 8, other":       {cose.X25519, unhex(t, "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157")},
		"X25519: u = p":                {cose.X25519, unhex(t, "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")},
		"Ed25519: nothing":             {cose.Ed25519, nil},
		"Ed25519: 33 bytes":            {cose.Ed25519, make([]byte, 33)},
	} {
		if key, err := cose.NewPublicKey(c.curve, c.point); !errors.Is(err, cose.ErrCredential) || key.Curve() != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A P-256 key in a CCS: y in full, or whether it is odd. RFC 9053, Section 7.1.1.
func TestCredentialP256(t *testing.T) {
	for odd := range 2 { // until there was one of each
		public := keys(t)[cose.P256].Public()
		for int(public.Bytes()[64]&1) != odd {
			public = keys(t)[cose.P256].Public()
		}
		x, y := public.Bytes()[1:33], public.Bytes()[33:]
		ccs := func(edit func(map[int]any)) []byte {
			key := map[int]any{1: 2, -1: 1, -2: x, -3: y}
			edit(key)
			return cbor.MustMarshal(map[int]any{2: "x", 8: map[int]any{1: key}})
		}
		for name, edit := range map[string]func(map[int]any){
			"full":               func(map[int]any) {},
			"compressed":         func(k map[int]any) { k[-3] = odd == 1 },
			"for ES256":          func(k map[int]any) { k[3] = -7 },
			"for ECDH-SS":        func(k map[int]any) { k[3] = -27 },
			"for ECDH-SS-512":    func(k map[int]any) { k[3] = -28 },
			"with another claim": func(k map[int]any) { k[2] = []byte("kid") },
		} {
			got, err := cose.ParseCCS(ccs(edit))
			want := cose.ES256
			if strings.HasPrefix(name, "for ECDH") {
				want = cose.Null // and is refused where it would have to sign
			}
			if err != nil || !got.Public.Equal(public) || got.Alg != want {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		for name, c := range map[string]struct {
			edit func(map[int]any)
			want error
		}{
			"no y":             {func(k map[int]any) { delete(k, -3) }, cose.ErrDecode},
			"y null":           {func(k map[int]any) { k[-3] = nil }, cose.ErrDecode},
			"y a number":       {func(k map[int]any) { k[-3] = 1 }, cose.ErrDecode},
			"y tagged":         {func(k map[int]any) { k[-3] = cbor.Tag{Number: 99, Content: odd == 1} }, cose.ErrDecode},
			"x of numbers":     {func(k map[int]any) { k[-2] = make([]int, 32) }, cose.ErrDecode},
			"x null":           {func(k map[int]any) { k[-2] = nil }, cose.ErrDecode},
			"x of 31 bytes":    {func(k map[int]any) { k[-2] = x[1:] }, cose.ErrCredential},
			"y of 31 bytes":    {func(k map[int]any) { k[-3] = y[1:] }, cose.ErrCredential},
			"y empty":          {func(k map[int]any) { k[-3] = []byte{} }, cose.ErrCredential},
			"not on the curve": {func(k map[int]any) { k[-3] = x }, cose.ErrCredential},
			"a private key":    {func(k map[int]any) { k[-4] = x }, cose.ErrCredential},
			"P-384":            {func(k map[int]any) { k[-1] = 2 }, cose.ErrUnsupported},
			"for EdDSA":        {func(k map[int]any) { k[3] = -8 }, cose.ErrUnsupported},
			"for ES384":        {func(k map[int]any) { k[3] = -35 }, cose.ErrUnsupported},
			"Ed25519 as EC2":   {func(k map[int]any) { k[-1] = 6 }, cose.ErrUnsupported},
			"P-256 as OKP":     {func(k map[int]any) { k[1] = 1 }, cose.ErrUnsupported},
			"RSA":              {func(k map[int]any) { k[1] = 3 }, cose.ErrUnsupported},
		} {
			if got, err := cose.ParseCCS(ccs(c.edit)); !errors.Is(err, c.want) {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
	}
}

// An X25519 key signs nothing, whatever its alg says.
func TestCredentialX25519(t *testing.T) {
	public := keys(t)[cose.X25519].Public()
	for alg, want := range map[int]error{0: nil, -27: nil, -28: nil, -8: cose.ErrUnsupported, -25: cose.ErrUnsupported} {
		key := map[int]any{1: 1, -1: 4, -2: public.Bytes()}
		if alg != 0 {
			key[3] = alg
		}
		got, err := cose.ParseCCS(cbor.MustMarshal(map[int]any{8: map[int]any{1: key}}))
		if !errors.Is(err, want) || err == nil && (got.Alg != cose.Null || !got.Public.Equal(public)) {
			t.Errorf("algorithm %d: %+v, %v", alg, got, err)
		}
		if got.Verify(nil, nil) || got.Verify(nil, make([]byte, 64)) {
			t.Error("verifies a signature")
		}
	}
}

// The points agree with what the standard library makes of them.
func TestP256AgainstStandardLibrary(t *testing.T) {
	public := keys(t)[cose.P256].Public()
	head := unhex(t, "3059301306072a8648ce3d020106082a8648ce3d030107034200")
	if _, err := x509.ParsePKIXPublicKey(append(head, public.Bytes()...)); err != nil {
		t.Error(err)
	}
	for i := range 50 { // both square roots, all kinds of x
		scalar := big.NewInt(int64(i + 1)).FillBytes(make([]byte, 32))
		key, err := p256.NewKey(scalar)
		if err != nil {
			t.Fatal(err)
		}
		back, err := cose.NewPublicKey(cose.P256, compress(key.Public(), 2))
		if err != nil || !back.Equal(key.Public()) {
			t.Errorf("%d times the base point: %v", i+1, err)
		}
	}
}
