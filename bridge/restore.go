package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"lamplighter/internal/as"
	"lamplighter/internal/backup/archive"
	"lamplighter/internal/gm"
	"lamplighter/internal/store"
	"lamplighter/internal/store/bolt"
	"lamplighter/internal/store/sealed"
)

// restoreBatch is how many records of a backup one commit takes.
const restoreBatch = 1000

// restore makes a server's state from a backup, in a folder where that server has
// none yet. The store gets its name when all is done.
func restore(ctx context.Context, from io.Reader, data, role string, now time.Time) (archive.Head, error) {
	a, err := archive.NewReader(from)
	if err != nil {
		return archive.Head{}, err
	}
	head := a.Head()
	if head.Role != role {
		return head, fmt.Errorf("this is a backup of %q: restore it with lamplighter %s restore", head.Role, head.Role)
	}
	path := storeFile(data, role)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return head, fmt.Errorf("%s exists: a backup is restored into an empty folder, nothing is overwritten", path)
	}
	if err := os.MkdirAll(filepath.Join(data, "keys"), 0o700); err != nil {
		return head, err
	}
	next := path + ".restoring"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return head, err
	}
	defer os.Remove(next)
	if err := restoreInto(ctx, a, next, data, role, now); err != nil {
		return head, err
	}
	if err := os.Rename(next, path); err != nil {
		return head, err
	}
	return head, syncFolder(data)
}

func restoreInto(ctx context.Context, a *archive.Reader, path, data, role string, now time.Time) (err error) {
	key, err := newStoreKey(data)
	if err != nil {
		return err
	}
	raw, err := bolt.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, raw.Close()) }()
	s, err := sealed.Open(ctx, raw, key, role, rand.Reader)
	if err != nil {
		return err
	}
	files, err := fillStore(ctx, a, s)
	if err != nil {
		return err
	}
	created := time.Unix(a.Head().Created, 0)
	if role == asName {
		err = as.Restored(ctx, s, created, now)
	} else {
		err = gm.Restored(ctx, s, created, now, rand.Reader)
	}
	if err != nil {
		return err
	}
	return restoreFiles(data, files)
}

// fillStore puts the records into the store and returns the files.
func fillStore(ctx context.Context, a *archive.Reader, s store.Store) (files []archive.Item, err error) {
	var batch []archive.Item
	flush := func() error {
		records := batch
		batch = nil
		return s.Update(ctx, func(tx store.Tx) error {
			for _, i := range records {
				if err := tx.Put(i.Name, i.Data); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for {
		i, err := a.Next()
		switch {
		case errors.Is(err, io.EOF):
			return files, flush()
		case err != nil:
			return nil, err
		case i.Kind == archive.File:
			files = append(files, i)
		default:
			if batch = append(batch, i); len(batch) == restoreBatch {
				if err := flush(); err != nil {
					return nil, err
				}
			}
		}
	}
}

// restoreFiles writes the files of a backup. One that is there already must be the
// same: the two servers of a site share some.
func restoreFiles(data string, files []archive.Item) error {
	for _, f := range files {
		path := filepath.Join(data, filepath.FromSlash(f.Name))
		there, err := os.ReadFile(path)
		if err == nil && bytes.Equal(there, f.Data) {
			continue
		}
		if err == nil {
			return fmt.Errorf("%s exists and is another than that of the backup: nothing is overwritten", path)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := writeNew(path, f.Data); err != nil {
			return err
		}
	}
	return nil
}

// writeNew writes a file of the owner's that does not exist yet, durably.
func writeNew(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close(), syncFolder(filepath.Dir(path)))
}
