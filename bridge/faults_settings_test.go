package main

import (
	"testing"
	"time"

	"lamplighter/internal/commission"
	"lamplighter/internal/settings"
	"lamplighter/internal/store"
)

// level is the change of all lamps' highest level.
func level(n int64, in, within int) commission.SettingsChange {
	return commission.SettingsChange{
		Group: faultGroup, Model: lampModel, Values: map[string]any{"2": n}, In: in, ConfirmWithin: within,
		Variables: map[string]any{}, PerDevice: map[string]map[string]any{}, Devices: []string{},
	}
}

// stands waits until a change is in a phase.
func (i *installer) stands(job string, phase commission.SettingsPhase) (run commission.SettingsRun) {
	i.s.t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		var err error
		if run, err = i.SettingsRun(i.s.t.Context(), job); err == nil && run.Phase == phase {
			return run
		}
	}
	i.s.t.Fatalf("it did not come to %s: %s", phase, settingsLine(run))
	return run
}

func (i *installer) changes(c commission.SettingsChange) string {
	i.s.t.Helper()
	j, err := i.ApplySettings(i.s.t.Context(), c)
	if err != nil {
		i.s.t.Fatal(err)
	}
	return j.ID
}

// TestSettingsOutages: between the commit and the switch the bridge restarts and the
// group gets new keys; the lamps switch, and are confirmed. Nothing of it crossed the
// bridge in the clear.
func TestSettingsOutages(t *testing.T) {
	t.Parallel()
	s := firmwareSite(t, 5)
	tap := newTrafficTap()
	s.bridgeOptions.config.Record = tap.record
	s.startBridge()
	i := s.enrolled("Ann")
	s.hasLamps(i)
	job := i.changes(level(80, 3, 60))
	i.stands(job, commission.SettingsScheduled)
	s.bridge.stop()
	time.Sleep(300 * time.Millisecond)
	s.startBridge()
	i.link.Kick()
	if err := s.gm.server.Rekey(t.Context(), faultGroup, ""); err != nil {
		t.Fatal(err)
	}
	i.stands(job, commission.SettingsTrying)
	if _, err := i.ConfirmSettings(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if run := i.stands(job, commission.SettingsDone); count(run).good != 5 {
		t.Error(settingsLine(run))
	}
	s.have("confirmed", "max-level", 80)
	everSealed.mu.Lock()
	for key := range everSealed.keys {
		tap.see("a key", []byte(key))
	}
	everSealed.mu.Unlock()
	if report := tap.report(); len(report.Leaks) > 0 || report.Secrets == 0 {
		t.Errorf("%d secrets: %v", report.Secrets, report.Leaks)
	}
}

// TestSettingsNobodyConfirms: the installer's engine is gone before the confirmation.
// All lamps go back by themselves, and the next engine says so.
func TestSettingsNobodyConfirms(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 5)
	db := store.NewMemory()
	i := s.install(db)
	if _, err := i.AcceptInvitation(t.Context(), s.invitation("Ann").Encode()); err != nil {
		t.Fatal(err)
	}
	s.hasLamps(i)
	job := i.changes(level(80, 1, 4))
	i.stands(job, commission.SettingsTrying)
	s.have("on trial", "max-level", 80)
	i.finish()
	s.until("lamps that went back", func() bool {
		for _, l := range s.lamps.lamps {
			if st := l.state().Settings; st.State != settings.Idle || st.Result != settings.ResultReverted {
				return false
			}
		}
		return true
	})
	s.have("reverted", "max-level", 100)
	if run := s.install(db).stands(job, commission.SettingsReverted); count(run).good != 0 {
		t.Error(settingsLine(run))
	}
}

// TestSettingsHeldBack: the commit and the confirmation are held back and repeated
// when the change is over: no lamp does anything of it.
func TestSettingsHeldBack(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 4)
	i, w := s.withheld("Ann")
	w.hold(false) // from here on what goes through is kept
	job := i.changes(level(80, 1, 60))
	i.stands(job, commission.SettingsTrying)
	if _, err := i.RevertSettings(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	i.stands(job, commission.SettingsReverted)
	s.have("reverted", "max-level", 100)
	n := w.release(t.Context())
	time.Sleep(1500 * time.Millisecond)
	s.have("after the repetition", "max-level", 100)
	if n < 5 {
		t.Errorf("only %d messages were repeated: it shows nothing", n)
	}
}
