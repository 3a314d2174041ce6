// Package storetest holds what every [store.Store] must do, as tests, and what tests of
// its users share.
package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"lamplighter/internal/store"
)

// Run runs the conformance suite. open returns a new, empty store each time.
func Run(t *testing.T, open func() store.Store) {
	tests := []struct {
		name string
		test func(*testing.T, store.Store)
	}{
		{"GetPutDelete", testGetPutDelete},
		{"EmptyValue", testEmptyValue},
		{"ReadsOwnWrites", testReadsOwnWrites},
		{"Rollback", testRollback},
		{"RollbackOnPanic", testRollbackOnPanic},
		{"Copies", testCopies},
		{"ScanOrder", testScanOrder},
		{"ScanStops", testScanStops},
		{"ScanWhileWriting", testScanWhileWriting},
		{"ReadOnly", testReadOnly},
		{"Keys", testKeys},
		{"EndedTx", testEndedTx},
		{"CanceledContext", testCanceledContext},
		{"ConcurrentIncrements", testConcurrentIncrements},
		{"FailuresAmongOthers", testFailuresAmongOthers},
		{"Snapshot", testSnapshot},
		{"Prefix", testPrefix},
		{"Closed", testClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := open()
			t.Cleanup(func() { s.Close() })
			tt.test(t, s)
		})
	}
}

// must ends the test on an error. It stays outside of transactions, where
// FailNow would end somebody else's goroutine.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, s store.Store, pairs ...string) {
	t.Helper()
	must(t, s.Update(t.Context(), func(tx store.Tx) error {
		for i := 0; i < len(pairs); i += 2 {
			if err := tx.Put(pairs[i], []byte(pairs[i+1])); err != nil {
				return err
			}
		}
		return nil
	}))
}

func get(t *testing.T, s store.Store, key string) (value []byte) {
	t.Helper()
	must(t, s.View(t.Context(), func(tx store.Tx) (err error) {
		value, err = tx.Get(key)
		return err
	}))
	return value
}

// dump returns "key=value" of all keys with the prefix.
func dump(t *testing.T, s store.Store, prefix string) (all []string) {
	t.Helper()
	must(t, s.View(t.Context(), func(tx store.Tx) error {
		all = nil
		return tx.Scan(prefix, func(k string, v []byte) bool {
			all = append(all, k+"="+string(v))
			return true
		})
	}))
	return all
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func testGetPutDelete(t *testing.T, s store.Store) {
	if v := get(t, s, "a"); v != nil {
		t.Fatalf("an absent key has the value %q", v)
	}
	put(t, s, "a", "1", "b", "2")
	put(t, s, "a", "3")
	want(t, dump(t, s, ""), "a=3", "b=2")
	must(t, s.Update(t.Context(), func(tx store.Tx) error {
		if err := tx.Delete("a"); err != nil {
			return err
		}
		return tx.Delete("absent")
	}))
	want(t, dump(t, s, ""), "b=2")
}

func testEmptyValue(t *testing.T, s store.Store) {
	must(t, s.Update(t.Context(), func(tx store.Tx) error {
		if err := tx.Put("nil", nil); err != nil {
			return err
		}
		if err := tx.Put("empty", []byte{}); err != nil {
			return err
		}
		if v, err := tx.Get("nil"); err != nil || v == nil {
			return fmt.Errorf("an empty value reads as absent in its own transaction (%v)", err)
		}
		return nil
	}))
	for _, key := range []string{"nil", "empty"} {
		if v := get(t, s, key); v == nil || len(v) != 0 {
			t.Errorf("%s: got %#v, want an empty value that is not nil", key, v)
		}
	}
}

func testCopies(t *testing.T, s store.Store) {
	value := []byte("abc")
	must(t, s.Update(t.Context(), func(tx store.Tx) error {
		err := tx.Put("k", value)
		value[0] = 'X' // before the commit
		return err
	}))
	value[0] = 'a'
	got := get(t, s, "k")
	var scanned []byte
	must(t, s.View(t.Context(), func(tx store.Tx) error {
		return tx.Scan("k", func(_ string, v []byte) bool { scanned = v; return true })
	}))
	put(t, s, "k", "new")
	if string(got) != "abc" || string(scanned) != "abc" {
		t.Fatalf("got %q and %q, want what was put", got, scanned)
	}
	got = get(t, s, "k")
	got[0] = 'X'
	if v := get(t, s, "k"); string(v) != "new" {
		t.Fatalf("writing to a returned slice changed the store: %q", v)
	}
}

func testKeys(t *testing.T, s store.Store) {
	for name, key := range map[string]string{"empty": "", "too long": strings.Repeat("k", store.MaxKey+1)} {
		err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put(key, []byte("v")) })
		if !errors.Is(err, store.ErrKey) {
			t.Errorf("%s key: got %v, want ErrKey", name, err)
		}
	}
	const room = 16 // for a prefix
	put(t, s, strings.Repeat("k", store.MaxKey-room), "longest", "\x00\xfe/ü", "odd")
	if v := get(t, s, "\x00\xfe/ü"); string(v) != "odd" {
		t.Errorf("got %q", v)
	}
	if v := get(t, s, ""); v != nil {
		t.Errorf("the empty key has the value %q", v)
	}
}

func testPrefix(t *testing.T, s store.Store) {
	one, two := store.Prefix(s, "one/"), store.Prefix(s, "two/")
	put(t, s, "k", "outside", "one", "edge")
	put(t, one, "k", "1", "sub/x", "3")
	put(t, two, "k", "2")
	want(t, dump(t, one, ""), "k=1", "sub/x=3")
	want(t, dump(t, store.Prefix(one, "sub/"), ""), "x=3")
	want(t, dump(t, s, "one"), "one=edge", "one/k=1", "one/sub/x=3")
	must(t, one.Update(t.Context(), func(tx store.Tx) error { return tx.Delete("k") }))
	want(t, dump(t, two, ""), "k=2")
	err := one.Update(t.Context(), func(tx store.Tx) error { return tx.Put("", nil) })
	if !errors.Is(err, store.ErrKey) {
		t.Errorf("an empty key in a view: %v", err)
	}
	must(t, one.Close())
	err = one.View(t.Context(), func(store.Tx) error { return nil })
	if !errors.Is(err, store.ErrClosed) {
		t.Errorf("a closed view: %v", err)
	}
	want(t, dump(t, two, ""), "k=2")
}

func testClosed(t *testing.T, s store.Store) {
	must(t, s.Close())
	fn := func(store.Tx) error { return nil }
	if err := s.View(t.Context(), fn); !errors.Is(err, store.ErrClosed) {
		t.Errorf("View: %v", err)
	}
	if err := s.Update(t.Context(), fn); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Update: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}
