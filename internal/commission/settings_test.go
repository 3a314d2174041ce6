package commission

import (
	"encoding/json"
	"strings"
	"testing"

	"lamplighter/internal/settings/holder"
	"lamplighter/internal/sim/models"
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

// What a change has goes into what its template has, to the member; a device has its
// own in front of both. Devices that there are not are told, and bytes are bytes.
func TestSettingsOverTemplate(t *testing.T) {
	w := newCfgWorld(t, 2)
	b := w.commissioned(nil)
	saved, err := b.SaveTemplate(t.Context(), SettingsTemplate{
		Name: "Office", Model: "lamp-dim-1", Variables: []SettingsVariable{{Name: "level", Default: uint64(10)}},
		Values: map[string]any{"6": map[string]any{"1": map[string]any{"1": "${level}"}, "2": map[string]any{"1": 20.0, "2": 100.0}}},
	})
	b.must(saved, err)
	first, second := w.lamps[0].id(), w.lamps[1].id()
	c := wanted(map[string]any{"6": map[string]any{"2": map[string]any{"1": 30.0}}}, func(c *SettingsChange) {
		c.Template, c.PerDevice = saved.ID, map[string]map[string]any{first: {"6": map[string]any{"1": map[string]any{"1": 40.0}, "3": map[string]any{"1": 50.0}}}}
	})
	run, err := b.PlanSettings(t.Context(), c)
	b.must(run, err)
	for id, want := range map[string]string{
		first:  `{"1":{"1":40},"2":{"1":30,"2":100},"3":{"1":50}}`,
		second: `{"1":{"1":10},"2":{"1":30,"2":100}}`,
	} {
		for _, row := range run.Rows {
			if text, _ := json.Marshal(row.Changes[0].New); row.Device == id && string(text) != want {
				t.Errorf("%s would have %s, not %s", id, text, want)
			}
		}
	}
	for _, devices := range [][]string{nil, {first}} {
		c := wanted(map[string]any{"3": 1000.0}, func(c *SettingsChange) {
			c.Devices, c.PerDevice = devices, map[string]map[string]any{"0024befffe809999": {"20": "Door"}}
		})
		if _, err := b.PlanSettings(t.Context(), c); id(err) != "cfg-values" || !strings.Contains(err.Error(), "0024befffe809999") {
			t.Errorf("%v: %v", devices, err)
		}
	}
	// One of several for which a site has values of their own.
	c = wanted(nil, func(c *SettingsChange) {
		c.Devices, c.PerDevice = []string{first}, map[string]map[string]any{first: {"20": "Door"}, second: {"20": "Window"}}
	})
	if run, err := b.PlanSettings(t.Context(), c); err != nil || len(run.Rows) != 1 {
		t.Errorf("%v %s", err, describeRun(run))
	}
}

// A device of another model that did not tell its schema yet does not count among
// those that a template numbers.
func TestTemplatesNumberTheModel(t *testing.T) {
	w := newCfgWorld(t, 3)
	b := w.commissioned(nil)
	_, err := b.SettingsSchemas(t.Context(), hall)
	b.must(nil, err)
	s, g, err := b.siteAndGroup(hall)
	b.must(nil, err)
	other, err := s.device(w.lamps[0].id())
	b.must(nil, err)
	b.must(nil, s.updateDevice(t.Context(), other, func(r *deviceRecord) { r.Model = "switch-2" }))
	b.must(nil, s.setSettings(t.Context(), map[string]*settingsRecord{other.id: {}}))
	c := wanted(map[string]any{"20": "Lamp ${index + 1}"})
	list, err := s.meant(g, &c)
	if err != nil || len(list) != 2 || list[0].id != w.lamps[1].id() {
		t.Errorf("%d, %v", len(list), err)
	}
	few := wanted(nil, func(c *SettingsChange) { c.Devices = []string{w.lamps[2].id(), w.lamps[1].id()} })
	if list, err := s.meant(g, &few); err != nil || len(list) != 2 || list[0].id != w.lamps[1].id() {
		t.Errorf("chosen: %d, %v", len(list), err)
	}
	// Where labels name models otherwise, it counts.
	for _, l := range w.lamps[1:] {
		d, err := s.device(l.id())
		b.must(nil, err)
		b.must(nil, s.updateDevice(t.Context(), d, func(r *deviceRecord) { r.Model = "LX-1" }))
	}
	if list, err := s.meant(g, &c); err != nil || len(list) != 3 {
		t.Errorf("%d, %v", len(list), err)
	}
}

// A file of a group with two models is a change of each; as one change it is refused.
func TestImportOfTwoModels(t *testing.T) {
	w := newCfgWorld(t, 2)
	schema, doc := signedBy(t, models.Switch, w.vendor)
	equip := w.equip
	w.equip = func(l *lamp) {
		equip(l)
		l.cfg.Model, l.cfg.Settings = models.Switch, &holder.Config{Schema: schema, SchemaDoc: doc}
	}
	button := w.addLamp(9)
	b := w.commissioned(nil)
	_, err := b.ReadSettings(t.Context(), hall)
	b.must(nil, err)
	text, err := b.ExportSettings(t.Context(), hall, "csv")
	b.must(nil, err)
	other := strings.ReplaceAll(strings.ReplaceAll(text, "leisure,int,500", "leisure,int,510"), "leisure,int,250", "leisure,int,260")
	if _, err := b.ImportSettings(t.Context(), hall, other); id(err) != "cfg-models" {
		t.Errorf("%v", err)
	}
	list, err := b.ImportModels(t.Context(), hall, text)
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	for _, c := range list {
		want := map[string]int{models.Lamp: 2, models.Switch: 1}[c.Model]
		if run, err := b.PlanSettings(t.Context(), c); err != nil || len(run.Rows) != want || run.Rows[0].State != SettingsRowSame {
			t.Errorf("%s: %v %s", c.Model, err, describeRun(run))
		}
		if c.Model == models.Switch && (len(c.Devices) != 1 || c.Devices[0] != button.id()) {
			t.Error(c.Devices)
		}
	}
}
