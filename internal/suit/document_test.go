package suit_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	gocose "github.com/veraison/go-cose"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
	"lamplighter/internal/suit"
)

const what = "the note"

var note = cbor.MustMarshal(map[int]string{1: "a note"})

func TestDocuments(t *testing.T) {
	// The other key of each is on the same curve.
	others := map[cose.Algorithm]cose.Algorithm{cose.ES256: cose.ESP256, cose.ESP256: cose.ES256, cose.EdDSA: cose.AlgEd25519, cose.AlgEd25519: cose.EdDSA}
	for _, alg := range algorithms {
		s, other := signer(t, alg), signer(t, others[alg])
		data, err := suit.SignDocument(what, note, s)
		if err != nil {
			t.Fatal(err)
		}
		got, key, err := suit.OpenDocument(what, data, other.Public(), s.Public())
		if err != nil || !bytes.Equal(got, note) || !key.Equal(s.Public()) {
			t.Errorf("%d: %x, %v", alg, got, err)
		}
		if _, signature, err := suit.ParseDocument(what, data); err != nil || signature.Algorithm != alg || !bytes.Equal(signature.KeyID, suit.KeyID(s.Public())) {
			t.Errorf("%d: %+v, %v", alg, signature, err)
		}
		if got, _, err := suit.OpenDocument(what, data, other.Public()); got != nil || !errors.Is(err, suit.ErrSigner) || !strings.HasPrefix(err.Error(), what) {
			t.Errorf("%d: another key: %v", alg, err)
		}
		for i := range data {
			bad := bytes.Clone(data)
			bad[i] ^= 1 << (i % 8)
			if got, _, err := suit.OpenDocument(what, bad, s.Public()); got != nil || err == nil {
				t.Errorf("%d: byte %d was changed, and nobody noticed", alg, i)
			}
		}
		bad := bytes.Clone(data)
		bad[len(bad)-1] ^= 1
		if _, _, err := suit.OpenDocument(what, bad, s.Public()); !errors.Is(err, suit.ErrSignature) {
			t.Errorf("%d: a wrong signature: %v", alg, err)
		}
	}
}

// A document is a map with a COSE_Sign1 around it, and nothing else.
func TestNoDocuments(t *testing.T) {
	s := signer(t, cose.EdDSA)
	data, err := suit.SignDocument(what, note, s)
	if err != nil {
		t.Fatal(err)
	}
	protected := cbor.MustMarshal(map[int]any{1: -8})
	sign1 := func(tag uint64, elements ...any) []byte {
		return cbor.MustMarshal(cbor.Tag{Number: tag, Content: elements})
	}
	empty, sixtyFour := map[int]int{}, make([]byte, 64)
	for name, bad := range map[string][]byte{
		"nothing":          nil,
		"no tag":           data[1:],
		"a manifest":       sign(t, params(), s),
		"more":             append(bytes.Clone(data), 0),
		"a COSE_Mac0":      sign1(17, protected, empty, note, sixtyFour),
		"three elements":   sign1(18, protected, empty, note),
		"detached":         sign1(18, protected, empty, nil, sixtyFour),
		"no map in it":     sign1(18, protected, empty, digestOf(note), sixtyFour),
		"an empty payload": sign1(18, protected, empty, []byte{}, sixtyFour),
		"unprotected":      sign1(18, protected, map[int]int{4: 1}, note, sixtyFour),
		"no algorithm":     sign1(18, cbor.MustMarshal(empty), empty, note, sixtyFour),
		"critical":         sign1(18, cbor.MustMarshal(map[int]any{1: -8, 2: []int{1}}), empty, note, sixtyFour),
		"a short one":      sign1(18, protected, empty, note, sixtyFour[1:]),
	} {
		got, _, err := suit.ParseDocument(what, bad)
		if got != nil || !errors.Is(err, suit.ErrDecode) && !errors.Is(err, suit.ErrUnsupported) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	for name, document := range map[string][]byte{"nothing": nil, "a digest": digestOf(note), "a text": cbor.MustMarshal("x")} {
		if got, err := suit.SignDocument(what, document, s); got != nil || !errors.Is(err, suit.ErrDecode) {
			t.Errorf("%s was signed: %v", name, err)
		}
	}
	if _, err := suit.SignDocument(what, note, tokenSigner{}); err == nil {
		t.Error("nobody signed it")
	}
}

// veraison/go-cose takes our documents for good, and we its.
func TestDocumentOracle(t *testing.T) {
	for _, alg := range []cose.Algorithm{cose.ES256, cose.EdDSA} {
		s := signer(t, alg)
		data, err := suit.SignDocument(what, note, s)
		if err != nil {
			t.Fatal(err)
		}
		var message gocose.Sign1Message
		if err := message.UnmarshalCBOR(data); err != nil {
			t.Fatal(err)
		}
		verifier, err := gocose.NewVerifier(gocose.Algorithm(alg), goKey(t, s.Public()))
		if err != nil {
			t.Fatal(err)
		}
		if err := message.Verify(nil, verifier); err != nil || !bytes.Equal(message.Payload, note) {
			t.Errorf("algorithm %d: %v", alg, err)
		}
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	p, err := cose.NewPublicKey(cose.P256, point)
	if err != nil {
		t.Fatal(err)
	}
	public, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for alg, key := range map[gocose.Algorithm]crypto.Signer{gocose.AlgorithmES256: private, gocose.AlgorithmEdDSA: edPrivate} {
		theirs, err := gocose.NewSigner(alg, key)
		if err != nil {
			t.Fatal(err)
		}
		message := gocose.NewSign1Message()
		message.Headers.Protected.SetAlgorithm(alg)
		message.Payload = note
		if err := message.Sign(rand.Reader, nil, theirs); err != nil {
			t.Fatal(err)
		}
		data, err := message.MarshalCBOR()
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := suit.OpenDocument(what, data, cose.Ed25519PublicKey(public), p); err != nil || !bytes.Equal(got, note) {
			t.Errorf("%v: %v", alg, err)
		}
	}
}

// What is accepted is in the one encoding that there is of it.
func FuzzDocument(f *testing.F) {
	data, err := suit.SignDocument(what, note, signer(f, cose.EdDSA))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(cbor.MustMarshal(cbor.Tag{Number: 18, Content: []any{cbor.MustMarshal(map[int]any{1: -9}), map[int]int{}, note, make([]byte, 64)}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		document, s, err := suit.ParseDocument(what, data)
		if err != nil {
			return
		}
		header := map[int]any{1: int(s.Algorithm)}
		if s.KeyID != nil {
			header[4] = s.KeyID
		}
		if again := cbor.MustMarshal(cbor.Tag{Number: 18, Content: []any{cbor.MustMarshal(header), map[int]int{}, document, s.Bytes}}); !bytes.Equal(again, data) {
			t.Fatalf("%x came back as %x", data, again)
		}
	})
}
