package rollout_test

import (
	"context"
	"errors"
	"lamplighter/internal/firmware"
	"lamplighter/internal/rollout"
	"lamplighter/internal/sim"
	"slices"
	"testing"
	"time"
)

// Of a zone no more than allowed is away at a time, and emergency lights are last.
func TestZones(t *testing.T) {
	w := newWorld(t, 60, 32<<10, independent)
	p := w.params(rollout.Options{Canary: 2, Percent: 10, MaxUnavailable: 3})
	for i := range p.Devices {
		p.Devices[i].Emergency = i%15 == 0
	}
	v := w.run(p)
	w.rest(v)
	for zone, n := range w.most {
		if n > 3 {
			t.Errorf("%d of %s were away at a time", n, zone)
		}
	}
	var last time.Time
	for i, l := range w.lamps {
		if i%15 != 0 && l.switched.After(last) {
			last = l.switched
		}
	}
	for i, l := range w.lamps {
		if i%15 == 0 && !l.switched.After(last) {
			t.Errorf("%s is an emergency light and switched at %v, others until %v", l.id, l.switched, last)
		}
	}
}

// Where nobody chose how many, half of a zone goes on giving light, and a zone with one
// light or of an odd number is switched, too.
func TestHalfOfAZone(t *testing.T) {
	w := newWorld(t, 23, 32<<10, independent)
	w.lamps[22].zone, w.lamps[21].zone = "alone", "zone-1"
	p := w.params(rollout.Options{})
	for i := range p.Devices {
		p.Devices[i].Zone = w.lamps[i].zone
	}
	w.rest(w.run(p))
	for zone, most := range map[string]int{"zone-0": 5, "zone-1": 5, "zone-2": 1, "alone": 1} {
		if n := w.most[zone]; n > most || n == 0 {
			t.Errorf("%d of %s were away at a time", n, zone)
		}
	}
}

// Of many devices that lose much no more switch together than can be confirmed before
// they go back by themselves.
func TestCrowdInTime(t *testing.T) {
	profile, _ := rollout.ProfileNamed("802.15.4")
	w := newWorld(t, 1000, 16<<10, func(i int) *sim.Gilbert { return sim.NewGilbert(uint64(i), 0.2, 1) })
	w.rate = float64(profile.Rate)
	v := w.run(w.params(rollout.Options{Profile: profile, Canary: 3, Percent: 10, MaxUnavailable: 10}))
	confirmed, tried := 0, uint(0)
	for i, d := range v.Devices {
		if d.State == rollout.Confirmed {
			confirmed++
		} else if d.Problem == nil || d.Problem.ID != "fw-silent" { // some miss five retransmissions
			t.Errorf("%s is %s: %v", d.Device, d.State, d.Problem)
		}
		tried = max(tried, w.lamps[i].running.Boots)
	}
	if confirmed < 990 || tried > 2 {
		t.Errorf("%d confirmed, up to %d boots", confirmed, tried)
	}
}

// A switch at a set time of all that may be away at a time: all within a few tens of milliseconds, in spite of losses.
func TestScheduled(t *testing.T) {
	w := newWorld(t, 100, 32<<10, func(i int) *sim.Gilbert { return independent(i + 3000) })
	at := w.now.Add(3 * time.Hour).Truncate(time.Second)
	v := w.run(w.params(rollout.Options{At: at, MaxUnavailable: 100}))
	w.rest(v)
	worst := time.Duration(0)
	for _, l := range w.lamps {
		worst = max(worst, l.switched.Sub(at).Abs())
	}
	t.Logf("switched within %v of the time", worst)
	if worst > 50*time.Millisecond {
		t.Errorf("spread %v", worst)
	}
}

// A sender that dies while it says when to switch does not make it sooner when it is
// back: neither for devices that have heard it, nor for those that have not.
func TestScheduledKilled(t *testing.T) {
	for _, first := range []bool{true, false} { // killed before anything is said, or after the first time
		w := newWorld(t, 40, 32<<10, bursts)
		at := w.now.Add(3 * time.Hour).Truncate(time.Second)
		p := w.params(rollout.Options{At: at, MaxUnavailable: 100})
		ctx, kill := context.WithCancel(context.Background())
		var saved rollout.State
		p.Save = func(st rollout.State) error {
			saved = st
			if first && slices.ContainsFunc(st.Devices, func(d rollout.DeviceRecord) bool { return d.State == rollout.Switched }) {
				kill()
			}
			return nil
		}
		w.onSend = func(int) {
			if slices.ContainsFunc(w.lamps, func(l *lamp) bool { return l.state == firmware.Updating }) {
				kill()
			}
		}
		if err := rollout.New(w.plan(p)).Run(ctx); err == nil {
			t.Fatal("not killed")
		}
		kill()
		w.onSend, p.Save = nil, nil
		s := w.resumed(p, saved)
		w.rest(s.View())
		for _, l := range w.lamps {
			if d := l.switched.Sub(at); d < -50*time.Millisecond {
				t.Errorf("%s switched %v too soon", l.id, -d)
			}
		}
	}
}

// With Hold a person lets every further wave begin.
func TestHold(t *testing.T) {
	w := newWorld(t, 20, 32<<10, independent)
	o := staged
	o.Hold = true
	p := w.params(o)
	var s *rollout.Sender
	waits := 0
	p.Progress = func(v rollout.View) {
		if v.Waits {
			waits++
			s.Advance()
		}
	}
	s = rollout.New(w.plan(p))
	if err := s.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.rest(s.View())
	if waits != 2 {
		t.Errorf("waited %d times", waits)
	}
}

// A probe that fails sends the canary back and stops the rollout.
func TestProbe(t *testing.T) {
	w := newWorld(t, 20, 32<<10, independent)
	p := w.params(staged)
	p.Probe = func(_ context.Context, id string) error {
		if id == "lamp-000" {
			return errors.New("it gives no light")
		}
		return nil
	}
	v := w.run(p)
	if d := row(v, "lamp-000"); v.Phase != rollout.Stopped || d.State != rollout.Reverted || d.Problem.ID != "fw-probe" || w.lamps[0].running.Version != "1" {
		t.Errorf("%s %+v", v.Phase, d)
	}
}

// Failures above the threshold stop the rollout before the last wave.
func TestThreshold(t *testing.T) {
	w := newWorld(t, 60, 32<<10, perfect)
	for _, l := range w.lamps {
		l.bootLoop = l.id != "lamp-000"
	}
	v := w.run(w.params(rollout.Options{Percent: 20}))
	failed := 0
	for _, l := range w.lamps {
		if l.activated {
			failed++
		}
	}
	if v.Phase != rollout.Stopped || failed != 12 {
		t.Errorf("%s, %d switched", v.Phase, failed)
	}
}

// The sender dies while devices try the image: the next one confirms them.
func TestKilledSwitching(t *testing.T) {
	for _, state := range []rollout.WaveState{rollout.WaveSwitching, rollout.WaveChecking, rollout.WaveSoaking, rollout.WaveDone} {
		for wave := range 3 {
			w := newWorld(t, 30, 32<<10, independent)
			o := staged
			o.Soak = time.Minute
			p := w.params(o)
			var saved rollout.State
			ctx, kill := context.WithCancel(context.Background())
			p.Save = func(st rollout.State) error { saved = st; return nil }
			p.Progress = func(v rollout.View) {
				if v.Waves[wave].State == state {
					kill()
				}
			}
			s := rollout.New(w.plan(p))
			if err := s.Run(ctx); err == nil && !(state == rollout.WaveDone && wave == 2) {
				t.Fatalf("%s %d: not killed", state, wave)
			}
			kill()
			saved, err := rollout.ParseState(saved.Encode())
			if err != nil {
				t.Fatal(err)
			}
			p.Progress = nil
			s, err = rollout.Resume(p, saved)
			if err != nil {
				t.Fatal(err)
			}
			sent := len(w.sent)
			if err := s.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			w.rest(s.View())
			if len(w.sent) != sent {
				t.Errorf("%d blocks were sent again", len(w.sent)-sent)
			}
		}
	}
}

// Devices that went back because the sender was away for too long are not blamed: they
// try again when it is here.
func TestUntended(t *testing.T) {
	w := newWorld(t, 30, 32<<10, independent)
	p := w.params(staged)
	var saved rollout.State
	ctx, kill := context.WithCancel(context.Background())
	p.Save = func(st rollout.State) error { saved = st; return nil }
	p.Progress = func(v rollout.View) {
		if v.Waves[1].State == rollout.WaveChecking {
			kill()
		}
	}
	_ = rollout.New(w.plan(p)).Run(ctx)
	kill()
	w.pass(time.Hour)
	tried := 0
	for _, l := range w.lamps {
		if l.result == firmware.ResultReverted {
			tried++
		}
	}
	p.Progress = nil
	s := w.resumed(p, saved)
	w.rest(s.View())
	if tried == 0 || s.View().Problem != nil {
		t.Errorf("%d had gone back, problem %v", tried, s.View().Problem)
	}
}
