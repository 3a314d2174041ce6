package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"lamplighter/internal/store"
)

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
