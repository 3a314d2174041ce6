package sealed_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"testing"

	"lamplighter/internal/store"
	"lamplighter/internal/store/sealed"
	"lamplighter/internal/store/storetest"
)

var key = bytes.Repeat([]byte{7}, sealed.KeySize)

func open(t testing.TB, inner store.Store) store.Store {
	t.Helper()
	s, err := sealed.Open(context.Background(), inner, key, "gm", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealedMemory(t *testing.T) {
	storetest.Run(t, func() store.Store { return open(t, store.NewMemory()) })
}

func put(t testing.TB, s store.Store, pairs ...string) {
	t.Helper()
	if err := s.Update(t.Context(), func(tx store.Tx) error {
		for i := 0; i < len(pairs); i += 2 {
			if err := tx.Put(pairs[i], []byte(pairs[i+1])); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, s store.Store, key string) (value []byte, err error) {
	t.Helper()
	err = s.View(t.Context(), func(tx store.Tx) (err error) {
		value, err = tx.Get(key)
		return err
	})
	return value, err
}

func wantValue(t testing.TB, s store.Store, key, want string) {
	t.Helper()
	if got, err := get(t, s, key); err != nil || string(got) != want {
		t.Errorf("%s is %q %v, want %q", key, got, err, want)
	}
}

// Nothing of a value stands in the store below, and the same value is sealed
// differently each time.
func TestNothingIsReadable(t *testing.T) {
	inner := store.NewMemory()
	s := open(t, inner)
	put(t, s, "a", "the secret of the lamp", "b", "the secret of the lamp", "empty", "")
	var all [][]byte
	if err := inner.View(t.Context(), func(tx store.Tx) error {
		return tx.Scan("", func(_ string, v []byte) bool { all = append(all, v); return true })
	}); err != nil {
		t.Fatal(err)
	}
	if len(all) != 4 {
		t.Fatalf("%d records, want three and the header", len(all))
	}
	for i, v := range all {
		if bytes.Contains(v, []byte("secret")) || bytes.Contains(v, []byte("lamplighter")) {
			t.Error("a value is readable")
		}
		for _, other := range all[:i] {
			if bytes.Equal(v, other) || bytes.Equal(v[:24], other[:24]) {
				t.Error("a nonce twice")
			}
		}
	}
	again := open(t, inner)
	wantValue(t, again, "a", "the secret of the lamp")
	wantValue(t, again, "empty", "")
}

// Another key, another name and a store that was never sealed are told apart.
func TestWrongKeys(t *testing.T) {
	inner := store.NewMemory()
	put(t, open(t, inner), "a", "1")
	other := bytes.Repeat([]byte{8}, sealed.KeySize)
	if _, err := sealed.Open(t.Context(), inner, other, "gm", rand.Reader); !errors.Is(err, sealed.ErrKey) {
		t.Errorf("another key: %v", err)
	}
	if _, err := sealed.Open(t.Context(), inner, key, "as", rand.Reader); !errors.Is(err, sealed.ErrKey) {
		t.Errorf("another store's key: %v", err)
	}
	if _, err := sealed.Open(t.Context(), inner, key[:16], "gm", rand.Reader); err == nil {
		t.Error("half a key")
	}
	plain := store.NewMemory()
	put(t, plain, "a", "1")
	if _, err := sealed.Open(t.Context(), plain, key, "gm", rand.Reader); !errors.Is(err, sealed.ErrPlain) {
		t.Errorf("a plain store: %v", err)
	}
}

// A record that was changed, cut or moved to another key is refused.
func TestTampering(t *testing.T) {
	edits := map[string]func(box, other []byte) []byte{
		"a bit of the nonce":      func(b, _ []byte) []byte { b[0] ^= 1; return b },
		"a bit of the ciphertext": func(b, _ []byte) []byte { b[24] ^= 1; return b },
		"a bit of the tag":        func(b, _ []byte) []byte { b[len(b)-1] ^= 1; return b },
		"cut":                     func(b, _ []byte) []byte { return b[:len(b)-1] },
		"too short for a tag":     func(b, _ []byte) []byte { return b[:30] },
		"empty":                   func([]byte, []byte) []byte { return nil },
		"another record's":        func(_, o []byte) []byte { return o },
	}
	for name, edit := range edits {
		t.Run(name, func(t *testing.T) {
			inner := store.NewMemory()
			s := open(t, inner)
			put(t, s, "a", "one", "b", "two")
			if err := inner.Update(t.Context(), func(tx store.Tx) error {
				box, _ := tx.Get("a")
				other, _ := tx.Get("b")
				return tx.Put("a", edit(box, other))
			}); err != nil {
				t.Fatal(err)
			}
			if v, err := get(t, s, "a"); !errors.Is(err, sealed.ErrDamaged) || v != nil {
				t.Errorf("%q %v", v, err)
			}
			err := s.View(t.Context(), func(tx store.Tx) error {
				return tx.Scan("", func(key string, _ []byte) bool {
					t.Errorf("%s was scanned", key)
					return true
				})
			})
			if !errors.Is(err, sealed.ErrDamaged) {
				t.Errorf("scanning: %v", err)
			}
			wantValue(t, s, "b", "two")
		})
	}
}

// The header is out of reach of whoever uses the store.
func TestHeaderIsNobodys(t *testing.T) {
	inner := store.NewMemory()
	s := open(t, inner)
	const header = "\x00sealed"
	if v, err := get(t, s, header); v != nil || err != nil {
		t.Errorf("reads %q %v", v, err)
	}
	for name, write := range map[string]func(store.Tx) error{
		"put":    func(tx store.Tx) error { return tx.Put(header, nil) },
		"delete": func(tx store.Tx) error { return tx.Delete(header) },
	} {
		if err := s.Update(t.Context(), write); !errors.Is(err, store.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if state, _ := sealed.Look(t.Context(), inner); state != sealed.Sealed {
		t.Error("the header is gone")
	}
}

// A plain store is copied sealed, into an empty store only.
func TestCopy(t *testing.T) {
	plain, into := store.NewMemory(), store.NewMemory()
	put(t, plain, "a", "1", "b/c", "22", "empty", "")
	if err := sealed.Copy(t.Context(), into, plain, key, "gm", rand.Reader); err != nil {
		t.Fatal(err)
	}
	s := open(t, into)
	wantValue(t, s, "a", "1")
	wantValue(t, s, "b/c", "22")
	if err := sealed.Copy(t.Context(), into, plain, key, "gm", rand.Reader); err == nil {
		t.Error("copied over what was there")
	}
}

func BenchmarkSealed(b *testing.B) {
	for _, size := range []int{0, 256} {
		s := open(b, store.NewMemory())
		value := string(make([]byte, size))
		b.Run("put", func(b *testing.B) {
			for b.Loop() {
				put(b, s, "a", value)
			}
		})
		b.Run("get", func(b *testing.B) {
			for b.Loop() {
				_, _ = get(b, s, "a")
			}
		})
	}
}
