package main

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/commission"
)

// planner is an engine that knows one schema and some templates.
type planner struct {
	settingsEngine
	templates []commission.SettingsTemplate
	plan      commission.SettingsRun
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

// PlanSettings gives the plan.
func (p planner) PlanSettings(context.Context, commission.SettingsChange) (commission.SettingsRun, error) {
	return p.plan, nil
}

func (planner) Snapshot() commission.Snapshot { return commission.Snapshot{} }

// TestNothingToApply: where no device can take a change nothing is begun, and the exit
// code tells; of one that drifted it is shown what was confirmed.
func TestNothingToApply(t *testing.T) {
	row := func(id string, state commission.SettingsRowState) commission.SettingsRow {
		return commission.SettingsRow{Device: id, State: state, Problem: &commission.Problem{Text: "Because."}}
	}
	drifted := row("a", commission.SettingsRowDrifted)
	drifted.Changes = []commission.SettingDiff{{Key: 1, Name: "min-level", Old: 60.0, New: 5.0, Known: 80.0}}
	for _, tc := range []struct {
		rows       []commission.SettingsRow
		code       int
		want, text string
	}{
		{[]commission.SettingsRow{drifted}, 1, "all 1 devices cannot take it", "min-level: 60 % -> 5 % (confirmed was 80 %)"},
		{[]commission.SettingsRow{drifted, {Device: "b", State: commission.SettingsRowSame}}, exitPartial, "1 of 2 devices cannot take it", "drifted: Because."},
		{[]commission.SettingsRow{{Device: "b", State: commission.SettingsRowSame}}, 0, "", "All run it already."},
	} {
		var out strings.Builder
		e := planner{plan: commission.SettingsRun{Rows: tc.rows}}
		err := applyFlags{}.apply(t.Context(), e, newSettingsWatch(&out, strings.NewReader(""), engineFlags{}), []commission.SettingsChange{{Model: "lamp-dim-1"}})
		if (err == nil) != (tc.code == 0) || err != nil && (exitCode(err) != tc.code || !strings.Contains(err.Error(), tc.want)) || !strings.Contains(out.String(), tc.text) {
			t.Errorf("%v\n%s", err, out.String())
		}
	}
}

// TestOutcomeOfReverting: a change was taken back when no device may run it.
func TestOutcomeOfReverting(t *testing.T) {
	for state, good := range map[commission.SettingsRowState]bool{
		commission.SettingsRowReverted: true, commission.SettingsRowStaged: true,
		commission.SettingsRowSilent: false, commission.SettingsRowTrial: false, commission.SettingsRowConfirmed: false,
	} {
		run := commission.SettingsRun{Rows: []commission.SettingsRow{{State: state, Expected: "a"}, {State: commission.SettingsRowSilent}}} // one was silent before
		if err := outcome(run, "reverted"); (err == nil) != good {
			t.Errorf("%s: %v", state, err)
		}
	}
	if err := outcome(commission.SettingsRun{Rows: []commission.SettingsRow{{State: commission.SettingsRowReverted}}}, "confirmed"); err == nil {
		t.Error("what has reverted is kept")
	}
}
