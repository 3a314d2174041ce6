//go:build js && wasm

package indexeddb

import (
	"bytes"
	"slices"
	"strings"

	"lamplighter/internal/store"
)

// transaction works on a tree in place and keeps what it overwrote.
type transaction struct {
	tree     *tree
	writable bool
	ended    bool
	undo     []change
}

// change is a key's value before a write; nil: there was none.
type change struct {
	key   string
	value []byte
}

func (tx *transaction) end() { tx.ended, tx.undo = true, nil }

func (tx *transaction) rollback() {
	for _, c := range slices.Backward(tx.undo) {
		if c.value == nil {
			tx.tree.remove(c.key)
		} else {
			tx.tree.put(c.key, c.value)
		}
	}
}

func (tx *transaction) Get(key string) ([]byte, error) {
	if tx.ended {
		return nil, store.ErrEnded
	}
	return bytes.Clone(tx.tree.values[key]), nil
}

func (tx *transaction) Put(key string, value []byte) error {
	if err := tx.prepare(key); err != nil {
		return err
	}
	tx.tree.put(key, append(make([]byte, 0, len(value)), value...))
	return nil
}

func (tx *transaction) Delete(key string) error {
	if err := tx.prepare(key); err != nil {
		return err
	}
	tx.tree.remove(key)
	return nil
}

// prepare checks that key may be written and remembers its present value.
func (tx *transaction) prepare(key string) error {
	switch {
	case tx.ended:
		return store.ErrEnded
	case !tx.writable:
		return store.ErrReadOnly
	}
	if err := store.CheckKey(key); err != nil {
		return err
	}
	tx.undo = append(tx.undo, change{key, tx.tree.values[key]})
	return nil
}

func (tx *transaction) Scan(prefix string, fn func(key string, value []byte) bool) error {
	if tx.ended {
		return store.ErrEnded
	}
	i, _ := slices.BinarySearch(tx.tree.keys, prefix)
	for i < len(tx.tree.keys) && strings.HasPrefix(tx.tree.keys[i], prefix) {
		key := tx.tree.keys[i]
		if !fn(key, bytes.Clone(tx.tree.values[key])) {
			return nil
		}
		// fn may have written: look the place up again.
		at, found := slices.BinarySearch(tx.tree.keys, key)
		if i = at; found {
			i++
		}
	}
	return nil
}
