package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"time"

	"lamplighter/internal/firmware"
	"lamplighter/internal/rollout"
	"lamplighter/internal/sim"
	"lamplighter/internal/sim/fleet"
	"lamplighter/internal/sim/image"
	"lamplighter/internal/updater"
)

// The image, and the link that all share.
const (
	imageSize = 256 << 10
	imageRate = 50_000 // bit/s
)

// scene is one transfer to a group.
type scene struct {
	n      int
	loss   float64
	burst  float64 // mean length; 0: independent losses
	uneven bool    // a twentieth of the devices loses 30 %
	bitmap bool    // devices have no decoder
}

// scenes are those that are measured; the bare names are the first one's.
var scenes = []scene{
	{n: 100, loss: 0.05},
	{n: 10, loss: 0.01}, {n: 10, loss: 0.05}, {n: 10, loss: 0.20},
	{n: 100, loss: 0.01}, {n: 100, loss: 0.20},
	{n: 1000, loss: 0.01}, {n: 1000, loss: 0.05}, {n: 1000, loss: 0.20},
	{n: 100, loss: 0.05, burst: 5},
	{n: 100, loss: 0.05, uneven: true},
}

// suffix is what the names of a scene's figures end in.
func (s scene) suffix() string {
	switch {
	case s.burst > 0:
		return fmt.Sprintf("_burst%g", s.burst)
	case s.uneven:
		return "_uneven"
	case s.n == 100 && s.loss == 0.05:
		return ""
	}
	return fmt.Sprintf("_n%d_p%.0f", s.n, s.loss*100)
}

func (s scene) link(i int) sim.Link {
	if s.uneven && i%20 == 0 {
		return sim.Link{Loss: 0.3, Burst: s.burst}
	}
	return sim.Link{Loss: s.loss, Burst: s.burst}
}

// crowds are the receivers as the bound takes them.
func (s scene) crowds() []firmware.Crowd {
	if s.uneven {
		return []firmware.Crowd{{N: s.n - s.n/20, Loss: s.loss}, {N: s.n / 20, Loss: 0.3}}
	}
	return []firmware.Crowd{{N: s.n, Loss: s.loss}}
}

// runs is over how many transfers a figure is the mean.
func (s scene) runs() int {
	if s.n >= 1000 {
		return 1
	}
	return 3
}

// outcome is what a transfer took until every device had verified the image.
type outcome struct {
	k       int
	blocks  float64 // to all and to one
	bytes   float64 // of all datagrams, both ways, but those of the plan
	sweeps  float64
	seconds float64
}

// firmwareRollout measures sending an image to a group: the real sender, the real
// updater and real Group OSCORE over a simulated network.
func firmwareRollout(bubble func(func() error) error) ([]result, error) {
	alone := map[float64]float64{} // bytes to one device, by loss
	var all []result
	var failed error
	for _, s := range scenes {
		list, err := s.measure(bubble, alone)
		failed, all = errors.Join(failed, err), append(all, list...)
	}
	return all, failed
}

// measure makes the figures of a scene.
func (s scene) measure(bubble func(func() error) error, alone map[float64]float64) ([]result, error) {
	coded, err := s.mean(bubble, s.runs())
	if err != nil {
		return nil, err
	}
	without := s
	without.bitmap = true
	bitmap, err := without.mean(bubble, 1)
	if err != nil {
		return nil, err
	}
	if alone[s.loss] == 0 {
		err = bubble(func() (err error) {
			alone[s.loss], err = unicast(s.loss)
			return err
		})
	}
	return s.figures(coded, bitmap, alone[s.loss]*float64(s.n)), err
}

// figures of one scene. References are the aims for the first scene, and what cannot
// be done better for the others.
func (s scene) figures(coded, bitmap outcome, unicast float64) []result {
	bound := firmware.Bound(coded.k, s.crowds()...)
	payload := bound * imageSize / float64(coded.k)
	blocks, seconds, times := bound/float64(coded.k), payload*8/imageRate, 0.0
	switch {
	case s.suffix() == "":
		blocks, seconds = 1.20, 60
	case s.n == 1000:
		times = 500
	}
	names := s.suffix()
	out := []result{
		measured("fw_blocks_ratio"+names, coded.blocks/float64(coded.k), "blocks/K", blocks),
		measured("fw_bytes"+names, coded.bytes, "B", payload),
		measured("fw_sweeps"+names, coded.sweeps, "sweeps", 3),
		measured("fw_vs_bitmap"+names, bitmap.bytes/coded.bytes, "times", 0),
		measured("fw_seconds_50kbit"+names, coded.seconds, "s", seconds),
	}
	if !s.uneven && s.burst == 0 {
		out = append(out, measured("fw_vs_unicast"+names, unicast/coded.bytes, "times", times))
	}
	return out
}

// mean is the mean of a number of transfers.
func (s scene) mean(bubble func(func() error) error, runs int) (sum outcome, err error) {
	for seed := range runs {
		var o outcome
		err := bubble(func() (err error) {
			o, err = s.transfer(uint64(seed + 1))
			return err
		})
		if err != nil {
			return outcome{}, fmt.Errorf("%d devices, loss %g, burst %g, bitmap %v: %w", s.n, s.loss, s.burst, s.bitmap, err)
		}
		sum.k = o.k
		sum.blocks += o.blocks / float64(runs)
		sum.bytes += o.bytes / float64(runs)
		sum.sweeps += o.sweeps / float64(runs)
		sum.seconds += o.seconds / float64(runs)
	}
	return sum, nil
}

// transfer sends an image once.
func (s scene) transfer(seed uint64) (outcome, error) {
	f, err := s.fleet(seed)
	if err != nil {
		return outcome{}, err
	}
	defer f.Close()
	release, err := f.Release(image.Image{Version: "2.0.0"}, 2, imageSize)
	if err != nil {
		return outcome{}, err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var last rollout.View
	var counted sim.Counters
	var ended time.Time
	params := f.Params(release, rollout.Options{
		Profile: rollout.Profile{Name: "bench", Rate: imageRate, Block: firmware.MaxBlock},
	})
	params.Parallel = 16 // as the engine asks
	params.Progress = func(v rollout.View) {
		if ended.IsZero() && (v.Phase == rollout.Switching || v.Phase.Over()) {
			last, counted, ended = v, f.Net.Counters(), f.Clock.Now()
			stop()
		}
	}
	plan, err := rollout.NewPlan(ctx, params)
	if err != nil {
		return outcome{}, err
	}
	if plan.Eligible() != s.n || plan.Bitmap != s.bitmap {
		return outcome{}, fmt.Errorf("the plan has %d devices, bitmap %v", plan.Eligible(), plan.Bitmap)
	}
	f.SetLinks(s.link)
	before, began := f.Net.Counters(), f.Clock.Now()
	if err := rollout.New(plan).Run(ctx); err != nil && ctx.Err() == nil {
		return outcome{}, err
	}
	for _, d := range f.Devices {
		if v := d.Updater().View(); v.State != firmware.Downloaded || !v.Verified {
			return outcome{}, fmt.Errorf("%s did not get the image: %v", d.ID, v.State)
		}
	}
	return outcome{
		k: last.Blocks, blocks: float64(last.Sent + last.Unicast), sweeps: float64(last.Sweeps),
		bytes: float64(counted.Since(before).Bytes()), seconds: ended.Sub(began).Seconds(),
	}, nil
}

func (s scene) fleet(seed uint64) (*fleet.Fleet, error) {
	return fleet.New(fleet.Config{
		N: s.n, Seed: seed, Rate: imageRate, Real: true, Parallel: runtime.GOMAXPROCS(0), ShareVerify: s.n >= 1000,
		Ability: func(int) updater.Ability {
			a := fleet.Able
			if s.bitmap {
				a.Parity = 0
			}
			return a
		},
	})
}

// unicast is how many bytes a block-wise transfer of the image to one device takes:
// the mean over a few.
func unicast(loss float64) (float64, error) {
	s := scene{n: 5, loss: loss}
	f, err := s.fleet(9)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	f.SetLinks(s.link)
	body := make([]byte, imageSize)
	for _, d := range f.Devices {
		if err := f.Unicast(context.Background(), d, body); err != nil {
			return 0, err
		}
	}
	bytes := float64(f.Net.Counters().Bytes()) / float64(s.n)
	if math.IsNaN(bytes) || bytes < imageSize {
		return 0, fmt.Errorf("a block-wise transfer of %d bytes took %g", imageSize, bytes)
	}
	return bytes, nil
}
