package device

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
	"lamplighter/internal/oscore/group"
	"lamplighter/internal/settings"
)

// Switches and sensors are members that send: a button's command, and that somebody is
// there. Nobody waits for their answers; only who challenges, after a restart, is
// repeated to, pairwise.

// Errors of what a device sends by itself.
var (
	errNoButton = errors.New("the button does nothing: its settings name no group")
	errNoGroup  = errors.New("the device is no member of the group that may send requests")
)

const (
	setButtons   = "buttons"
	setRepeats   = "repeats"
	setThreshold = "threshold"
	setLink      = "link"
	setGroup     = "group"
	setReports   = "report-interval"

	defaultRepeats = 2
	defaultReports = 60 // seconds

	repeatGap     = 40 * time.Millisecond
	challengeWait = 2 * time.Second
)

// Actions of a button.
const (
	actionToggle = 0
	actionOn     = 1
	actionOff    = 2
	actionRecall = 3
)

// Press presses a button: the message of its settings goes to its group. It returns
// when that is out.
func (d *Device) Press(ctx context.Context, button uint) error {
	buttons, _ := d.setting(setButtons).(settings.Map)
	b, found := buttons[uint64(button)].(settings.Map)
	name, _ := b[1].(string)
	if !found || name == "" {
		return errNoButton
	}
	action, _ := b[2].(int64)
	scene, _ := b[3].(int64)
	var req *coap.Message
	switch action {
	case actionRecall:
		req = post(coap.POST, settings.PathRecall, (&settings.Recall{Scene: uint(scene)}).Append(nil))
	default:
		on := action == actionOn
		if action == actionToggle {
			d.mu.Lock()
			on = !d.toggled[button]
			d.toggled[button] = on
			d.mu.Unlock()
		}
		req = post(coap.PUT, "/light", cbor.MustMarshal(map[uint64]any{1: on}))
	}
	return d.cast(ctx, name, req, int(d.number(setRepeats, defaultRepeats)))
}

// onlyChallenges is the value of the No-Response Option for commands: nothing is wanted
// but 4.01, of which all other 4.xx are silent to a group. RFC 7967, Section 2.1.
const onlyChallenges = 2 | 16

func post(code coap.Code, path string, body []byte) *coap.Message {
	req := coap.NewRequest(code, path, body)
	coap.AddUint(req, coap.OptionContentFormat, formatCBOR)
	coap.AddUint(req, coap.OptionNoResponse, onlyChallenges)
	return req
}

// sensor is what a motion sensor knows of its room. Device.mu guards it.
type sensor struct {
	until time.Time // somebody is there
	next  time.Time // when that is said again
}

func (s *sensor) due() (time.Time, bool) { return s.next, !s.next.IsZero() && s.next.Before(s.until) }

// Moved is a movement of some strength, in percent, in front of a sensor. While
// somebody is there it is said to the group, at first and in intervals. It returns
// when the message is out, if there is one.
func (d *Device) Moved(ctx context.Context, strength int64) error {
	if strength < d.number(setThreshold, 0) {
		return nil
	}
	d.mu.Lock()
	now := d.cfg.Now()
	begins := !now.Before(d.sensor.until)
	d.sensor.until = now.Add(d.span(setHoldTime, defaultHold, time.Second))
	if begins {
		d.sensor.next = now.Add(d.span(setReports, defaultReports, time.Second))
	}
	d.mu.Unlock()
	d.wake()
	if !begins {
		return nil
	}
	return d.sayOccupied(ctx)
}

// report says again that somebody is there, when that is due.
func (d *Device) report() {
	d.mu.Lock()
	at, ok := d.sensor.due()
	now := d.cfg.Now()
	due := ok && !now.Before(at)
	if due {
		d.sensor.next = now.Add(d.span(setReports, defaultReports, time.Second))
	}
	d.mu.Unlock()
	if due {
		go func() {
			if err := d.sayOccupied(d.life); err != nil {
				d.log.Warn("a sensor could not say that somebody is there", "err", err)
			}
		}()
	}
}

func (d *Device) sayOccupied(ctx context.Context) error {
	name, _ := d.setting(setGroup).(string)
	link := d.number(setLink, 0)
	if name == "" || link == 0 {
		return nil
	}
	return d.cast(ctx, name, post(coap.PUT, "/light", cbor.MustMarshal(map[uint64]any{1: true, 4: link})), defaultRepeats)
}

// cast sends a request to a group, so many times the same to the byte. Challenges are
// met in the background, as long as nothing else was sent.
func (d *Device) cast(ctx context.Context, name string, req *coap.Message, times int) error {
	d.mu.Lock()
	m := d.members[name]
	d.mu.Unlock()
	if m == nil {
		return fmt.Errorf("sending to %q: %w", name, errNoGroup)
	}
	d.confirmKeys(ctx, m)
	d.mu.Lock()
	ex, now := d.ex, d.cfg.Now()
	to, err := netip.ParseAddrPort(m.rec.Multicast)
	if d.members[name] != m || m.epoch == nil || m.rec.Paused || m.expired(now) || m.outdated() || !m.rec.Roles.Has(ace.RoleRequester) || ex == nil || err != nil {
		d.mu.Unlock()
		return fmt.Errorf("sending to %q: %w", name, errNoGroup)
	}
	outer, binding, err := m.epoch.ctx.ProtectRequest(req, nil)
	m.casts++
	c := &casting{d: d, m: m, epoch: m.epoch, number: m.casts, ex: ex, req: req, binding: binding, met: map[string]bool{}}
	d.mu.Unlock()
	if err != nil {
		return fmt.Errorf("sending to %q: %w", name, err)
	}
	for i := range times {
		if i > 0 && !pause(ctx, repeatGap) {
			return ctx.Err()
		}
		go func() { // of each, as a lamp may have got one only
			if err := ex.Multicast(d.life, to, outer, challengeWait, c.hear); err != nil {
				d.log.Warn("a message to a group did not leave", "group", name, "err", err)
			}
		}()
	}
	return nil
}

func pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// casting is a request that went to a group.
type casting struct {
	d       *Device
	m       *member
	epoch   *epoch
	number  uint64
	ex      coap.Exchanger
	req     *coap.Message
	binding *group.Binding
	met     map[string]bool // whose challenges, by Sender ID. Device.mu guards it
}

// hear takes an answer, and meets it if it is a challenge.
func (c *casting) hear(resp *coap.Message, from netip.AddrPort) {
	plain, peer, err := c.open(resp)
	if unknown, ok := errors.AsType[*group.UnknownPeerError](err); ok { // it has joined since
		go c.learn(resp, unknown.KID, from)
		return
	}
	c.heard(plain, peer, err, from)
}

// learn takes an answer of a member whose credential the device does not have. What
// strangers make up costs no more questions than their requests do.
func (c *casting) learn(resp *coap.Message, kid []byte, from netip.AddrPort) {
	c.d.mu.Lock()
	if !c.current() {
		c.d.mu.Unlock()
		return
	}
	n, err := c.d.missingCred(c.m, kid, c.d.cfg.Now())
	c.d.mu.Unlock()
	if err != nil || n != nil && c.d.hold(c.d.life, n) != nil {
		return
	}
	plain, peer, err := c.open(resp)
	c.heard(plain, peer, err, from)
}

func (c *casting) heard(plain *coap.Message, peer group.Peer, err error, from netip.AddrPort) {
	if err == nil && oscore.IsChallenge(plain) {
		go c.meet(oscore.WithEcho(c.req, plain), peer.KID, from)
	}
}

// current says whether the request is still the latest. Device.mu is held.
func (c *casting) current() bool {
	return c.d.members[c.m.name] == c.m && c.m.epoch == c.epoch && c.m.casts == c.number
}

func (c *casting) open(resp *coap.Message) (*coap.Message, group.Peer, error) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	plain, from, _, err := c.epoch.ctx.UnprotectResponse(resp, c.binding)
	return plain, from, err
}

// meet repeats the request to one member, once, if it is still the latest.
func (c *casting) meet(req *coap.Message, kid []byte, to netip.AddrPort) {
	c.d.mu.Lock()
	if !c.current() || c.met[string(kid)] {
		c.d.mu.Unlock()
		return
	}
	c.met[string(kid)] = true
	outer, _, err := c.epoch.ctx.ProtectRequest(req, kid)
	c.d.mu.Unlock()
	if err == nil {
		ctx, cancel := context.WithTimeout(c.d.life, gmTimeout)
		defer cancel()
		_, err = c.ex.Exchange(ctx, to, outer)
	}
	if err != nil {
		c.d.log.Debug("a challenge could not be met", "group", c.m.name, "err", err)
	}
}
