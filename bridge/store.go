package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"lamplighter/internal/store"
	"lamplighter/internal/store/bolt"
	"lamplighter/internal/store/sealed"
)

// drainPatience is how long a server that ends waits for the answers under way.
const drainPatience = 5 * time.Second

// storeKeyFile holds the key under which AS and GM keep their state.
func storeKeyFile(data string) string { return filepath.Join(data, "keys", "store.key") }

func storeFile(data, name string) string { return filepath.Join(data, name+".db") }

// openStore opens the encrypted store of a server in a data folder, or makes a new
// one. A store of a version that did not encrypt is replaced by an encrypted copy.
func openStore(ctx context.Context, data, name string) (store.Store, error) {
	path := storeFile(data, name)
	raw, err := bolt.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening its store: %w", err)
	}
	s, err := unseal(ctx, raw, data, name)
	if errors.Is(err, sealed.ErrPlain) {
		if raw, err = encrypt(ctx, raw, path, data, name); err == nil {
			s, err = unseal(ctx, raw, data, name)
		}
	}
	if err != nil {
		if raw != nil {
			raw.Close()
		}
		return nil, fmt.Errorf("opening its store %s: %w", path, err)
	}
	return s, nil
}

func unseal(ctx context.Context, raw store.Store, data, name string) (store.Store, error) {
	key, err := storeKey(ctx, raw, data)
	if err != nil {
		return nil, err
	}
	s, err := sealed.Open(ctx, raw, key, name, rand.Reader)
	if errors.Is(err, sealed.ErrKey) {
		return nil, fmt.Errorf("%w: put the %s back that belongs to it, or restore a backup into an empty folder", err, storeKeyFile(data))
	}
	return s, err
}

// storeKey reads the store key. It is made for a store that needs none yet, and
// never for one that is encrypted already.
func storeKey(ctx context.Context, raw store.Store, data string) ([]byte, error) {
	state, err := sealed.Look(ctx, raw)
	if err != nil {
		return nil, err
	}
	path := storeKeyFile(data)
	if _, err := os.Stat(path); state == sealed.Sealed && errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("it is encrypted and its key %s is missing: put that file back, or restore a backup into an empty folder", path)
	}
	return secretFile(path, sealed.KeySize)
}

// encrypt replaces a plain store by an encrypted copy. The copy is complete before
// it takes the place, so that a crash leaves the one or the other. It closes plain.
func encrypt(ctx context.Context, plain store.Store, path, data, name string) (store.Store, error) {
	defer plain.Close()
	key, err := secretFile(storeKeyFile(data), sealed.KeySize)
	if err != nil {
		return nil, err
	}
	next := path + ".encrypting"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a start that was cut off
		return nil, err
	}
	into, err := bolt.Open(next)
	if err != nil {
		return nil, err
	}
	err = sealed.Copy(ctx, into, plain, key, name, rand.Reader)
	if err = errors.Join(err, into.Close()); err != nil {
		return nil, fmt.Errorf("encrypting it: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return nil, err
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	return bolt.Open(path)
}

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
