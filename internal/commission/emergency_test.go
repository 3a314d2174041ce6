package commission

import (
	"context"
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

// TestEmergencyKilled kills the engine before and after each durable write of an
// emergency's command, while a lamp is silent. The next engine asks that lamp, and
// nobody of an emergency that is over.
func TestEmergencyKilled(t *testing.T) {
	atEveryWrite(t, killAlarmAt)
}

// killAlarmAt reports whether the engine made fewer than n writes.
func killAlarmAt(t *testing.T, n int, before bool) (survived bool) {
	w := newCfgWorld(t, 3)
	b := w.commissioned(nil)
	b.Close()
	away := w.lamps[2]
	w.net.Down(away.addr, true)
	m := newMortal(b.store, w.net.From(browserAddr), n, before)
	hasty := func(c *Config) { c.Tuning.FollowUp = 50 * time.Millisecond }
	first := w.engine(b.store, hasty, func(c *Config) { c.Store, c.Exchange = m, m })
	called := make(chan error, 1)
	go func() { _, err := first.Emergency(context.Background(), hall, true); called <- err }()
	select {
	case err := <-called:
		survived = err == nil && !m.gone()
	case <-m.dead:
	}
	first.Close()
	w.net.Down(away.addr, false)
	second := w.engine(b.store)
	held := func() (n int) {
		for _, l := range w.lamps {
			if l.State().Light.Priority == 1 {
				n++
			}
		}
		return n
	}
	began := len(w.alarmLog(second)) > 0
	for end := time.Now().Add(10 * time.Second); began && held() < 3; sleep(t.Context(), time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d lamps are held on after the restart\n%s", held(), second.Diagnostics())
		}
	}
	if !began && held() > 0 {
		t.Error("sent before anything was durable")
	}
	for end := time.Now().Add(10 * time.Second); began; sleep(t.Context(), time.Millisecond) {
		if log := w.alarmLog(second); strings.Contains(log[0].Text, "3 of 3") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the log says %+v", w.alarmLog(second))
		}
	}
	if call, err := second.Emergency(t.Context(), hall, false); err != nil || call.Verified != 3 || call.Until != 0 {
		t.Fatalf("%+v %v", call, err)
	}
	second.Close()
	third := w.engine(b.store)
	if s, _ := third.site(); s.groups[hall].rec.Alarm != nil || held() > 0 {
		t.Error("an emergency that is over goes on")
	}
	return survived
}

func (w *cfgWorld) alarmLog(b *browser) []EmergencyEntry {
	w.t.Helper()
	log, err := b.EmergencyLog(w.t.Context(), hall)
	b.must(log, err)
	return log
}

// Who never answers is asked for an hour, over restarts, and is told then; what was
// asked in the group since stays shown.
func TestEmergencyNeverConfirmed(t *testing.T) {
	w := newCfgWorld(t, 3)
	b := w.commissioned(nil)
	w.net.Down(w.lamps[2].addr, true)
	call, err := b.Emergency(t.Context(), hall, true)
	if err != nil || call.Verified != 2 || call.Until != call.Started+alarmTime.Milliseconds() {
		t.Fatalf("%+v %v", call, err)
	}
	if call.Messages != 1 || call.Multicasts != alarmCopies {
		t.Errorf("%d messages in %d multicasts", call.Messages, call.Multicasts)
	}
	_, err = b.RollCall(t.Context(), hall)
	b.must(nil, err)
	b.Close()
	b = w.engine(b.store)
	if g := b.Snapshot().Groups[0]; g.RollCall.Kind != kindRollCall {
		t.Errorf("%s is shown", g.RollCall.Kind)
	}
	w.advance(alarmTime)
	for end := time.Now().Add(10 * time.Second); !strings.Contains(b.Diagnostics(), "1 lamp of "+hall+" never confirmed"); sleep(t.Context(), time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(b.Diagnostics())
		}
	}
	if s, _ := b.site(); s.groups[hall].rec.Alarm != nil {
		t.Error("it is asked on")
	}
	w.net.Down(w.lamps[2].addr, false)
	b.verified(3)
	if w.lamps[2].State().Light.Priority == 1 {
		t.Error("it was asked after the hour")
	}
}
