package commission

import (
	"context"
	"testing"
	"time"

	"lamplighter/internal/settings"
)

// The group is deleted, or a device leaves it, while a change is tried: the change
// ends, and the devices that were not confirmed revert.
func TestSettingsGroupGone(t *testing.T) {
	w := newCfgWorld(t, 2)
	b := w.commissioned(nil)
	j, _ := b.applied(wanted(map[string]any{"3": 1000.0}))
	b.must(nil, b.DeleteGroup(t.Context(), hall))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	run, err := b.ConfirmSettings(ctx, j.ID)
	if err == nil || ctx.Err() != nil {
		t.Errorf("%v %s", err, describeRun(run))
	}
	w.advance(11 * time.Minute)
	w.tick()
	w.run("fade-time", int64(700))
	ended, run := b.endedChange(j)
	if ended.State != JobFailed || run.Phase != SettingsFailed || rowOf(run, w.lamps[0].id()).Problem.ID != "cfg-unsure" {
		t.Errorf("%s %s", ended.State, describeRun(run))
	}
}

// A device leaves while it tries a change: the others keep it. Chosen afterwards it is
// shown as gone, and holds nobody up.
func TestSettingsDeviceGone(t *testing.T) {
	w := newCfgWorld(t, 3)
	b := w.commissioned(nil)
	j, _ := b.applied(wanted(map[string]any{"3": 1000.0}, func(c *SettingsChange) { c.Quorum = 2 }))
	l := b.job(b.Leave(t.Context(), hall, []string{w.lamps[2].id()}))
	if l.State != JobDone {
		t.Fatal(b.failures(l))
	}
	run, err := b.ConfirmSettings(t.Context(), j.ID)
	if err != nil || run.Phase != SettingsDone || rowOf(run, w.lamps[2].id()).State == SettingsRowConfirmed {
		t.Errorf("%v %s", err, describeRun(run))
	}
	undo, err := b.UndoSettings(t.Context(), j.ID)
	if err != nil || len(undo.Devices) != 2 {
		t.Errorf("%+v %v", undo, err)
	}
	j, run = b.applied(wanted(map[string]any{"3": 900.0}, func(c *SettingsChange) { c.Devices = w.ids() }))
	if row := rowOf(run, w.lamps[2].id()); row.State != SettingsRowRefused || row.Problem.ID != "cfg-gone" {
		t.Errorf("%s", describeRun(run))
	}
	if run = b.confirmedChange(j); len(run.Rows) != 3 {
		t.Errorf("%s", describeRun(run))
	}
	w.run("fade-time", int64(900), w.lamps[:2]...)
}

// A device falls silent after it was shown that it takes part: then nobody switches,
// unless fewer are enough.
func TestSettingsFewerThanShown(t *testing.T) {
	w := newCfgWorld(t, 3)
	b := w.commissioned(nil)
	c := wanted(map[string]any{"3": 1000.0})
	run, err := b.PlanSettings(t.Context(), c)
	if err != nil || len(run.Rows) != 3 || run.Rows[2].State != SettingsRowPlanned {
		t.Fatalf("%v %s", err, describeRun(run))
	}
	w.net.Down(w.lamps[2].addr, true)
	c.Quorum = 3
	j, err := b.ApplySettings(t.Context(), c)
	b.must(j, err)
	j, run = b.endedChange(j)
	if run.Phase != SettingsStopped || run.Problem == nil || run.Problem.ID != "cfg-too-few" || j.State != JobFailed {
		t.Errorf("%s %s", j.State, describeRun(run))
	}
	for _, l := range w.lamps {
		if v := l.Settings().View(); v.State != settings.Idle {
			t.Errorf("%s: %+v", l.id(), v)
		}
	}
	c.Quorum = 2
	j, _ = b.applied(c)
	b.confirmedChange(j)
	w.run("fade-time", int64(1000), w.lamps[:2]...)
}
