//go:build !js

// Package bolt keeps a [store.Store] in one bbolt file. An update is on the disk
// when Update returns; updates that wait for the disk at the same time share one
// commit. It is for the native roles; a browser has package indexeddb.
package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"lamplighter/internal/store"
)

// ErrInUse is returned by [Open] when another process has the file open.
var ErrInUse = errors.New("the database is in use by another process")

// lockTimeout is how long Open waits for a process that is just ending.
const lockTimeout = 2 * time.Second

var bucket = []byte("lamplighter")

// Open opens or creates the file at path; its folder must exist. Only its owner
// can read the file: it holds keys.
func Open(path string) (store.Store, error) {
	_, err := os.Stat(path)
	created := errors.Is(err, os.ErrNotExist)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:        lockTimeout,
		NoFreelistSync: true, // less to write; rebuilt when the file is opened
		FreelistType:   bbolt.FreelistMapType,
	})
	if errors.Is(err, bbolt.ErrTimeout) {
		return nil, fmt.Errorf("opening %s: %w", path, ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	if err := prepare(db, path, created); err != nil {
		db.Close()
		return nil, fmt.Errorf("preparing %s: %w", path, err)
	}
	trim(db) // making the list of free pages has read all of them
	return &boltStore{db: db}, nil
}

// prepare makes the bucket, and for a new file the folder's entry durable.
func prepare(db *bbolt.DB, path string, created bool) error {
	var ready bool
	if err := db.View(func(tx *bbolt.Tx) error {
		ready = tx.Bucket(bucket) != nil
		return nil
	}); err != nil || ready {
		return err
	}
	if err := db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucket)
		return err
	}); err != nil || !created {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

type boltStore struct {
	db    *bbolt.DB
	queue queue
	runs  atomic.Uint64
}

// count trims the mapping after some transactions.
func (s *boltStore) count() {
	if s.runs.Add(1)%trimEvery == 0 {
		trim(s.db)
	}
}

func (s *boltStore) View(ctx context.Context, fn func(store.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	defer s.count()
	return explain(s.db.View(func(tx *bbolt.Tx) error { return run(tx, fn) }))
}

func (s *boltStore) Update(ctx context.Context, fn func(store.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	defer s.count()
	return explain(s.queue.update(s.db, fn))
}

// Close waits for running transactions.
func (s *boltStore) Close() error { return s.db.Close() }

func explain(err error) error {
	if errors.Is(err, bbolt.ErrDatabaseNotOpen) {
		return store.ErrClosed
	}
	return err
}

func run(tx *bbolt.Tx, fn func(store.Tx) error) error {
	t := &boltTx{bucket: tx.Bucket(bucket), writable: tx.Writable()}
	defer func() { t.ended = true }()
	return fn(t)
}

type boltTx struct {
	bucket   *bbolt.Bucket
	writable bool
	ended    bool
	writes   int
}

func (tx *boltTx) Get(key string) ([]byte, error) {
	if tx.ended {
		return nil, store.ErrEnded
	}
	return bytes.Clone(tx.bucket.Get([]byte(key))), nil
}

func (tx *boltTx) Put(key string, value []byte) error {
	if err := tx.check(key); err != nil {
		return err
	}
	tx.writes++
	return tx.bucket.Put([]byte(key), append([]byte{}, value...)) // bbolt keeps the slice until the commit
}

func (tx *boltTx) Delete(key string) error {
	if err := tx.check(key); err != nil {
		return err
	}
	tx.writes++
	return tx.bucket.Delete([]byte(key))
}

func (tx *boltTx) check(key string) error {
	switch {
	case tx.ended:
		return store.ErrEnded
	case !tx.writable:
		return store.ErrReadOnly
	}
	return store.CheckKey(key)
}

func (tx *boltTx) Scan(prefix string, fn func(key string, value []byte) bool) error {
	if tx.ended {
		return store.ErrEnded
	}
	c := tx.bucket.Cursor()
	for k, v := c.Seek([]byte(prefix)); k != nil && bytes.HasPrefix(k, []byte(prefix)); {
		key, before := string(k), tx.writes
		if !fn(key, bytes.Clone(v)) {
			return nil
		}
		if tx.writes == before {
			k, v = c.Next()
			continue
		}
		// A write moves entries under a cursor: look the place up again.
		if k, v = c.Seek([]byte(key)); string(k) == key {
			k, v = c.Next()
		}
	}
	return nil
}
