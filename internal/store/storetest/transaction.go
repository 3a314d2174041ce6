package storetest

import (
	"context"
	"errors"
	"testing"

	"lamplighter/internal/store"
)

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
