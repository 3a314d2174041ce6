package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lamplighter/internal/store"
	"lamplighter/internal/store/bolt"
)

func putRecord(t *testing.T, s store.Store, key, value string) {
	t.Helper()
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put(key, []byte(value)) }); err != nil {
		t.Fatal(err)
	}
}

func wantRecord(t *testing.T, s store.Store, key, want string) {
	t.Helper()
	if err := s.View(t.Context(), func(tx store.Tx) error {
		got, err := tx.Get(key)
		if string(got) != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// plainStore makes a store as versions did that did not encrypt.
func plainStore(t *testing.T, data string) {
	t.Helper()
	s, err := bolt.Open(storeFile(data, "gm"))
	if err != nil {
		t.Fatal(err)
	}
	putRecord(t, s, "a/1", "a secret of the lamps")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func reopen(t *testing.T, data string) store.Store {
	t.Helper()
	s, err := openStore(t.Context(), data, "gm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func wantUnreadable(t *testing.T, data string) {
	t.Helper()
	file, err := os.ReadFile(storeFile(data, "gm"))
	if err != nil || bytes.Contains(file, []byte("secret of the lamps")) {
		t.Errorf("the file holds the plain value (%v)", err)
	}
}

// A store of its own key file, which only the owner reads.
func TestStoreIsEncrypted(t *testing.T) {
	data := t.TempDir()
	s := reopen(t, data)
	putRecord(t, s, "a/1", "a secret of the lamps")
	s.Close()
	wantUnreadable(t, data)
	info, err := os.Stat(storeKeyFile(data))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %v %v", info, err)
	}
	wantRecord(t, reopen(t, data), "a/1", "a secret of the lamps")
}

// A plain store is encrypted at the first start, also after a start that was cut
// off half-way.
func TestPlainStoreIsEncrypted(t *testing.T) {
	data := t.TempDir()
	plainStore(t, data)
	if err := os.WriteFile(storeFile(data, "gm")+".encrypting", []byte("half a copy"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s := reopen(t, data)
		wantRecord(t, s, "a/1", "a secret of the lamps")
		s.Close()
		wantUnreadable(t, data)
	}
	if left, _ := filepath.Glob(filepath.Join(data, "*.encrypting")); left != nil {
		t.Errorf("%v is left", left)
	}
}

// A missing key is not replaced, a wrong one is told, and both say what to do.
func TestStoreKeys(t *testing.T) {
	tests := map[string]struct {
		damage func(path string) error
		says   string
	}{
		"missing": {os.Remove, "missing: put that file back, or restore a backup"},
		"another": {func(path string) error {
			return os.WriteFile(path, []byte(strings.Repeat("ab", 32)+"\n"), 0o600)
		}, "put the"},
		"cut": {func(path string) error { return os.Truncate(path, 10) }, "does not hold 32 bytes"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			s := reopen(t, data)
			putRecord(t, s, "a/1", "1")
			s.Close()
			path := storeKeyFile(data)
			key, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.damage(path); err != nil {
				t.Fatal(err)
			}
			_, err = openStore(t.Context(), data, "gm")
			if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("it says %v", err)
			}
			if err := os.WriteFile(path, key, 0o600); err != nil {
				t.Fatal(err)
			}
			wantRecord(t, reopen(t, data), "a/1", "1")
		})
	}
}

// A server that was at work does not make itself new keys.
func TestMissingIdentity(t *testing.T) {
	for _, file := range []string{"gm.key", "token.key"} {
		data := t.TempDir()
		_, _, s, err := openServer(data, "gm")
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		path := filepath.Join(data, "keys", file)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := openServer(data, "gm"); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("without %s: %v", file, err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s was made anew", file)
		}
	}
}
