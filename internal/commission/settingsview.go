package commission

import (
	"encoding/hex"

	"lamplighter/internal/settings"
	"lamplighter/internal/settings/change"
)

// runView is a change as it is drawn; what may be nil.
func (s *site) runView(job string, c *SettingsChange, what *settings.Schema, st *change.State) SettingsRun {
	v := SettingsRun{
		Job: job, Change: *c, Schema: refDigest(&st.Ref), Phase: SettingsPhase(st.Phase), Rows: []SettingsRow{},
		Requests: st.Requests, Bytes: st.Bytes, UnicastRequests: st.Unicast,
		PredictedRequests: st.Predicted.Requests, PredictedBytes: st.Predicted.Bytes, OneByOneRequests: st.Predicted.OneByOne,
		SwitchAt: unixMilli(st.SwitchAt), RevertAt: unixMilli(st.RevertAt),
		Started: unixMilli(st.Started), Ended: unixMilli(st.Ended), UndoUntil: undoUntil(st), Problem: cfgReason(st.Reason), Network: st.Network,
	}
	for i := range st.Rows {
		v.Rows = append(v.Rows, rowView(&st.Rows[i], what))
	}
	v.Network = v.Network && touchesNetwork(v.Rows, what)
	return v
}

// touchesNetwork says whether a network setting gets another value anywhere: a file
// has all settings, and changes few. Before the devices were asked it may.
func touchesNetwork(rows []SettingsRow, what *settings.Schema) bool {
	keys := settings.Map{}
	for _, row := range rows {
		for _, one := range row.Changes {
			keys[uint64(one.Key)] = true
		}
	}
	return len(keys) == 0 || what == nil || what.Flags(keys)&settings.Network != 0
}

func rowView(r *change.Row, what *settings.Schema) SettingsRow {
	v := SettingsRow{
		Device: r.Device, State: SettingsRowState(r.State), Is: hex.EncodeToString(r.Is), Shared: r.Shared,
		Changes: []SettingDiff{}, Problem: cfgReason(r.Reason),
	}
	if r.Before != nil {
		v.Before = hex.EncodeToString(r.Before.Short())
	}
	if r.Target == nil {
		return v
	}
	v.Expected = hex.EncodeToString(r.Target.Short())
	for _, d := range r.Diffs() {
		one := SettingDiff{Key: int(d.Key), Old: jsonValue(d.Old), New: jsonValue(d.New), Is: jsonValue(d.Is), Known: jsonValue(d.Known)}
		if what != nil && what.Def(d.Key) != nil {
			one.Name = what.Def(d.Key).Name
		}
		v.Changes = append(v.Changes, one)
	}
	return v
}

// item is a device's part of the job as its row has it.
func rowItem(r *change.Row, it itemRecord) itemRecord {
	it.Problem = cfgReason(r.Reason)
	it.Step = string(r.State)
	switch r.State {
	case change.RowConfirmed, change.RowSame:
		it.State, it.Problem = itemDone, nil
	case change.RowDrifted:
		it.State = itemFailed
	case change.RowRefused, change.RowReverted, change.RowSilent:
		it.State = itemFailed
		if r.State == change.RowSilent && r.Part {
			it.State = itemWorking
		}
	case change.RowPlanned:
		it.State, it.Step = itemTodo, ""
	default:
		it.State = itemWorking
	}
	return it
}

// view is a change as it is drawn; site.mu is not held.
func (s *site) changeView(id string) (SettingsRun, bool) {
	s.mu.Lock()
	c := s.changes[id]
	if c == nil {
		s.mu.Unlock()
		return SettingsRun{}, false
	}
	want, failed := c.want, c.rec.Failed
	started, ended := int64(0), int64(0)
	if j := s.jobs[id]; j != nil {
		started, ended = j.rec.Started, j.rec.Ended
	}
	s.mu.Unlock()
	st := s.kept(c)
	if st == nil {
		st = &change.State{Phase: change.Planning}
	}
	var what *settings.Schema
	if k := s.schema(refDigest(&st.Ref)); k != nil {
		what = k.what
	}
	v := s.runView(id, &want, what, st)
	v.Started = started
	if v.Ended == 0 {
		v.Ended = ended
	}
	if failed != nil {
		v.Problem = failed
	}
	if ended != 0 && !st.Phase.Over() { // nobody works on it any more
		v.Phase = SettingsFailed
	}
	return v, true
}

// touchChange tells of a change, at most every rolloutPace.
func (s *site) touchChange(id string) {
	s.mu.Lock()
	c := s.changes[id]
	if c != nil {
		c.pace.later(s.e.now(), func() { s.touchChangeNow(id) })
	}
	s.mu.Unlock()
}

// touchChangeNow tells of a change with the next events.
func (s *site) touchChangeNow(id string) {
	s.mu.Lock()
	if c := s.changes[id]; c != nil {
		c.pace = boardPace{told: s.e.now()}
	}
	s.mu.Unlock()
	s.e.pub.touch("settings/"+id, func() (Event, bool) {
		v, ok := s.changeView(id)
		return Event{Type: "settings", Settings: &v}, ok
	})
}

// changeViews are the changes of a snapshot, newest first: all that are under way and
// the latest that have ended.
func (s *site) changeViews() []SettingsRun {
	var ids []string
	s.mu.Lock()
	ended, rows := 0, 0
	for _, j := range s.newestJobs() {
		if s.changes[j.rec.ID] == nil {
			continue
		}
		if j.ended() {
			ended++
			if rows += len(j.items); ended > 1 && (ended > changesShown || rows > rowsShown) {
				continue
			}
		}
		ids = append(ids, j.rec.ID)
	}
	s.mu.Unlock()
	list := []SettingsRun{}
	for _, id := range ids {
		if v, ok := s.changeView(id); ok {
			list = append(list, v)
		}
	}
	return list
}

// How many changes that have ended are in a snapshot, and of how many devices together;
// others are asked for by their jobs.
const (
	changesShown = 20
	rowsShown    = 3000
)
