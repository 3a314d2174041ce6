package main

import (
	"testing"
	"time"

	"lamplighter/internal/commission"
	"lamplighter/internal/settings"
)

// row is a lamp's in a change.
func (s *faultSite) row(run commission.SettingsRun, n int) commission.SettingsRow {
	for _, r := range run.Rows {
		if r.Device == s.id(n) {
			if r.Problem == nil {
				r.Problem = &commission.Problem{}
			}
			return r
		}
	}
	return commission.SettingsRow{Problem: &commission.Problem{}}
}

func (s *faultSite) cut(n int) {
	s.t.Helper()
	s.lamps.lamps[n].powerOff()
	s.powerOn(n)
}

// TestSettingsPowerCut: a lamp loses its power between stage and commit, for a moment
// and for long, and while it tries the new settings. Each lamp runs wholly the old or
// wholly the new ones, the installer is told which, and another try goes through.
func TestSettingsPowerCut(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 3)
	i, w := s.watched("Ann")

	w.first(s.whenAll(settings.Staged, func() { s.cut(0) }))
	i.keeps(level(80, 1, 60))
	s.have("a moment before the commit", "max-level", 80)

	w.first(s.whenAll(settings.Staged, func() { s.lamps.lamps[1].powerOff() }))
	job := i.changes(level(70, 1, 60))
	run := i.stands(job, commission.SettingsReverted)
	if r := s.row(run, 1); r.Problem.ID == "" || r.Problem.Next == "" && r.Problem.Text == "" || run.Problem == nil || run.Problem.ID != "cfg-went-back" {
		t.Errorf("%+v, %+v: %s", r.Problem, run.Problem, settingsLine(run))
	}
	w.first(nil)
	s.powerOn(1)
	s.have("off during the commit", "max-level", 80)
	s.idle()
	if _, err := i.RetryJob(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	i.stands(job, commission.SettingsTrying)

	s.cut(2) // it has a clock: the trial goes on
	if run, err := i.ConfirmSettings(t.Context(), job); err != nil || count(run).good != 3 {
		t.Fatalf("%v: %s", err, settingsLine(run))
	}
	s.have("a moment while it was tried", "max-level", 70)

	job = i.changes(level(60, 1, 4))
	run = i.stands(job, commission.SettingsTrying)
	s.lamps.lamps[0].powerOff() // it was heard just now: the others keep what they try
	if _, err := i.ConfirmSettings(t.Context(), job); err == nil {
		t.Error("nobody is told that a lamp was silent")
	}
	if r := s.row(i.stands(job, commission.SettingsFailed), 0); r.Problem.ID != "cfg-unsure" || r.State != commission.SettingsRowSilent {
		t.Errorf("%s: %+v", r.State, r.Problem)
	}
	time.Sleep(time.Until(time.UnixMilli(run.RevertAt + 1)))
	s.powerOn(0)
	for n, want := range []int64{70, 60, 60} {
		if st := s.lamps.lamps[n].state().Settings; st.Values["max-level"] != want || st.State != settings.Idle {
			t.Errorf("lamp 0 was off until the time was over, and %d runs %+v", n, st)
		}
	}
	i.keeps(level(60, 1, 60))
	s.have("tried again", "max-level", 60)
}
