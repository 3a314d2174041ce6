package commission

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/groupcomm"
	"lamplighter/internal/oscore"
	"lamplighter/internal/rollout"
)

const (
	callTries = 2           // requests to one device that nothing answers
	callSteps = 8           // requests in one call: lost ones, Echo, after new keys
	seekAgain = time.Minute // between two searches for a device that does not answer
)

// groupWay is the way of a rollout to a group's devices: the group's keys, whatever
// they are at the moment, and the link, whenever it is up. It implements
// [groupcomm.Group].
type groupWay struct {
	s     *site
	g     *group
	clock groupcomm.Clock

	job      *job                      // whose devices answers are waited for; nil: all of the group
	save     func(rollout.State) error // of what goes this way; nil: nothing is
	progress func(rollout.View)
	planning *planning         // hears whom a plan has asked; nil: nobody
	rests    func(paused bool) // hears whether the group is paused; nil: nobody

	mu     sync.Mutex
	epoch  uint64               // of the keys that were sent under last
	sought map[string]time.Time // when a device was searched for last
}

// wayTo is the way to a group's devices.
func (s *site) wayTo(g *group) *groupWay { return &groupWay{s: s, g: g, clock: s.e.clock()} }

// Send implements [groupcomm.Group]. A copy is the same protected message in another
// datagram: it takes no sequence number, and who had it before drops it unread.
func (w *groupWay) Send(ctx context.Context, req *coap.Message, copies int) (size int, err error) {
	if err := w.ready(ctx); err != nil {
		return 0, err
	}
	w.giveWay(ctx)
	to, err := netip.ParseAddrPort(w.s.record().Multicast)
	if err != nil {
		return 0, errInvitation
	}
	outer, binding, err := w.g.protect(req, nil)
	if err != nil {
		return 0, err
	}
	w.g.close(binding)
	for range copies {
		err := w.whileUp(ctx, func() error {
			return w.s.e.wire.Multicast(ctx, to, outer, 0, func(*coap.Message, netip.AddrPort) {})
		})
		if err != nil {
			return 0, err
		}
	}
	return datagramSize(outer), ctx.Err()
}

// Ask implements [groupcomm.Group].
func (w *groupWay) Ask(ctx context.Context, req *coap.Message, wait time.Duration, each func(groupcomm.Answer)) error {
	if err := w.ready(ctx); err != nil {
		return err
	}
	c := w.s.newCampaign(w.g, kindFirmware, req)
	c.keepOnly(w.wanted())
	var one sync.Mutex
	c.wait, c.each = wait, func(d *device, a answerFrom) {
		one.Lock()
		defer one.Unlock()
		each(a.of(d))
	}
	err := w.whileUp(ctx, func() error { return c.multicast(ctx) })
	if err == nil && len(c.silent()) > 0 && c.freshenKeys(ctx) {
		err = w.whileUp(ctx, func() error { return c.multicast(ctx) })
	}
	c.side.Wait()
	c.mu.Lock()
	sent := c.sent
	c.sent = nil
	c.mu.Unlock()
	w.g.close(sent...)
	return errors.Join(err, ctx.Err())
}

// wanted are the devices of the job; nil: all.
func (w *groupWay) wanted() map[string]bool {
	if w.job == nil {
		return nil
	}
	only := map[string]bool{}
	for _, d := range w.s.devicesOf(w.job) {
		only[d.id] = true
	}
	return only
}

// keepOnly takes rows out of a campaign, nil none.
func (c *campaign) keepOnly(devices map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if devices == nil {
		return
	}
	var kept []Answer
	clear(c.row)
	for _, a := range c.call.Answers {
		if devices[a.Device] {
			c.row[a.Device] = len(kept)
			kept = append(kept, a)
		}
	}
	c.call.Answers = kept
}

// of is the answer as a rollout takes it.
func (a answerFrom) of(d *device) groupcomm.Answer {
	return groupcomm.Answer{Device: d.id, Resp: a.resp, Sent: a.sent, Size: a.size, RTT: a.rtt}
}

// Call implements [groupcomm.Group]. Only what verified under the device's own
// credential is its answer. DESIGN S9.
func (w *groupWay) Call(ctx context.Context, id string, req *coap.Message) (groupcomm.Answer, error) {
	d, err := w.s.device(id)
	if err != nil { // forgotten meanwhile
		return groupcomm.Answer{}, fmt.Errorf("%w: %w", groupcomm.ErrGone, err)
	}
	c := &campaign{s: w.s, g: w.g, req: req, kind: kindFirmware}
	var challenge *coap.Message
	for step, quiet := 0, 0; step < callSteps; step++ {
		if err := w.ready(ctx); err != nil {
			return groupcomm.Answer{}, err
		}
		a, err := c.exchange(ctx, d, challenge, w.s.e.cfg.Tuning.FollowUp)
		switch {
		case ctx.Err() != nil:
			return groupcomm.Answer{}, ctx.Err()
		case errors.Is(err, coap.ErrLink):
			step-- // ready waits for it
		case errors.Is(err, errOutdated):
			w.catchUp(ctx, c, d)
		case silent(err):
			if quiet++; quiet >= callTries && !w.moved(ctx, d) {
				return groupcomm.Answer{}, fmt.Errorf("asking %s: %w", id, coap.ErrTimeout)
			}
		case errors.Is(err, errNoKID):
			return groupcomm.Answer{}, fmt.Errorf("%w: %w", groupcomm.ErrGone, err)
		case err != nil:
			return groupcomm.Answer{}, err
		case !w.s.of(d).matches(a.peer.Cred):
			return groupcomm.Answer{}, errMismatch
		case oscore.IsChallenge(a.resp):
			challenge = a.resp
		default:
			w.s.learnPlace(d, w.g.name, a.peer.KID)
			return a.of(d), nil
		}
	}
	return groupcomm.Answer{}, fmt.Errorf("asking %s: %w", id, coap.ErrTimeout)
}

// moved searches for a device that does not answer where it was, once a while, and
// reports whether it is elsewhere now.
func (w *groupWay) moved(ctx context.Context, d *device) bool {
	now := w.clock.Now()
	w.mu.Lock()
	recent := now.Sub(w.sought[d.id]) < seekAgain
	if w.sought == nil {
		w.sought = map[string]time.Time{}
	}
	if !recent {
		w.sought[d.id] = now
	}
	w.mu.Unlock()
	before := w.s.of(d).address()
	if recent || w.s.locate(ctx, d) != nil {
		return false
	}
	return w.s.of(d).address() != before
}

// catchUp does what can be done about a device that could not read a request: one
// side's keys are out of date, or it has another Sender ID now.
func (w *groupWay) catchUp(ctx context.Context, c *campaign, d *device) {
	if !c.updateKeys(ctx) {
		if _, err := c.lookUp(ctx, d); err != nil {
			w.s.e.cfg.Logger.Debug("a device's Sender ID is not known", "device", d.id, "err", err)
		}
	}
	sleep(ctx, w.s.e.cfg.Tuning.FollowUp/16)
}

// Drain implements [groupcomm.Group]: it waits for the next hop where that can tell.
func (w *groupWay) Drain(ctx context.Context) error {
	return w.whileUp(ctx, func() error { return coap.Drain(ctx, w.s.e.wire.inner) })
}

// engineClock is the time of rollouts.
type engineClock struct{ now func() time.Time }

// Now implements [groupcomm.Clock].
func (c engineClock) Now() time.Time { return c.now() }

// Sleep implements [groupcomm.Clock].
func (c engineClock) Sleep(ctx context.Context, d time.Duration) error {
	if d > 0 {
		sleep(ctx, d)
	}
	return ctx.Err()
}
