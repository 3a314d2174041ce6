package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// values is what the lamps that are no emergency lights have for a setting.
func (s *faultSite) values(name string) (list []any) {
	for _, l := range s.lamps.lamps {
		if l.config.Model == lampModel {
			list = append(list, l.state().Settings.Values[name])
		}
	}
	return list
}

// have fails unless all lamps have a value.
func (s *faultSite) have(what, name string, want int64) {
	s.t.Helper()
	for n, v := range s.values(name) {
		if v != want {
			s.t.Errorf("%s: lamp %d has %s %v, not %d", what, n, name, v, want)
		}
	}
}

const siteText = `
settings:
  - group: hall
    model: lamp-dim-1
    values:
      min-level: 5
      power-on: As before
      scenes:
        3: { level: 40, fade: 500 }
`

// TestSettingsFromTerminal changes settings from a terminal: a plan sends no change; a
// site file is applied, and the second time there is nothing to do; what nobody
// confirms can be confirmed or reverted by another command; drift is told.
func TestSettingsFromTerminal(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 4)
	dir := t.TempDir()
	data, link, site := filepath.Join(dir, "data"), filepath.Join(dir, "link"), filepath.Join(dir, "site.yaml")
	for file, text := range map[string]string{link: s.bridge.url() + "/#" + s.invitation("Ann").Encode(), site: siteText} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(wantCode int, wantText string, args ...string) string {
		t.Helper()
		start := time.Now()
		out, code := runProcess(t, append(args, "--link", link, "--data", data)...)
		if code != wantCode || !strings.Contains(out, wantText) {
			t.Errorf("%s: %d\n%s", strings.Join(args, " "), code, out)
		}
		t.Logf("%s: %v", strings.Join(args[:2], " "), time.Since(start).Round(time.Millisecond))
		return out
	}
	run(0, "joined 4 of 4", "commission", "--labels", s.labelsFile(), "--group", faultGroup)
	run(0, "lamp-dim-1", "settings", "read", "--group", faultGroup)
	run(0, "min-level: 1 % -> 5 %", "settings", "plan", "--site", site, "--check")
	s.have("planned", "min-level", 1)

	run(0, "4 of 4 devices run it", "settings", "apply", "--site", site, "--in", "1s", "--yes", "--keep")
	s.have("applied", "min-level", 5)
	run(0, "All run it already.", "settings", "apply", "--site", site)

	// A template by its name, as the documentation writes it.
	office := filepath.Join(dir, "classroom.yaml")
	if err := os.WriteFile(office, []byte(between(t, settingsDocs(t), "yaml", 2)), 0o600); err != nil {
		t.Fatal(err)
	}
	run(0, "Classroom", "settings", "templates", "--save", office, "--group", faultGroup)
	run(0, "level: 35 %", "settings", "plan", "--group", faultGroup, "--template", "classroom", "--var", "level=35")

	// Nobody answers: it waits for another command.
	set := []string{"settings", "apply", "--group", faultGroup, "--in", "1s", "--yes", "--set"}
	run(0, "settings confirm", append(set, "max-level=80")...)
	s.have("on trial", "max-level", 80)
	run(0, "4 confirmed", "settings", "confirm")
	run(0, "settings confirm", append(set, "max-level=70")...)
	run(0, "reverted", "settings", "revert")
	s.have("reverted", "max-level", 80)
	run(1, "101", "settings", "plan", "--group", faultGroup, "--set", "max-level=101")
	run(1, "there is no setting", "settings", "plan", "--group", faultGroup, "--set", "colour=1")

	if err := alter(t.Context(), s.lamps.lamps[2].current().Settings(), map[uint64]any{2: int64(60)}); err != nil {
		t.Fatal(err)
	}
	run(3, "max-level: 60 %", "settings", "read", "--group", faultGroup)
	run(0, "4 of 4 devices run it", append(set[:len(set)-1], "--mend", "--keep")...)
	s.have("mended", "max-level", 80)

	file := filepath.Join(dir, "site.csv")
	run(0, "", "settings", "export", "--group", faultGroup, "--format", "csv", "--out", file)
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), "scenes/3/level") {
		t.Errorf("%v\n%s", err, text)
	}
	run(0, "All run it already.", "settings", "import", file, "--group", faultGroup)
	run(0, "4 of 4 verified; 1 message to the group", "scene", "recall", "3", "--group", faultGroup)
	for _, l := range s.lamps.lamps {
		if st := l.state(); !st.Light.On || st.Light.Level != 40 {
			t.Errorf("%s shows %+v", st.Label, st.Light)
		}
	}
	run(0, "4 of 4", "emergency", "on", "--group", faultGroup)
	run(0, "4 of 4", "emergency", "off", "--group", faultGroup)
	run(0, "", "emergency", "log", "--group", faultGroup)
}
