package commission

import (
	"strings"
	"testing"
)

// A change is planned, checked, staged, switched and confirmed; then it is undone.
func TestSettingsChange(t *testing.T) {
	w := newCfgWorld(t, 4)
	b := w.commissioned(nil)
	schemas, err := b.SettingsSchemas(t.Context(), hall)
	if err != nil || len(schemas) != 1 || !schemas[0].Signed || schemas[0].Problem != nil || len(schemas[0].Defs) < 10 {
		t.Fatalf("%+v %v", schemas, err)
	}
	c := wanted(map[string]any{"3": 1000.0}, func(c *SettingsChange) {
		c.PerDevice = map[string]map[string]any{w.lamps[1].id(): {"20": "Door"}}
	})
	run, err := b.PlanSettings(t.Context(), c)
	if err != nil || len(run.Rows) != 4 || run.Rows[0].State != SettingsRowPlanned || len(run.Rows[1].Changes) != 2 || run.Rows[0].Changes[0].Name != "fade-time" {
		t.Fatalf("%v %s", err, describeRun(run))
	}
	if run, err = b.CheckSettings(t.Context(), c); err != nil || run.Rows[3].State != SettingsRowChecked {
		t.Fatalf("%v %s", err, describeRun(run))
	}
	w.run("fade-time", int64(700))
	j, err := b.ApplySettings(t.Context(), c)
	b.must(j, err)
	if _, err := b.ApplySettings(t.Context(), c); id(err) != "cfg-one-at-a-time" {
		t.Errorf("%v", err)
	}
	b.tried(j)
	w.run("fade-time", int64(1000))
	if run, err = b.ConfirmSettings(t.Context(), j.ID); err != nil || run.Phase != SettingsDone || run.UndoUntil == 0 {
		t.Fatalf("%v %s", err, describeRun(run))
	}
	w.run("label", "Door", w.lamps[1])
	undo, err := b.UndoSettings(t.Context(), j.ID)
	b.must(undo, err)
	j, err = b.ApplySettings(t.Context(), undo)
	b.must(j, err)
	b.tried(j)
	if run, err = b.RevertSettings(t.Context(), j.ID); err != nil || run.Phase != SettingsReverted {
		t.Fatalf("%v %s", err, describeRun(run))
	}
	w.run("fade-time", int64(1000))
}

// Whoever began a change dies before it is confirmed: the devices revert, and the
// change says so.
func TestSettingsKilledBeforeConfirm(t *testing.T) {
	w := newCfgWorld(t, 3)
	b := w.commissioned(nil)
	j, err := b.ApplySettings(t.Context(), wanted(map[string]any{"3": 1000.0}))
	b.must(j, err)
	b.tried(j)
	b.Close()
	second := w.engine(b.store, w.onTap(nil))
	run := second.tried(j)
	if run.RevertAt == 0 {
		t.Errorf("%s", describeRun(run))
	}
	second.Close()
	w.advance(11 * 60e9)
	w.tick()
	w.run("fade-time", int64(700))
	third := w.engine(b.store, w.onTap(nil))
	j = third.job(j, nil)
	if run, err = third.SettingsRun(t.Context(), j.ID); err != nil || run.Phase != SettingsReverted || run.Rows[0].State != SettingsRowReverted || j.State != JobFailed {
		t.Errorf("%v %s", err, describeRun(run))
	}
}

// Devices that drifted are shown and mended.
func TestSettingsDrift(t *testing.T) {
	w := newCfgWorld(t, 3)
	b := w.commissioned(nil)
	j, err := b.ApplySettings(t.Context(), wanted(map[string]any{"3": 1000.0}))
	b.must(j, err)
	b.tried(j)
	_, err = b.ConfirmSettings(t.Context(), j.ID)
	b.must(nil, err)
	w.drift(b, w.lamps[0], map[string]any{"2": 50.0})
	list, err := b.ReadSettings(t.Context(), hall)
	if err != nil || list[0].State != SettingsDrifted || len(list[0].Drift) != 1 || list[0].Drift[0] != 2 || list[1].State != SettingsOK {
		t.Fatalf("%+v %v", list, err)
	}
	c := wanted(map[string]any{"3": 2000.0})
	if run, err := b.PlanSettings(t.Context(), c); err != nil || run.Rows[0].State != SettingsRowDrifted {
		t.Fatalf("%v %s", err, describeRun(run))
	}
	c.Mend = true
	j, err = b.ApplySettings(t.Context(), c)
	b.must(j, err)
	b.tried(j)
	if run, err := b.ConfirmSettings(t.Context(), j.ID); err != nil || run.Phase != SettingsDone {
		t.Fatalf("%v %s", err, describeRun(run))
	}
	w.run("max-level", int64(100))
	w.run("fade-time", int64(2000))
}

// A template is expanded for each device; what no device takes is refused at once;
// what is exported is imported as the same.
func TestSettingsTemplates(t *testing.T) {
	w := newCfgWorld(t, 3)
	b := w.commissioned(nil)
	saved, err := b.SaveTemplate(t.Context(), SettingsTemplate{
		Name: "Office", Model: "lamp-dim-1", Values: map[string]any{"2": "${top}", "20": "Lamp ${index + 1}"},
		Variables: []SettingsVariable{{Name: "top", Title: "Highest", Default: 80.0}},
	})
	b.must(saved, err)
	c := wanted(nil, func(c *SettingsChange) { c.Template, c.Variables = saved.ID, map[string]any{"top": 60.0} })
	j, err := b.ApplySettings(t.Context(), c)
	b.must(j, err)
	b.tried(j)
	_, err = b.ConfirmSettings(t.Context(), j.ID)
	b.must(nil, err)
	w.run("max-level", int64(60))
	w.run("label", "Lamp 3", w.lamps[2])
	for _, bad := range []map[string]any{{"2": 101.0}, {"77": 1.0}, {"2": "x"}, {"x": 1.0}} {
		if _, err := b.PlanSettings(t.Context(), wanted(bad)); id(err) != "cfg-values" {
			t.Errorf("%v: %v", bad, err)
		}
	}
	for _, format := range []string{"senml", "csv"} {
		_, err = b.ReadSettings(t.Context(), hall)
		b.must(nil, err)
		text, err := b.ExportSettings(t.Context(), hall, format)
		if err != nil || !strings.Contains(text, "Lamp 3") {
			t.Fatalf("%s %v", text, err)
		}
		back, err := b.ImportSettings(t.Context(), hall, text)
		b.must(back, err)
		run, err := b.PlanSettings(t.Context(), back)
		if err != nil || len(run.Rows) != 3 || run.Rows[0].State != SettingsRowSame {
			t.Errorf("%s: %v %s", format, err, describeRun(run))
		}
	}
}
