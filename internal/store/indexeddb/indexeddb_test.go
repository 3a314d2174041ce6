//go:build js && wasm

package indexeddb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall/js"
	"testing"
	"time"

	"lamplighter/internal/store"
	"lamplighter/internal/store/storetest"
)

func open(t *testing.T, name string) store.Store {
	t.Helper()
	s, err := Open(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fresh() string { return fmt.Sprintf("test-%x", rand.Uint64()) }

func put(t *testing.T, s store.Store, key, value string) {
	t.Helper()
	err := s.Update(context.Background(), func(tx store.Tx) error { return tx.Put(key, []byte(value)) })
	if err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, s store.Store, key string) (value string) {
	t.Helper()
	err := s.View(context.Background(), func(tx store.Tx) error {
		v, err := tx.Get(key)
		value = string(v)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestSurvivesReopening(t *testing.T) {
	name := fresh()
	s := open(t, name)
	put(t, s, "a", "1")
	put(t, s, "b", "2")
	put(t, s, "a", "3")
	if err := s.Update(context.Background(), func(tx store.Tx) error { return tx.Delete("b") }); err != nil {
		t.Fatal(err)
	}
	// No Close: a killed tab does not close either.
	again := open(t, name)
	if got := get(t, again, "a"); got != "3" {
		t.Errorf("a = %q", got)
	}
	if got := get(t, again, "b"); got != "" {
		t.Errorf("b = %q, was deleted", got)
	}
}

// TestTakenOver opens a database twice: only the later one writes.
func TestTakenOver(t *testing.T) {
	name := fresh()
	first := open(t, name)
	put(t, first, "a", "1")
	second := open(t, name)
	err := first.Update(context.Background(), func(tx store.Tx) error { return tx.Put("a", []byte("2")) })
	if !errors.Is(err, ErrTakenOver) {
		t.Errorf("err = %v", err)
	}
	if got := get(t, first, "a"); got != "1" {
		t.Errorf("a = %q for the first", got)
	}
	put(t, second, "b", "3")
	if a, b := get(t, second, "a"), get(t, second, "b"); a != "1" || b != "3" {
		t.Errorf("a = %q, b = %q", a, b)
	}
}

func TestUpdatesShareWrites(t *testing.T) {
	name := fresh()
	s := open(t, name)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			err := s.Update(context.Background(), func(tx store.Tx) error {
				n, _ := tx.Get("n")
				return tx.Put("n", append(n, byte(i)))
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := get(t, open(t, name), "n"); len(got) != 200 {
		t.Errorf("%d of 200 updates arrived", len(got))
	}
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	s := open(t, fresh())
	put(t, s, "a", "1")
	if !failNext() {
		t.Skip("a real IndexedDB fails when it wants")
	}
	var wg sync.WaitGroup
	errs := make([]error, 3)
	for i := range errs {
		wg.Go(func() {
			errs[i] = s.Update(context.Background(), func(tx store.Tx) error { return tx.Put("a", []byte("2")) })
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err == nil {
			t.Errorf("update %d says it is durable", i)
		}
	}
	if got := get(t, s, "a"); got != "1" {
		t.Errorf("a = %q after a failed write", got)
	}
	put(t, s, "a", "4")
	if got := get(t, s, "a"); got != "4" {
		t.Errorf("a = %q: the store did not recover", got)
	}
}

func TestErrorAndPanicRollBack(t *testing.T) {
	s := open(t, fresh())
	put(t, s, "a", "1")
	bad := errors.New("no")
	err := s.Update(context.Background(), func(tx store.Tx) error {
		tx.Put("a", []byte("2"))
		tx.Put("b", []byte("2"))
		return bad
	})
	if err != bad {
		t.Errorf("err = %v", err)
	}
	func() {
		defer func() { recover() }()
		s.Update(context.Background(), func(tx store.Tx) error {
			tx.Delete("a")
			panic("x")
		})
	}()
	if a, b := get(t, s, "a"), get(t, s, "b"); a != "1" || b != "" {
		t.Errorf("a = %q, b = %q", a, b)
	}
}

// TestAtRest looks at what IndexedDB holds: no plaintext, a key that cannot be
// exported, and a value that does not open under another name.
func TestAtRest(t *testing.T) {
	dump := js.Global().Get("indexedDB").Get("dump")
	if dump.IsUndefined() {
		t.Skip("reads the fake")
	}
	name := fresh()
	s := open(t, name)
	put(t, s, "secret", "the quick brown fox")
	row := dump.Invoke(name, valueRows).Index(0)
	raw := fromJS(row.Index(1))
	if bytes.Contains(raw, []byte("quick")) {
		t.Error("the value is stored as it is")
	}
	key := dump.Invoke(name, keyRows).Index(0).Index(1) // the first that was put
	if key.Get("extractable").Bool() {
		t.Error("the wrapping key is extractable")
	}
	v := s.(*database).vault
	if got, err := await(v.open(js.ValueOf("secret"), row.Index(1))); err != nil || string(fromJS(got)) != "the quick brown fox" {
		t.Errorf("opening: %v", err)
	}
	if _, err := await(v.open(js.ValueOf("other"), row.Index(1))); err == nil {
		t.Error("a value opened under another name")
	}
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func() store.Store { return polite{open(t, fresh())} })
}

// polite lets JavaScript run between views: Go in WebAssembly goes back to the
// event loop only when every goroutine waits, and the suite has some that never
// do.
type polite struct{ store.Store }

func (p polite) View(ctx context.Context, fn func(store.Tx) error) error {
	time.Sleep(time.Millisecond)
	return p.Store.View(ctx, fn)
}
