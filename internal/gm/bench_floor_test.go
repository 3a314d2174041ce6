//go:build !js

package gm

import (
	"crypto/cipher"
	"crypto/ed25519"
	crand "crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
	"lamplighter/internal/store/bolt"
)

// Sizes in bytes, as the Group Manager has them here.
const (
	bareToken, bareRequest, bareProof, bareAnswer = 200, 200, 120, 400

	bareAssociation, bareMember = 350, 300 // what is kept, indexes included
)

// floor does what no Group Manager can do without. For a token: it opens it, draws a
// nonce and derives an association. For a join: it opens the request, verifies the
// proof, makes its own, and seals the answer. It encrypts what it keeps of each as
// one piece. There is no CBOR, no index and no reading; what 16 clients wait for is
// appended to a file, in one piece, with one fsync.
type floor struct {
	session, disk    cipher.AEAD
	key              ed25519.PrivateKey
	token, request   []byte // sealed
	proof, signature []byte
	nonce            []byte
	file             *os.File
	bolt             store.Store
	records          atomic.Int64 // in bolt
}

func newFloor(b *testing.B) *floor {
	b.Helper()
	session, err := cose.NewAEAD(cose.AESCCM16_64_128, make([]byte, 16))
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
	r := &floor{session: session, disk: disk, key: newKey(crand.Reader), file: file, bolt: db, nonce: make([]byte, 13), proof: make([]byte, bareProof)}
	r.token = session.Seal(nil, r.nonce, make([]byte, bareToken), nil)
	r.request = session.Seal(nil, r.nonce, make([]byte, bareRequest), nil)
	r.signature = ed25519.Sign(r.key, r.proof)
	return r
}

func (r *floor) toFile(b *testing.B, joins int) time.Duration {
	b.Helper()
	start := time.Now()
	each(joins, func(int) {
		r.transfer(b)
		r.join(b)
	})
	for range joins / benchClients {
		for _, size := range []int{bareAssociation, bareMember} {
			if _, err := r.file.Write(make([]byte, size*benchClients)); err != nil {
				b.Fatal(err)
			}
			if err := r.file.Sync(); err != nil {
				b.Fatal(err)
			}
		}
	}
	return time.Since(start)
}

// toBolt puts what is kept into bbolt, one record for a token and one for a join.
func (r *floor) toBolt(b *testing.B, joins int) time.Duration {
	b.Helper()
	put := func(record []byte) {
		key := fmt.Sprintf("%08x", r.records.Add(1))
		if err := r.bolt.Update(b.Context(), func(tx store.Tx) error { return tx.Put(key, record) }); err != nil {
			b.Error(err)
		}
	}
	start := time.Now()
	each(joins, func(int) {
		put(r.transfer(b))
		put(r.join(b))
	})
	return time.Since(start)
}

func (r *floor) transfer(b *testing.B) []byte {
	_, err := r.session.Open(nil, r.nonce, r.token, nil)
	_, derived := oscore.New(oscore.Params{
		MasterSecret: make([]byte, 16), MasterSalt: draw(crand.Reader, 8), SenderID: []byte{1}, RecipientID: []byte{2},
	})
	if err != nil || derived != nil {
		b.Error(err, derived)
	}
	return r.keep(bareAssociation)
}

func (r *floor) join(b *testing.B) []byte {
	_, err := r.session.Open(nil, r.nonce, r.request, nil)
	if err != nil || !ed25519.Verify(r.key.Public().(ed25519.PublicKey), r.proof, r.signature) {
		b.Error("not opened or not verified")
	}
	ed25519.Sign(r.key, r.proof)
	r.session.Seal(nil, r.nonce, make([]byte, bareAnswer), nil)
	return r.keep(bareMember)
}

// keep encrypts a record.
func (r *floor) keep(size int) []byte {
	return r.disk.Seal(nil, draw(crand.Reader, chacha20poly1305.NonceSizeX), make([]byte, size), nil)
}
