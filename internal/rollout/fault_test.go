package rollout_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"lamplighter/internal/firmware"
	"lamplighter/internal/rollout"
	"lamplighter/internal/sim"
)

// A device that names another digest is never switched; the others are.
func TestLiar(t *testing.T) {
	w := newWorld(t, 20, 64<<10, independent)
	w.lamps[4].lies = true
	v := w.run(w.params(staged))
	w.rest(v, "lamp-004")
	if d := row(v, "lamp-004"); d.State != rollout.Broken || d.Problem.ID != "fw-digest" || v.ProblemDevice != "lamp-004" {
		t.Errorf("%+v", d)
	}
}

// A device whose flash breaks is told of in words, and is not fed for ever.
func TestBadFlash(t *testing.T) {
	w := newWorld(t, 20, 64<<10, independent)
	w.lamps[4].badFlash = 30
	v := w.run(w.params(staged))
	w.rest(v, "lamp-004")
	if d := row(v, "lamp-004"); d.State != rollout.Broken || d.Problem.ID != "fw-flash" || v.Unicast > 64 {
		t.Errorf("%+v, %d to one", d, v.Unicast)
	}
}

// Devices vanish and leave in the middle: the others get the image.
func TestVanish(t *testing.T) {
	w := newWorld(t, 30, 128<<10, independent)
	w.onSend = func(n int) {
		if n == 40 {
			w.lamps[3].off, w.lamps[9].left = true, true
		}
	}
	v := w.run(w.params(staged))
	w.rest(v, "lamp-003", "lamp-009")
	if d := row(v, "lamp-003"); d.State != rollout.Silent || d.Problem.ID != "fw-silent" {
		t.Errorf("%+v", d)
	}
	if d := row(v, "lamp-009"); d.State != rollout.LeftOut || d.Problem.ID != "fw-gone" {
		t.Errorf("%+v", d)
	}
}

// A device that is off for a while comes back and gets all.
func TestComeBack(t *testing.T) {
	w := newWorld(t, 30, 128<<10, independent)
	w.lamps[5].off = true // when the plan is made
	w.onSend = func(n int) {
		w.lamps[3].off = n > 20 && n < 100
		w.lamps[5].off = n < 60
	}
	v := w.run(w.params(staged))
	report(t, v)
	w.rest(v)
}

// A device that joins in the middle is looked at, fed and switched.
func TestJoin(t *testing.T) {
	w := newWorld(t, 10, 64<<10, independent)
	s := rollout.New(w.plan(w.params(staged)))
	joined := false
	w.onSend = func(n int) {
		if n == 30 && !joined {
			joined = true
			l := w.add(10, independent(10))
			s.Add(rollout.Device{ID: l.id, Zone: l.zone})
		}
	}
	if err := s.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	v := s.View()
	w.rest(v)
	if len(v.Devices) != 11 || row(v, "lamp-010").State != rollout.Confirmed {
		t.Errorf("%+v", row(v, "lamp-010"))
	}
}

// Devices without a decoder: lost blocks are sent again as they are.
func TestBitmap(t *testing.T) {
	w := newWorld(t, 30, 128<<10, independent)
	for _, l := range w.lamps[10:] {
		l.ability.Parity = 0
	}
	v := w.run(w.params(staged))
	report(t, v)
	w.rest(v)
	if v.Parity != 0 || v.Sent < 140 {
		t.Errorf("parity %d, sent %d", v.Parity, v.Sent)
	}
}

// One or two devices are fed alone.
func TestOne(t *testing.T) {
	w := newWorld(t, 1, 64<<10, independent)
	v := w.run(w.params(rollout.Options{}))
	w.rest(v)
	if v.Sent != 0 || v.Unicast != 64 {
		t.Errorf("%d to all, %d to one", v.Sent, v.Unicast)
	}
}

// A decoder that holds little gets source blocks for what it cannot solve.
func TestSmallDecoder(t *testing.T) {
	w := newWorld(t, 10, 128<<10, bursts)
	for _, l := range w.lamps {
		l.ability.Parity = 2
	}
	w.rest(w.run(w.params(staged)))
}

// The group rests in the middle: the sender waits.
func TestGroupPaused(t *testing.T) {
	w := newWorld(t, 10, 64<<10, independent)
	w.onSend = func(n int) {
		if n == 20 && w.paused == 0 {
			w.paused = 100
			w.onSend = nil
		}
	}
	v := w.run(w.params(staged))
	w.rest(v)
	if took := v.Ended.Sub(v.Started); took < 500*time.Second {
		t.Errorf("it did not wait: %v", took)
	}
}

// A next hop that does not keep up slows the sender down; it never leaves the
// profile's rate.
func TestSlowHop(t *testing.T) {
	w := newWorld(t, 10, 128<<10, perfect)
	w.slow = 3 * time.Second
	p := w.params(rollout.Options{})
	lowest := 1e9
	p.Progress = func(v rollout.View) {
		for _, s := range v.Samples {
			lowest = min(lowest, s.Rate)
			if s.Rate > 1e6 {
				t.Errorf("rate %f", s.Rate)
			}
		}
	}
	w.rest(w.run(p))
	if lowest > 0.3e6 {
		t.Errorf("lowest rate %f", lowest)
	}
}

// A next hop that refuses blocks, as they come too fast, slows the rollout down and does
// not end it.
func TestHopRefuses(t *testing.T) {
	w := newWorld(t, 20, 256<<10, perfect)
	w.full = 3
	v := w.run(w.params(staged))
	w.rest(v)
	slowest := v.Samples[0].Rate
	for _, m := range v.Samples {
		slowest = min(slowest, m.Rate)
	}
	if slowest > 0.6e6 {
		t.Errorf("never slower than %.0f bit/s", slowest)
	}
}

// A pause lets nothing be sent; after it the rollout goes on where it was.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 20, 64<<10, independent)
		p := w.params(staged)
		var s *rollout.Sender
		pauses := 0
		p.Progress = func(v rollout.View) {
			if v.Phase != rollout.Paused {
				return
			}
			pauses++
			at := len(w.sent)
			go func() {
				time.Sleep(time.Hour)
				if len(w.sent) != at {
					t.Error("something was sent in the pause")
				}
				s.Resume()
			}()
		}
		s = rollout.New(w.plan(p))
		w.onSend = func(n int) {
			if n == 10 || n == 50 {
				s.Pause()
			}
		}
		if err := s.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		w.rest(s.View())
		if pauses < 2 {
			t.Errorf("%d pauses", pauses)
		}
	})
}

// An abort makes devices drop what they have and take a switch back, at any part.
func TestAbort(t *testing.T) {
	for _, when := range []rollout.WaveState{"", rollout.WaveSwitching, rollout.WaveChecking} {
		w := newWorld(t, 20, 64<<10, independent)
		p := w.params(staged)
		var s *rollout.Sender
		p.Progress = func(v rollout.View) {
			if when == "" && v.Sent > 30 || when != "" && len(v.Waves) > 2 && v.Waves[2].State == when {
				_ = s.Abort(context.Background())
			}
		}
		s = rollout.New(w.plan(p))
		if err := s.Run(context.Background()); !errors.Is(err, rollout.ErrAborted) {
			t.Fatalf("%q: %v", when, err)
		}
		v := s.View()
		if v.Phase != rollout.Failed {
			t.Errorf("%q: %s", when, v.Phase)
		}
		w.pass(20 * time.Minute)
		for _, l := range w.lamps {
			if l.state != firmware.Idle && !l.deafToAbort() {
				t.Errorf("%q: %s is in state %d", when, l.id, l.state)
			}
			if d := row(v, l.id); (d.State == rollout.Confirmed) != (l.running.Version == "2") {
				t.Errorf("%q: %s is %s and runs %s", when, l.id, d.State, l.running.Version)
			}
		}
	}
}

// Devices that do not answer keep no other from hearing of an abort, and its end is kept
// although time was up for them.
func TestAbortWithSilent(t *testing.T) {
	w := newWorld(t, 20, 64<<10, perfect)
	p := w.params(rollout.Options{Canary: 8, MaxUnavailable: 8})
	var saved rollout.State
	p.Save = func(st rollout.State) error { saved = st; return nil }
	ctx, kill := context.WithCancel(t.Context())
	p.Probe = func(context.Context, string) error { // all are on test
		kill()
		return context.Canceled
	}
	s := rollout.New(w.plan(p))
	if err := s.Run(ctx); err == nil {
		t.Fatal("not killed")
	}
	w.lamps[0].off = true
	ctx, late := context.WithCancel(t.Context())
	w.onDead = late
	p.Probe = nil
	s, err := rollout.Resume(p, saved)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Abort(ctx)
	if v := s.View(); v.Phase != rollout.Failed || saved.Phase != rollout.Failed || row(v, "lamp-000").State == rollout.Confirmed {
		t.Errorf("%s, kept %s, %+v", v.Phase, saved.Phase, row(v, "lamp-000"))
	}
	for _, l := range w.lamps[1:] {
		if l.state != firmware.Idle || l.running.Version != "1" || l.session != nil {
			t.Errorf("%s is in state %d and runs %s", l.id, l.state, l.running.Version)
		}
	}
}

// deafToAbort: three copies were lost; what it received does not matter to anybody.
func (l *lamp) deafToAbort() bool {
	return l.state == firmware.Downloading || l.state == firmware.Downloaded
}

// Whatever goes wrong: nothing is switched that was not verified (the lamps watch that),
// a rollout ends, and what it says of a device is so.
func TestRandomFaults(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 5))
			w := newWorld(t, 4+rng.IntN(30), 1000+rng.IntN(100_000), func(i int) *sim.Gilbert {
				return sim.NewGilbert(seed*1000+uint64(i), rng.Float64()*0.25, 1+rng.Float64()*6)
			})
			for _, l := range w.lamps {
				l.bootLoop, l.lies = rng.IntN(30) == 0, rng.IntN(20) == 0
				if rng.IntN(20) == 0 {
					l.badFlash = 1 + rng.IntN(60)
				}
				if rng.IntN(10) == 0 {
					l.deaf = rng.IntN(80)
				}
				if rng.IntN(10) == 0 {
					l.ability.Parity = uint(rng.IntN(3))
				}
			}
			p := w.params(rollout.Options{Canary: rng.IntN(3), Percent: float64(rng.IntN(2) * 10), MaxUnavailable: rng.IntN(4), Soak: time.Duration(rng.IntN(30)) * time.Second, Threshold: float64(5 + rng.IntN(90))})
			var saved rollout.State
			p.Save = func(st rollout.State) error { saved = st; return nil }
			s := rollout.New(w.plan(p))
			for tries := 0; ; tries++ {
				ctx, kill := context.WithCancel(context.Background())
				countdown := rng.IntN(200)
				w.onSend = func(int) {
					l := w.lamps[rng.IntN(len(w.lamps))]
					l.off = !l.left && rng.IntN(50) == 0
					l.left = l.left || rng.IntN(3000) == 0
					if countdown--; countdown == 0 && tries < 3 {
						kill()
					}
				}
				err := s.Run(ctx)
				kill()
				if err == nil {
					break
				}
				if s, err = rollout.Resume(p, saved); err != nil {
					t.Fatal(err)
				}
			}
			v := s.View()
			if !v.Phase.Over() {
				t.Errorf("phase %s", v.Phase)
			}
			for _, l := range w.lamps {
				d := row(v, l.id)
				if d.State == rollout.Confirmed && (l.running.Version != "2" || l.state != firmware.Idle) || l.lies && l.activated {
					t.Errorf("%s: %s (%v), runs %s in state %d", l.id, d.State, d.Problem, l.running.Version, l.state)
				}
			}
			for zone, n := range w.most {
				if most := p.Options.MaxUnavailable; most > 0 && n > most {
					t.Errorf("%d of %s were away at a time, %d allowed", n, zone, most)
				}
			}
		})
	}
}

// A second person takes over while the first still sends: the plan says so; a minute
// later, or when they insist, they go on.
func TestTakeOver(t *testing.T) {
	w := newWorld(t, 30, 128<<10, independent)
	killed(w, rollout.New(w.plan(w.params(staged))), 60)
	for _, l := range w.lamps {
		l.foreign = bytes.Repeat([]byte{7}, 8)
	}
	p := w.params(staged)
	p.Feeder = bytes.Repeat([]byte{9}, 8)
	if plan := w.plan(p); plan.Eligible() != 0 || plan.Fits[0].Reason.ID != "fw-busy" {
		t.Errorf("%d eligible, %v", plan.Eligible(), plan.Fits[0].Reason)
	}
	p.Options.TakeOver = true
	plan := w.plan(p)
	if !plan.Started || plan.Eligible() != 30 {
		t.Fatalf("started %v, %d eligible", plan.Started, plan.Eligible())
	}
	s := rollout.New(plan)
	if err := s.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.rest(s.View())
	if n := w.twice(60); n > 4 {
		t.Errorf("%d blocks twice", n)
	}
}

// Who was taken over by somebody who sends the same image notices, and stops with a word;
// who took over goes on although the other one still sends.
func TestTakenOver(t *testing.T) {
	for _, takeOver := range []bool{false, true} {
		w := newWorld(t, 30, 128<<10, independent)
		o := staged
		o.TakeOver = takeOver
		w.onSend = func(n int) {
			for _, l := range w.lamps {
				if n == 20 {
					l.foreign = bytes.Repeat([]byte{9}, 8)
				}
			}
		}
		v := w.run(w.params(o))
		if takeOver {
			w.rest(v)
			continue
		}
		if v.Phase != rollout.Stopped || v.Stop == nil || v.Stop.ID != "fw-taken" || v.Problem == nil || v.Sent > 20+4*16 {
			t.Errorf("%s after %d blocks, %v", v.Phase, v.Sent, v.Stop)
		}
		for _, l := range w.lamps {
			if l.activated {
				t.Errorf("%s was switched by the one who was taken over", l.id)
			}
		}
	}
}
