package device

import (
	"context"
	"errors"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
)

// This file is the control resource of a membership, the control_uri of its Join
// Request: /ace-group/GROUPNAME/node. KGO, Sections 6.1, 10 and 11.1.

// ofGM is the answer to a request that is not from the group's Group Manager.
func ofGM(req *coap.Request) *coap.Message {
	if req.Peer.Kind == coap.PeerNone {
		return coap.Problem(coap.Unauthorized, "This resource is for protected requests only.")
	}
	return problem(refuse(errDenied, "This is for the group's Group Manager to do."))
}

// postNode takes what the Group Manager tells of a group's keys. The answer means
// that the device has the keys, durably.
func (d *Device) postNode(ctx context.Context, req *coap.Request) *coap.Message {
	m := d.fromGM(ctx, req)
	if m == nil {
		return ofGM(req)
	}
	msg, err := join.ReadControl(req.Message)
	if err != nil {
		return problem(refuse(errMalformed, "That is no rekeying message."))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.hear(ctx, m, msg, patience); err != nil {
		return problem(err)
	}
	m.failed = time.Time{} // it is there
	return done(coap.Changed)
}

// deleteNode ends a membership: the Group Manager has evicted the device. KGO,
// Section 10.
func (d *Device) deleteNode(ctx context.Context, req *coap.Request) *coap.Message {
	m := d.fromGM(ctx, req)
	if m == nil {
		return ofGM(req)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.endMembership(m, EndEvicted); err != nil {
		return problem(err)
	}
	return done(coap.Deleted)
}

// hear acts on a message about the keys that was verified to be the Group
// Manager's. After a gap it waits for what else it takes, but not longer than wait.
// A message may have been held back: it brings keys, and confirms none; only an
// answer does. d.mu is held, and not while it waits. KGO, Section 11.2.
func (d *Device) hear(ctx context.Context, m *member, msg *ace.Control, wait time.Duration) error {
	if d.members[m.name] != m {
		return errNeedsGM
	}
	if msg.Config != nil && msg.Config.Active != nil {
		if err := d.hearStatus(m, *msg.Config.Active); err != nil {
			return err
		}
	}
	next, _, news, err := m.rec.Membership.Hear(msg)
	if err == nil && next != nil {
		err = next.Fits(cose.NewEd25519(d.key).Public())
	}
	switch {
	case errors.Is(err, join.ErrAlgorithm):
		return d.leaveUnbuilt(m)
	case err != nil:
		return refuse(errMalformed, "The keys are malformed.")
	}
	switch news {
	case join.NewKeys, join.NewAlgorithms:
		err = d.rekey(m, next)
	case join.MissedKeys:
		return d.catchUp(ctx, m, numOf(msg), next, wait)
	case join.GroupDeleted:
		return d.endMembership(m, EndDeleted)
	case join.NothingNew:
	}
	return err
}

// numOf is the version of the keys that a message is about.
func numOf(c *ace.Control) uint64 {
	if c.Config != nil {
		return c.Config.Num
	}
	return c.Rekeying.Num
}

// leaveUnbuilt leaves a group that uses from now on what the device lacks. At the
// Group Manager it leaves in the background: what it answered does not matter.
// draft-ietf-ace-oscore-gm-admin-17, Section 6.6.2. d.mu is held.
func (d *Device) leaveUnbuilt(m *member) error {
	client, err := d.client(m)
	if err == nil {
		go func() {
			ctx, cancel := context.WithTimeout(d.life, gmTimeout)
			defer cancel()
			if err := client.Leave(ctx); err != nil {
				d.log.Warn("leaving failed", "group", m.name, "err", err)
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			_ = d.endMembership(m, EndUnbuilt) // logged
		}()
		return nil
	}
	return d.endMembership(m, EndUnbuilt)
}

// catchUp installs keys that come after some that the device has missed: what
// became stale meanwhile is asked for first, and until then the device uses none
// at all. Next is nil when only their version is known. d.mu is held, and not while
// it waits. KGO, Section 11.3.
func (d *Device) catchUp(ctx context.Context, m *member, num uint64, next *join.Membership, wait time.Duration) error {
	if err := d.newerKeys(m, num); err != nil {
		return err
	}
	run := func(ctx context.Context) error { return d.getKeys(ctx, m) }
	if next != nil {
		run = func(ctx context.Context) error { return d.installMissed(ctx, m, next) }
	}
	f := d.fly(m, "keys", run)
	if wait == 0 {
		return nil
	}
	d.mu.Unlock()
	defer d.mu.Lock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-f.done:
	case <-ctx.Done():
	case <-timer.C:
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if m.rec.Membership.Num < num {
		return refuse(errNeedsGM, "What became stale since version %d is not known yet.", m.rec.Membership.Num)
	}
	return nil
}

// installMissed installs keys without whom became stale since those that the device
// has.
func (d *Device) installMissed(ctx context.Context, m *member, next *join.Membership) error {
	return d.talk(m, func(gm *join.Member, old join.Membership) error {
		purged, err := gm.StaleSIDs(ctx, old.Num)
		if err != nil {
			return err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.members[m.name] != m || m.rec.Membership.Num != old.Num {
			return nil // overtaken
		}
		if err := d.rekey(m, next.Without(purged)); err != nil {
			return err
		}
		m.checked = d.cfg.Now()
		return nil
	})
}
