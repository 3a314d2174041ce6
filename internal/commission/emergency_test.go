package commission

import (
	"strings"
	"testing"
	"time"

	lampdevice "lamplighter/internal/device"
)

// A scene is stored by a change and recalled by one message.
func TestScene(t *testing.T) {
	w := newCfgWorld(t, 3)
	b := w.commissioned(nil)
	c, err := b.StoreScene(t.Context(), hall, 2, map[string]any{"1": 40.0, "2": 500.0})
	b.must(c, err)
	j, err := b.ApplySettings(t.Context(), c)
	b.must(j, err)
	b.tried(j)
	_, err = b.ConfirmSettings(t.Context(), j.ID)
	b.must(nil, err)
	call, err := b.RecallScene(t.Context(), hall, 2, 0)
	if err != nil || call.Verified != 3 || call.Multicasts != 1 || call.Kind != "scene" || call.Answers[0].Level != 40 {
		t.Errorf("%+v %v", call, err)
	}
	if _, err := b.RecallScene(t.Context(), hall, 16, 0); id(err) != "cfg-bad-scene" {
		t.Errorf("%v", err)
	}
}

// A lamp that is silent in an emergency is asked until it has answered.
func TestEmergencySilent(t *testing.T) {
	w := newCfgWorld(t, 3)
	b := w.commissioned(nil)
	w.net.Down(w.lamps[2].addr, true)
	call, err := b.Emergency(t.Context(), hall, true)
	if err != nil || call.Verified != 2 {
		t.Fatalf("%+v %v", call, err)
	}
	if v, err := b.SetLight(t.Context(), hall, Light{On: new(bool)}); err != nil || !v.Answers[0].On {
		t.Errorf("a command ended the emergency: %+v %v", v, err)
	}
	w.net.Down(w.lamps[2].addr, false)
	for end := time.Now().Add(10 * time.Second); w.lamps[2].State().Light.Priority != 1; {
		if time.Now().After(end) {
			t.Fatal("the lamp was not asked again")
		}
		sleep(t.Context(), 5*time.Millisecond)
	}
	if call, err = b.Emergency(t.Context(), hall, false); err != nil || call.Verified != 3 {
		t.Errorf("%+v %v", call, err)
	}
	log, err := b.EmergencyLog(t.Context(), hall)
	if err != nil || len(log) != 2 || log[0].Result != "off" {
		t.Errorf("%+v %v", log, err)
	}
}

// Emergency lights test themselves; the log has the results.
func TestEmergencyTest(t *testing.T) {
	w := newCfgWorld(t, 3, func(l *lamp) {
		i := l.cfg.ID[7]
		l.cfg.Emergency = &lampdevice.EmergencyConfig{Lasts: 2 * time.Hour, Fault: func() bool { return i == 2 }}
	})
	b := w.commissioned(nil)
	for _, kind := range []string{"function", "duration"} {
		j := b.job(b.EmergencyTest(t.Context(), hall, kind, nil))
		if j.State != JobPartial || j.Done != 2 || problemOf(j, w.lamps[1].id()) != "em-failed" {
			t.Fatalf("%s: %s", kind, b.failures(j))
		}
	}
	log, err := b.EmergencyLog(t.Context(), hall)
	if err != nil || len(log) != 6 {
		t.Fatalf("%+v %v", log, err)
	}
	text, err := b.EmergencyLogCSV(t.Context(), hall)
	if err != nil || strings.Count(text, "passed") < 4 || !strings.Contains(text, "duration") {
		t.Errorf("%s %v", text, err)
	}
	if _, err := b.EmergencyTest(t.Context(), hall, "smell", nil); id(err) != "em-bad-test" {
		t.Errorf("%v", err)
	}
}
