package sim

import (
	"context"
	"sync"
	"time"
)

// Clock is simulated time: it stands still until somebody sleeps or a [Network]
// carries a datagram. Who sleeps at the same time as another sleeps in the same
// time. It is safe for concurrent use.
type Clock struct {
	mu    sync.Mutex
	now   time.Time
	hooks []func(now time.Time)
}

// NewClock makes a clock that shows start.
func NewClock(start time.Time) *Clock { return &Clock{now: start} }

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Sleep lets d pass, at once, unless ctx has ended.
func (c *Clock) Sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.Advance(d)
	return ctx.Err()
}

// Advance lets d pass.
func (c *Clock) Advance(d time.Duration) { c.To(c.Now().Add(d)) }

// To lets time pass until t, unless that is over.
func (c *Clock) To(t time.Time) {
	c.mu.Lock()
	if !t.After(c.now) {
		c.mu.Unlock()
		return
	}
	c.now = t
	hooks := c.hooks
	c.mu.Unlock()
	for _, f := range hooks {
		f(t)
	}
}

// OnAdvance has f called each time after time has passed, in the goroutine of who
// let it pass: devices look for their timers then.
func (c *Clock) OnAdvance(f func(now time.Time)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hooks = append(c.hooks[:len(c.hooks):len(c.hooks)], f)
}
