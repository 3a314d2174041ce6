//go:build !js

package sealed_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"lamplighter/internal/store"
	"lamplighter/internal/store/bolt"
	"lamplighter/internal/store/storetest"
)

func TestSealedBolt(t *testing.T) {
	dir, n := t.TempDir(), 0
	storetest.Run(t, func() store.Store {
		n++
		inner, err := bolt.Open(filepath.Join(dir, fmt.Sprint(n, ".db")))
		if err != nil {
			t.Fatal(err)
		}
		return open(t, inner)
	})
}
