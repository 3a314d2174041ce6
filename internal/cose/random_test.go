package cose

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/iotest"
)

// Concurrent readers of a source that is not safe for concurrent use and gives
// single bytes get whole, disjoint pieces of it.
func TestSharedRandom(t *testing.T) {
	const readers, size = 16, 16
	source := make([]byte, readers*size)
	for i := range source {
		source[i] = byte(i)
	}
	random := SharedRandom(iotest.OneByteReader(bytes.NewReader(source)))
	var got [readers][size]byte
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() {
			if n, err := random.Read(got[i][:]); n != size || err != nil {
				t.Errorf("read %d bytes: %v", n, err)
			}
		})
	}
	all.Wait()
	seen := map[byte]bool{}
	for _, b := range got {
		if seen[b[0]] || !bytes.Equal(b[:], source[b[0]:int(b[0])+size]) {
			t.Errorf("%x is no piece of its own", b)
		}
		seen[b[0]] = true
	}
	if _, err := random.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("at the source's end: %v", err)
	}
}
