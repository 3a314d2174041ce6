package commission

import (
	"context"
	"errors"
	"time"

	"lamplighter/internal/coap"
)

const (
	settle   = 2 * time.Second // how long members get to take new keys before the group is sent to again
	patience = 5 * time.Second // with a command or a roll call that is under way
)

// whileUp does it, again when the link broke meanwhile.
func (w *groupWay) whileUp(ctx context.Context, do func() error) error {
	for {
		err := do()
		if err == nil || !errors.Is(err, coap.ErrLink) || errors.Is(err, coap.ErrRevoked) {
			return err
		}
		if err := w.awaitLink(ctx); err != nil {
			return err
		}
	}
}

// awaitLink waits for the link, and a moment if nobody says that it is down.
func (w *groupWay) awaitLink(ctx context.Context) error {
	up, back := w.s.e.linkUp()
	if up {
		sleep(ctx, w.s.e.cfg.Tuning.Backoff)
		return ctx.Err()
	}
	select {
	case <-back:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// ready returns when the group can be sent to: the link is up, the browser a
// member, the group active, and new keys have had time to spread. It fails when
// waiting does not help.
func (w *groupWay) ready(ctx context.Context) error {
	for try := 1; ; try++ {
		if up, _ := w.s.e.linkUp(); !up {
			if err := w.awaitLink(ctx); err != nil {
				return err
			}
		}
		err := w.s.ensureMember(ctx, w.g)
		if err == nil && !w.resting(ctx) {
			return w.spread(ctx)
		}
		if p := asProblem(err); ctx.Err() != nil {
			return ctx.Err()
		} else if p != nil && !p.Retry {
			return p
		}
		if !sleep(ctx, w.s.backoff(min(try, 4))) {
			return ctx.Err()
		}
	}
}

// resting asks whether the group is paused and tells of it.
func (w *groupWay) resting(ctx context.Context) bool {
	paused := w.s.rests(ctx, w.g)
	if w.rests != nil {
		w.rests(paused)
	}
	return paused
}

// spread waits a little after new keys: members that do not have them yet read
// nothing that is sent under them.
func (w *groupWay) spread(ctx context.Context) error {
	m := w.s.membership(w.g)
	if m == nil {
		return errNoGroup
	}
	w.mu.Lock()
	fresh := w.epoch != 0 && w.epoch != uint64(m.Num)
	w.epoch = uint64(m.Num)
	w.mu.Unlock()
	if !fresh {
		return nil
	}
	return w.clock.Sleep(ctx, settle)
}

// giveWay lets a command or a roll call of a person go first, until it has its
// answers: light matters more than a second of an update.
func (w *groupWay) giveWay(ctx context.Context) {
	w.s.mu.Lock()
	c := w.g.current
	w.s.mu.Unlock()
	if c == nil {
		return
	}
	for most := time.Now().Add(patience); c.running() && time.Now().Before(most); {
		if !sleep(ctx, 20*time.Millisecond) {
			return
		}
	}
}

// running reports whether a campaign has not ended.
func (c *campaign) running() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.call.Ended == 0
}
