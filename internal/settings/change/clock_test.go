package change_test

import (
	"context"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/groupcomm"
	"lamplighter/internal/settings"
	"lamplighter/internal/settings/change"
)

// setClock is a sender's clock that somebody sets while a switch is waited for.
type setClock struct {
	groupcomm.Clock
	waits bool
	by    time.Duration
	ahead time.Duration
}

func (c *setClock) Now() time.Time { return c.Clock.Now().Add(c.ahead) }

func (c *setClock) Sleep(ctx context.Context, d time.Duration) error {
	if c.waits {
		c.waits, c.ahead = false, c.by
	}
	return c.Clock.Sleep(ctx, d)
}

// The sender's clock is set while devices wait for a time of day, or for the end of
// some time: they switch when they should, the sender finds them then, and what it
// says of the time is right.
func TestSenderClockIsSet(t *testing.T) {
	for name, by := range map[string]time.Duration{
		"forward": 30 * minute, "far forward": 9000 * time.Hour, "backward": -30 * minute, "far backward": -9000 * time.Hour,
	} {
		for _, of := range []string{"at", "in"} {
			t.Run(of+", "+name, func(t *testing.T) {
				w := setup{n: 4, clock: true}.make(t)
				o := change.Options{In: 10 * minute}
				switched := w.Clock.Now().Add(10 * minute)
				if of == "at" {
					o = change.Options{At: switched}
				}
				p := w.Change(change.Change{Values: office()}, o)
				clock := &setClock{Clock: p.Clock, by: by}
				p.Clock = clock
				p.Group = tap{p.Group, func(req *coap.Message, _ string) error {
					clock.waits = clock.waits || mode(req) == settings.ModeCommit && clock.ahead == 0
					return nil
				}}
				r := w.plan(p)
				w.must(r.Apply(t.Context()))
				if clock.ahead != by {
					t.Fatal("the clock was not set")
				}
				w.count(r, change.RowTrial, 4)
				w.run(office(), 4)
				if late := w.Clock.Now().Sub(switched); late < 0 || late > minute {
					t.Errorf("the switch was found %v after it", late)
				}
				w.must(r.Confirm(t.Context()))
				w.count(r, change.RowConfirmed, 4)
				w.Wait(11 * minute)
				w.run(office(), 4)
			})
		}
	}
}

// While devices try new settings the sender's clock is set forward, past the end of
// the trial: who looks finds them trying, and until when.
func TestSenderClockIsSetInTheTrial(t *testing.T) {
	w := setup{n: 4}.make(t)
	p := w.Change(change.Change{Values: office()}, change.Options{})
	clock := &setClock{Clock: p.Clock}
	p.Clock = clock
	r := w.plan(p)
	w.must(r.Apply(t.Context()))
	left := r.View().RevertAt.Sub(clock.Now())
	clock.ahead = time.Hour
	w.must(r.Continue(t.Context()))
	w.count(r, change.RowTrial, 4)
	if now := r.View().RevertAt.Sub(clock.Now()); now > left+2*time.Second || now < left-minute {
		t.Errorf("they go back in %v, it says, and before it was %v", now, left)
	}
	w.must(r.Confirm(t.Context()))
	w.count(r, change.RowConfirmed, 4)
}
