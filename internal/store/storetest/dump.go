package storetest

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"lamplighter/internal/store"
)

// Fill puts lines "key hex" into a store.
func Fill(t *testing.T, s store.Store, lines []byte) {
	t.Helper()
	must(t, s.Update(t.Context(), func(tx store.Tx) error {
		for in := bufio.NewScanner(bytes.NewReader(lines)); in.Scan(); {
			key, text, _ := strings.Cut(in.Text(), " ")
			value, err := hex.DecodeString(text)
			if err != nil {
				return err
			}
			if err := tx.Put(key, value); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Copy copies a store into memory, as a backup does.
func Copy(t *testing.T, s store.Store) store.Store {
	t.Helper()
	into := store.NewMemory()
	must(t, s.View(t.Context(), func(from store.Tx) error {
		return into.Update(t.Context(), func(to store.Tx) error {
			return from.Scan("", func(key string, value []byte) bool { return to.Put(key, value) == nil })
		})
	}))
	return into
}
