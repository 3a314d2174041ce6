package rollout_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"lamplighter/internal/rollout"
	"lamplighter/internal/sim"
	"lamplighter/internal/sim/fleet"
	"lamplighter/internal/sim/image"
)

// real is a rollout to real updaters over real contexts and signatures, in simulated
// time: 100 devices, 256 KiB, 50 kbit/s.
type real struct {
	link      func(i int) sim.Link
	behaviour image.Behaviour
	off       []int
	few, echo bool
}

func (r real) start(t *testing.T) (*fleet.Fleet, rollout.Params) {
	t.Helper()
	n, bytes := 100, 256<<10
	if r.few || runtime.GOOS == "js" { // one thread, a tenth of the speed
		n, bytes = 20, 32<<10
	}
	f, err := fleet.New(fleet.Config{N: n, Seed: 7, Rate: 50_000, Real: true, ShareVerify: true, Parallel: 2, Link: r.link, EchoFirst: r.echo})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	release, err := f.Release(image.Image{Version: "2.0.0", Behaviour: r.behaviour}, 2, bytes)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range r.off {
		if err := f.Devices[i%n].Power(false); err != nil {
			t.Fatal(err)
		}
	}
	slow, _ := rollout.ProfileNamed("wi-fi")
	slow.Rate = 50_000
	p := f.Params(release, rollout.Options{Profile: slow, Canary: 2, Percent: 10, MaxUnavailable: 5, Soak: time.Second})
	p.Parallel = 4
	return f, p
}

// check compares what the view says with what devices run.
func checkFleet(t *testing.T, f *fleet.Fleet, v rollout.View) (confirmed int) {
	t.Helper()
	for _, d := range v.Devices {
		img, boots := f.Device(d.Device).Image()
		if (d.State == rollout.Confirmed) != (img.Version == "2.0.0") {
			t.Errorf("%s: %s (%v), runs %s after %d boots", d.Device, d.State, d.Problem, img.Version, boots)
		}
		if d.State == rollout.Confirmed {
			confirmed++
		}
	}
	return confirmed
}

func even(loss, burst float64) func(int) sim.Link {
	return func(int) sim.Link { return sim.Link{Loss: loss, Burst: burst} }
}

func TestRealFleet(t *testing.T) {
	for _, tt := range []struct {
		name  string
		r     real
		ratio float64
	}{
		{"independent", real{link: even(0.05, 1)}, 1.20},
		{"bursts", real{link: even(0.05, 5)}, 1.40},
		{"uneven, three off", real{off: []int{3, 50, 99}, link: func(i int) sim.Link {
			if i%20 == 7 {
				return sim.Link{Loss: 0.25}
			}
			return sim.Link{Loss: 0.02}
		}}, 1.65},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, p := tt.r.start(t)
				var sending time.Duration
				p.Progress = func(v rollout.View) {
					if v.Phase == rollout.Switching && sending == 0 {
						sending = p.Clock.Now().Sub(v.Started)
					}
				}
				v := rolled(t, p)
				n := checkFleet(t, f, v)
				report(t, v)
				t.Logf("all verified after %v", sending.Round(time.Second))
				sparing(t, v)
				if ratio := float64(v.Sent) / float64(v.Blocks); n != len(f.Devices)-len(tt.r.off) || v.Phase != rollout.Done || runtime.GOOS != "js" && ratio > tt.ratio {
					t.Errorf("%s, %d confirmed, %.3f of the blocks", v.Phase, n, ratio)
				}
			})
		})
	}
}

// rolled plans a rollout and runs it to its end.
func rolled(t *testing.T, p rollout.Params) rollout.View {
	t.Helper()
	plan, err := rollout.NewPlan(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	s := rollout.New(plan)
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s.View()
}

// An image that crashes at every start: the canary goes back by itself, nobody else
// is switched.
func TestRealCanary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p := real{link: even(0.05, 1), behaviour: image.Crashes}.start(t)
		v := rolled(t, p)
		report(t, v)
		if v.Phase != rollout.Stopped || v.Problem == nil || v.Problem.ID != "fw-boot-loop" {
			t.Errorf("%s, %v", v.Phase, v.Problem)
		}
		for _, d := range v.Devices {
			img, boots := f.Device(d.Device).Image()
			if img.Version != "1.0.0" || d.Wave != 0 && boots != 1 || d.Wave == 0 && d.State != rollout.Reverted {
				t.Errorf("%s of wave %d: %s, runs %s after %d boots", d.Device, d.Wave, d.State, img.Version, boots)
			}
		}
	})
}

// The sender dies in the middle and goes on, with and without what it saved.
func TestRealKilled(t *testing.T) {
	for percent, states := range map[int][]bool{30: {true}, 60: {false}, 90: {true}} {
		for _, with := range states {
			t.Run(fmt.Sprint(percent, with), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f, p := real{link: even(0.05, 1)}.start(t)
					ctx, kill := context.WithCancel(t.Context())
					var saved rollout.State
					p.Save = func(st rollout.State) error { saved = st; return nil }
					p.Progress = func(v rollout.View) {
						if v.Sent*100 >= v.Blocks*percent {
							kill()
						}
					}
					plan, err := rollout.NewPlan(ctx, p)
					if err != nil {
						t.Fatal(err)
					}
					first := rollout.New(plan)
					if err := first.Run(ctx); err == nil {
						t.Error("not killed")
					}
					before := first.View().Sent
					p.Progress = nil
					s, err := rollout.Resume(p, saved)
					if !with {
						if plan, err = rollout.NewPlan(t.Context(), p); err == nil {
							s = rollout.New(plan)
						}
					} else {
						before = saved.Sent
					}
					if err != nil {
						t.Fatal(err)
					}
					if err := s.Run(t.Context()); err != nil {
						t.Fatal(err)
					}
					v := s.View()
					n, all := checkFleet(t, f, v), v.Sent
					if !with {
						all += before
					}
					report(t, v)
					if n != len(f.Devices) || runtime.GOOS != "js" && float64(all) > 1.25*float64(v.Blocks) {
						t.Errorf("%d confirmed, %d of %d blocks in all", n, all, v.Blocks)
					}
				})
			})
		}
	}
}

// An image that hangs answers nothing: the canary goes back when its time is over, and
// is said to have.
func TestRealHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p := real{link: even(0.05, 1), behaviour: image.Hangs, few: true}.start(t)
		v := rolled(t, p)
		report(t, v)
		if v.Phase != rollout.Stopped || v.Problem == nil || v.Problem.ID != "fw-reverted" {
			t.Errorf("%s, %v", v.Phase, v.Problem)
		}
		for _, d := range f.Devices {
			if img, _ := d.Image(); img.Version != "1.0.0" {
				t.Errorf("%s runs %s", d.ID, img.Version)
			}
		}
	})
}

// Devices that challenge the sender first, as they do after a restart, take part.
func TestRealEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, p := real{link: even(0.05, 1), few: true, echo: true}.start(t)
		p.Devices[3].Emergency = true
		plan, err := rollout.NewPlan(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		s := rollout.New(plan)
		if err := s.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := checkFleet(t, f, s.View()); n != len(f.Devices) {
			t.Errorf("%d confirmed", n)
		}
	})
}
