package suit_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	gocose "github.com/veraison/go-cose"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
	"lamplighter/internal/suit"
)

// goKey is a public key as the standard library has it.
func goKey(t testing.TB, key cose.PublicKey) crypto.PublicKey {
	t.Helper()
	if key.Curve() == cose.Ed25519 {
		return ed25519.PublicKey(key.Bytes())
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), key.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// envelope is made with the general encoder, block by block.
func envelope(manifest []byte, blocks ...[]byte) []byte {
	return envelopeWith(nil, manifest, blocks...)
}

func envelopeWith(more map[any]any, manifest []byte, blocks ...[]byte) []byte {
	wrapper := append([][]byte{digestOf(manifest)}, blocks...)
	elements := map[any]any{2: cbor.MustMarshal(wrapper), 3: manifest}
	for k, v := range more {
		elements[k] = v
	}
	return cbor.MustMarshal(cbor.Tag{Number: 107, Content: elements})
}

// digestOf is the SUIT_Digest of an element.
func digestOf(element []byte) []byte {
	sum := sha256.Sum256(cbor.MustMarshal(element))
	return cbor.MustMarshal([]any{-16, sum[:]})
}

// veraison/go-cose takes our signatures for good, and we its, in the two algorithms
// that it has.
func TestOracle(t *testing.T) {
	for _, alg := range []cose.Algorithm{cose.ES256, cose.EdDSA} {
		s := signer(t, alg)
		e, err := suit.Parse(sign(t, params(), s))
		if err != nil {
			t.Fatal(err)
		}
		var outer struct {
			Wrapper []byte `cbor:"2,keyasint"`
		}
		if err := cbor.Unmarshal(e.Encode(), &outer); err != nil {
			t.Fatal(err)
		}
		var wrapper [][]byte
		if err := cbor.Unmarshal(outer.Wrapper, &wrapper); err != nil {
			t.Fatal(err)
		}
		var message gocose.Sign1Message
		if err := message.UnmarshalCBOR(wrapper[1]); err != nil {
			t.Fatal(err)
		}
		message.Payload = bytes.Clone(wrapper[0])
		verifier, err := gocose.NewVerifier(gocose.Algorithm(alg), goKey(t, s.Public()))
		if err != nil {
			t.Fatal(err)
		}
		if err := message.Verify(nil, verifier); err != nil {
			t.Errorf("algorithm %d: %v", alg, err)
		}
		message.Payload[5] ^= 1
		if message.Verify(nil, verifier) == nil {
			t.Errorf("algorithm %d: another digest is verified", alg)
		}
	}
}

func TestOracleSigns(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, edPrivate, err := ed25519.GenerateKey(rand.Reader)
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
	e, err := suit.Parse(sign(t, params(), signer(t, cose.EdDSA)))
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
		message.Payload = digestOf(e.ManifestBytes)
		if err := message.Sign(rand.Reader, nil, theirs); err != nil {
			t.Fatal(err)
		}
		message.Payload = nil
		block, err := message.MarshalCBOR()
		if err != nil {
			t.Fatal(err)
		}
		anchors := []cose.PublicKey{cose.Ed25519PublicKey(public), p}
		if _, _, err := suit.Open(envelope(e.ManifestBytes, block), anchors...); err != nil {
			t.Errorf("%v: %v", alg, err)
		}
		block[len(block)-1] ^= 1
		if _, _, err := suit.Open(envelope(e.ManifestBytes, block), anchors...); err == nil {
			t.Errorf("%v: a changed signature is verified", alg)
		}
	}
}
