//go:build !js

package bolt

import (
	"bytes"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"lamplighter/internal/store"
)

// Letting the mapping go loses nothing, also while others read and the file grows.
func TestTrim(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "s.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const n = 40
	value := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 1<<20) }
	var wg sync.WaitGroup
	for lane := range 4 {
		wg.Go(func() {
			for i := lane; i < n; i += 4 {
				if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put(fmt.Sprint(i), value(i)) }); err != nil {
					t.Error(err)
				}
				trim(s.(*boltStore).db)
				if err := s.View(t.Context(), func(tx store.Tx) error {
					got, err := tx.Get(fmt.Sprint(i))
					if !bytes.Equal(got, value(i)) {
						t.Errorf("value %d is not what was written", i)
					}
					return err
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
