package group

import (
	"bytes"
	"crypto/aes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"testing"

	"github.com/pion/dtls/v3/pkg/crypto/ccm"

	"lamplighter/e2e/bench/rounds"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/cose/p256"
	"lamplighter/internal/oscore"
)

// BenchmarkMessage protects and unprotects a request in both modes. Its
// reference is the bare signature, HKDF and AES-CCM on the same bytes, of Go's
// library and pion's CCM. Sequence numbers start where Partial IVs have 3 bytes,
// so that all are of one length.
func BenchmarkMessage(b *testing.B) {
	for _, mode := range []Mode{Group, Pairwise} {
		for _, sign := range []cose.Algorithm{cose.EdDSA, cose.ES256} {
			for _, size := range []int{16, 64, 1024} {
				name := func(operation string) string {
					return fmt.Sprintf("%v/%s/%s/%d", mode, operation, benchSuites[sign].name, size)
				}
				b.Run(name("protect"), func(b *testing.B) {
					x := newBenchPair(b, sign, mode, size)
					rounds.Compare(b, rounds.Each(func() { x.protect(b) }), rounds.Each(x.bare(b).protect))
				})
				b.Run(name("unprotect"), func(b *testing.B) {
					x := newBenchPair(b, sign, mode, size)
					rounds.Compare(b, x.unprotect(b), rounds.Each(x.bare(b).unprotect))
				})
			}
		}
	}
}

// benchSuites make a member's key by signature algorithm: for a context, and
// bare.
var benchSuites = map[cose.Algorithm]struct {
	name string
	make func(b *testing.B) (cose.PrivateKey, signer)
}{
	cose.EdDSA: {"ed25519", func(b *testing.B) (cose.PrivateKey, signer) {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		must(b, err)
		return cose.NewEd25519(private), signer{
			sign:   func(message []byte) []byte { return ed25519.Sign(private, message) },
			verify: func(message, sig []byte) bool { return ed25519.Verify(public, message, sig) },
		}
	}},
	cose.ES256: {"es256", func(b *testing.B) (cose.PrivateKey, signer) {
		scalar, err := p256.Generate(rand.Reader)
		must(b, err)
		key, err := p256.NewKey(scalar)
		must(b, err)
		private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
		must(b, err)
		return key, signer{
			sign: func(message []byte) []byte {
				digest := sha256.Sum256(message)
				sig, err := ecdsa.SignASN1(rand.Reader, private, digest[:])
				must(b, err)
				return sig
			},
			verify: func(message, sig []byte) bool {
				digest := sha256.Sum256(message)
				return ecdsa.VerifyASN1(&private.PublicKey, digest[:], sig)
			},
		}
	}},
}

// signer is a bare key; the signatures of ES256 are in ASN.1.
type signer struct {
	sign   func(message []byte) []byte
	verify func(message, sig []byte) bool
}

func must(b *testing.B, err error) {
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}

// benchPair is a client that sends req to a server again and again.
type benchPair struct {
	client, server *Context
	params         Params // the client's
	signer         signer // the client's
	to             []byte // nil in group mode
	req            *coap.Message
}

func newBenchPair(b *testing.B, sign cose.Algorithm, mode Mode, size int) *benchPair {
	algs := DefaultAlgorithms
	algs.Sign = sign
	gm, _ := benchSuites[sign].make(b)
	x := &benchPair{req: coap.NewRequest(coap.PUT, "/light", bytes.Repeat([]byte{0x55}, size))}
	x.params = Params{
		GID: []byte{0xdd, 0x11}, MasterSecret: randomBytes(16), MasterSalt: randomBytes(8),
		Algs: algs, GMCred: gm.Public().CCS("gm"), SenderID: []byte{1},
		Sequence: oscore.NewSequence(1<<16, nil),
	}
	x.params.Key, x.signer = benchSuites[sign].make(b)
	x.params.Cred = x.params.Key.Public().CCS("client")
	server := x.params
	server.SenderID = []byte{2}
	server.Key, _ = benchSuites[sign].make(b)
	server.Cred = server.Key.Public().CCS("server")
	if mode == Pairwise {
		x.to = server.SenderID
	}
	var err error
	x.client, err = New(x.params)
	must(b, err)
	x.server, err = New(server)
	must(b, err)
	must(b, x.client.SetPeer(Peer{KID: server.SenderID, Cred: server.Cred}))
	must(b, x.server.SetPeer(Peer{KID: x.params.SenderID, Cred: x.params.Cred}))
	return x
}

func (x *benchPair) protect(b *testing.B) *coap.Message {
	outer, _, err := x.client.ProtectRequest(x.req, x.to)
	must(b, err)
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
				_, _, err := x.server.UnprotectRequest(m)
				must(b, err)
			}
		}
	}
}

// bare is what the primitives need for one message.
type bare struct {
	b                          *testing.B
	signer                     signer
	aead                       cose.AEAD
	key                        []byte
	nonce, plaintext, aad      []byte
	ciphertext                 []byte
	signed, sig, encrypted     []byte // group mode: nil in pairwise mode
	encryptionKey, piv, stream []byte // of the countersignature
}

// bare takes the bytes of one message from outside the context.
func (x *benchPair) bare(b *testing.B) *bare {
	y := &bare{b: b, signer: x.signer}
	cose.Recorder = func(key, nonce, plaintext, ciphertext []byte) {
		y.key, y.nonce = bytes.Clone(key), bytes.Clone(nonce)
		y.plaintext, y.ciphertext = bytes.Clone(plaintext), bytes.Clone(ciphertext)
	}
	outer := x.protect(b)
	cose.Recorder = nil
	o, err := oscore.MessageOption(outer)
	must(b, err)
	external := x.externalAAD(o.PIV, coap.GetOption(outer, coap.OptionOSCORE))
	y.aad = cose.AppendEncrypt0(nil, external)
	block, err := aes.NewCipher(y.key)
	must(b, err)
	y.aead, err = ccm.NewCCM(block, 8, 13)
	must(b, err)
	if x.to == nil {
		y.signed = cose.AppendCounterSignature0(nil, external, y.ciphertext)
		y.sig = x.signer.sign(y.signed)
		y.encrypted = outer.Payload[len(y.ciphertext):]
		y.piv = bytes.Clone(o.PIV)
		y.stream = []byte("\x84\x41\x01\x42\xdd\x11\xf5\x18\x40") // [ h'01', h'dd11', true, 64 ]
		info := oscore.AppendInfo(nil, nil, x.params.GID, cose.AESCCM16_64_128, "SEKey", 16)
		y.encryptionKey = cose.HKDF(x.params.MasterSecret, x.params.MasterSalt, info, 16)
		y.check(x.params.Key.Public())
	}
	y.unprotect() // the bytes are right
	return y
}

// externalAAD of the client's request. RFC 10021, Section 3.4.
func (x *benchPair) externalAAD(piv, option []byte) []byte {
	aad := cbor.AppendInt([]byte{0x89, 0x01, 0x84, 0x0a, 0x0a}, int64(x.params.Algs.Sign))
	aad = cbor.AppendInt(aad, int64(x.params.Algs.Pairwise))
	aad = cbor.AppendBytes(aad, x.params.SenderID)
	aad = cbor.AppendBytes(aad, piv)
	aad = append(aad, 0x40)
	for _, item := range [][]byte{x.params.GID, option, x.params.Cred, x.params.GMCred} {
		aad = cbor.AppendBytes(aad, item)
	}
	return aad
}

func (y *bare) keystream() []byte {
	k, err := hkdf.Key(sha256.New, y.encryptionKey, y.piv, string(y.stream), 64)
	must(y.b, err)
	return k
}

// check fails when the message's countersignature is not over y.signed.
func (y *bare) check(public cose.PublicKey) {
	sig := y.keystream()
	subtle.XORBytes(sig, sig, y.encrypted)
	if !public.Verify(y.signed, sig) {
		y.b.Fatal("these are not the bytes that were signed")
	}
}

func (y *bare) protect() {
	out := make([]byte, 0, len(y.ciphertext)+64)
	out = y.aead.Seal(out, y.nonce, y.plaintext, y.aad)
	if y.signed == nil {
		return
	}
	sig := y.keystream()
	subtle.XORBytes(sig, sig, y.signer.sign(y.signed))
	if out = append(out, sig...); len(out) != len(y.ciphertext)+64 {
		y.b.Fatal("length")
	}
}

func (y *bare) unprotect() {
	if y.signed != nil {
		sig := y.keystream()
		subtle.XORBytes(sig, sig, y.encrypted)
		if !y.signer.verify(y.signed, y.sig) {
			y.b.Fatal("signature")
		}
	}
	_, err := y.aead.Open(nil, y.nonce, y.ciphertext, y.aad)
	must(y.b, err)
}
