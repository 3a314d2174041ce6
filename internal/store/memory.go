package store

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
)

// NewMemory returns a store that lives as long as the process. It serves tests
// and roles whose state may be lost. Updates run one after the other; a View
// waits for a running Update.
func NewMemory() Store {
	return &memory{values: make(map[string][]byte)}
}

type memory struct {
	mu     sync.RWMutex
	keys   []string // sorted
	values map[string][]byte
	closed bool
}

func (m *memory) View(ctx context.Context, fn func(Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return ErrClosed
	}
	tx := &memoryTx{m: m}
	defer tx.end()
	return fn(tx)
}

func (m *memory) Update(ctx context.Context, fn func(Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	tx := &memoryTx{m: m, writable: true}
	committed := false
	defer func() { // also when fn panics
		if !committed {
			tx.rollback()
		}
		tx.end()
	}()
	if err := fn(tx); err != nil {
		return err
	}
	committed = true
	return nil
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.keys, m.values = nil, nil
	return nil
}

// put stores value, which is the store's own from here on.
func (m *memory) put(key string, value []byte) {
	if _, ok := m.values[key]; !ok {
		i, _ := slices.BinarySearch(m.keys, key)
		m.keys = slices.Insert(m.keys, i, key)
	}
	m.values[key] = value
}

func (m *memory) remove(key string) {
	if _, ok := m.values[key]; !ok {
		return
	}
	i, _ := slices.BinarySearch(m.keys, key)
	m.keys = slices.Delete(m.keys, i, i+1)
	delete(m.values, key)
}

// memoryTx writes in place and keeps what it overwrote.
type memoryTx struct {
	m        *memory
	writable bool
	ended    bool
	undo     []change
}

// change is a key's state before a write.
type change struct {
	key     string
	value   []byte
	existed bool
}

func (tx *memoryTx) end() { tx.ended, tx.undo = true, nil }

func (tx *memoryTx) rollback() {
	for _, c := range slices.Backward(tx.undo) {
		if c.existed {
			tx.m.put(c.key, c.value)
		} else {
			tx.m.remove(c.key)
		}
	}
}

func (tx *memoryTx) Get(key string) ([]byte, error) {
	if tx.ended {
		return nil, ErrEnded
	}
	return bytes.Clone(tx.m.values[key]), nil
}

func (tx *memoryTx) Put(key string, value []byte) error {
	if err := tx.prepare(key); err != nil {
		return err
	}
	tx.m.put(key, append(make([]byte, 0, len(value)), value...))
	return nil
}

func (tx *memoryTx) Delete(key string) error {
	if err := tx.prepare(key); err != nil {
		return err
	}
	tx.m.remove(key)
	return nil
}

// prepare checks that key may be written and remembers its present value.
func (tx *memoryTx) prepare(key string) error {
	switch {
	case tx.ended:
		return ErrEnded
	case !tx.writable:
		return ErrReadOnly
	}
	if err := CheckKey(key); err != nil {
		return err
	}
	old, existed := tx.m.values[key]
	tx.undo = append(tx.undo, change{key, old, existed})
	return nil
}

func (tx *memoryTx) Scan(prefix string, fn func(key string, value []byte) bool) error {
	if tx.ended {
		return ErrEnded
	}
	i, _ := slices.BinarySearch(tx.m.keys, prefix)
	for i < len(tx.m.keys) && strings.HasPrefix(tx.m.keys[i], prefix) {
		key := tx.m.keys[i]
		if !fn(key, bytes.Clone(tx.m.values[key])) {
			return nil
		}
		// fn may have written: look the place up again.
		at, found := slices.BinarySearch(tx.m.keys, key)
		i = at
		if found {
			i++
		}
	}
	return nil
}
