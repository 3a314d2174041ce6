package holder

import (
	"testing"
	"time"

	"lamplighter/internal/settings"
)

func (r *rig) at(seconds int) *settings.Status {
	r.t.Helper()
	c := step(txnA, settings.ModeCommit, r.nonce())
	c.At, c.Within = uint64(r.wall.Unix()+int64(seconds)), 60
	return r.post(c, false)
}

func TestRevertsByItself(t *testing.T) {
	r := newRig(t).to(settings.Trial)
	due, ok := r.h.Due()
	if want := r.wall.Add(settings.DefaultConfirm * time.Second); !ok || !due.Equal(want) {
		t.Errorf("due at %v, want %v", due, want)
	}
	r.pass(settings.DefaultConfirm*time.Second - 1)
	r.runs("in time", settings.Trial, 50)
	r.pass(1)
	r.runs("not confirmed", settings.Idle, 5)
	if len(r.applied) != 2 || r.applied[1][1] != int64(5) {
		t.Errorf("applied %v", r.applied)
	}
	if s := r.status(settings.StatusRequest{}); s.Result != settings.ResultReverted {
		t.Errorf("%+v", s)
	}
	if _, ok := r.h.Due(); ok {
		t.Error("something is due")
	}
}

func TestCandidateIsDropped(t *testing.T) {
	r := newRig(t).to(settings.Staged)
	r.pass(settings.StageLife * time.Second)
	r.runs("nobody committed", settings.Idle, 5)
	r.want("too late", r.post(step(txnA, settings.ModeCommit, r.nonce()), false), settings.ResultCanceled, settings.Idle, 5)
}

// Repetitions of a scheduled commit make it earlier, and never later.
func TestScheduledEarlier(t *testing.T) {
	r := newRig(t).to(settings.Staged)
	n := r.nonce()
	commit := func(in uint) *settings.Status {
		c := step(txnA, settings.ModeCommit, n)
		c.In = in
		return r.post(c, true)
	}
	r.want("first", commit(60_000), settings.ResultOK, settings.Scheduled, 5)
	r.pass(10 * time.Second)
	if s := commit(60_000); s.Left != 50_000 { // held back
		t.Errorf("%d ms left", s.Left)
	}
	if s := commit(20_000); s.Left != 20_000 { // the first was held back
		t.Errorf("%d ms left", s.Left)
	}
	if s := r.post(step(txnA, settings.ModeCommit, nil), false); s.Left != 20_000 { // who quotes nothing moves nothing
		t.Errorf("%d ms left", s.Left)
	}
	r.pass(20 * time.Second)
	r.runs("in time", settings.Trial, 50)
	if v := r.h.View(); v.Left != settings.DefaultConfirm*time.Second {
		t.Errorf("%v to confirm", v.Left)
	}
}

// A repetition that comes when the time is just over, and the switch not yet made, is
// answered as the first time.
func TestRepeatedAtItsTime(t *testing.T) {
	r := newRig(t).to(settings.Staged)
	c := step(txnA, settings.ModeCommit, r.nonce())
	c.At = uint64(r.wall.Unix() + 10)
	r.want("first", r.post(c, false), settings.ResultOK, settings.Scheduled, 5)
	r.wall, r.up = r.wall.Add(11*time.Second), r.up+11*time.Second
	r.want("again", r.post(c, false), settings.ResultOK, settings.Scheduled, 5)
	r.pass(0)
	r.runs("then", settings.Trial, 50)
	r.want("after the switch", r.post(c, false), settings.ResultOK, settings.Trial, 50)
}

func TestTimesThatCannotBe(t *testing.T) {
	for what, c := range map[string]struct {
		seconds int
		clock   bool
		result  settings.Result
	}{
		"past": {-1, true, settings.ResultTime}, "too far": {settings.MaxAhead + 1, true, settings.ResultTime},
		"no clock": {10, false, settings.ResultTime}, "a week": {settings.MaxAhead, true, settings.ResultOK},
	} {
		r := newRig(t, func(cfg *Config) { cfg.Clock = c.clock }).to(settings.Staged)
		state := settings.Staged
		if c.result == settings.ResultOK {
			state = settings.Scheduled
		}
		r.want(what, r.at(c.seconds), c.result, state, 5)
	}
}

// A clock that is set while a switch is scheduled at a time of day.
func TestClockJumps(t *testing.T) {
	for what, c := range map[string]struct {
		jump, pass time.Duration
		state      settings.State
		level      int64
	}{
		"none, early":              {0, 99 * time.Second, settings.Scheduled, 5},
		"none":                     {0, 100 * time.Second, settings.Trial, 50},
		"forward, not there yet":   {50 * time.Second, 49 * time.Second, settings.Scheduled, 5},
		"forward past it":          {150 * time.Second, 0, settings.Trial, 50},
		"forward as far as may be": {160 * time.Second, 0, settings.Trial, 50},
		"forward, too late":        {161 * time.Second, 0, settings.Idle, 5},
		"forward by a year":        {8760 * time.Hour, 0, settings.Idle, 5},
		"backward, early":          {-time.Hour, 99 * time.Second, settings.Scheduled, 5},
		"backward":                 {-time.Hour, 100 * time.Second, settings.Trial, 50},
		"backward by years":        {-87600 * time.Hour, 100 * time.Second, settings.Trial, 50},
	} {
		r := newRig(t).to(settings.Staged)
		r.want(what, r.at(100), settings.ResultOK, settings.Scheduled, 5)
		r.wall = r.wall.Add(c.jump)
		r.pass(c.pass)
		r.runs(what, c.state, c.level)
		if c.state == settings.Idle && r.h.View().Result != settings.ResultTime {
			t.Errorf("%s: %v", what, r.h.View().Result)
		}
		if c.state == settings.Trial { // the trial counts by its own clock
			r.wall = r.wall.Add(-time.Hour)
			r.pass(59 * time.Second)
			r.runs(what, settings.Trial, 50)
			r.pass(time.Second)
			r.runs(what, settings.Idle, 5)
		}
	}
}

// Restarts while a switch is scheduled, with the clock going on or being set.
func TestRestartBeforeTheSwitch(t *testing.T) {
	for what, c := range map[string]struct {
		off, pass time.Duration
		state     settings.State
		level     int64
	}{
		"shortly":               {10 * time.Second, 89 * time.Second, settings.Scheduled, 5},
		"shortly, then":         {10 * time.Second, 90 * time.Second, settings.Trial, 50},
		"over it":               {150 * time.Second, 0, settings.Trial, 50},
		"far over it":           {161 * time.Second, 0, settings.Idle, 5},
		"the clock was set":     {-time.Hour, 99 * time.Second, settings.Scheduled, 5},
		"the clock was set off": {-time.Hour, 100 * time.Second, settings.Trial, 50},
	} {
		r := newRig(t).to(settings.Staged)
		r.at(100)
		r.wall, r.up = r.wall.Add(c.off), 0
		r.boot()
		r.pass(c.pass)
		r.runs(what, c.state, c.level)
	}
	r := newRig(t).to(settings.Scheduled)
	r.boot()
	r.pass(time.Hour)
	r.runs("in some time", settings.Staged, 5)
	r.want("anew", r.post(step(txnA, settings.ModeCommit, r.nonce()), false), settings.ResultOK, settings.Trial, 50)
}

// Restarts while new settings are tried.
func TestRestartInTheTrial(t *testing.T) {
	r := newRig(t, noClock).to(settings.Trial)
	r.boot()
	r.runs("no clock", settings.Idle, 5)

	for what, c := range map[string]struct {
		off   time.Duration
		state settings.State
		level int64
	}{
		"shortly": {time.Minute, settings.Trial, 50}, "for long": {settings.DefaultConfirm * time.Second, settings.Idle, 5},
		"the clock was set": {-time.Second, settings.Idle, 5},
	} {
		r := newRig(t).to(settings.Trial)
		r.wall, r.up = r.wall.Add(c.off), 0
		r.boot()
		r.runs(what, c.state, c.level)
		if c.state == settings.Trial {
			r.pass((settings.DefaultConfirm - 61) * time.Second)
			r.runs(what, settings.Trial, 50)
			r.pass(time.Second)
			r.runs(what, settings.Idle, 5)
		}
	}

	r = newRig(t).to(settings.Trial)
	for i := range 3 {
		want, level := settings.Trial, int64(50)
		if i == maxRestarts {
			want, level = settings.Idle, 5
		}
		r.boot()
		r.runs("restarts", want, level)
	}
}

// A store that fails: nothing is different, and what is due is tried again.
func TestStoreFails(t *testing.T) {
	fail := func(r *rig) { r.store.before = r.store.writes + 1 }
	r := newRig(t)
	fail(r)
	r.want("stage", r.post(stage(txnA, patch(50)), false), settings.ResultStore, settings.Idle, 5)
	r.to(settings.Staged)
	n := r.nonce()
	fail(r)
	r.want("commit", r.post(step(txnA, settings.ModeCommit, n), false), settings.ResultStore, settings.Staged, 5)
	c := step(txnA, settings.ModeCommit, r.nonce())
	c.In = 1000
	r.post(c, false)
	fail(r)
	r.pass(time.Second)
	r.runs("the switch", settings.Scheduled, 5)
	r.pass(again)
	r.runs("the switch again", settings.Trial, 50)
	n = r.nonce()
	fail(r)
	r.want("confirm", r.post(step(txnA, settings.ModeConfirm, n), false), settings.ResultStore, settings.Trial, 50)
	fail(r)
	r.pass(settings.DefaultConfirm * time.Second)
	r.runs("the way back", settings.Trial, 50)
	r.pass(again)
	r.runs("the way back again", settings.Idle, 5)
}
