// Package storetest holds what every [store.Store] must do, as tests.
package storetest

import (
	"context"
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

func testReadsOwnWrites(t *testing.T, s store.Store) {
	put(t, s, "a", "1", "c", "3")
	var seen []string
	var a, c []byte
	must(t, s.Update(t.Context(), func(tx store.Tx) error {
		seen = nil
		err := errors.Join(tx.Put("a", []byte("2")), tx.Put("b", []byte("new")), tx.Delete("c"))
		if err != nil {
			return err
		}
		a, _ = tx.Get("a")
		c, _ = tx.Get("c")
		return tx.Scan("", func(k string, v []byte) bool {
			seen = append(seen, k+"="+string(v))
			return true
		})
	}))
	want(t, seen, "a=2", "b=new")
	if string(a) != "2" || c != nil {
		t.Fatalf("got a=%q c=%q", a, c)
	}
}

func testRollback(t *testing.T, s store.Store) {
	put(t, s, "a", "1", "b", "2")
	boom := errors.New("boom")
	err := s.Update(t.Context(), func(tx store.Tx) error {
		return errors.Join(tx.Put("a", []byte("x")), tx.Put("a", []byte("y")), tx.Delete("b"),
			tx.Put("b", []byte("z")), tx.Put("new", []byte("n")), tx.Delete("new"), tx.Put("new2", nil), boom)
	})
	if !errors.Is(err, boom) {
		t.Fatalf("got %v, want fn's own error", err)
	}
	want(t, dump(t, s, ""), "a=1", "b=2")
	put(t, s, "c", "3")
	want(t, dump(t, s, ""), "a=1", "b=2", "c=3")
}

func testRollbackOnPanic(t *testing.T, s store.Store) {
	put(t, s, "a", "1")
	func() {
		defer func() {
			if p := recover(); p != "boom" {
				t.Fatalf("recovered %v, want fn's own panic", p)
			}
		}()
		s.Update(t.Context(), func(tx store.Tx) error {
			tx.Put("a", []byte("x"))
			panic("boom")
		})
	}()
	put(t, s, "b", "2") // no lock was left behind
	want(t, dump(t, s, ""), "a=1", "b=2")
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

func testScanOrder(t *testing.T, s store.Store) {
	var pairs []string
	for _, k := range []string{"b", "a/2", "a/10", "a/1", "a", "a0", "ab", "\x00", "\xff\xff", "a/\xff", "a//"} {
		pairs = append(pairs, k, "v")
	}
	put(t, s, pairs...)
	want(t, dump(t, s, "a/"), "a//=v", "a/1=v", "a/10=v", "a/2=v", "a/\xff=v")
	want(t, dump(t, s, "a/1"), "a/1=v", "a/10=v")
	want(t, dump(t, s, "\xff"), "\xff\xff=v")
	want(t, dump(t, s, "nothing"))
	var all []string
	must(t, s.View(t.Context(), func(tx store.Tx) error {
		all = nil
		return tx.Scan("", func(k string, _ []byte) bool { all = append(all, k); return true })
	}))
	if len(all) != len(pairs)/2 || !slices.IsSorted(all) {
		t.Fatalf("scan of everything: %q", all)
	}
}

func testScanStops(t *testing.T, s store.Store) {
	put(t, s, "a", "1", "b", "2", "c", "3")
	n := 0
	must(t, s.View(t.Context(), func(tx store.Tx) error {
		n = 0
		return tx.Scan("", func(string, []byte) bool { n++; return n < 2 })
	}))
	if n != 2 {
		t.Fatalf("fn was called %d times after false, want 2", n)
	}
}

func testScanWhileWriting(t *testing.T, s store.Store) {
	const n = 500 // more than one page of a file
	must(t, s.Update(t.Context(), func(tx store.Tx) error {
		for i := range n {
			if err := tx.Put(fmt.Sprintf("k%03d", i), []byte(strings.Repeat("v", 40))); err != nil {
				return err
			}
		}
		return nil
	}))
	var seen []string
	must(t, s.Update(t.Context(), func(tx store.Tx) (err error) {
		seen = nil
		scanErr := tx.Scan("k", func(k string, _ []byte) bool {
			seen = append(seen, k)
			if len(seen)%2 == 0 {
				err = tx.Delete(k)
			} else {
				err = errors.Join(tx.Put(k, []byte("w")), tx.Put("a"+k, []byte("before")))
			}
			return err == nil
		})
		return errors.Join(err, scanErr)
	}))
	if len(seen) != n || !slices.IsSorted(seen) {
		t.Fatalf("the scan met %d keys, want %d in order", len(seen), n)
	}
	if left := dump(t, s, "k"); len(left) != n/2 || left[0] != "k000=w" {
		t.Fatalf("%d keys left, want %d", len(left), n/2)
	}
}

func testReadOnly(t *testing.T, s store.Store) {
	err := s.View(t.Context(), func(tx store.Tx) error { return tx.Put("a", nil) })
	if !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("Put in a View: %v", err)
	}
	err = s.View(t.Context(), func(tx store.Tx) error { return tx.Delete("a") })
	if !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("Delete in a View: %v", err)
	}
	want(t, dump(t, s, ""))
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

func testEndedTx(t *testing.T, s store.Store) {
	var kept store.Tx
	must(t, s.Update(t.Context(), func(tx store.Tx) error { kept = tx; return nil }))
	if _, err := kept.Get("a"); !errors.Is(err, store.ErrEnded) {
		t.Errorf("Get: %v", err)
	}
	if err := kept.Put("a", nil); !errors.Is(err, store.ErrEnded) {
		t.Errorf("Put: %v", err)
	}
	if err := kept.Scan("", func(string, []byte) bool { return true }); !errors.Is(err, store.ErrEnded) {
		t.Errorf("Scan: %v", err)
	}
}

func testCanceledContext(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	fn := func(tx store.Tx) error { return nil }
	if err := s.Update(ctx, fn); !errors.Is(err, context.Canceled) {
		t.Errorf("Update: %v", err)
	}
	if err := s.View(ctx, fn); !errors.Is(err, context.Canceled) {
		t.Errorf("View: %v", err)
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
