//go:build !js

package endpoint

import "time"

// drainStep is how often Drain looks.
const drainStep = 5 * time.Millisecond

// Drain takes no new requests and waits, at most for patience, until those under
// way are answered. It reports whether they are. Close follows.
func (u *UDP) Drain(patience time.Duration) bool {
	u.mu.Lock()
	u.leaving = true
	u.mu.Unlock()
	for end := time.Now().Add(patience); ; time.Sleep(drainStep) {
		u.mu.Lock()
		serving := u.serving
		u.mu.Unlock()
		if serving == 0 {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}
