package rollout_test

import (
	"testing"
	"time"

	"lamplighter/internal/rollout"
	"lamplighter/internal/sim"
	"lamplighter/internal/sim/fleet"
	"lamplighter/internal/sim/image"
)

// Real contexts, real signatures, real updaters: every device ends with the image, and
// the figures are those of the design.
func TestRealFleet(t *testing.T) {
	f, err := fleet.New(fleet.Config{N: 20, Seed: 7, Rate: 50_000, ShareVerify: true, Link: func(i int) sim.Link { return sim.Link{Loss: 0.05} }})
	if err != nil {
		t.Fatal(err)
	}
	release, err := f.Release(image.Image{Version: "2.0.0"}, 2, 64<<10)
	if err != nil {
		t.Fatal(err)
	}
	wifi, _ := rollout.ProfileNamed("wi-fi")
	wifi.Rate = 50_000
	p := f.Params(release, rollout.Options{Profile: wifi, Canary: 2, Percent: 10, Soak: time.Second})
	plan, err := rollout.NewPlan(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if plan.Eligible() != 20 || len(plan.Waves) != 3 {
		t.Fatalf("%d eligible, waves %+v", plan.Eligible(), plan.Waves)
	}
	s := rollout.New(plan)
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	v := s.View()
	if v.Phase != rollout.Done {
		t.Errorf("phase %s, problem %v at %s", v.Phase, v.Problem, v.ProblemDevice)
	}
	for _, d := range v.Devices {
		img, boots := f.Device(d.Device).Image()
		if d.State != rollout.Confirmed || img.Version != "2.0.0" {
			t.Errorf("%s: %s %v, runs %s after %d boots", d.Device, d.State, d.Problem, img.Version, boots)
		}
	}
	t.Logf("blocks %d of %d, parity %d, sweeps %d, unicast %d, bytes %d, %v (predicted %v)", v.Sent, v.Blocks, v.Parity, v.Sweeps, v.Unicast, v.Bytes, v.Ended.Sub(v.Started), v.Predicted)
}
