package commission

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/store"
)

// changeIn is a change at run time, and as it is stored.
func (b *browser) changeIn(j Job) (s *site, c *cfgChange, stored changeRecord) {
	b.t.Helper()
	s, _, c, err := b.change(j.ID)
	b.must(nil, err)
	b.must(nil, s.db.View(b.t.Context(), func(tx store.Tx) error {
		rec, err := get[changeRecord](tx, preChange+j.ID)
		if rec != nil {
			stored = *rec
		}
		return err
	}))
	return s, c, stored
}

// A person takes a change back while a step of it is being saved: both are kept.
func TestSettingsRevertDuringASave(t *testing.T) {
	w := newCfgWorld(t, 1)
	b := w.commissioned(nil)
	j, _ := b.applied(wanted(map[string]any{"3": 1000.0}))
	s, c, _ := b.changeIn(j)
	s.settingsLock.Lock()
	asked := make(chan error, 1)
	s.mu.Lock()
	job := s.jobs[j.ID]
	s.mu.Unlock()
	go func() { asked <- s.wantBack(t.Context(), job, c) }()
	select {
	case <-asked:
		t.Error("it does not wait for what is being saved")
	case <-time.After(20 * time.Millisecond):
	}
	s.mu.Lock()
	c.rec.UndoUntil = 77
	rec := c.rec
	s.mu.Unlock()
	b.must(nil, s.commit(t.Context(), write{preChange + j.ID, rec}))
	s.settingsLock.Unlock()
	b.must(nil, <-asked)
	if _, _, stored := b.changeIn(j); !stored.Revert || stored.UndoUntil != 77 {
		t.Errorf("%+v", stored)
	}
}

// What was saved of a change is damaged: it fails, says so for good, and sends nothing;
// the devices revert by themselves, and it can be made again.
func TestSettingsStateLost(t *testing.T) {
	w := newCfgWorld(t, 2)
	b := w.commissioned(nil)
	j, _ := b.applied(wanted(map[string]any{"3": 1000.0}))
	s, _, rec := b.changeIn(j)
	b.Close()
	rec.State = []byte{0xff}
	b.must(nil, s.commit(t.Context(), write{preChange + j.ID, rec}))
	for range 2 {
		next := w.engine(b.store, w.onTap(nil))
		ended, run := next.endedChange(j)
		if ended.State != JobFailed || run.Phase != SettingsFailed || run.Problem == nil || run.Problem.ID != "cfg-state-lost" || run.Requests != 0 {
			t.Errorf("%s %s", ended.State, describeRun(run))
		}
		next.Close()
	}
	w.advance(11 * time.Minute)
	w.tick()
	w.run("fade-time", int64(700))
	last := w.engine(b.store, w.onTap(nil))
	j, err := last.RetryJob(t.Context(), j.ID)
	last.must(j, err)
	last.tried(j)
	last.confirmedChange(j)
	w.run("fade-time", int64(1000))
}

// Changes that are over stay encoded, also after a reload; they can be looked at, and
// undone for 30 days.
func TestSettingsOver(t *testing.T) {
	w := newCfgWorld(t, 2)
	b := w.commissioned(nil)
	j, _ := b.applied(wanted(map[string]any{"3": 1000.0, "20": "Not for support"}))
	b.confirmedChange(j)
	text := b.Diagnostics()
	if !strings.Contains(text, "change "+j.ID+": done, lamp-dim-1") || !strings.Contains(text, w.ids()[1]+" confirmed") || strings.Contains(text, "Not for support") {
		t.Errorf("%s", text)
	}
	for range 2 {
		if _, c, _ := b.changeIn(j); c.state != nil || len(c.rec.State) == 0 {
			t.Error("a change that is over takes room")
		}
		undo, err := b.UndoSettings(t.Context(), j.ID)
		if err != nil || undo.Values["3"] != int64(700) && undo.Values["3"] != 700.0 {
			t.Errorf("%+v %v", undo, err)
		}
		if run, err := b.SettingsRun(t.Context(), j.ID); err != nil || run.Phase != SettingsDone || len(run.Rows) != 2 || run.UndoUntil != run.Ended+undoLife.Milliseconds() {
			t.Errorf("%v %s", err, describeRun(run))
		}
		b.Close()
		b = w.engine(b.store, w.onTap(nil))
	}
	w.advance(undoLife - time.Hour)
	if _, err := b.UndoSettings(t.Context(), j.ID); err != nil {
		t.Error(err)
	}
	w.advance(2 * time.Hour)
	if _, err := b.UndoSettings(t.Context(), j.ID); id(err) != "cfg-nothing-to-undo" {
		t.Errorf("after more than 30 days: %v", err)
	}
}

// A snapshot has as many changes that are over as a page can take, and all that go on.
func TestSettingsInASnapshot(t *testing.T) {
	w := newWorld(t, 0)
	b := w.enrolled()
	s, err := b.site()
	b.must(nil, err)
	add := func(id string, started, ended int64, devices int) {
		j := newJob(jobRecord{ID: id, Kind: jobSettings, Started: started, Ended: ended})
		j.items = make([]*item, devices)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.jobs[id], s.changes[id] = j, newChange(SettingsChange{})
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		clear(s.jobs)
	}()
	add("under way", 1, 0, 500)
	for i := range 3 * changesShown {
		add(fmt.Sprint("small ", i), int64(10+i), 99, 2)
	}
	if n := len(s.changeViews()); n != 1+changesShown {
		t.Errorf("%d changes of few devices", n)
	}
	add("huge", 100, 199, 2*rowsShown)
	if list := s.changeViews(); len(list) != 2 || list[0].Job != "huge" || list[1].Job != "under way" {
		t.Errorf("%d changes beside a huge one", len(list))
	}
}

// A device that ran what a change is about before it was made counts as confirmed, too.
func TestSettingsSame(t *testing.T) {
	w := newCfgWorld(t, 2)
	b := w.commissioned(nil)
	w.drift(b, w.lamps[0], map[string]any{"3": 1000.0}) // the site has confirmed nothing yet
	if r := b.settingsRecordOf(w.lamps[0]); r.Confirmed != nil {
		t.Fatalf("%+v", r)
	}
	j, _ := b.applied(wanted(map[string]any{"3": 1000.0}))
	if run := b.confirmedChange(j); rowOf(run, w.lamps[0].id()).State != SettingsRowSame {
		t.Errorf("%s", describeRun(run))
	}
	for _, l := range w.lamps {
		if r := b.settingsRecordOf(l); r.Confirmed == nil || r.Confirmed[3] != int64(1000) {
			t.Errorf("%s: %+v", l.id(), r)
		}
	}
}
