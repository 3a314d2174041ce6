package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"

	"lamplighter/internal/backup"
	"lamplighter/internal/backup/archive"
	"lamplighter/internal/store"
)

func runningGM(t *testing.T, data string) *gmRole {
	t.Helper()
	g, err := startGM(t.Context(), gmOptions{data: data, listen: netip.MustParseAddrPort("127.0.0.1:0"), groups: []string{"hall", "stage"}, logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.stop)
	return g
}

// backUp makes a backup file of a server that runs or does not.
func backUp(t *testing.T, data, role string, lock backup.Lock) string {
	t.Helper()
	from, err := openBackup(t.Context(), data, role)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	path := filepath.Join(t.TempDir(), "backup.age")
	if _, err := saveBackup(path, from, lock); err != nil {
		t.Fatal(err)
	}
	return path
}

func restoreFile(ctx context.Context, path, data, role string, key backup.Key) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	plain, err := key.Reader(file)
	if err != nil {
		return err
	}
	_, err = restore(ctx, plain, data, role, time.Now())
	return err
}

func identityOf(t *testing.T) (backup.Lock, backup.Key) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return backup.Lock{Recipients: []string{id.Recipient().String()}}, backup.Key{Identities: id.String()}
}

// A backup of a running server holds its groups and its identity; the restored one
// runs, and its folder is not restored into again.
func TestBackupWhileRunning(t *testing.T) {
	data, into := t.TempDir(), filepath.Join(t.TempDir(), "new")
	g := runningGM(t, data)
	lock, key := identityOf(t)
	path := backUp(t, data, gmName, lock)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v %v", info, err)
	}
	if err := restoreFile(t.Context(), path, into, gmName, key); err != nil {
		t.Fatal(err)
	}
	restored := runningGM(t, into)
	if !bytes.Equal(restored.identity.cred, g.identity.cred) {
		t.Error("the restored Group Manager has another credential")
	}
	for _, name := range []string{"hall", "stage"} {
		if _, err := restored.server.Members(t.Context(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := restoreFile(t.Context(), path, into, gmName, key); err == nil || !strings.Contains(err.Error(), "nothing is overwritten") {
		t.Errorf("restored over a server: %v", err)
	}
	if err := restoreFile(t.Context(), path, t.TempDir(), asName, key); err == nil || !strings.Contains(err.Error(), "gm restore") {
		t.Errorf("restored as another server: %v", err)
	}
	from, err := openBackup(t.Context(), data, gmName)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	if _, err := saveBackup(path, from, lock); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("a backup was overwritten: %v", err)
	}
}

// AS and GM share a folder, and the keys in it; a key that differs stays.
func TestRestoreBesideTheOther(t *testing.T) {
	data := t.TempDir()
	for _, role := range []string{asName, gmName} {
		_, _, s, err := openServer(data, role)
		if err != nil {
			t.Fatal(err)
		}
		putRecord(t, s, "format", "1")
		s.Close()
	}
	lock, key := identityOf(t)
	ofAS, ofGM := backUp(t, data, asName, lock), backUp(t, data, gmName, lock)
	into := t.TempDir()
	for path, role := range map[string]string{ofAS: asName, ofGM: gmName} {
		if err := restoreFile(t.Context(), path, into, role, key); err != nil {
			t.Fatal(err)
		}
	}
	for _, role := range []string{asName, gmName} {
		_, _, s, err := openServer(into, role)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	other := t.TempDir()
	if _, err := secretFile(tokenKeyFile(other), 16); err != nil {
		t.Fatal(err)
	}
	if err := restoreFile(t.Context(), ofGM, other, gmName, key); err == nil || !strings.Contains(err.Error(), "nothing is overwritten") {
		t.Errorf("over another token key: %v", err)
	}
	if _, err := os.Stat(storeFile(other, gmName)); err == nil {
		t.Error("a store without its keys was left")
	}
}

// The backup of the Group Manager has no key of the Authorization Server, and the
// other way round.
func TestBackupFiles(t *testing.T) {
	data := t.TempDir()
	for _, name := range []string{"keys/gm.key", "keys/gm-p256.key", "keys/as.key", "keys/token.key", "keys/store.key", "keys/session.key", "access/ann.json"} {
		path := filepath.Join(data, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for role, want := range map[string]string{
		gmName: "keys/gm-p256.key keys/gm.key keys/token.key",
		asName: "access/ann.json keys/as.key keys/session.key keys/token.key",
	} {
		files, err := backupFiles(data, role)
		if got := strings.Join(files, " "); err != nil || got != want {
			t.Errorf("%s: %s %v", role, got, err)
		}
	}
}

// A backup that breaks off, or that nobody can open, leaves no file and no state.
func TestBadBackups(t *testing.T) {
	lock, key := identityOf(t)
	data := t.TempDir()
	runningGM(t, data)
	path := backUp(t, data, gmName, lock)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, another := identityOf(t)
	for name, tt := range map[string]struct {
		file []byte
		key  backup.Key
	}{
		"another key": {file, another},
		"cut":         {file[:len(file)-100], key},
		"changed":     {append(bytes.Clone(file[:len(file)-50]), make([]byte, 50)...), key},
		"no backup":   {[]byte("hello"), key},
	} {
		broken, into := filepath.Join(t.TempDir(), "b"), t.TempDir()
		if err := os.WriteFile(broken, tt.file, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := restoreFile(t.Context(), broken, into, gmName, tt.key); err == nil {
			t.Errorf("%s was restored", name)
		}
		if left, _ := filepath.Glob(filepath.Join(into, "gm.db*")); left != nil {
			t.Errorf("%s left %v", name, left)
		}
	}
	half, err := openBackup(t.Context(), data, gmName)
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	target := filepath.Join(t.TempDir(), "half.age")
	if _, err := saveBackup(target, io.LimitReader(half, 200), lock); !errors.Is(err, archive.ErrFormat) {
		t.Errorf("half a backup: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(target)); len(left) != 0 {
		t.Errorf("half a backup left %v", left)
	}
}

// A backup is of one moment, however much is written meanwhile.
func TestBackupIsOfOneMoment(t *testing.T) {
	s := reopen(t, t.TempDir())
	var stop atomic.Bool
	done := make(chan error, 1)
	go func() { // both records are always the same
		for i := byte(0); !stop.Load(); i++ {
			if err := s.Update(context.Background(), func(tx store.Tx) error {
				return errors.Join(tx.Put("a", []byte{i}), tx.Put("z", []byte{i}))
			}); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range 20 {
		var out bytes.Buffer
		if err := writeBackup(t.Context(), &out, s, t.TempDir(), gmName, time.Now()); err != nil {
			t.Fatal(err)
		}
		a, err := archive.NewReader(&out)
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]string{}
		for {
			i, err := a.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			values[i.Name] = string(i.Data)
		}
		if values["a"] != values["z"] {
			t.Fatalf("of two moments: %x %x", values["a"], values["z"])
		}
	}
	stop.Store(true)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
