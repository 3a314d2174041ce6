// Package sealed encrypts the values of a [store.Store], so that who reads the
// disk, or a copy of it, learns no secret. Each value is sealed with
// XChaCha20-Poly1305 under a random nonce, and its key in the store is the
// associated data: a record that was changed, or moved to another key, is not
// opened. Keys and the sizes of values stay readable, and an old record can be put
// back in the place of a newer one.
//
// Its nonces are random and of 192 bits: they have no part in the recorder of
// package cose, which holds the nonces of protocols.
package sealed

import (
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20poly1305"

	"lamplighter/internal/store"
)

// KeySize is the size of a store key in bytes.
const KeySize = 32

// Errors of opening.
var (
	ErrKey     = errors.New("the store key does not open this store")
	ErrPlain   = errors.New("the store is not encrypted")
	ErrDamaged = errors.New("a stored record was changed or is damaged")
)

// header is the one key that is the wrapper's own. Its value is proof, sealed:
// there is one if and only if the store is sealed.
const (
	header = "\x00sealed"
	proof  = "lamplighter"
)

// Open returns the store whose values are sealed in inner. key is of [KeySize]
// bytes; name tells stores under one key apart. An empty inner store becomes a
// sealed one. It fails with [ErrKey] for another key or name and with [ErrPlain]
// for a store with values that were never sealed: see [Copy]. rand makes nonces and
// is used concurrently.
func Open(ctx context.Context, inner store.Store, key []byte, name string, rand io.Reader) (store.Store, error) {
	s, err := wrap(inner, key, name, rand)
	if err != nil {
		return nil, err
	}
	state, err := Look(ctx, inner)
	switch {
	case err != nil:
		return nil, err
	case state == Plain:
		return nil, ErrPlain
	case state == Empty:
		return s, inner.Update(ctx, s.mark)
	}
	return s, inner.View(ctx, func(tx store.Tx) error {
		box, err := tx.Get(header)
		if err != nil {
			return err
		}
		if plain, err := s.open(header, box); err != nil || string(plain) != proof {
			return ErrKey
		}
		return nil
	})
}

func wrap(inner store.Store, key []byte, name string, rand io.Reader) (*sealed, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("a store key of %d bytes, not %d", len(key), KeySize)
	}
	derived, err := hkdf.Key(sha256.New, key, nil, "lamplighter/store/"+name, KeySize)
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.NewX(derived)
	if err != nil {
		return nil, err
	}
	return &sealed{inner: inner, aead: aead, rand: rand}, nil
}

// State is what a store holds.
type State int

// What a store can hold.
const (
	Empty  State = iota
	Plain        // values that are not encrypted
	Sealed       // by this package
)

// Look says what a store holds, without any key.
func Look(ctx context.Context, inner store.Store) (state State, err error) {
	err = inner.View(ctx, func(tx store.Tx) error {
		state = Empty
		return tx.Scan("", func(key string, _ []byte) bool {
			if state = Plain; key == header { // the first in order
				state = Sealed
			}
			return false
		})
	})
	return state, err
}

// Copy seals all values of a plain store into an empty one, in one change.
func Copy(ctx context.Context, into, plain store.Store, key []byte, name string, rand io.Reader) error {
	s, err := wrap(into, key, name, rand)
	if err != nil {
		return err
	}
	if state, err := Look(ctx, into); err != nil || state != Empty {
		return errors.Join(err, errors.New("there is something in the store already"))
	}
	return plain.View(ctx, func(from store.Tx) error {
		return into.Update(ctx, func(to store.Tx) error {
			var failed error
			err := from.Scan("", func(key string, value []byte) bool {
				failed = sealedTx{to, s}.Put(key, value)
				return failed == nil
			})
			return errors.Join(err, failed, s.mark(to))
		})
	})
}

type sealed struct {
	inner store.Store
	aead  cipher.AEAD
	rand  io.Reader
}

// mark says that the store is sealed.
func (s *sealed) mark(tx store.Tx) error {
	box, err := s.seal(header, []byte(proof))
	if err != nil {
		return err
	}
	return tx.Put(header, box)
}

// seal returns nonce | ciphertext | tag.
func (s *sealed) seal(key string, value []byte) ([]byte, error) {
	size := s.aead.NonceSize()
	box := make([]byte, size, size+len(value)+s.aead.Overhead())
	if _, err := io.ReadFull(s.rand, box); err != nil {
		return nil, fmt.Errorf("drawing a nonce: %w", err)
	}
	return s.aead.Seal(box, box, value, []byte(key)), nil
}

func (s *sealed) open(key string, box []byte) ([]byte, error) {
	size := s.aead.NonceSize()
	if len(box) < size+s.aead.Overhead() {
		return nil, damaged(key)
	}
	value, err := s.aead.Open(box[size:size], box[:size], box[size:], []byte(key)) // in place
	if err != nil {
		return nil, damaged(key)
	}
	return value, nil
}

func damaged(key string) error { return fmt.Errorf("%w: %q", ErrDamaged, key) }

// View implements [store.Store].
func (s *sealed) View(ctx context.Context, fn func(store.Tx) error) error {
	return s.inner.View(ctx, func(tx store.Tx) error { return fn(sealedTx{tx, s}) })
}

// Update implements [store.Store].
func (s *sealed) Update(ctx context.Context, fn func(store.Tx) error) error {
	return s.inner.Update(ctx, func(tx store.Tx) error { return fn(sealedTx{tx, s}) })
}

// Close implements [store.Store].
func (s *sealed) Close() error { return s.inner.Close() }

type sealedTx struct {
	inner store.Tx
	s     *sealed
}

// Get implements [store.Tx].
func (tx sealedTx) Get(key string) ([]byte, error) {
	box, err := tx.inner.Get(key)
	if err != nil || box == nil || key == header {
		return nil, err
	}
	return tx.s.open(key, box)
}

// Put implements [store.Tx].
func (tx sealedTx) Put(key string, value []byte) error {
	if err := check(key); err != nil {
		return err
	}
	box, err := tx.s.seal(key, value)
	if err != nil {
		return err
	}
	return tx.inner.Put(key, box)
}

// Delete implements [store.Tx].
func (tx sealedTx) Delete(key string) error {
	if err := check(key); err != nil {
		return err
	}
	return tx.inner.Delete(key)
}

// Scan implements [store.Tx].
func (tx sealedTx) Scan(prefix string, fn func(key string, value []byte) bool) error {
	var failed error
	err := tx.inner.Scan(prefix, func(key string, box []byte) bool {
		if key == header {
			return true
		}
		var value []byte
		if value, failed = tx.s.open(key, box); failed != nil {
			return false
		}
		return fn(key, value)
	})
	return errors.Join(err, failed)
}

func check(key string) error {
	if key == header {
		return fmt.Errorf("%w: it is the store's own", store.ErrKey)
	}
	return nil
}
