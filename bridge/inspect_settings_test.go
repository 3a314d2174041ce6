package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"lamplighter/internal/sim/models"
)

// TestInspectedSettings: the demo's devices have the settings of their models, and a
// test changes one behind the site's back.
func TestInspectedSettings(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 12, func(c *demoCmd) { c.Switches, c.Sensors = 1, 1 })
	web := httptest.NewServer(s.inspector())
	defer web.Close()
	post := func(n int, path string) (int, string) {
		resp, err := http.Post(web.URL+"/devices/"+s.id(n)+path, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var b strings.Builder
		_ = resp.Write(&b)
		return resp.StatusCode, b.String()
	}
	for n, want := range map[int]string{0: models.Lamp, 11: models.Emergency, 12: models.Switch, 13: models.Sensor} {
		st := s.lamps.lamps[n].state()
		if st.Model != want || st.Settings == nil || len(st.Settings.Digest) != 16 || (st.Emergency != nil) != (want == models.Emergency) {
			t.Errorf("%d: %+v", n, st)
		}
	}
	before := s.lamps.lamps[0].state().Settings
	if before.Values["leisure"] != int64(10) || before.Values["max-level"] != int64(100) {
		t.Error(before.Values)
	}
	if code, text := post(0, "/settings?name=max-level&value=80"); code != 200 {
		t.Fatal(text)
	}
	after := s.lamps.lamps[0].state().Settings
	if after.Values["max-level"] != int64(80) || after.Digest == before.Digest || after.State != 0 || after.SwitchedAt == 0 {
		t.Errorf("%+v", after)
	}
	for path, why := range map[string]string{
		"/settings?name=max-level&value=101": "range", "/settings?name=colour&value=1": "name=", "/settings?name=max-level&value=x": "JSON",
		"/press": "button", "/press?button=1": "does nothing", "/occupied?on=perhaps": "on=true",
	} {
		if code, text := post(0, path); code != 400 || !strings.Contains(text, why) {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
}
