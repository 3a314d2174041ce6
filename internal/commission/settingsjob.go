package commission

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"lamplighter/internal/settings"
	"lamplighter/internal/settings/change"
)

const (
	revertSlack = 5 * time.Second  // after which devices have surely reverted
	revertTime  = 30 * time.Second // how long devices are told that a change was canceled
	changeTries = 5                // of a step that failed for a reason that passes
)

// changeRecord is what survives of a change beside its job.
type changeRecord struct {
	Want   []byte `cbor:"1,keyasint"`           // SettingsChange in JSON
	State  []byte `cbor:"2,keyasint,omitempty"` // [change.State]; empty: not planned yet
	Revert bool   `cbor:"3,keyasint,omitempty"` // a person wants it taken back
}

// cfgChange is a change at run time. All is guarded by site.mu.
type cfgChange struct {
	rec    changeRecord
	want   SettingsChange
	state  *change.State // nil: not planned yet; never changed, only replaced
	failed *Problem      // beside what the state says

	asks chan chan error // of persons who confirm
	wake chan struct{}   // somebody wants it reverted
	stop func()          // ends the operation under way; nil: there is none

	told int64
	due  bool
}

func newChange(want SettingsChange) *cfgChange {
	text, _ := json.Marshal(want) // of what came as JSON
	return &cfgChange{rec: changeRecord{Want: text}, want: want, asks: make(chan chan error), wake: make(chan struct{}, 1)}
}

func loadChange(rec changeRecord) *cfgChange {
	var want SettingsChange
	_ = json.Unmarshal(rec.Want, &want) // else it is shown empty
	c := newChange(want.whole())
	c.rec = rec
	if st, err := change.ParseState(rec.State); err == nil {
		c.state = &st
	}
	return c
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

// startChange makes a job of kind "settings", durably, and begins the work.
func (s *site) startChange(ctx context.Context, g *group, want SettingsChange) (Job, error) {
	devices, err := s.meant(g, &want)
	if err != nil {
		return Job{}, err
	}
	if len(devices) == 0 {
		return Job{}, errNobody
	}
	id, err := s.jobID()
	if err != nil {
		return Job{}, err
	}
	j := newJob(jobRecord{ID: id, Kind: jobSettings, Group: g.name, State: JobRunning, Started: s.e.now()})
	for _, d := range devices {
		j.rec.Devices = append(j.rec.Devices, d.id)
		j.items = append(j.items, &item{dev: d, rec: itemRecord{State: itemTodo}})
	}
	c := newChange(want)
	s.mu.Lock()
	if s.changing(g.name, j.rec.Devices, id) {
		s.mu.Unlock()
		return Job{}, errCfgOne
	}
	s.jobs[id], s.changes[id] = j, c
	s.mu.Unlock()
	if err := s.commit(ctx, append(s.oldest(), write{preJob + id, j.rec}, write{preChange + id, c.rec})...); err != nil {
		s.mu.Lock()
		delete(s.jobs, id)
		delete(s.changes, id)
		s.mu.Unlock()
		return Job{}, asProblem(err)
	}
	s.run(j)
	return s.jobView(j), nil
}

// workOnChange is [site.workOn] for a job of kind "settings".
func (s *site) workOnChange(ctx context.Context, j *job) {
	s.mu.Lock()
	c := s.changes[j.rec.ID]
	s.mu.Unlock()
	if c == nil {
		s.failAll(ctx, j, errCfgBroken)
		return
	}
	run, first, err := s.runOf(ctx, j, c)
	if err == nil {
		err = s.carry(ctx, j, c, run, first)
	}
	if run != nil && s.wasCanceled(j) {
		err = s.withdraw(run)
	}
	s.settleChange(ctx, j, c, run, err)
}

// runOf makes the run of a job, from a plan or from what was saved, and what it does
// first.
func (s *site) runOf(ctx context.Context, j *job, c *cfgChange) (run *change.Run, first func(context.Context) error, err error) {
	g, err := s.knownGroup(j.rec.Group)
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	st, want := c.state, c.want
	s.mu.Unlock()
	way := s.wayTo(g)
	follow := func(p *change.Params) {
		p.Save = func(st change.State) error { return s.saveChange(j, c, st) }
		p.Progress = func(change.View) {
			s.touchJob(j)
			s.touchChange(j.rec.ID)
		}
	}
	if st != nil && st.Going {
		p := s.cfgParams(way)
		p.Ref, p.Change, p.Options = st.Ref, st.Change, st.Options
		if k := s.schema(refDigest(&st.Ref)); k != nil {
			p.Schema = k.what
		}
		follow(&p)
		run = change.Resume(p, *st)
		return run, run.Continue, nil
	}
	err = s.insist(ctx, j, func() (err error) {
		if err = way.ready(ctx); err == nil {
			run, _, err = s.planOf(ctx, way, &want, follow)
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return run, run.Apply, nil
}

// carry carries a change out until it is over. Nothing but a person confirms.
func (s *site) carry(ctx context.Context, j *job, c *cfgChange, run *change.Run, step func(context.Context) error) error {
	for tries := 0; ; {
		if s.wantsBack(c) {
			step = run.Revert
		}
		err := s.operate(ctx, c, step)
		var why *change.Reason
		switch phase := run.State().Phase; {
		case ctx.Err() != nil:
			return ctx.Err()
		case phase.Over():
			return nil
		case s.wantsBack(c) && tries < changeTries:
			tries++
			continue
		case err != nil && !errors.As(err, &why):
			p := asProblem(err)
			if tries++; !p.Retry || tries >= changeTries {
				return err
			}
			sleep(ctx, s.backoff(tries))
			step = run.Continue
		case phase == change.Trial:
			if step = s.await(ctx, j, run, c); step == nil {
				return ctx.Err()
			}
			tries = 0
		case tries < changeTries:
			tries++
			step = run.Continue
		default:
			return err
		}
	}
}

func (s *site) wantsBack(c *cfgChange) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.rec.Revert
}

// operate does a step that a person who wants the change reverted can end.
func (s *site) operate(ctx context.Context, c *cfgChange, step func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s.mu.Lock()
	if !c.rec.Revert {
		c.stop = stop
	}
	s.mu.Unlock()
	err := step(ctx)
	s.mu.Lock()
	c.stop = nil
	s.mu.Unlock()
	return err
}

// await waits for a person, or until the devices have reverted by themselves, and
// returns what to do next; nil when ctx ended.
func (s *site) await(ctx context.Context, j *job, run *change.Run, c *cfgChange) func(context.Context) error {
	s.pause(j, true)
	defer s.pause(j, false)
	again := time.NewTicker(s.e.cfg.Tuning.Backoff)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
			return run.Revert
		case done := <-c.asks:
			return func(ctx context.Context) error {
				err := run.Confirm(ctx)
				done <- err
				return err
			}
		case <-again.C:
			if s.e.cfg.Now().After(run.State().RevertAt.Add(revertSlack)) {
				return run.Continue
			}
		}
	}
}

// withdraw takes a change back whose job was canceled.
func (s *site) withdraw(run *change.Run) error {
	ctx, cancel := context.WithTimeout(s.ctx, revertTime)
	defer cancel()
	if err := run.Revert(ctx); err != nil {
		s.e.warn("", "not all devices could be told that the change of settings was canceled; they go back by themselves")
	}
	return nil
}

// saveChange makes a state durable, and with it what devices have confirmed.
func (s *site) saveChange(j *job, c *cfgChange, st change.State) error {
	s.settingsLock.Lock()
	defer s.settingsLock.Unlock()
	s.mu.Lock()
	c.state, c.rec.State = &st, st.Encode()
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

// settleChange writes down how a change stands when its work has ended: for good, or
// because the engine stops.
func (s *site) settleChange(ctx context.Context, j *job, c *cfgChange, run *change.Run, err error) {
	if s.ctx.Err() != nil || ctx.Err() != nil && !s.wasCanceled(j) {
		return // it goes on when the site is loaded again
	}
	s.mu.Lock()
	if err != nil {
		c.failed = &cfgError(err).Problem
	}
	j.canceled = j.canceled || c.rec.Revert
	why := c.failed
	if why == nil && c.state != nil {
		why = cfgReason(c.state.Reason)
	}
	var writes []write
	for _, it := range j.items {
		switch {
		case it.rec.State == itemDone:
		case j.canceled:
			it.rec.State, it.rec.Problem = itemTodo, nil
		case it.rec.State != itemFailed:
			it.rec.State = itemFailed
			if it.rec.Problem == nil {
				it.rec.Problem = why
			}
		}
		writes = append(writes, write{j.itemKey(it.dev.id), it.rec})
	}
	s.mu.Unlock()
	if err := s.commit(context.WithoutCancel(s.ctx), writes...); err != nil {
		s.e.logProblem("", "saving how the change of "+j.rec.Group+" stands", err)
	}
	s.touchChangeNow(j.rec.ID)
}

// againChange lets a change that has ended be made once more; nil for jobs of other
// kinds. site.mu is held.
func (s *site) againChange(j *job) ([]write, error) {
	id := j.rec.ID
	c := s.changes[id]
	switch {
	case j.rec.Kind != jobSettings:
		return nil, nil
	case c == nil:
		return nil, errCfgBroken
	case s.changing(j.rec.Group, j.rec.Devices, id):
		return nil, errCfgOne
	case c.undoable(s.e.cfg.Now()):
		return nil, errCfgAgain
	}
	c.rec.State, c.rec.Revert, c.state, c.failed = nil, false, nil, nil
	return []write{{preChange + id, c.rec}}, nil
}

// cancelChange has a change taken back also where the engine ends before that is done;
// s.mu is held.
func (s *site) cancelChange(j *job) []write {
	c := s.changes[j.rec.ID]
	if c == nil {
		return nil
	}
	c.rec.Revert = true
	return []write{{preChange + j.rec.ID, c.rec}}
}

// undoable reports whether something was confirmed that can still be taken back.
func (c *cfgChange) undoable(now time.Time) bool {
	return c.state != nil && !c.state.Ended.IsZero() && now.Before(c.state.Ended.Add(undoLife)) &&
		slices.ContainsFunc(c.state.Rows, func(r change.Row) bool { return r.State == change.RowConfirmed })
}
