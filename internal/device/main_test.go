package device

import (
	"crypto/sha256"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"lamplighter/internal/cose"
)

// posing says that somebody seals under keys that are others', and does not care about
// nonces.
var posing atomic.Bool

// TestMain holds every encryption of all tests against each other: a nonce is
// used for one ciphertext only, whatever was killed in between.
func TestMain(m *testing.M) {
	var mu sync.Mutex
	seen := map[[32]byte][32]byte{}
	repeated := 0
	cose.Recorder = func(key, nonce, _, ciphertext []byte) {
		if posing.Load() {
			return
		}
		pair := sha256.Sum256(fmt.Appendf(nil, "%x %x", key, nonce))
		sum := sha256.Sum256(ciphertext)
		mu.Lock()
		defer mu.Unlock()
		if old, ok := seen[pair]; ok && old != sum {
			repeated++
		}
		seen[pair] = sum
	}
	code := m.Run()
	mu.Lock()
	defer mu.Unlock()
	if repeated > 0 {
		fmt.Printf("FAIL: %d of %d nonces were used twice\n", repeated, len(seen))
		code = 1
	}
	os.Exit(code)
}
