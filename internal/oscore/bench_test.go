package oscore

import (
	"bytes"
	"crypto/aes"
	"fmt"
	"testing"

	"github.com/pion/dtls/v3/pkg/crypto/ccm"

	"lamplighter/e2e/bench/rounds"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

// BenchmarkMessage protects and unprotects a request. Its reference is pion's
// AES-CCM on the same bytes; how our own compares with that stands beside it.
// Sequence numbers start where Partial IVs have 3 bytes, so that all are of one
// length.
func BenchmarkMessage(b *testing.B) {
	for _, size := range []int{16, 64, 1024} {
		b.Run(fmt.Sprintf("oscore/protect/%d", size), func(b *testing.B) {
			x := newBenchPair(b, size)
			rounds.Compare(b, rounds.Each(func() { x.protect(b) }), rounds.Each(x.bare(b).protect))
		})
		b.Run(fmt.Sprintf("oscore/unprotect/%d", size), func(b *testing.B) {
			x := newBenchPair(b, size)
			rounds.Compare(b, x.unprotect(b), rounds.Each(x.bare(b).unprotect))
		})
		b.Run(fmt.Sprintf("ccm/seal/%d", size), func(b *testing.B) {
			x := newBenchPair(b, size).bare(b)
			rounds.Compare(b, rounds.Each(x.ours().protect), rounds.Each(x.protect))
		})
		b.Run(fmt.Sprintf("ccm/open/%d", size), func(b *testing.B) {
			x := newBenchPair(b, size).bare(b)
			rounds.Compare(b, rounds.Each(x.ours().unprotect), rounds.Each(x.unprotect))
		})
	}
}

// benchPair is a client that sends req to a server again and again.
type benchPair struct {
	client, server *Context
	req            *coap.Message
}

func newBenchPair(b *testing.B, size int) *benchPair {
	cose.Recorder = nil // it would be measured, and fill
	client, server := newPair(b, func(client, _ *Params) { client.Sequence = NewSequence(1<<16, nil) })
	return &benchPair{client, server, coap.NewRequest(coap.PUT, "/light", bytes.Repeat([]byte{0x55}, size))}
}

func (x *benchPair) protect(b *testing.B) *coap.Message {
	outer, _, err := x.client.ProtectRequest(x.req)
	if err != nil {
		b.Fatal(err)
	}
	return outer
}

// unprotect opens messages that were protected before, each once.
func (x *benchPair) unprotect(b *testing.B) rounds.Work {
	return func(n int) func() {
		messages := make([]*coap.Message, n)
		for i := range messages {
			messages[i] = x.protect(b)
		}
		return func() {
			for _, m := range messages {
				if _, _, err := x.server.UnprotectRequest(m); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}

// bare is what the AEAD needs for one message.
type bare struct {
	b                                      *testing.B
	aead                                   cose.AEAD
	key, nonce, plaintext, aad, ciphertext []byte
}

// bare takes the bytes of one message from outside the context.
func (x *benchPair) bare(b *testing.B) *bare {
	y := &bare{b: b}
	cose.Recorder = func(key, nonce, plaintext, ciphertext []byte) {
		y.key, y.nonce = bytes.Clone(key), bytes.Clone(nonce)
		y.plaintext, y.ciphertext = bytes.Clone(plaintext), bytes.Clone(ciphertext)
	}
	outer := x.protect(b)
	cose.Recorder = nil
	o, err := MessageOption(outer)
	if err != nil {
		b.Fatal(err)
	}
	y.aad = cose.AppendEncrypt0(nil, fmt.Appendf(nil, "\x85\x01\x81\x0a\x41%s\x43%s\x40", o.KID, o.PIV))
	block, err := aes.NewCipher(y.key)
	if err != nil {
		b.Fatal(err)
	}
	if y.aead, err = ccm.NewCCM(block, 8, 13); err != nil {
		b.Fatal(err)
	}
	y.unprotect() // the bytes are right
	return y
}

// ours is the same with the cipher that contexts use.
func (y *bare) ours() *bare {
	x := *y
	var err error
	if x.aead, err = cose.NewAEAD(cose.AESCCM16_64_128, y.key); err != nil {
		y.b.Fatal(err)
	}
	return &x
}

func (y *bare) protect() {
	out := make([]byte, 0, len(y.ciphertext))
	if out = y.aead.Seal(out, y.nonce, y.plaintext, y.aad); len(out) != len(y.ciphertext) {
		y.b.Fatal("length")
	}
}

func (y *bare) unprotect() {
	if _, err := y.aead.Open(nil, y.nonce, y.ciphertext, y.aad); err != nil {
		y.b.Fatal(err)
	}
}
