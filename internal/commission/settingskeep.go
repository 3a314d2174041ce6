package commission

import (
	"slices"

	"lamplighter/internal/settings"
	"lamplighter/internal/settings/change"
)

// saveChange makes a state durable, and with it what devices have confirmed.
func (s *site) saveChange(j *job, c *cfgChange, st change.State) error {
	s.settingsLock.Lock()
	defer s.settingsLock.Unlock()
	s.mu.Lock()
	c.state, c.rec.State, c.rec.UndoUntil = &st, st.Encode(), undoUntil(&st)
	writes := []write{{preChange + j.rec.ID, c.rec}}
	if s.takeRows(j, &st) {
		writes = append(writes, write{preJob + j.rec.ID, j.rec})
	}
	next := map[string]*settingsRecord{}
	for i := range st.Rows {
		if r := s.afterRow(&st, &st.Rows[i]); r != nil {
			next[st.Rows[i].Device] = r
			writes = append(writes, write{preSettings + st.Rows[i].Device, r})
		}
	}
	s.mu.Unlock()
	if err := s.commit(s.ctx, writes...); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, r := range next {
		s.settings[id] = r
	}
	return nil
}

// afterRow is what is known of a device's settings after a step of a change, nil where
// that is nothing new; s.mu is held.
func (s *site) afterRow(st *change.State, row *change.Row) *settingsRecord {
	var r settingsRecord
	if old := s.settings[row.Device]; old != nil {
		r = *old
	}
	kept := row.State == change.RowConfirmed || row.State == change.RowSame && st.Phase == change.Done
	switch {
	case row.Target == nil:
		return nil
	case kept && (r.Confirmed == nil || string(r.Confirmed.Short()) != string(row.Target.Short()) || r.State != settings.Idle):
		r.Confirmed, r.Values, r.Digest, r.State = row.Target, row.Target, row.Target.Short(), settings.Idle
	case kept:
		return nil
	case row.State == change.RowTrial && r.State != settings.Trial:
		r.Values, r.Digest, r.State = row.Target, row.Target.Short(), settings.Trial
	case (row.State == change.RowReverted || row.State == change.RowPlanned) && (r.Values == nil || string(r.Digest) != string(row.Before.Short()) || r.State == settings.Trial):
		r.Values, r.Digest, r.State = row.Before, row.Before.Short(), settings.Idle
	default:
		return nil
	}
	ref := st.Ref
	r.Schema, r.At, r.Reason = &ref, s.e.now(), nil
	return &r
}

// takeRows makes the rows of a change the job's items, and reports whether the devices
// are others than before; s.mu is held.
func (s *site) takeRows(j *job, st *change.State) bool {
	items := map[string]*item{}
	for _, it := range j.items {
		items[it.dev.id] = it
	}
	var list []*item
	var ids []string
	for i := range st.Rows {
		row := &st.Rows[i]
		it := items[row.Device]
		if it == nil {
			d := s.devices[row.Device]
			if d == nil {
				continue // forgotten
			}
			it = &item{dev: d}
		}
		it.rec = rowItem(row, it.rec)
		list, ids = append(list, it), append(ids, row.Device)
	}
	j.items = list
	if slices.Equal(ids, j.rec.Devices) {
		return false
	}
	j.rec.Devices = ids
	return true
}
