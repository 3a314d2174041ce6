package device

import (
	"context"
	"errors"

	"lamplighter/internal/coap"
	"lamplighter/internal/join"
	"lamplighter/internal/store"
)

// A device stops processing messages of a group that is not active. KGO, Section
// 9.9. It asks after the start and with every check of its keys, and the Group
// Manager tells it at its control_uri.

// hearStatus takes the word of a message that the group is active or not. As the
// message may have been held back, only an answer lets the device go on; a pause
// counts at once. d.mu is held.
func (d *Device) hearStatus(m *member, active bool) error {
	m.hints++
	if !active {
		if err := d.setPaused(m, true); err != nil {
			return err
		}
	}
	d.fly(m, "status", func(ctx context.Context) error { return d.checkStatus(ctx, m) })
	return nil
}

// checkStatus asks whether the group is active, once more when the Group Manager has
// told something meanwhile.
func (d *Device) checkStatus(ctx context.Context, m *member) error {
	return d.talk(m, func(gm *join.Member, _ join.Membership) error {
		for {
			d.mu.Lock()
			asked := m.hints
			d.mu.Unlock()
			active, err := gm.Active(ctx)
			if refusal, ok := errors.AsType[*join.GMError](err); ok && refusal.Code == coap.NotFound {
				return nil // the group is being deleted: of that the device hears by itself
			}
			if err != nil {
				return err
			}
			done, err := d.answeredStatus(m, asked, active)
			if done || err != nil {
				return err
			}
		}
	})
}

// answeredStatus takes an answer, unless something was told since it was asked for.
func (d *Device) answeredStatus(m *member, asked uint64, active bool) (done bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.members[m.name] != m {
		return true, nil
	}
	if asked != m.hints {
		return false, nil
	}
	return true, d.setPaused(m, !active)
}

// setPaused notes, durably, whether the group is paused. d.mu is held.
func (d *Device) setPaused(m *member, paused bool) error {
	if m.rec.Paused == paused {
		return nil
	}
	rec := m.rec
	rec.Paused = paused
	if err := d.update(func(tx store.Tx) error { return writeMember(tx, m.name, &rec) }); err != nil {
		return err
	}
	m.rec.Paused = paused
	d.log.Info("the group's status", "group", m.name, "paused", paused)
	return nil
}
