package main

import (
	"encoding/json"
	"strings"
	"testing"

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
	good.Rows = append(good.Rows, commission.SettingsRow{State: commission.SettingsRowSilent})
	if !allTry(good) {
		t.Error("a device that was silent before takes the change back")
	}
	good.Rows[0].Is = "b"
	if allTry(good) {
		t.Error("another digest is kept")
	}
}
