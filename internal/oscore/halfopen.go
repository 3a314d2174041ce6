package oscore

import (
	"crypto/hmac"
	"crypto/sha256"
	"io"
	"time"
)

// halfOpenLife is how long the runs that began under one key can be completed.
// A run that is cut off starts again by itself.
const halfOpenLife = 60 * time.Second

// halfOpen makes and recognises the R2 of one secret without keeping any:
// R2 = S2 | HMAC(K, S2), so that replayed requests #1, however many, neither
// fill a table nor push an honest run out of it. K lives until a run is
// completed, and no longer than halfOpenLife, so that no R2 is answered twice.
// RFC 8613, Appendix B.2.1.
type halfOpen struct {
	key  []byte
	born time.Time
}

// make returns a new R2.
func (h *halfOpen) make(rand io.Reader, now time.Time) ([]byte, error) {
	h.expire(now)
	if h.key == nil {
		key, err := random(rand, sha256.Size)
		if err != nil {
			return nil, err
		}
		h.key, h.born = key, now
	}
	s2, err := random(rand, sizeS2)
	if err != nil {
		return nil, err
	}
	return mark(h.key, s2), nil
}

// made says whether r2 came from make and no run was completed since.
func (h *halfOpen) made(r2 []byte, now time.Time) bool {
	h.expire(now)
	return h.key != nil && hmac.Equal(mark(h.key, r2[:sizeS2]), r2)
}

// end forgets all runs: one was completed.
func (h *halfOpen) end() { h.key = nil }

func (h *halfOpen) expire(now time.Time) {
	if age := now.Sub(h.born); age < 0 || age >= halfOpenLife {
		h.key = nil
	}
}

func mark(key, s2 []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(s2)
	return append(append(make([]byte, 0, sizeR2), s2...), mac.Sum(nil)[:sizeR2-len(s2)]...)
}
