package device

import (
	"context"
	"errors"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/settings"
	"lamplighter/internal/store"
)

// An emergency's command holds the light, over restarts, until it ends: normal commands
// are answered and change nothing. No setting holds it down.
func TestEmergencyHolds(t *testing.T) {
	b := newBuilding(t, 1)
	l, in := b.configured(1)[0], b.anna
	in.set(l, settings.Map{2: int64(60), 4: int64(0)})
	in.lit(l, map[int]any{1: true, 2: 30})
	held := Light{On: true, Level: 100, Priority: 1}
	if got := in.lit(l, map[int]any{1: true, 2: 100, 3: 1}); got != held {
		t.Fatalf("%+v", got)
	}
	for _, restart := range []bool{false, true} {
		if restart {
			l.boot()
		}
		if got := in.lit(l, on(false)); got != held {
			t.Errorf("a normal command: %+v", got)
		}
		if _, err := in.to(l, recallMessage(0, 0)); err != nil || l.lamp.State().Light != held {
			t.Errorf("a recall: %+v, %v", l.lamp.State().Light, err)
		}
		if s := l.lamp.State(); s.Light != held || s.Output != 100 {
			t.Errorf("%+v", s)
		}
	}
	if got := in.lit(l, map[int]any{1: true, 2: 90, 3: 1}); got.Level != 90 || got.Priority != 1 {
		t.Errorf("another of the emergency: %+v", got)
	}
	if got := in.lit(l, map[int]any{3: 0}); got != (Light{On: true, Level: 30}) {
		t.Errorf("after the end %+v", got)
	}
	if got := in.lit(l, on(false)); got.On {
		t.Errorf("%+v", got)
	}
	l.boot()
	if got := l.lamp.State().Light; got.On || got.Priority != 0 {
		t.Errorf("after a restart %+v", got)
	}
	_, err := in.to(l, lightMessage(map[int]any{3: 2}))
	wantCode(t, "another priority", err, coap.BadRequest)
}

// Only who manages a lamp begins and ends an emergency: a switch, and whoever else may
// command the light, does not.
func TestEmergencyIsForInstallers(t *testing.T) {
	b := newBuilding(t, 1)
	l := b.configured(1)[0]
	bert := b.installer("bert", 2)
	bert.self(ace.RoleRequester)
	bert.refresh()
	_, err := bert.to(l, lightMessage(map[int]any{1: true, 3: 1}))
	wantCode(t, "an emergency", err, coap.Forbidden)
	if got := bert.cast(lightMessage(map[int]any{1: true, 3: 1})); len(got) != 0 || l.lamp.State().Light.On {
		t.Errorf("%d obey: %+v", len(got), l.lamp.State().Light)
	}
	b.anna.refresh()
	b.anna.lit(l, map[int]any{1: true, 2: 100, 3: 1})
	for _, body := range []map[int]any{{3: 0}, {1: false, 3: 1}, {1: false}} {
		bert.cast(lightMessage(body))
		if got := l.lamp.State().Light; got != (Light{On: true, Level: 100, Priority: 1}) {
			t.Errorf("%v: %+v", body, got)
		}
	}
	if err := l.at(b.anna).list(2, commissioner{b.anna.cred, allRights}, commissioner{bert.cred, rightManage}); err != nil {
		t.Fatal(err)
	}
	if got := bert.lit(l, map[int]any{3: 0}); got.Priority != 0 {
		t.Errorf("a commissioner cannot end it: %+v", got)
	}
}

// The owner's emergency is not the next owner's: a release ends it, also when the power
// goes in the middle.
func TestReleaseEndsAnEmergency(t *testing.T) {
	for _, cut := range []bool{false, true} {
		b := newBuilding(t, 1)
		l, in := b.configured(1)[0], b.anna
		in.lit(l, map[int]any{1: false, 2: 30})
		in.lit(l, map[int]any{1: true, 2: 100, 3: 1})
		if err := plainDo(l.at(in).ownerSession(), coap.NewRequest(coap.DELETE, "/ll/claim", nil)); err != nil {
			t.Fatal(err)
		}
		if cut {
			l.lamp.mu.Lock()
			err := l.lamp.keepLight(Light{On: true, Level: 100, Priority: 1}, &Light{Level: 30})
			l.lamp.mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			l.boot()
		}
		if got := l.lamp.State().Light; got != (Light{Level: 30}) {
			t.Errorf("cut %v: %+v", cut, got)
		}
		l.boot()
		if got := l.lamp.State().Light; got != (Light{Level: 30}) {
			t.Errorf("cut %v, after a restart: %+v", cut, got)
		}
	}
}

// tests posts to /em.
func (in *installer) tests(l *bulb, kind, start uint) (emergencyAnswer, error) {
	return in.emergencyOf(l, request(coap.POST, PathEmergency, answer(coap.Changed, testRequest{kind, start}).Payload))
}

func (in *installer) emergencyOf(l *bulb, req *coap.Message) (a emergencyAnswer, err error) {
	resp, err := in.to(l, req)
	if err != nil {
		return a, err
	}
	return a, decode(&coap.Request{Message: resp}, &a)
}

func (b *building) emergencyLight(lasts time.Duration) *bulb {
	l := b.configured(1)[0]
	l.cfg.Emergency = &EmergencyConfig{Lasts: lasts}
	l.boot()
	return l
}

func TestEmergencyTests(t *testing.T) {
	for _, c := range []struct {
		lasts   time.Duration
		result  uint
		minutes uint
	}{{90 * time.Minute, TestPassed, 90}, {45 * time.Minute, TestFailed, 45}} {
		b := newBuilding(t, 1)
		l, in := b.emergencyLight(c.lasts), b.anna
		began := uint64(b.clock.Now().Unix())
		if a, err := in.tests(l, TestFunction, 1); err != nil || a.Testing != TestFunction || a.Battery != 100 {
			t.Fatalf("%+v, %v", a, err)
		}
		if _, err := in.tests(l, TestFunction, 1); err != nil { // again
			t.Error(err)
		}
		_, err := in.tests(l, TestDuration, 1)
		wantCode(t, "two tests", err, coap.Conflict)
		b.pass(functionTakes)
		a := l.lamp.State().Emergency
		if a.Testing != 0 || a.Function == nil || a.Function.Result != TestPassed || a.Function.At != began {
			t.Fatalf("%+v", a)
		}
		in.tests(l, TestDuration, 1)
		b.pass(c.lasts)
		a = l.lamp.State().Emergency
		if d := a.Duration; d == nil || d.Result != c.result || d.Minutes+1 < c.minutes || d.Minutes > c.minutes || a.Battery > 1 {
			t.Fatalf("%+v %+v", a, a.Duration)
		}
		in.tests(l, TestFunction, 1)
		b.pass(functionTakes)
		if a := l.lamp.State().Emergency; a.Function.Result != TestFailed {
			t.Errorf("with an empty battery %+v", a.Function)
		}
		b.pass(chargeTakes)
		l.boot()
		a = l.lamp.State().Emergency
		if a.Battery != 100 || len(a.Log) != 3 || a.Log[1].Result != c.result {
			t.Errorf("after a restart %+v", a)
		}
		got, err := in.emergencyOf(l, request(coap.GET, PathEmergency, nil))
		if err != nil || len(got.Log) != 3 {
			t.Errorf("%+v, %v", got, err)
		}
		for _, r := range in.cast(request(coap.GET, PathEmergency, nil)) {
			var a emergencyAnswer
			if err := decode(&coap.Request{Message: r.msg}, &a); err != nil || len(a.Log) != 0 || a.Function == nil {
				t.Errorf("to a group %+v, %v", a, err)
			}
		}
	}
}

// Somebody stops a test, the power goes, the lamp is broken, the log is full.
func TestEmergencyTestsThatEndOtherwise(t *testing.T) {
	b := newBuilding(t, 1)
	l, in := b.emergencyLight(time.Hour), b.anna
	in.tests(l, TestDuration, 1)
	b.pass(10 * time.Minute)
	if a, err := in.tests(l, TestDuration, 0); err != nil || a.Duration.Result != TestStopped || a.Duration.Minutes != 10 || a.Testing != 0 {
		t.Errorf("%+v, %v", a, err)
	}
	in.tests(l, TestFunction, 1)
	l.boot()
	if a := l.lamp.State().Emergency; a.Function == nil || a.Function.Result != TestStopped || a.Testing != 0 {
		t.Errorf("%+v", a)
	}
	in.lit(l, map[int]any{1: true, 3: 1})
	_, err := in.tests(l, TestFunction, 1)
	wantCode(t, "in an emergency", err, coap.Conflict)
	in.lit(l, map[int]any{3: 0})
	for _, bad := range [][2]uint{{0, 1}, {3, 1}, {1, 2}} {
		_, err := in.tests(l, bad[0], bad[1])
		wantCode(t, "malformed", err, coap.BadRequest)
	}
	l.cfg.Emergency.Fault = func() bool { return true }
	for range maxTests {
		in.tests(l, TestFunction, 1)
		b.pass(functionTakes)
	}
	if a := l.lamp.State().Emergency; len(a.Log) != maxTests || a.Log[0].Result != TestFailed {
		t.Errorf("%d entries, the first %+v", len(a.Log), a.Log[0])
	}
}

// Tests begin by themselves as the settings say.
func TestScheduleOfTests(t *testing.T) {
	b := newBuilding(t, 1)
	l, in := b.emergencyLight(90*time.Minute), b.anna
	b.pass(8 * 24 * time.Hour)
	if a := l.lamp.State().Emergency; len(a.Log) != 0 {
		t.Fatalf("not asked for: %+v", a.Log)
	}
	in.set(l, settings.Map{40: int64(3), 41: int64(5), 42: int64(4)}) // Wednesdays at 5, every 4 weeks
	b.pass(30 * 24 * time.Hour)
	a := l.lamp.State().Emergency
	functions, durations := 0, 0
	for _, e := range a.Log {
		at := time.Unix(int64(e.At), 0).UTC()
		if e.Kind == TestFunction {
			functions++
			if at.Weekday() != time.Wednesday || at.Hour() != 5 || at.Minute() != 0 {
				t.Errorf("a function test at %v", at)
			}
		} else {
			durations++
		}
	}
	if functions < 4 || functions > 5 || durations != 1 {
		t.Errorf("%d function tests, %d duration tests in 30 days", functions, durations)
	}
}

func TestNextHour(t *testing.T) {
	now := time.Date(2026, 11, 26, 8, 30, 0, 0, time.UTC) // a Thursday
	for _, c := range []struct {
		day  time.Weekday
		hour int
		want string
	}{{4, 9, "11-26 09"}, {4, 8, "12-03 08"}, {5, 0, "11-27 00"}, {0, 2, "11-29 02"}, {3, 23, "12-02 23"}} {
		if got := nextHour(now, c.day, c.hour).Format("01-02 15"); got != c.want {
			t.Errorf("%v at %d: %s, want %s", c.day, c.hour, got, c.want)
		}
	}
}

// In an emergency no test begins by itself: it waits for the end.
func TestNoTestInAnEmergency(t *testing.T) {
	b := newBuilding(t, 1)
	l, in := b.emergencyLight(time.Hour), b.anna
	in.set(l, settings.Map{42: int64(1)}) // every week
	in.lit(l, map[int]any{1: true, 3: 1})
	b.pass(8 * 24 * time.Hour)
	if a := l.lamp.State().Emergency; a.Testing != 0 || len(a.Log) != 0 {
		t.Fatalf("a duration test in an emergency: %+v", a)
	}
	in.lit(l, map[int]any{3: 0})
	b.pass(time.Second)
	if a := l.lamp.State().Emergency; a.Testing != TestDuration {
		t.Errorf("after it %+v", a)
	}
}

// sick is a store that does not write.
type sick struct {
	store.Store
	is *bool
}

func (s sick) Update(ctx context.Context, fn func(store.Tx) error) error {
	if *s.is {
		return errors.New("worn out")
	}
	return s.Store.Update(ctx, fn)
}

// A store that does not write makes no light spin: it tries again later, and the test
// ends then.
func TestEmergencyOverASickStore(t *testing.T) {
	b := newBuilding(t, 1)
	l, in, broken := b.emergencyLight(time.Hour), b.anna, false
	l.cfg.Store = sick{l.cfg.Store, &broken}
	l.boot()
	in.set(l, settings.Map{40: int64(3)})
	if _, err := in.tests(l, TestFunction, 1); err != nil {
		t.Fatal(err)
	}
	broken = true
	b.clock.Advance(functionTakes)
	l.lamp.Tick()
	if at, ok := l.lamp.Due(); !ok || !at.After(b.clock.Now()) {
		t.Fatalf("due at %v, now %v", at, b.clock.Now())
	}
	broken = false
	b.pass(2 * time.Minute)
	if a := l.lamp.State().Emergency; a.Testing != 0 || a.Function == nil || a.Function.Result != TestPassed {
		t.Errorf("%+v", a)
	}
	b.pass(8 * 24 * time.Hour)
	if a := l.lamp.State().Emergency; len(a.Log) < 2 {
		t.Errorf("no test by itself any more: %+v", a.Log)
	}
}
