package store

import (
	"context"
	"sync/atomic"
)

// Prefix returns a view of the keys of s that begin with prefix, without it, so
// that several owners share one store. Closing the view leaves s open.
func Prefix(s Store, prefix string) Store {
	return &prefixed{inner: s, prefix: prefix}
}

type prefixed struct {
	inner  Store
	prefix string
	closed atomic.Bool
}

func (p *prefixed) View(ctx context.Context, fn func(Tx) error) error {
	if p.closed.Load() {
		return ErrClosed
	}
	return p.inner.View(ctx, func(tx Tx) error { return fn(prefixedTx{tx, p.prefix}) })
}

func (p *prefixed) Update(ctx context.Context, fn func(Tx) error) error {
	if p.closed.Load() {
		return ErrClosed
	}
	return p.inner.Update(ctx, func(tx Tx) error { return fn(prefixedTx{tx, p.prefix}) })
}

func (p *prefixed) Close() error {
	p.closed.Store(true)
	return nil
}

type prefixedTx struct {
	inner  Tx
	prefix string
}

func (tx prefixedTx) Get(key string) ([]byte, error) {
	return tx.inner.Get(tx.prefix + key)
}

func (tx prefixedTx) Put(key string, value []byte) error {
	if err := CheckKey(key); err != nil { // else "" would write the prefix itself
		return err
	}
	return tx.inner.Put(tx.prefix+key, value)
}

func (tx prefixedTx) Delete(key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	return tx.inner.Delete(tx.prefix + key)
}

func (tx prefixedTx) Scan(prefix string, fn func(key string, value []byte) bool) error {
	return tx.inner.Scan(tx.prefix+prefix, func(key string, value []byte) bool {
		return fn(key[len(tx.prefix):], value)
	})
}
