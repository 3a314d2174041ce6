//go:build js && wasm

package webcrypto

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"syscall/js"
	"testing"

	"lamplighter/internal/commission"
	"lamplighter/internal/cose"
	"lamplighter/internal/cose/p256"
	"lamplighter/internal/wycheproof"
)

// needsEd25519 skips a test where WebCrypto would not be asked.
func needsEd25519(t testing.TB) {
	t.Helper()
	if v := new(Verifier); load() == nil || !v.tellsRight() {
		t.Skip("WebCrypto has no Ed25519 here")
	}
}

// TestWycheproof: in one batch WebCrypto says what the files say.
func TestWycheproof(t *testing.T) {
	needsEd25519(t)
	var batch []commission.Signature
	var want []bool
	var names []string
	for _, f := range []string{"ed25519_test.json", "ecdsa_secp256r1_sha256_p1363_test.json"} {
		for _, g := range wycheproof.Load[wycheproof.Signature](t, f) {
			public := cose.Ed25519PublicKey([]byte(g.PublicKey.PK))
			if g.PublicKey.Uncompressed != nil {
				var err error
				if public, err = cose.NewPublicKey(cose.P256, g.PublicKey.Uncompressed); err != nil {
					t.Fatal(err)
				}
			}
			for _, v := range g.Tests {
				batch = append(batch, commission.Signature{Public: public, Message: v.Msg, Sig: v.Sig})
				want = append(want, v.Result == "valid")
				names = append(names, fmt.Sprintf("%s %d (%s)", f, v.ID, v.Comment))
			}
		}
	}
	got := new(Verifier).Verify(batch)
	for i, s := range batch {
		if one := s.Public.Verify(s.Message, s.Sig); got[i] != want[i] || one != want[i] {
			t.Errorf("%s: %v in a batch, %v by itself, want %v", names[i], got[i], one, want[i])
		}
	}
	if len(batch) < 400 {
		t.Errorf("only %d signatures", len(batch))
	}
}

// smallOrder holds all encodings of points of small order, also those that are
// not canonical.
var smallOrder = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
}

// order is the order of the base point, little endian.
const order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010"

// TestEdges: what a batch accepts, the single check accepts, for every
// combination of odd A, R and S.
func TestEdges(t *testing.T) {
	needsEd25519(t)
	unhex := func(s string) []byte { b, _ := hex.DecodeString(s); return b }
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	good := ed25519.Sign(private, []byte("m0"))
	points := [][]byte{private.Public().(ed25519.PublicKey), good[:32]}
	for _, p := range smallOrder {
		points = append(points, unhex(p))
	}
	scalars := [][]byte{make([]byte, 32), unhex(order), append([]byte{1}, make([]byte, 31)...), good[32:], plusOrder(good[32:], unhex(order))}
	var batch []commission.Signature
	for _, a := range points {
		for _, r := range points {
			for _, s := range scalars {
				for m := range 3 {
					sig := append(bytes.Clone(r), s...)
					batch = append(batch, commission.Signature{Public: cose.Ed25519PublicKey(a), Message: fmt.Appendf(nil, "m%d", m), Sig: sig})
				}
			}
		}
	}
	accepted, both := 0, 0
	for i, got := range new(Verifier).Verify(batch) {
		s := batch[i]
		one := s.Public.Verify(s.Message, s.Sig)
		if got && !one {
			t.Errorf("key %x, message %q: a batch accepts %x", s.Public.Bytes(), s.Message, s.Sig)
		}
		if one {
			accepted++
		}
		if one && got {
			both++
		}
	}
	if accepted < 30 || both == 0 {
		t.Errorf("only %d are accepted by themselves and %d of them in a batch: the test shows nothing", accepted, both)
	}
	t.Logf("of %d, %d are accepted by themselves and %d of these in a batch", len(batch), accepted, both)
}

// plusOrder is the same scalar, not reduced.
func plusOrder(s, order []byte) []byte {
	sum := make([]byte, len(s))
	carry := 0
	for i := range s {
		carry += int(s[i]) + int(order[i])
		sum[i] = byte(carry)
		carry >>= 8
	}
	return sum
}

// some makes signatures of both curves over messages of all lengths.
func some(t testing.TB, n int) []commission.Signature {
	t.Helper()
	keys := make([]cose.PrivateKey, 5)
	for i := range keys {
		seed := bytes.Repeat([]byte{byte(i + 1)}, 32)
		keys[i] = cose.NewEd25519(ed25519.NewKeyFromSeed(seed))
		if i%2 == 1 {
			var err error
			if keys[i], err = p256.NewKey(seed); err != nil {
				t.Fatal(err)
			}
		}
	}
	batch := make([]commission.Signature, n)
	for i := range batch {
		key := keys[i%len(keys)]
		message := bytes.Repeat([]byte{byte(i)}, i*7%300)
		sig, err := key.Sign(message)
		if err != nil {
			t.Fatal(err)
		}
		batch[i] = commission.Signature{Public: key.Public(), Message: message, Sig: sig}
	}
	return batch
}

// TestForged: exactly the forged ones are refused, wherever they stand.
func TestForged(t *testing.T) {
	v := new(Verifier)
	for round := range 4 {
		batch := some(t, 101)
		forged := map[int]bool{}
		for i := round; i < len(batch); i += 4 {
			forged[i] = true
			s := &batch[i]
			switch i % 5 {
			case 0:
				s.Sig[i%64] ^= 1
			case 1:
				s.Message = append(s.Message, 0)
			case 2:
				s.Public = batch[(i+1)%len(batch)].Public
			case 3:
				s.Sig = s.Sig[:63]
			case 4:
				s.Sig = nil
			}
		}
		for i, good := range v.Verify(batch) {
			if good == forged[i] {
				t.Errorf("round %d, %d: %v, forged %v", round, i, good, forged[i])
			}
		}
	}
	if got := v.Verify(nil); len(got) != 0 {
		t.Errorf("nothing: %v", got)
	}
	if got := v.Verify([]commission.Signature{{Sig: make([]byte, 64)}}); got[0] {
		t.Error("a signature of no key was accepted")
	}
}

// TestConcurrent: batches at a time do not mix.
func TestConcurrent(t *testing.T) {
	v := new(Verifier)
	done := make(chan error)
	for n := range 4 {
		go func() {
			batch := some(t, 40)
			batch[n].Sig[0] ^= 1
			for i, good := range v.Verify(batch) {
				if good == (i == n) {
					done <- fmt.Errorf("%d of batch %d: %v", i, n, good)
					return
				}
			}
			done <- nil
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestKeysAreBounded: old keys go, and a batch may be larger than what is kept.
func TestKeysAreBounded(t *testing.T) {
	needsEd25519(t)
	v := new(Verifier)
	first := some(t, 10)
	v.Verify(first)
	if len(v.keys) != 5+1 { // and the one that WebCrypto was tried with
		t.Errorf("%d keys are kept of 5 and 1", len(v.keys))
	}
	many := map[string]int{}
	list := js.Global().Get("Array").New()
	for i := range maxKeys + 10 {
		many[fmt.Sprint(i)] = i
		list.SetIndex(i, i)
	}
	v.keep(many, list)
	if len(v.keys) != maxKeys {
		t.Errorf("%d keys are kept of at most %d", len(v.keys), maxKeys)
	}
	for i, good := range v.Verify(first) {
		if !good {
			t.Errorf("%d was refused", i)
		}
	}
}

// with runs f on a WebCrypto whose verify and importKey are JavaScript functions
// of these bodies.
func with(t *testing.T, verify, importKey string, f func()) {
	t.Helper()
	real := *load()
	fake := real
	function := js.Global().Get("Function")
	if verify != "" {
		fake.verify = function.New("real", "return function(...a) {"+verify+"}").Invoke(real.verify)
	}
	if importKey != "" {
		fake.importKey = function.New("real", "return function(...a) {"+importKey+"}").Invoke(real.importKey)
	}
	old := load
	load = func() *api { return &fake }
	defer func() { load = old }()
	f()
}

// TestFallback: without Ed25519 in WebCrypto, and whatever goes wrong with it,
// Go decides; P-256 is then refused, as Go has none in the browser.
func TestFallback(t *testing.T) {
	for _, c := range []struct{ name, verify, importKey string }{
		{"no Ed25519", "", "return a[2] === 'Ed25519' ? Promise.reject(new Error('NotSupportedError')) : real(...a)"},
		{"throws", "throw new TypeError('no')", ""},
		{"throws while importing", "", "throw new TypeError('no')"},
		{"accepts everything", "return Promise.resolve(true)", ""},
		{"refuses everything", "return Promise.resolve(false)", ""},
		{"fails later", "this.n = (this.n ?? 0) + 1; return this.n > 2 ? Promise.reject('x') : real(...a)", ""},
	} {
		with(t, c.verify, c.importKey, func() {
			v := new(Verifier)
			var batch []commission.Signature
			for _, s := range some(t, 20) {
				if s.Public.Curve() == cose.Ed25519 {
					batch = append(batch, s)
				}
			}
			batch[3].Sig[5] ^= 1
			for i, good := range v.Verify(batch) {
				if good == (i == 3) {
					t.Errorf("%s: %d: %v", c.name, i, good)
				}
			}
		})
	}
	with(t, "return Promise.reject(new Error('no'))", "", func() {
		for i, s := range some(t, 4) {
			if s.Public.Curve() == cose.P256 && new(Verifier).Verify([]commission.Signature{s})[0] {
				t.Errorf("%d: P-256 was accepted without anybody to check", i)
			}
		}
	})
}
