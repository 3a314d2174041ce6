package main

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/commission"
)

var someDefs = []commission.SettingDef{
	{Key: 1, Name: "min-level", Type: "int", Unit: "%"},
	{Key: 2, Name: "power-on", Type: "choice", Choices: []commission.SettingChoice{{Value: 0, Title: "Off"}, {Value: 1, Title: "As before"}}},
	{Key: 3, Name: "backlight", Type: "bool"},
	{Key: 4, Name: "label", Type: "text"},
	{Key: 6, Name: "scenes", Type: "map", IDs: &[2]int{0, 15}, Members: []commission.SettingDef{{Key: 1, Name: "level", Type: "int", Unit: "%"}}},
}

// TestSettingsByName: what people write becomes what the engine has.
func TestSettingsByName(t *testing.T) {
	for _, tc := range []struct{ text, want, wrong string }{
		{"min-level=5", `{"1":5}`, ""},
		{"1=-5", `{"1":-5}`, ""},
		{"power-on=as BEFORE", `{"2":1}`, ""},
		{"power-on=0", `{"2":0}`, ""},
		{"backlight=off", `{"3":false}`, ""},
		{"label=a=b/c", `{"4":"a=b/c"}`, ""},
		{"label=12", `{"4":"12"}`, ""},
		{"scenes/3/level=40", `{"6":{"3":{"1":40}}}`, ""},
		{"scenes={}", `{"6":{}}`, ""},
		{"min-level=${low + 1}", `{"1":"${low + 1}"}`, ""},
		{"colour=1", "", "there are: min-level"},
		{"min-level", "", "name=value"},
		{"min-level=5.5", "", "whole number"},
		{"min-level=", "", "whole number"},
		{"power-on=never", "", "0 Off, 1 As before"},
		{"backlight=2", "", "true nor false"},
		{"scenes=3", "", "parts"},
		{"scenes/3=4", "", "parts"},
		{"scenes/x/level=4", "", "0 to 15"},
		{"scenes//level=4", "", "no name"},
	} {
		values := tree{}
		err := assign(values, []string{tc.text})
		var got map[string]any
		if err == nil {
			got, err = byKeys(someDefs, values)
		}
		if tc.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), tc.wrong) {
				t.Errorf("%s: %v", tc.text, err)
			}
			continue
		}
		if text, _ := json.Marshal(got); err != nil || string(text) != tc.want {
			t.Errorf("%s is %s, %v", tc.text, text, err)
		}
	}
	for _, twice := range []tree{{"min-level": "1", "1": "1"}, {"scenes": tree{"3": tree{"level": "1", "1": "2"}}}} {
		if got, err := byKeys(someDefs, twice); err == nil || !strings.Contains(err.Error(), "given twice, also as 1") {
			t.Errorf("%v is %v, %v", twice, got, err)
		}
	}
	for _, pairs := range [][]string{{"min-level=1", "min-level=2"}, {"scenes/3/level=1", "scenes/3=2"}, {"scenes=1", "scenes/3/level=2"}} {
		if assign(tree{}, pairs) == nil {
			t.Errorf("%v was taken", pairs)
		}
	}
	if text := shown(&someDefs[4], map[string]any{"10": nil, "3": map[string]any{"1": 40.0}}); text != "{3: {level: 40 %}, 10: -}" {
		t.Error(text)
	}
}

// TestSiteFile: what in a site file cannot be is told.
func TestSiteFile(t *testing.T) {
	list, err := readSite([]byte(siteText))
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	defs := append([]commission.SettingDef{}, someDefs...)
	defs[4].Members = append(defs[4].Members[:1:1], commission.SettingDef{Key: 2, Name: "fade", Type: "int"})
	values, err := byKeys(defs, list[0].Values)
	if text, _ := json.Marshal(values); err != nil || string(text) != `{"1":5,"2":1,"6":{"3":{"1":40,"2":500}}}` {
		t.Errorf("%s, %v", text, err)
	}
	for text, why := range map[string]string{
		"": "no section", "settings: []": "no section", "settings: 1": "line 1", "lamps: []": "line 1",
		"settings: [{group: hall}]": "say the model", "settings: [{group: '', model: lamp-dim-1}]": "group's name",
		"settings:\n- {group: hall, model: a}\n- {group: hall, model: a}": "twice",
		"settings: [{group: hall, model: a, value: {b: 1}}]":              "value",
		"settings: [{group: hall, model: a, devices: {x: {b: 1}}}]":       "16 hexadecimal",
		"settings: [": "YAML",
		"settings:\n- group: hall\n  model: a\n  values: {b: 010}":  "line 4: 010: write numbers with decimal digits alone",
		"settings:\n- group: hall\n  model: a\n  values: {b: 0x1F}": "line 4: 0x1F: write",
	} {
		if _, err := readSite([]byte(text)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestSiteValues: a text stays as it is written, or the file is refused.
func TestSiteValues(t *testing.T) {
	for text, want := range map[string]string{
		"label: Door": `{"4":"Door"}`, "label: '007'": `{"4":"007"}`, "label: 12": `{"4":"12"}`, "label: 0024e12345678901": `{"4":"0024e12345678901"}`, "label: off": `{"4":"off"}`,
		"power-on: Off": `{"2":0}`, "min-level: 5.0": `{"1":5}`, "backlight: off": `{"3":false}`,
		"label: 1.10": "quotation marks", "label: true": "quotation marks", "label: 007": "write numbers", "label: [a]": "quotation marks", "label: {a: b}": "quotation marks",
		"min-level: 5.5": "5.5 is no whole number", "min-level: [1]": "a whole number is expected", "backlight: [1]": "neither true nor false", "power-on: true": "give one of: 0 Off",
	} {
		var values tree
		err := readYAML([]byte(text), &values)
		var got map[string]any
		if err == nil {
			got, err = byKeys(someDefs, values)
		}
		if strings.HasPrefix(want, "{") {
			if text2, _ := json.Marshal(got); err != nil || string(text2) != want {
				t.Errorf("%s is %s, %v", text, text2, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

// planner is an engine that knows one schema and some templates.
type planner struct {
	settingsEngine
	templates []commission.SettingsTemplate
}

func (planner) SettingsSchemas(context.Context, string) ([]commission.SettingsSchema, error) {
	return []commission.SettingsSchema{{Model: "lamp-dim-1", Defs: someDefs}}, nil
}

func (p planner) SettingsTemplates(context.Context) ([]commission.SettingsTemplate, error) {
	return p.templates, nil
}

// TestChangesOfFlags: templates are found by name, their variables have the types that
// they give them, and devices are named in any way of writing their ids.
func TestChangesOfFlags(t *testing.T) {
	e := planner{templates: []commission.SettingsTemplate{
		{ID: "a1", Name: "Classroom", Model: "lamp-dim-1", Variables: []commission.SettingsVariable{{Name: "level", Default: 40.0}, {Name: "room", Default: ""}, {Name: "on", Default: true}, {Name: "n"}, {Name: "s"}}},
		{ID: "b2", Name: "Twice", Model: "lamp-dim-1"}, {ID: "c3", Name: "twice", Model: "lamp-dim-1"}, {ID: "d4", Name: "Classroom", Model: "switch-2"},
	}}
	f := changeFlags{
		Group: "hall", Template: "classroom", Var: []string{"level=50", "room=12", "on=false", "n=-7", "s=007"},
		SetDevice: []string{"00:24:BE:FF:FE:80:4F:F1/label=a/b"}, Devices: []string{"0024BEFFFE804FF1"},
	}
	list, err := f.changes(t.Context(), e)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	want := tree{"level": int64(50), "room": "12", "on": false, "n": int64(-7), "s": "007"}
	if c := list[0]; c.Template != "a1" || !reflect.DeepEqual(c.Variables, want) || c.PerDevice["0024befffe804ff1"]["4"] != "a/b" || !reflect.DeepEqual(c.Devices, []string{"0024befffe804ff1"}) {
		t.Errorf("%+v", c)
	}
	for want, f := range map[string]changeFlags{
		"give the id of one: b2, c3":    {Template: "Twice"},
		"no template \"x\" for lamp-di": {Template: "x"},
		"variables are a template's":    {Var: []string{"a=1"}, Set: []string{"min-level=1"}},
		"is no id of a device":          {SetDevice: []string{"x/label=a"}},
		"\"y\" is no id of a device":    {Devices: []string{"y"}, Mend: true},
		"is there twice":                {SetDevice: []string{"0024befffe804ff1/label=a", "0024BEFFFE804FF1/label=b"}},
	} {
		if list, err := f.changes(t.Context(), e); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v, %v", want, err, list)
		}
	}
	if _, err := findTemplate(e.templates, "", "classroom"); err == nil || !strings.Contains(err.Error(), "a1, d4") {
		t.Errorf("which of two models: %v", err)
	}
	if found, err := findTemplate(e.templates, "", "d4"); err != nil || found.Model != "switch-2" {
		t.Errorf("%+v, %v", found, err)
	}
}

// trial is an engine with a change that devices try.
type trial struct {
	settingsEngine
	did  []string
	runs []commission.SettingsRun
}

func (e *trial) Snapshot() commission.Snapshot { return commission.Snapshot{Settings: e.runs} }

func (e *trial) SettingsRun(context.Context, string) (commission.SettingsRun, error) {
	run := commission.SettingsRun{Job: "7", Phase: commission.SettingsTrying}
	if len(e.did) > 0 {
		run.Phase, run.Ended = commission.SettingsDone, 1
	}
	return run, nil
}

func (e *trial) ConfirmSettings(context.Context, string) (commission.SettingsRun, error) {
	e.did = append(e.did, "confirm")
	return commission.SettingsRun{}, nil
}

func (e *trial) RevertSettings(context.Context, string) (commission.SettingsRun, error) {
	e.did = append(e.did, "revert")
	return commission.SettingsRun{}, nil
}

// TestAnswersToKeepIt: only yes keeps, only no reverts; anything else is asked again.
func TestAnswersToKeepIt(t *testing.T) {
	for answers, want := range map[string]string{"y\n": "confirm", "\nperhaps\nYES\n": "confirm", " no \n": "revert", "\nn\n": "revert"} {
		var out strings.Builder
		e := &trial{}
		w := newSettingsWatch(&out, strings.NewReader(answers), engineFlags{})
		if _, err := w.follow(t.Context(), e, "7", false); err != nil || !reflect.DeepEqual(e.did, []string{want}) {
			t.Errorf("%q: %v, %v\n%s", answers, e.did, err, out.String())
		}
		if again := strings.Contains(out.String(), "Say y to keep it"); again != strings.HasPrefix(answers, "\n") {
			t.Errorf("%q: asked again: %v", answers, again)
		}
	}
}

// TestInterruptedCode: who interrupts a command is told so by the exit code, whatever
// step it was in.
func TestInterruptedCode(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	failed := errors.New("failed")
	if code := endCode(ctx, failed); code != 1 {
		t.Error(code)
	}
	stop()
	for err, want := range map[error]int{failed: exitInterrupted, exitError{failed, exitPartial}: exitPartial} {
		if code := endCode(ctx, err); code != want {
			t.Errorf("%v: %d", err, code)
		}
	}
}

// TestWhichUndo: the latest change that can be undone is meant, where none is named.
func TestWhichUndo(t *testing.T) {
	e := &trial{runs: []commission.SettingsRun{{Job: "3"}, {Job: "2", UndoUntil: 5}, {Job: "1", UndoUntil: 4}}}
	for named, want := range map[string]string{"": "2", "3": "3"} {
		if job, err := whichUndo(e, named); err != nil || job != want {
			t.Errorf("%q: %s, %v", named, job, err)
		}
	}
	if _, err := whichUndo(&trial{}, ""); err == nil {
		t.Error("nothing is undone")
	}
}

// TestUntilReverted: after the time to confirm it is not said that it can be confirmed.
func TestUntilReverted(t *testing.T) {
	now := time.Now()
	for run, want := range map[*commission.SettingsRun]string{
		{Phase: commission.SettingsTrying, RevertAt: now.UnixMilli() + 2000}: "unless it is confirmed",
		{Phase: commission.SettingsTrying, RevertAt: now.UnixMilli() - 2000}: "went back",
		{Phase: commission.SettingsDone, RevertAt: now.UnixMilli() - 2000}:   "",
	} {
		if text := untilReverted(*run, now); !strings.Contains(text, want) || (text == "") != (want == "") {
			t.Errorf("%+v: %q", run, text)
		}
	}
}

// TestEmergencyLights: without devices only those of the group are tested that are
// emergency lights.
func TestEmergencyLights(t *testing.T) {
	s := commission.Snapshot{
		Devices: []commission.Device{{ID: "a", Model: "lamp-emergency-1"}, {ID: "b", Model: "lamp-dim-1"}, {ID: "c", Model: "lamp-emergency-1"}},
		Groups:  []commission.Group{{Name: "hall", Members: []string{"a", "b"}}, {Name: "stage", Members: []string{"b", "c"}}},
	}
	if ids := emergencyLights(s, "hall"); !reflect.DeepEqual(ids, []string{"a"}) {
		t.Error(ids)
	}
}

// FuzzSiteFile: whatever a file holds, reading it ends with settings or a sentence.
func FuzzSiteFile(f *testing.F) {
	f.Add([]byte(siteText))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := readSite(text)
		if (err == nil) == (len(list) == 0) {
			t.Errorf("%d, %v", len(list), err)
		}
		for _, w := range list {
			_, _ = byKeys(someDefs, w.Values)
		}
	})
}

// TestSettingsExit: how good the end is, is told by the exit code.
func TestSettingsExit(t *testing.T) {
	row := func(states ...commission.SettingsRowState) (r commission.SettingsRun) {
		for _, s := range states {
			r.Rows = append(r.Rows, commission.SettingsRow{State: s, Is: "a", Expected: "a"})
		}
		return r
	}
	for _, tc := range []struct {
		run  commission.SettingsRun
		code int
	}{
		{row(commission.SettingsRowConfirmed, commission.SettingsRowSame, commission.SettingsRowTrial), 0},
		{row(commission.SettingsRowConfirmed, commission.SettingsRowDrifted), exitPartial},
		{row(commission.SettingsRowReverted, commission.SettingsRowSilent), 1},
	} {
		if err := count(tc.run).err("do not run it"); (err != nil) != (tc.code != 0) || err != nil && exitCode(err) != tc.code {
			t.Errorf("%+v: %v", tc.run, err)
		}
	}
	good := row(commission.SettingsRowTrial, commission.SettingsRowSame, commission.SettingsRowDrifted)
	if !allTry(good) || allTry(row(commission.SettingsRowSame)) || allTry(row(commission.SettingsRowTrial, commission.SettingsRowSilent)) {
		t.Error("when it is kept")
	}
	good.Rows[0].Is = "b"
	if allTry(good) {
		t.Error("another digest is kept")
	}
}
