package cose

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
)

// checks remembers the outcome of checking signatures.
type checks struct {
	room int

	mu       sync.Mutex
	now, old map[[sha256.Size]byte]*check // the latest ones, and those before
}

type check struct {
	once sync.Once
	good bool
}

// shared is nil but in simulators.
var shared atomic.Pointer[checks]

// ShareChecks has the process check each signature once, however many ask: a key, a
// message and a signature that are byte by byte the same have the same outcome. It is
// for simulators, where a group's message reaches hundreds of devices in one process,
// each of which would check it in a machine of its own. About n outcomes are remembered;
// the first call counts.
func ShareChecks(n int) {
	shared.CompareAndSwap(nil, &checks{room: n, now: map[[sha256.Size]byte]*check{}})
}

// verify is verify's outcome, now or from before.
func (c *checks) verify(key, message, sig []byte, verify func() bool) bool {
	h := sha256.New()
	for _, b := range [][]byte{key, sig} { // of fixed lengths for a curve, which the key's tells
		h.Write([]byte{byte(len(b))})
		h.Write(b)
	}
	h.Write(message)
	k := c.find([sha256.Size]byte(h.Sum(nil)))
	k.once.Do(func() { k.good = verify() })
	return k.good
}

func (c *checks) find(sum [sha256.Size]byte) *check {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.now[sum]
	if k == nil {
		if k = c.old[sum]; k == nil {
			k = &check{}
		}
		if len(c.now) >= c.room {
			c.old, c.now = c.now, map[[sha256.Size]byte]*check{}
		}
		c.now[sum] = k
	}
	return k
}
