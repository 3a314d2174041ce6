package gm

import (
	"sync"
	"time"
)

const (
	maxTransfers  = 60 // of one token in a limitWindow
	limitWindow   = time.Minute
	maxLimitTable = 4096
)

// limiter bounds how often one valid token makes the Group Manager write: who
// recorded a token transfer can repeat it. Its zero value is ready.
type limiter struct {
	mu    sync.Mutex
	start time.Time
	count map[string]int
}

// allow counts one transfer of a token.
func (l *limiter) allow(token string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if age := now.Sub(l.start); age < 0 || age >= limitWindow || len(l.count) >= maxLimitTable {
		l.start, l.count = now, make(map[string]int)
	}
	l.count[token]++
	return l.count[token] <= maxTransfers
}
