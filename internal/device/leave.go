package device

import (
	"cmp"
	"context"
	"log/slog"

	"lamplighter/internal/join"
	"lamplighter/internal/store"
)

// leave leaves a group at the Group Manager and forgets its keys. With force the
// first may fail.
func (d *Device) leave(ctx context.Context, m *member, force bool) error {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	err := d.talk(m, func(gm *join.Member, _ join.Membership) error { return gm.Leave(ctx) })
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.members[m.name] != m {
		return nil // it was no member any more
	}
	if err != nil && !force {
		return refuse(errNeedsGM, "The Group Manager of %q does not answer, so the device is still in the group.", m.name)
	}
	if err := d.forget(m); err != nil {
		return err
	}
	d.log.Info("left", "group", m.name)
	return nil
}

// forget ends a membership, durably. d.mu is held.
func (d *Device) forget(m *member, also ...func(store.Tx) error) error {
	if d.members[m.name] != m {
		return nil
	}
	err := d.update(func(tx store.Tx) error {
		err := forgetGroup(tx, m.name)
		for _, fn := range also {
			err = cmp.Or(err, fn(tx))
		}
		return err
	})
	if err != nil {
		return err
	}
	d.gms.Remove(associationName(&m.rec.Association))
	delete(d.members, m.name)
	return nil
}

// endMembership forgets a membership that others have ended, and keeps why. d.mu is
// held.
func (d *Device) endMembership(m *member, why GroupEnd) error {
	if d.members[m.name] != m {
		return nil
	}
	note := goneRecord{Why: why, At: d.cfg.Now().Unix(), Num: m.rec.Membership.Num}
	err := d.forget(m, func(tx store.Tx) error { return put(tx, prefixGone+m.name, note) })
	if err != nil {
		return err
	}
	d.gone[m.name] = note
	level := slog.LevelInfo
	if why == EndUnbuilt {
		level = slog.LevelWarn // nobody else meant it
	}
	d.log.Log(context.Background(), level, "no member any more", "group", m.name, "why", why.String(), "num", note.Num)
	return nil
}

// newerKeys notes, durably, that the Group Manager has newer keys than the device:
// those that it has are not used any more, also after a reboot. d.mu is held.
func (d *Device) newerKeys(m *member, num uint64) error {
	if d.members[m.name] != m || num <= max(m.rec.Known, m.rec.Membership.Num) {
		return nil
	}
	rec := m.rec
	rec.Known = num
	if err := d.update(func(tx store.Tx) error { return put(tx, prefixGroup+m.name, rec) }); err != nil {
		return err
	}
	m.rec = rec
	return nil
}
