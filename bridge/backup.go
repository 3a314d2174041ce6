package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"lamplighter/bridge/control"
	"lamplighter/internal/backup"
	"lamplighter/internal/backup/archive"
	"lamplighter/internal/store"
	"lamplighter/internal/store/sealed"
)

// backupFiles are the files of the data folder that belong to a server besides its
// store. The store key is not among them: a restored store gets one of its own.
func backupFiles(data, role string) ([]string, error) {
	patterns := []string{"keys/" + gmName + "*.key", "keys/token.key"}
	if role == asName {
		patterns = []string{"keys/*", "access/*"}
	}
	var files []string
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(data, pattern))
		if err != nil {
			return nil, err
		}
		for _, path := range found {
			name, _ := filepath.Rel(data, path)
			others, _ := filepath.Match(gmName+"*.key", filepath.Base(path))
			info, err := os.Stat(path)
			if err != nil || !info.Mode().IsRegular() || path == storeKeyFile(data) || role == asName && others {
				continue
			}
			files = append(files, filepath.ToSlash(name))
		}
	}
	slices.Sort(files)
	return files, nil
}

// writeBackup writes everything of a server: one consistent state of its store,
// which may go on being used.
func writeBackup(ctx context.Context, out io.Writer, s store.Store, data, role string, now time.Time) error {
	w, err := archive.NewWriter(out, archive.Head{Role: role, Created: now.Unix(), Version: version})
	if err != nil {
		return err
	}
	files, err := backupFiles(data, role)
	if err != nil {
		return err
	}
	for _, name := range files {
		content, err := os.ReadFile(filepath.Join(data, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		if err := w.Put(archive.Item{Kind: archive.File, Name: name, Data: content}); err != nil {
			return err
		}
	}
	if err := s.View(ctx, func(tx store.Tx) error {
		var failed error
		err := tx.Scan("", func(key string, value []byte) bool {
			failed = w.Put(archive.Item{Kind: archive.Record, Name: key, Data: value})
			return failed == nil
		})
		return errors.Join(err, failed)
	}); err != nil {
		return err
	}
	return w.Close()
}

// serveBackup adds the command that streams a backup to whoever owns the data
// folder. When it fails half-way the connection is cut, so that nobody takes a part
// for the whole.
func serveBackup(mux *http.ServeMux, s store.Store, data, role string, logger *slog.Logger) {
	mux.HandleFunc("GET /backup", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		if err := writeBackup(r.Context(), w, s, data, role, time.Now()); err != nil {
			logger.Error("a backup failed", "role", role, "err", err)
			panic(http.ErrAbortHandler)
		}
		logger.Info("made a backup", "role", role)
	})
}

// openBackup asks the running server for a backup, or reads the store of one that
// does not run.
func openBackup(ctx context.Context, data, role string) (io.ReadCloser, error) {
	resp, err := control.Do(ctx, data, role, http.MethodGet, "/backup", nil)
	if err == nil {
		return resp.Body, nil
	}
	if !errors.Is(err, control.ErrNotRunning) {
		return nil, err
	}
	if _, err := os.Stat(storeFile(data, role)); err != nil {
		return nil, fmt.Errorf("there is nothing to back up in %s: %w", data, err)
	}
	if err := keysThere(data, role); err != nil {
		return nil, err
	}
	s, err := openStore(ctx, data, role)
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	go func() {
		err := writeBackup(ctx, w, s, data, role, time.Now())
		w.CloseWithError(errors.Join(err, s.Close()))
	}()
	return r, nil
}

// saveBackup encrypts a backup into a new file. What is there is not replaced, and
// the name appears when the file is complete.
func saveBackup(path string, from io.Reader, lock backup.Lock) (records int, err error) {
	if _, err := os.Lstat(path); err == nil {
		return 0, fmt.Errorf("%s exists already", path)
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // 0600
	if err != nil {
		return 0, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	w, err := lock.Writer(file)
	if err != nil {
		return 0, err
	}
	records, err = checkBackup(io.TeeReader(from, w))
	if err != nil {
		return 0, err
	}
	if err := errors.Join(w.Close(), file.Sync(), file.Close(), os.Link(file.Name(), path)); err != nil {
		return 0, err
	}
	return records, syncFolder(filepath.Dir(path))
}

// checkBackup reads a backup to its end.
func checkBackup(r io.Reader) (records int, err error) {
	a, err := archive.NewReader(r)
	for err == nil {
		var i archive.Item
		if i, err = a.Next(); err == nil && i.Kind == archive.Record {
			records++
		}
	}
	if errors.Is(err, io.EOF) {
		return records, nil
	}
	return 0, fmt.Errorf("reading the backup from the server: %w", err)
}

// newStoreKey is the key for a restored store: that of the other server in the
// folder, or a new one.
func newStoreKey(data string) ([]byte, error) {
	if _, err := os.Stat(storeKeyFile(data)); errors.Is(err, fs.ErrNotExist) {
		for _, role := range []string{asName, gmName} {
			if _, err := os.Stat(storeFile(data, role)); err == nil {
				return nil, fmt.Errorf("there is a store %s and no %s: put that file back first", storeFile(data, role), storeKeyFile(data))
			}
		}
	}
	return secretFile(storeKeyFile(data), sealed.KeySize)
}
