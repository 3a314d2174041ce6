package group

import (
	"bytes"
	"crypto/aes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"testing"
	"time"

	"github.com/pion/dtls/v3/pkg/crypto/ccm"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
)

// The benchmarks protect and unprotect a group request with a payload of 64
// bytes. Beside each stands its reference: the bare Ed25519, AES-CCM and HKDF
// on the same bytes; the Ratio ones measure both in turn.

func benchRequest() *coap.Message {
	return coap.NewRequest(coap.PUT, "/light", bytes.Repeat([]byte{0x55}, 64))
}

// bare is what the primitives need of one group request.
type bare struct {
	private                       ed25519.PrivateKey
	public                        ed25519.PublicKey
	aead                          ccm.CCM
	nonce, plaintext, aad, signed []byte
	ciphertext, sig               []byte
	seKey, piv                    []byte
	info                          string
}

func newBare(b *testing.B) *bare {
	b.Helper()
	w := newWorld(b, 2)
	client, server := w.members[0], w.members[1]
	outer, _, err := client.ProtectRequest(benchRequest(), nil)
	if err != nil {
		b.Fatal(err)
	}
	x := &bare{private: w.keys[0], public: w.keys[0].Public().(ed25519.PublicKey), seKey: client.seKey, piv: []byte{0}}
	block, err := aes.NewCipher(client.senderKey)
	if err != nil {
		b.Fatal(err)
	}
	if x.aead, err = ccm.NewCCM(block, 8, 13); err != nil {
		b.Fatal(err)
	}
	x.signed = bytes.Clone(client.signed)
	x.plaintext = bytes.Clone(client.plaintext)
	x.nonce = oscore.AppendNonce(nil, client.commonIV, client.senderID, x.piv, 13)
	x.info = string(append([]byte{0x84, 0x41}, "\x00\x42\xdd\x11\xf5\x18\x40"...))
	cut := len(outer.Payload) - 64
	x.ciphertext = outer.Payload[:cut]
	if _, _, err := server.UnprotectRequest(outer); err != nil {
		b.Fatal(err)
	}
	x.aad = bytes.Clone(server.signed)
	x.sig = ed25519.Sign(x.private, x.signed)
	return x
}

func (x *bare) keystream(b *testing.B) []byte {
	k, err := hkdf.Key(sha256.New, x.seKey, x.piv, x.info, 64)
	if err != nil {
		b.Fatal(err)
	}
	return k
}

// protect is the bare work of protecting.
func (x *bare) protect(b *testing.B) {
	out := make([]byte, 0, len(x.ciphertext)+64)
	out = x.aead.Seal(out, x.nonce, x.plaintext, x.aad)
	sig := ed25519.Sign(x.private, x.signed)
	subtle.XORBytes(sig, sig, x.keystream(b))
	if out = append(out, sig...); len(out) == 0 {
		b.Fatal("nothing")
	}
}

// unprotect is the bare work of unprotecting.
func (x *bare) unprotect(b *testing.B) {
	sig := x.keystream(b)
	subtle.XORBytes(sig, sig, x.sig)
	if !ed25519.Verify(x.public, x.signed, x.sig) {
		b.Fatal("signature")
	}
	if _, err := x.aead.Open(nil, x.nonce, x.ciphertext, x.aad); err != nil {
		b.Fatal(err)
	}
}

// protector returns one protection of the request.
func protector(b *testing.B, to []byte) func() {
	w := newWorld(b, 2)
	req := benchRequest()
	return func() {
		if _, _, err := w.members[0].ProtectRequest(req, to); err != nil {
			b.Fatal(err)
		}
	}
}

// unprotector returns one opening of the same message, again and again.
func unprotector(b *testing.B, to []byte) func() {
	w := newWorld(b, 2)
	outer, _, err := w.members[0].ProtectRequest(benchRequest(), to)
	if err != nil {
		b.Fatal(err)
	}
	server := w.members[1]
	peer := server.peers[string(w.members[0].senderID)]
	empty := peer.window
	return func() {
		peer.window = empty
		if _, _, err := server.UnprotectRequest(outer); err != nil {
			b.Fatal(err)
		}
	}
}

func measure(b *testing.B, f func()) {
	b.ReportAllocs()
	for b.Loop() {
		f()
	}
}

// round is how often compare runs each side before it looks at the clock: a
// browser's clock is as coarse as 0.1 ms.
const round = 20

// compare runs f and its reference in turn and reports the medians of their
// rounds and the ratio of these, which other work on the machine hardly moves.
func compare(b *testing.B, f, reference func()) {
	timed := func(f func()) float64 {
		start := time.Now()
		for range round {
			f()
		}
		return float64(time.Since(start)) / round
	}
	var own, ref []float64
	for b.Loop() {
		own = append(own, timed(f))
		ref = append(ref, timed(reference))
	}
	slices.Sort(own)
	slices.Sort(ref)
	value, base := own[len(own)/2], ref[len(ref)/2]
	b.ReportMetric(value, "ns/op")
	b.ReportMetric(base, "reference-ns/op")
	b.ReportMetric(value/base, "ratio")
}

func BenchmarkGroupProtect(b *testing.B)   { measure(b, protector(b, nil)) }
func BenchmarkGroupUnprotect(b *testing.B) { measure(b, unprotector(b, nil)) }

func BenchmarkGroupProtectReference(b *testing.B) {
	x := newBare(b)
	measure(b, func() { x.protect(b) })
}

func BenchmarkGroupUnprotectReference(b *testing.B) {
	x := newBare(b)
	measure(b, func() { x.unprotect(b) })
}

func BenchmarkGroupProtectRatio(b *testing.B) {
	x := newBare(b)
	compare(b, protector(b, nil), func() { x.protect(b) })
}

func BenchmarkGroupUnprotectRatio(b *testing.B) {
	x := newBare(b)
	compare(b, unprotector(b, nil), func() { x.unprotect(b) })
}

// The pairwise mode has no signature.
func BenchmarkPairwiseProtect(b *testing.B)   { measure(b, protector(b, []byte{1})) }
func BenchmarkPairwiseUnprotect(b *testing.B) { measure(b, unprotector(b, []byte{1})) }
