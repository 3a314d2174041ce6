package commission

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"lamplighter/internal/settings/change"
)

// changeRecord is what survives of a change beside its job.
type changeRecord struct {
	Want   []byte `cbor:"1,keyasint"`           // SettingsChange in JSON
	State  []byte `cbor:"2,keyasint,omitempty"` // [change.State]; empty: not planned yet
	Revert bool   `cbor:"3,keyasint,omitempty"` // a person wants it taken back

	UndoUntil int64    `cbor:"4,keyasint,omitempty"` // 0: there is nothing to undo
	Failed    *Problem `cbor:"5,keyasint,omitempty"` // beside what the state says
}

// cfgChange is a change at run time. All is guarded by site.mu.
type cfgChange struct {
	rec   changeRecord
	want  SettingsChange
	state *change.State // of one under way, never changed, only replaced; nil: not planned yet, or over

	asks chan chan error // of persons who confirm
	wake chan struct{}   // somebody wants it reverted
	stop func()          // ends the operation under way; nil: there is none

	pace boardPace
}

func newChange(want SettingsChange) *cfgChange {
	text, _ := json.Marshal(want) // of what came as JSON
	return &cfgChange{rec: changeRecord{Want: text}, want: want, asks: make(chan chan error), wake: make(chan struct{}, 1)}
}

// loadChange makes a change of what was stored. What is over is not decoded before it
// is looked at: there may be many, each with all of its devices.
func loadChange(rec changeRecord, over bool) *cfgChange {
	var want SettingsChange
	_ = json.Unmarshal(rec.Want, &want) // else it is shown empty
	c := newChange(want.whole())
	c.rec = rec
	if !over {
		c.state = decodeState(rec.State)
	}
	return c
}

func decodeState(encoded []byte) *change.State {
	st, err := change.ParseState(encoded)
	if err != nil {
		return nil
	}
	return &st
}

// lost says that what was saved of a change that is under way cannot be read.
func (c *cfgChange) lost() bool { return c.state == nil && len(c.rec.State) > 0 }

// kept is the state of a change, from where it is; nil: there is none. site.mu is not
// held.
func (s *site) kept(c *cfgChange) *change.State {
	s.mu.Lock()
	st, encoded := c.state, c.rec.State
	s.mu.Unlock()
	if st == nil && len(encoded) > 0 {
		st = decodeState(encoded)
	}
	return st
}

// changing reports whether a change is under way in a group or at some of the
// devices; s.mu is held.
func (s *site) changing(group string, devices []string, butJob string) bool {
	for id, j := range s.jobs {
		if id == butJob || j.rec.Kind != jobSettings || j.ended() {
			continue
		}
		if j.rec.Group == group || slices.ContainsFunc(devices, func(d string) bool { return slices.Contains(j.rec.Devices, d) }) {
			return true
		}
	}
	return false
}

// againChange lets a change that has ended be made once more; nil for jobs of other
// kinds. If that cannot be stored, old is to be put back. site.mu is held.
func (s *site) againChange(j *job) (writes []write, old *cfgChange, err error) {
	id := j.rec.ID
	c := s.changes[id]
	switch {
	case j.rec.Kind != jobSettings:
		return nil, nil, nil
	case c == nil:
		return nil, nil, errCfgBroken
	case s.changing(j.rec.Group, j.rec.Devices, id):
		return nil, nil, errCfgOne
	case c.undoable(s.e.cfg.Now()):
		return nil, nil, errCfgAgain
	}
	s.changes[id] = newChange(c.want)
	return []write{{preChange + id, s.changes[id].rec}}, c, nil
}

// wantBack has a change taken back, durably: also where the engine ends before that is
// done.
func (s *site) wantBack(ctx context.Context, j *job, c *cfgChange) error {
	s.settingsLock.Lock() // else a step that is just being saved would forget it
	defer s.settingsLock.Unlock()
	s.mu.Lock()
	rec, known := c.rec, s.changes[j.rec.ID] == c
	s.mu.Unlock()
	rec.Revert = true
	if !known {
		return nil // it was long ago
	}
	if err := s.commit(ctx, write{preChange + j.rec.ID, rec}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.rec.Revert = true
	return nil
}

// undoable reports whether something was confirmed that can still be taken back.
func (c *cfgChange) undoable(now time.Time) bool { return now.UnixMilli() < c.rec.UndoUntil }

// undoUntil is until when a change can be taken back, 0 where nothing of it was kept.
func undoUntil(st *change.State) int64 {
	kept := func(r change.Row) bool { return r.State == change.RowConfirmed }
	if st.Ended.IsZero() || !slices.ContainsFunc(st.Rows, kept) {
		return 0
	}
	return unixMilli(st.Ended.Add(undoLife))
}
