package main

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lamplighter/internal/commission"
	"lamplighter/internal/settings"
)

// whenAll does something once, in front of the next message, when all lamps are in a
// state of a change.
func (s *faultSite) whenAll(state settings.State, do func()) func() {
	var once sync.Once
	return func() {
		for _, l := range s.lamps.lamps {
			if l.current().Settings().View().State != state {
				return
			}
		}
		once.Do(do)
	}
}

// watched is an installer whose messages a test sees before they leave.
func (s *faultSite) watched(name string) (*installer, *withholder) {
	s.t.Helper()
	return s.withheld(name, func(c *commission.Config) {
		c.Tuning.Timeout, c.Tuning.FollowUp = 800*time.Millisecond, time.Second // some of the lamps are silent
	})
}

// heldBack is how many messages wait.
func (w *withholder) heldBack() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.held)
}

// keeps applies a change and confirms it.
func (i *installer) keeps(c commission.SettingsChange) {
	i.s.t.Helper()
	job := i.changes(c)
	i.stands(job, commission.SettingsTrying)
	if _, err := i.ConfirmSettings(i.s.t.Context(), job); err != nil {
		i.s.t.Fatal(err)
	}
	i.stands(job, commission.SettingsDone)
}

// TestSettingsNeverArrived: the bridge holds a commit back, and later a confirmation
// and what takes a change back, none of which has arrived before. They come when the
// change was canceled, has expired, or another one took its place, which was confirmed
// or is tried: nothing of them comes true. DESIGN S5.
func TestSettingsNeverArrived(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 3)
	i, w := s.watched("Ann")
	ctx := context.Background()

	w.first(s.whenAll(settings.Staged, func() { w.hold(true) }))
	job := i.changes(level(80, 4, 60))
	s.until("a commit that is held back", func() bool { return w.heldBack() > 0 })
	w.hold(false)
	if j, err := i.CancelJob(ctx, job); err != nil || j.State != commission.JobCanceled {
		t.Fatalf("%+v, %v", j, err)
	}
	i.keeps(level(70, 1, 60))
	n := w.release(ctx)
	s.have("a commit came late", "max-level", 70)
	s.idle()

	w.first(nil)
	job = i.changes(level(90, 1, 3))
	i.stands(job, commission.SettingsTrying)
	w.hold(true)
	if _, err := i.ConfirmSettings(ctx, job); err == nil {
		t.Error("confirmed, though nothing came through")
	}
	if r := s.row(i.stands(job, commission.SettingsFailed), 0); r.Problem.ID != "cfg-unsure" {
		t.Errorf("%s: %+v", r.State, r.Problem)
	}
	s.until("lamps that went back", func() bool { return s.went(settings.ResultReverted) })
	s.have("nobody confirmed", "max-level", 70)
	w.hold(false)
	job = i.changes(level(60, 1, 8))
	i.stands(job, commission.SettingsTrying)
	n += w.release(ctx)
	s.have("a confirmation came late", "max-level", 60)
	for _, l := range s.lamps.lamps {
		if l.state().Settings.State != settings.Trial {
			t.Error("the confirmation of another change ended the trial")
		}
	}

	var messages atomic.Int64
	w.first(func() { // the first asks where they stand
		if messages.Add(1) == 2 {
			w.hold(true)
		}
	})
	run, err := i.RevertSettings(ctx, job)
	if r := s.row(run, 0); err != nil || r.Problem.ID == "" {
		t.Errorf("%v: nobody is told that the lamps did not hear it: %s", err, settingsLine(run))
	}
	w.first(nil)
	s.until("lamps that went back", func() bool { return s.went(settings.ResultReverted) })
	w.hold(false)
	s.have("nobody confirmed", "max-level", 70)
	i.keeps(level(50, 1, 60))
	n += w.release(ctx)
	s.have("what took another back came late", "max-level", 50)
	s.idle()
	t.Logf("%d messages came late", n)
}

// went says whether all lamps are in no change, and their latest ended so.
func (s *faultSite) went(end settings.Result) bool {
	for _, l := range s.lamps.lamps {
		if st := l.state().Settings; st.State != settings.Idle || st.Result != end {
			return false
		}
	}
	return true
}

// idle fails unless no lamp is in a change.
func (s *faultSite) idle() {
	s.t.Helper()
	for n, l := range s.lamps.lamps {
		if st := l.state().Settings; st.State > settings.Staged {
			s.t.Errorf("lamp %d: %+v", n, st)
		}
	}
}
