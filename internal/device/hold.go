package device

import (
	"bytes"
	"context"
	"errors"
	"time"

	"lamplighter/internal/coap"
)

// A group request that finds the device without the keys or the credential for
// it is held while these are fetched, and dropped when that takes too long: a
// command that comes true seconds later surprises.
const (
	maxHeld  = 16              // requests held at a time
	patience = 2 * time.Second // from arrival
	maxSteps = 2*maxGroups + 4 // fetches for one request
)

// errDropped ends a group request without an answer.
var errDropped = errors.New("not answered")

// flight is one conversation with the Group Manager that any number of requests
// wait for.
type flight struct {
	done chan struct{}
	err  error // after done
}

// fly starts what, unless it is on its way already. It outlives the request that
// caused it, so that a slow Group Manager serves the next one. d.mu is held.
func (d *Device) fly(m *member, what string, run func(context.Context) error) *flight {
	if f := m.flights[what]; f != nil {
		return f
	}
	f := &flight{done: make(chan struct{})}
	m.flights[what] = f
	go func() {
		ctx, cancel := context.WithTimeout(d.life, gmTimeout)
		defer cancel()
		f.err = run(ctx)
		d.mu.Lock()
		delete(m.flights, what)
		d.mu.Unlock()
		close(f.done)
	}()
	return f
}

// need is what a request waits for.
type need struct {
	flight *flight
	member *member
	soft   bool // after a short wait it goes on without
}

// ready brings the device to where it can open a request with this Gid and
// Sender ID, or says why it cannot.
func (d *Device) ready(ctx context.Context, gid, kid []byte) error {
	arrived := d.cfg.Now()
	for range maxSteps {
		n, err := d.missing(gid, kid)
		if err != nil || n == nil {
			return err
		}
		if err := d.hold(ctx, n); err != nil {
			return err
		}
		if d.cfg.Now().Sub(arrived) >= patience {
			return errNeedsGM
		}
	}
	return errNeedsGM
}

// hold waits for a flight while there is room for another waiting request.
func (d *Device) hold(ctx context.Context, n *need) error {
	select {
	case d.held <- struct{}{}:
		defer func() { <-d.held }()
	default:
		return errNeedsGM
	}
	wait := patience
	if n.soft {
		wait = confirmWait
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-n.flight.done:
		return nil // how it ended shows in what is missing now
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	if !n.soft {
		return errNeedsGM
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n.member.failed = d.cfg.Now()
	return nil
}

// missing says what has to be fetched before the request can be opened: nil for
// nothing. An error means that it cannot be.
func (d *Device) missing(gid, kid []byte) (*need, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.cfg.Now()
	m := d.byGID(gid)
	if m == nil {
		return d.missingKeys(gid, now)
	}
	switch {
	case m.epoch == nil:
		return d.start(m, "renew", &m.keys, func(ctx context.Context) error { return d.renew(ctx, m) })
	case m.expired(now), m.outdated():
		return d.start(m, "keys", &m.keys, func(ctx context.Context) error { return d.getKeys(ctx, m) })
	}
	if m.stale(now) {
		if !m.resting(now) {
			return &need{flight: d.flyCheck(m), member: m, soft: true}, nil
		}
		if d.policy(m.name).RefuseWhenSilent {
			return nil, errNeedsGM
		}
	}
	if m.rec.Paused {
		return nil, errDropped
	}
	return d.missingCred(m, kid, now)
}

func (d *Device) policy(group string) Policy {
	if d.cfg.Policy == nil {
		return Policy{}
	}
	return d.cfg.Policy(group)
}

func (d *Device) flyCheck(m *member) *flight {
	return d.fly(m, "check", func(ctx context.Context) error { return d.checkKeys(ctx, m) })
}

// missingKeys looks for the group that a new Gid may belong to: one whose keys
// were replaced while the device did not know. d.mu is held.
func (d *Device) missingKeys(gid []byte, now time.Time) (*need, error) {
	for _, m := range d.sortedMembers() {
		longer := len(gid) - len(m.rec.Membership.GID) // by a byte, where a Gid ends in a version
		if longer < 0 || longer > 1 || m.absent.has(absentGID+string(gid), now) {
			continue
		}
		n, err := d.start(m, "keys", &m.keys, func(ctx context.Context) error { return d.seekKeys(ctx, m, gid) })
		if err == nil {
			return n, nil
		}
	}
	return nil, coap.ErrNoContext
}

// seekKeys gets the current keys in the hope that they are those of the Gid.
func (d *Device) seekKeys(ctx context.Context, m *member, gid []byte) error {
	err := d.getKeys(ctx, m)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil && !bytes.Equal(m.rec.Membership.GID, gid) {
		m.absent.add(absentGID+string(gid), d.cfg.Now())
	}
	return err
}

// missingCred asks for the credential of a Sender ID that the device does not
// know, within limits. d.mu is held.
func (d *Device) missingCred(m *member, kid []byte, now time.Time) (*need, error) {
	if _, known := m.epoch.ctx.Peer(kid); known || bytes.Equal(kid, m.rec.Membership.SenderID) {
		return nil, nil
	}
	if m.absent.has(absentPeer+string(kid), now) {
		return nil, errDropped
	}
	return d.start(m, "cred "+string(kid), &m.creds, func(ctx context.Context) error { return d.getCred(ctx, m, kid) })
}

// start makes a need of a conversation that goes on already, or that the limits
// allow to begin. d.mu is held.
func (d *Device) start(m *member, what string, limit *bucket, run func(context.Context) error) (*need, error) {
	now := d.cfg.Now()
	if m.flights[what] == nil && (m.gmSeq == nil || m.resting(now) || !limit.take(now)) {
		return nil, errNeedsGM
	}
	return &need{flight: d.fly(m, what, run), member: m}, nil
}

// confirmKeys has the keys of a membership confirmed, if that is due, and waits
// shortly for it.
func (d *Device) confirmKeys(ctx context.Context, m *member) {
	d.mu.Lock()
	now := d.cfg.Now()
	due := m.stale(now) && !m.resting(now)
	var n *need
	if due {
		n = &need{flight: d.flyCheck(m), member: m, soft: true}
	}
	d.mu.Unlock()
	if due {
		_ = d.hold(ctx, n) // what it found shows in the state
	}
}
