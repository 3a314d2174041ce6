//go:build !js

package as_test

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
	"lamplighter/internal/store/bolt"
	"lamplighter/internal/store/sealed"
)

const (
	benchClients = 16
	benchRounds  = 10 // measured and reference in turn, as the load of a machine changes
	benchTokens  = 25 // of each client in a round
)

// BenchmarkTokens measures how many tokens 16 installers get in a second, 16 at a
// time, over an encrypted store on the disk; what the clients calculate is left
// out. Its reference is the bare cryptography of a token on all processors, and a
// plain file's fsync for each 16 of them: see [bare]. How much of the distance is
// bbolt's, which waits for the disk twice in a commit, tells the same with a record
// in bbolt in the place of the file.
func BenchmarkTokens(b *testing.B) {
	const tokens = benchRounds * benchTokens * benchClients
	for b.Loop() {
		raw, err := bolt.Open(filepath.Join(b.TempDir(), "as.db"))
		if err != nil {
			b.Fatal(err)
		}
		db, err := sealed.Open(b.Context(), raw, make([]byte, sealed.KeySize), "as", rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		s := newSite(b, func(c *as.Config) { c.Store = db })
		var clients [benchClients]*party
		for i := range clients {
			clients[i] = s.enrolled(fmt.Sprint("installer", i), as.Policy{})
			clients[i].token(ace.TokenRequest{}) // the session and the end of the invitation
			clients[i].call.(*oscore.PSKClient).SetPeer(heldAddr)
		}
		h := &held{asked: make(chan *pending)}
		s.net.Attach(heldAddr, h)
		reference := newBare(b)
		var took, least, bolted time.Duration
		for range benchRounds {
			took += requestTokens(b, s.as.Handler(), h, clients[:])
			least += reference.toFile(b)
			bolted += reference.toBolt(b)
		}
		b.ReportMetric(tokens/took.Seconds(), "tokens/s")
		b.ReportMetric(tokens/least.Seconds(), "reference-tokens/s")
		b.ReportMetric(tokens/bolted.Seconds(), "bolt-tokens/s")
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// held is a server that keeps its requests until they are answered by hand.
type held struct{ asked chan *pending }

type pending struct {
	req    *coap.Request
	answer chan *coap.Message
}

var heldAddr = netip.MustParseAddrPort("127.0.0.1:5699")

// Serve implements [coap.Handler].
func (h *held) Serve(_ context.Context, req *coap.Request) *coap.Message {
	p := &pending{req, make(chan *coap.Message)}
	h.asked <- p
	return <-p.answer
}

// requestTokens has all clients make their requests, serves them, which is what
// counts, and then has them read the answers.
func requestTokens(b *testing.B, h coap.Handler, hold *held, clients []*party) time.Duration {
	b.Helper()
	var wg sync.WaitGroup
	var lanes [benchClients][benchTokens]*pending
	for i, c := range clients {
		for n := range benchTokens {
			wg.Go(func() {
				resp, err := c.try(c.call, coap.POST, "/token", ace.FormatACE, ace.TokenRequest{})
				if err != nil || resp.Code != coap.Created {
					b.Error(resp, err)
				}
			})
			lanes[i][n] = <-hold.asked
		}
	}
	var answers [benchClients][benchTokens]*coap.Message
	start := time.Now()
	each(func(lane int) {
		for n, p := range lanes[lane] {
			answers[lane][n] = h.Serve(b.Context(), p.req)
		}
	})
	took := time.Since(start)
	for lane := range lanes {
		for n, p := range lanes[lane] {
			p.answer <- answers[lane][n]
		}
	}
	wg.Wait()
	return took
}

func each(fn func(lane int)) {
	var wg sync.WaitGroup
	for lane := range benchClients {
		wg.Go(func() { fn(lane) })
	}
	wg.Wait()
}

// Sizes in bytes, as the Authorization Server has them here.
const (
	bareRequest, bareToken, bareAnswer = 20, 200, 300
	bareRecord                         = 400 // what is kept of a token, indexes included
)

// bare does what a token cannot be made without: it opens a request and seals an
// answer, draws the key, salt, refresh token and nonces, seals the token, hashes it
// and the refresh token, and encrypts what it keeps as one piece. There is no CBOR,
// no index and no reading; what 16 clients wait for is appended to a file, in one
// piece, with one fsync.
type bare struct {
	session, token, disk cipher.AEAD
	file                 *os.File
	bolt                 store.Store
	records              atomic.Int64 // in bolt
}

func newBare(b *testing.B) *bare {
	b.Helper()
	session, err := cose.NewAEAD(cose.AESCCM16_64_128, make([]byte, 16))
	if err != nil {
		b.Fatal(err)
	}
	token, err := cose.NewAEAD(cose.AESCCM16_64_128, bytes.Repeat([]byte{1}, 16))
	if err != nil {
		b.Fatal(err)
	}
	disk, err := chacha20poly1305.NewX(make([]byte, chacha20poly1305.KeySize))
	if err != nil {
		b.Fatal(err)
	}
	file, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	db, err := bolt.Open(filepath.Join(b.TempDir(), "bare.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { file.Close(); db.Close() })
	return &bare{session: session, token: token, disk: disk, file: file, bolt: db}
}

func (r *bare) request() []byte {
	return r.session.Seal(nil, make([]byte, 13), make([]byte, bareRequest), nil)
}

// toBolt puts what is kept into bbolt, one record a token.
func (r *bare) toBolt(b *testing.B) time.Duration {
	b.Helper()
	request := r.request()
	start := time.Now()
	each(func(int) {
		for range benchTokens {
			record, key := r.make(b, request), fmt.Sprintf("%08x", r.records.Add(1))
			if err := r.bolt.Update(b.Context(), func(tx store.Tx) error { return tx.Put(key, record) }); err != nil {
				b.Error(err)
			}
		}
	})
	return time.Since(start)
}

func (r *bare) toFile(b *testing.B) time.Duration {
	b.Helper()
	var kept [benchClients][benchTokens][]byte
	request := r.request()
	start := time.Now()
	each(func(lane int) {
		for n := range benchTokens {
			kept[lane][n] = r.make(b, request)
		}
	})
	for n := range benchTokens {
		var batch []byte
		for lane := range benchClients {
			batch = append(batch, kept[lane][n]...)
		}
		if _, err := r.file.Write(batch); err != nil {
			b.Fatal(err)
		}
		if err := r.file.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start)
}

// make returns what is kept of a token.
func (r *bare) make(b *testing.B, request []byte) []byte {
	if _, err := r.session.Open(nil, make([]byte, 13), request, nil); err != nil {
		b.Error(err)
	}
	secrets, nonces := make([]byte, 16+8+16), make([]byte, 13+chacha20poly1305.NonceSizeX)
	_, _ = rand.Read(secrets) // never fails
	_, _ = rand.Read(nonces)
	token := r.token.Seal(nil, nonces[:13], make([]byte, bareToken), nil)
	hash, refresh := sha256.Sum256(token), sha256.Sum256(secrets[24:])
	record := append(append(make([]byte, bareRecord-64, bareRecord), hash[:]...), refresh[:]...)
	r.session.Seal(nil, secrets[:13], make([]byte, bareAnswer), nil)
	return r.disk.Seal(nil, nonces[13:], record, nil)
}
