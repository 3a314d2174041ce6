package sim

import (
	"context"
	"sync"
	"time"
)

// Time is what a [Network] takes time from: a [Clock], or [Real].
type Time interface {
	Now() time.Time
	Sleep(ctx context.Context, d time.Duration) error // ctx's error when that ended before
}

// Real is the time of package time. In a bubble of testing/synctest that is simulated
// too, and goroutines wait beside each other as they would.
type Real struct{}

// Now is the time.
func (Real) Now() time.Time { return time.Now() }

// Sleep waits.
func (Real) Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Clock is simulated time for one goroutine at a time: it stands still until somebody sleeps or a [Network]
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

// To lets time pass until t, unless that is over: in steps of a second, or of a
// thousandth of a longer time, so that what is due meanwhile happens about then.
func (c *Clock) To(t time.Time) {
	step := max(time.Second, t.Sub(c.Now())/1000)
	for c.step(t, step) {
	}
}

// step moves on by at most one step, and says whether t is not reached.
func (c *Clock) step(t time.Time, step time.Duration) bool {
	c.mu.Lock()
	if !t.After(c.now) {
		c.mu.Unlock()
		return false
	}
	c.now = c.now.Add(min(step, t.Sub(c.now)))
	now, hooks := c.now, c.hooks
	c.mu.Unlock()
	for _, f := range hooks {
		f(now)
	}
	return true
}

// OnAdvance has f called after each step of time, in the goroutine of who lets it
// pass: devices look for their timers then. f lets no time pass.
func (c *Clock) OnAdvance(f func(now time.Time)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hooks = append(c.hooks[:len(c.hooks):len(c.hooks)], f)
}
