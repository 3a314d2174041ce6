package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/commission"
)

// TestSettingsWords: who does not run the new settings is printed with what is wrong
// and what to do.
func TestSettingsWords(t *testing.T) {
	row := func(id string, state commission.SettingsRowState, why, next string) commission.SettingsRow {
		return commission.SettingsRow{Device: id, State: state, Problem: &commission.Problem{ID: "cfg-x", Text: why, Next: next}}
	}
	run := commission.SettingsRun{
		Phase: commission.SettingsReverted, Problem: &commission.Problem{Text: "Fewer run it.", Next: "See which."},
		Rows: []commission.SettingsRow{
			{Device: "01", State: commission.SettingsRowConfirmed},
			row("02", commission.SettingsRowRefused, "It has another schema.", "Read it anew."),
			row("03", commission.SettingsRowSilent, "It is silent.", "Look at it."),
		},
	}
	for _, print := range []func(*bytes.Buffer){
		func(b *bytes.Buffer) { printSettingsResult(b, commission.Snapshot{}, run) },
		func(b *bytes.Buffer) { printSettingsPlan(b, commission.Snapshot{}, nil, run) },
	} {
		var b bytes.Buffer
		print(&b)
		for _, want := range []string{"It has another schema. Read it anew.", "It is silent. Look at it.", "refused", "silent"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%q is not in\n%s", want, b.String())
			}
		}
		if strings.Contains(b.String(), "01  ") {
			t.Errorf("who runs it is told of:\n%s", b.String())
		}
	}
}

// TestRollCallWords: what went out is printed, copies included, and until when silent
// lamps are asked on.
func TestRollCallWords(t *testing.T) {
	until := time.Now().Add(time.Hour).UnixMilli()
	for want, call := range map[string]commission.RollCall{
		"0 of 1 verified; 1 message to the group, 3 with its copies, 2 to one device\nWho did not confirm it is asked on until " + timeOfDay(until): {Messages: 1, Multicasts: 3, Unicasts: 2, Until: until},
		"0 of 1 verified; 2 messages to the group, 0 to one device\n":                                                                               {Messages: 2, Multicasts: 2},
		"0 of 1 verified; 0 messages to the group, 1 to one device\n":                                                                               {Unicasts: 1},
	} {
		call.Answers = []commission.Answer{{Device: "01", State: commission.AnswerSilent}}
		var b bytes.Buffer
		if err := printRollCall(&b, commission.Snapshot{}, call); err == nil || !strings.Contains(b.String(), want) {
			t.Errorf("want %q in\n%s", want, b.String())
		}
	}
}
