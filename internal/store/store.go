// Package store is the key-value interface under everything that must survive:
// ordered keys, transactions that are atomic, isolated and durable when Update
// returns. Memory is here; bbolt and IndexedDB are adapters below this folder,
// and storetest holds the conformance suite that all of them pass.
package store

import (
	"context"
	"errors"
)

// Store is a transactional, ordered key-value store. It is safe for concurrent
// use.
type Store interface {
	// View runs fn on a consistent snapshot.
	View(ctx context.Context, fn func(Tx) error) error

	// Update runs fn and makes its writes durable before it returns. When fn or
	// the commit fails, nothing is written. fn may run more than once (a
	// compare-and-set conflict, a shared commit), on another goroutine, and must
	// have no other effects and not use the store otherwise.
	Update(ctx context.Context, fn func(Tx) error) error

	Close() error
}

// Tx is one transaction. Slices that it returns stay valid and are the
// caller's.
type Tx interface {
	Get(key string) ([]byte, error) // nil when the key is absent
	Put(key string, value []byte) error
	Delete(key string) error // absent is no error
	// Scan calls fn for each key with the prefix in ascending order until fn
	// returns false. fn may write; whether the scan meets a key that was put
	// meanwhile is open.
	Scan(prefix string, fn func(key string, value []byte) bool) error
}

// ErrClosed is returned after Close.
var ErrClosed = errors.New("store is closed")
