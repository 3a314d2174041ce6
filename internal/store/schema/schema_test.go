package schema

import (
	"errors"
	"strings"
	"testing"

	"lamplighter/internal/store"
)

func put(t *testing.T, s store.Store, key, value string) {
	t.Helper()
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put(key, []byte(value)) }); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, s store.Store, key, value string) {
	t.Helper()
	if err := s.View(t.Context(), func(tx store.Tx) error {
		got, err := tx.Get(key)
		if string(got) != value {
			t.Errorf("%s is %q, want %q", key, got, value)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// appends makes a step that leaves its mark on the record "a".
func appends(mark string, runs *int) Step {
	return func(tx store.Tx) error {
		*runs++
		old, err := tx.Get("a")
		if err != nil {
			return err
		}
		return tx.Put("a", append(old, mark...))
	}
}

func TestUpgrade(t *testing.T) {
	var runs int
	steps := []Step{appends("2", &runs), appends("3", &runs), appends("4", &runs)}
	tests := map[string]struct {
		format, a string
		want      string
	}{
		"without a number": {"", "1", "1234"},
		"format 1":         {"1", "1", "1234"},
		"in between":       {"3", "1", "14"},
		"the newest":       {"4", "1", "1"},
		"empty":            {"", "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := store.NewMemory()
			if tt.a != "" {
				put(t, s, "a", tt.a)
			}
			if tt.format != "" {
				put(t, s, Key, tt.format)
			}
			for range 2 { // the second finds nothing to do
				if err := Upgrade(t.Context(), s, steps...); err != nil {
					t.Fatal(err)
				}
				want(t, s, "a", tt.want)
				want(t, s, Key, "4")
			}
		})
	}
}

func TestNewerIsRefused(t *testing.T) {
	s := store.NewMemory()
	put(t, s, Key, "9")
	var runs int
	err := Upgrade(t.Context(), s, appends("2", &runs))
	if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "format 9") || !strings.Contains(err.Error(), "newer program") {
		t.Errorf("%v", err)
	}
	want(t, s, Key, "9")
	put(t, s, Key, "nine")
	if err := Upgrade(t.Context(), s); err == nil {
		t.Error("a format that is no number")
	}
}

// A step that fails changes nothing, those before it hold, and the next start
// goes on.
func TestStepThatFails(t *testing.T) {
	s := store.NewMemory()
	put(t, s, "a", "1")
	var runs int
	broken := errors.New("no")
	fails := func(tx store.Tx) error {
		_ = tx.Put("a", []byte("half"))
		return broken
	}
	if err := Upgrade(t.Context(), s, appends("2", &runs), fails); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	want(t, s, "a", "12")
	want(t, s, Key, "2")
	if err := Upgrade(t.Context(), s, appends("2", &runs), appends("3", &runs)); err != nil {
		t.Fatal(err)
	}
	want(t, s, "a", "123")
}
