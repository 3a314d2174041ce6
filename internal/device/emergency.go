package device

import (
	"slices"
	"time"

	"lamplighter/internal/store"
)

// An emergency light tests itself, and keeps a log of that: a function test looks
// whether lamp and battery work, a duration test empties the battery to see how long
// it lasts. The battery is simulated.

// EmergencyConfig is the battery of an emergency light.
type EmergencyConfig struct {
	Lasts time.Duration // with a full battery
	Speed float64       // how many times faster than in life it drains and charges; 0: 1
	Fault func() bool   // whether the lamp is broken: its tests fail; nil: it is not
}

// Kinds of tests.
const (
	TestFunction = 1
	TestDuration = 2
)

// Results of tests.
const (
	TestPassed  = 1
	TestFailed  = 2
	TestStopped = 3 // by somebody, or by a restart
)

const (
	keyEmergency = "emergency"
	maxTests     = 32 // in the log

	testRetry     = time.Minute // after the store failed
	functionTakes = 30 * time.Second
	chargeTakes   = 24 * time.Hour
	needed        = 20 // percent of the battery for a function test
	week          = 7 * 24 * time.Hour

	setFunctionDay  = "function-day"
	setFunctionHour = "function-hour"
	setInterval     = "duration-interval"
	setRated        = "rated-duration"
	setLowLevel     = "low-level"
)

// test is an entry of the log.
//
//	test = { 1: kind, 2: uint, 3: result, 4: 0..100, ? 5: uint }
type test struct {
	Kind    uint   `cbor:"1,keyasint" json:"kind"`
	At      uint64 `cbor:"2,keyasint" json:"at"`      // seconds since 1970, when it began
	Result  uint   `cbor:"3,keyasint" json:"result"`  // 0: it goes on
	Battery uint   `cbor:"4,keyasint" json:"battery"` // percent, at its end
	Minutes uint   `cbor:"5,keyasint,omitempty" json:"minutes,omitempty"`
}

// emergencyRecord is what is durable.
type emergencyRecord struct {
	Charge float64 `cbor:"1,keyasint"` // 0 to 1, at Since
	Since  int64   `cbor:"2,keyasint"` // milliseconds since 1970
	Test   *test   `cbor:"3,keyasint"` // under way
	Log    []test  `cbor:"4,keyasint"` // the newest last
}

// emergency is the state of an emergency light. Device.mu guards it.
type emergency struct {
	is       bool
	rec      emergencyRecord
	ends     time.Time // of the test under way
	function time.Time // when the next test begins by itself; zero: never
	duration time.Time

	weeks int64     // between duration tests, as planned
	from  time.Time // when that was planned, or the device started: the first test counts from here
}

// due is when there is something to do; in an emergency no test begins.
func (e *emergency) due(held bool) (at time.Time, ok bool) {
	if !e.is || held && e.rec.Test == nil {
		return at, false
	}
	for _, t := range []time.Time{e.ends, e.function, e.duration} {
		if !t.IsZero() && (!ok || t.Before(at)) && (e.rec.Test == nil || t.Equal(e.ends)) {
			at, ok = t, true
		}
	}
	return at, ok
}

// loadEmergency reads the log; a test that a loss of power ended is stopped.
func (d *Device) loadEmergency(tx store.Tx) error {
	if d.cfg.Emergency == nil {
		return nil
	}
	e := &d.emergency
	e.is = true
	e.rec = emergencyRecord{Charge: 1, Since: d.cfg.Now().UnixMilli()}
	_, err := get(tx, keyEmergency, &e.rec)
	return err
}

// bootEmergency goes on after a start. Nobody else has d yet.
func (d *Device) bootEmergency() error {
	if !d.emergency.is {
		return nil
	}
	if d.emergency.rec.Test != nil {
		if err := d.endTest(TestStopped); err != nil {
			return err
		}
	}
	d.plan()
	return nil
}

func (d *Device) speed() float64 {
	if s := d.cfg.Emergency.Speed; s > 0 {
		return s
	}
	return 1
}

// charge is how full the battery is, 0 to 1. d.mu is held.
func (d *Device) charge() float64 {
	e := &d.emergency
	passed := max(0, float64(d.cfg.Now().UnixMilli()-e.rec.Since)) * d.speed() * float64(time.Millisecond)
	if e.rec.Test != nil {
		return max(0, e.rec.Charge-passed/float64(max(d.cfg.Emergency.Lasts, 1)))
	}
	return min(1, e.rec.Charge+passed/float64(chargeTakes))
}

func percent(charge float64) uint { return uint(charge*100 + 0.5) }

// planTests plans the tests anew.
func (d *Device) planTests() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.plan()
}

// plan sets when the next tests begin by themselves. d.mu is held, or nobody else has
// d yet.
func (d *Device) plan() {
	e := &d.emergency
	if !e.is {
		return
	}
	e.function, e.duration = time.Time{}, time.Time{}
	now := d.cfg.Now()
	if day := d.number(setFunctionDay, 0); day > 0 {
		e.function = nextHour(now, time.Weekday(day%7), int(d.number(setFunctionHour, 0)))
	}
	weeks := d.number(setInterval, 0)
	if weeks != e.weeks || e.from.IsZero() {
		e.weeks, e.from = weeks, now
	}
	if weeks > 0 {
		last := e.from
		if t := e.rec.last(TestDuration); t != nil {
			last = time.Unix(int64(t.At), 0)
		}
		e.duration = last.Add(time.Duration(weeks) * week)
	}
}

// nextHour is when it is next that hour of that day of the week, in UTC.
func nextHour(now time.Time, day time.Weekday, hour int) time.Time {
	u := now.UTC()
	at := time.Date(u.Year(), u.Month(), u.Day()+int(day-u.Weekday()+7)%7, hour, 0, 0, 0, time.UTC)
	if !at.After(now) {
		at = at.AddDate(0, 0, 7)
	}
	return at
}

// last is the newest entry of a kind, nil if there is none.
func (r *emergencyRecord) last(kind uint) *test {
	for i := range slices.Backward(r.Log) {
		if r.Log[i].Kind == kind {
			return &r.Log[i]
		}
	}
	return nil
}

// tickEmergency ends and begins tests that are due.
func (d *Device) tickEmergency() {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := &d.emergency
	now := d.cfg.Now()
	reached := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	var err error
	switch {
	case !e.is:
	case e.rec.Test != nil:
		if reached(e.ends) {
			err = d.endTest(d.verdict())
		}
	case d.before != nil: // an emergency: the battery is needed
	case reached(e.duration):
		err = d.beginTest(TestDuration)
	case reached(e.function):
		err = d.beginTest(TestFunction)
	default:
		return
	}
	if err == nil {
		d.plan()
	} else {
		d.log.Error("a test of the emergency light could not be stored", "err", err)
		e.postpone(now.Add(testRetry))
	}
}

// postpone has what is due wait until then.
func (e *emergency) postpone(until time.Time) {
	for _, t := range []*time.Time{&e.ends, &e.function, &e.duration} {
		if !t.IsZero() && t.Before(until) {
			*t = until
		}
	}
}

// verdict judges the test under way at its end. d.mu is held.
func (d *Device) verdict() uint {
	t := d.emergency.rec.Test
	if d.cfg.Emergency.Fault != nil && d.cfg.Emergency.Fault() {
		return TestFailed
	}
	if t.Kind == TestDuration && int64(d.lasted()) < d.number(setRated, 60) || t.Kind == TestFunction && percent(d.charge()) < needed {
		return TestFailed
	}
	return TestPassed
}

// lasted is how many minutes the test under way has taken, in the battery's time.
func (d *Device) lasted() uint {
	t := d.cfg.Now().Sub(time.UnixMilli(d.emergency.rec.Since))
	return uint(float64(max(t, 0)) * d.speed() / float64(time.Minute))
}

// beginTest begins a test, durably. d.mu is held.
func (d *Device) beginTest(kind uint) error {
	e, now := &d.emergency, d.cfg.Now()
	next := emergencyRecord{Charge: d.charge(), Since: now.UnixMilli(), Log: e.rec.Log}
	next.Test = &test{Kind: kind, At: uint64(max(0, now.Unix())), Battery: percent(next.Charge)}
	if err := d.update(func(tx store.Tx) error { return put(tx, keyEmergency, next) }); err != nil {
		return err
	}
	takes := functionTakes
	if kind == TestDuration {
		takes = time.Duration(next.Charge * float64(d.cfg.Emergency.Lasts))
	}
	e.rec, e.ends = next, now.Add(time.Duration(float64(takes)/d.speed()))
	return nil
}

// endTest ends the test under way and logs it. d.mu is held, or nobody else has d yet.
func (d *Device) endTest(result uint) error {
	e := &d.emergency
	t := *e.rec.Test
	charge := d.charge()
	t.Result, t.Battery = result, percent(charge)
	if t.Kind == TestDuration {
		t.Minutes = d.lasted()
	}
	log := append(slices.Clone(e.rec.Log), t)
	next := emergencyRecord{Charge: charge, Since: d.cfg.Now().UnixMilli(), Log: log[max(0, len(log)-maxTests):]}
	if err := d.update(func(tx store.Tx) error { return put(tx, keyEmergency, next) }); err != nil {
		return err
	}
	e.rec, e.ends = next, time.Time{}
	return nil
}
