package device

import (
	"context"
	"time"
)

// maxRecoverWait is how long a device waits at most before it asks a silent Group
// Manager again after a start.
const maxRecoverWait = 10 * time.Minute

// Recover has the Group Managers confirm the keys of all memberships after a start,
// or replace them: a device that missed rekeyings, or its eviction, finds out before
// somebody needs it. It returns when all have answered, or with ctx. Whoever starts
// many devices at a time lets them begin at different moments.
func (d *Device) Recover(ctx context.Context) {
	for wait := gmRest; !d.recovered(ctx); wait = min(2*wait, maxRecoverWait) {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		case <-d.life.Done():
			timer.Stop()
			return
		}
	}
}

// recovered asks for what is not confirmed and reports whether nothing is left.
func (d *Device) recovered(ctx context.Context) bool {
	d.mu.Lock()
	members := d.sortedMembers()
	d.mu.Unlock()
	all := true
	for _, m := range members {
		if f := d.unconfirmed(m); f != nil {
			select {
			case <-f.done:
			case <-ctx.Done():
				return false
			}
			all = all && !d.unconfirmedNow(m)
		}
	}
	return all
}

// unconfirmed starts what confirms the keys of a membership; nil when nothing is to
// be done, or nothing can be.
func (d *Device) unconfirmed(m *member) *flight {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.members[m.name] != m || m.gmSeq == nil:
		return nil
	case m.epoch == nil:
		return d.fly(m, "renew", func(ctx context.Context) error { return d.renew(ctx, m) })
	case m.checked.IsZero() || m.outdated():
		return d.flyCheck(m)
	}
	return nil
}

// unconfirmedNow reports whether a membership that is still there lacks the Group
// Manager's word. One that gets no keys is not helped by asking.
func (d *Device) unconfirmedNow(m *member) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.members[m.name] == m && m.barred == "" && (m.epoch == nil || m.checked.IsZero() || m.outdated())
}
