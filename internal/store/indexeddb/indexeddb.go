//go:build js && wasm

package indexeddb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"lamplighter/internal/store"
)

// ErrUnavailable says that there is no IndexedDB or no WebCrypto here: not a
// secure context, or storage is switched off.
var ErrUnavailable = errors.New("the browser offers no storage to this page")

// ErrDamaged says that a stored value does not open.
var ErrDamaged = errors.New("stored data is damaged")

// ErrTakenOver says that the database was opened again somewhere else: nothing is
// written any more.
var ErrTakenOver = errors.New("another tab has taken the site over")

// Open opens the database of that name and loads it.
func Open(ctx context.Context, name string) (store.Store, error) {
	v, err := openVault(name)
	if err != nil {
		return nil, err
	}
	values, err := v.load()
	if err != nil {
		v.close()
		return nil, err
	}
	d := &database{vault: v, durable: newTree(values)}
	d.latest = d.durable.clone()
	d.idle = sync.NewCond(&d.mu)
	return d, nil
}

type database struct {
	vault *vault

	mu      sync.Mutex
	idle    *sync.Cond // no write is under way
	durable *tree      // what is on disk
	latest  *tree      // durable and what is staged
	next    *batch     // staged, not yet being written; nil: nothing
	flying  *batch     // being written; nil: nothing
	closed  bool
}

// batch is what one IndexedDB transaction writes.
type batch struct {
	changes map[string][]byte // nil: delete
	done    chan struct{}
	err     error
}

func (d *database) View(ctx context.Context, fn func(store.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return store.ErrClosed
	}
	tx := &transaction{tree: d.durable}
	defer tx.end()
	return fn(tx)
}

func (d *database) Update(ctx context.Context, fn func(store.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b, err := d.stage(fn)
	if err != nil || b == nil {
		return err
	}
	// From here on the write cannot be called back: ctx no longer matters.
	<-b.done
	return b.err
}

// stage runs fn and returns the batch that its writes are part of; nil when
// there is nothing to wait for.
func (d *database) stage(fn func(store.Tx) error) (*batch, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, store.ErrClosed
	}
	tx := &transaction{tree: d.latest, writable: true}
	kept := false
	defer func() { // also when fn panics
		if !kept {
			tx.rollback()
		}
		tx.end()
	}()
	if err := fn(tx); err != nil {
		return nil, err
	}
	kept = true
	if len(tx.undo) == 0 {
		// It may have read what is not durable yet.
		if d.next != nil {
			return d.next, nil
		}
		return d.flying, nil
	}
	return d.add(tx), nil
}

// add puts what tx wrote into the next batch and starts the writer.
func (d *database) add(tx *transaction) *batch {
	if d.next == nil {
		d.next = &batch{changes: map[string][]byte{}, done: make(chan struct{})}
	}
	b := d.next
	for _, c := range tx.undo {
		b.changes[c.key] = d.latest.values[c.key]
	}
	if d.flying == nil {
		d.launch()
		go d.write(b)
	}
	return b
}

func (d *database) launch() { d.flying, d.next = d.next, nil }

// write writes b and whatever was staged meanwhile.
func (d *database) write(b *batch) {
	for b != nil {
		b = d.landed(b, d.vault.write(b.changes))
	}
}

// landed takes note of a written batch and returns the next one, if any.
func (d *database) landed(b *batch, err error) *batch {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		d.durable.apply(b.changes)
	} else {
		// What was staged since was built on what is lost now.
		b.err = fmt.Errorf("writing to IndexedDB: %w", err)
		if d.next != nil {
			d.next.err = b.err
			close(d.next.done)
			d.next = nil
		}
		d.latest = d.durable.clone()
	}
	close(b.done)
	d.launch()
	if d.flying == nil {
		d.idle.Broadcast()
	}
	return d.flying
}

// Close waits for staged writes.
func (d *database) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	for d.flying != nil {
		d.idle.Wait()
	}
	d.vault.close()
	d.durable, d.latest = nil, nil
	return nil
}

// tree is a sorted map. Values are never changed in place.
type tree struct {
	keys   []string
	values map[string][]byte
}

func newTree(values map[string][]byte) *tree {
	t := &tree{values: values}
	for k := range values {
		t.keys = append(t.keys, k)
	}
	slices.Sort(t.keys)
	return t
}

func (t *tree) clone() *tree {
	values := make(map[string][]byte, len(t.values))
	for k, v := range t.values {
		values[k] = v
	}
	return &tree{keys: slices.Clone(t.keys), values: values}
}

func (t *tree) apply(changes map[string][]byte) {
	for key, value := range changes {
		if value == nil {
			t.remove(key)
		} else {
			t.put(key, value)
		}
	}
}

func (t *tree) put(key string, value []byte) {
	if _, ok := t.values[key]; !ok {
		i, _ := slices.BinarySearch(t.keys, key)
		t.keys = slices.Insert(t.keys, i, key)
	}
	t.values[key] = value
}

func (t *tree) remove(key string) {
	if _, ok := t.values[key]; !ok {
		return
	}
	i, _ := slices.BinarySearch(t.keys, key)
	t.keys = slices.Delete(t.keys, i, i+1)
	delete(t.values, key)
}
