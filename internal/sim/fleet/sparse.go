package fleet

import (
	"bytes"
	"sync"

	"lamplighter/internal/cose"
)

// sparse is the backend of a flash of which only pages that were written take room.
type sparse struct{ pages map[int64][]byte }

// ReadAt implements io.ReaderAt; what was not written is zeros.
func (s *sparse) ReadAt(p []byte, off int64) (int, error) {
	for n := 0; n < len(p); {
		at := off + int64(n)
		page, from := at/sector, int(at%sector)
		size := min(sector-from, len(p)-n)
		if have := s.pages[page]; have != nil {
			copy(p[n:n+size], have[from:])
		} else {
			clear(p[n : n+size])
		}
		n += size
	}
	return len(p), nil
}

// WriteAt implements io.WriterAt.
func (s *sparse) WriteAt(p []byte, off int64) (int, error) {
	for n := 0; n < len(p); {
		at := off + int64(n)
		page, from := at/sector, int(at%sector)
		size := min(sector-from, len(p)-n)
		have := s.pages[page]
		switch {
		case have != nil:
		case size == sector && zeros(p[n:n+size]): // erasing an erased sector
			n += size
			continue
		default:
			have = make([]byte, sector)
			s.pages[page] = have
		}
		copy(have[from:], p[n:n+size])
		n += size
	}
	return len(p), nil
}

func zeros(p []byte) bool { return bytes.Count(p, []byte{0}) == len(p) }

// verifier remembers the verdict on the countersignature that it saw last.
type verifier struct {
	mu           sync.Mutex
	public       cose.PublicKey
	message, sig []byte
	good         bool
}

func (v *verifier) check(public cose.PublicKey, message, sig []byte) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if bytes.Equal(sig, v.sig) && bytes.Equal(message, v.message) && public.Equal(v.public) {
		return v.good
	}
	v.public, v.message, v.sig = public, bytes.Clone(message), bytes.Clone(sig)
	v.good = public.Verify(message, sig)
	return v.good
}
