package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/settings"
	"lamplighter/internal/settings/change"
	"lamplighter/internal/sim"
	"lamplighter/internal/sim/fleet"
	"lamplighter/internal/sim/models"
)

const (
	settingsLamps = 100
	settingsLoss  = 0.05
	settingsRuns  = 5
	sceneCopies   = 3
)

// template is what an office's lamps get: seven values and eight scenes.
func template() settings.Map {
	scenes := settings.Map{}
	for i := range uint64(8) {
		scenes[i] = settings.Map{1: int64(10 * (i + 1)), 2: int64(1500)}
	}
	return settings.Map{1: int64(5), 2: int64(90), 3: int64(1000), 4: int64(2), 5: int64(60), 6: scenes, 7: int64(3), 8: int64(900)}
}

// cost is what a change of settings took, answers included.
type cost struct{ requests, bytes, seconds, spread float64 }

func (c *cost) add(o cost) {
	c.requests += o.requests / settingsRuns
	c.bytes += o.bytes / settingsRuns
	c.seconds += o.seconds / settingsRuns
	c.spread = max(c.spread, o.spread)
}

// settingsChange measures a change that all lamps share, from reading through dry run,
// stage, commit and confirmation to the last answer: the real sender, real holders and
// real Group OSCORE over a simulated network of 50 kbit/s that loses 5 % each way. The
// references of the first three are an aim, and of the others the same steps pairwise to
// each lamp, four at a time.
func settingsChange(bubble func(func() error) error) ([]result, error) {
	var costs [4]cost
	for seed := range uint64(settingsRuns) {
		for way := range costs {
			err := bubble(func() error {
				c, err := changeOnce(seed+1, way&1 != 0, way&2 == 0)
				costs[way].add(c)
				return err
			})
			if err != nil {
				return nil, fmt.Errorf("a change of settings, way %d: %w", way, err)
			}
		}
	}
	group, alone, groupBold, aloneBold := costs[0], costs[1], costs[2], costs[3]
	return []result{
		measured("cfg_requests_100", group.requests, "requests", alone.requests/20),
		measured("cfg_bytes_100", group.bytes, "B", alone.bytes/3),
		measured("cfg_seconds_100", group.seconds, "s", alone.seconds),
		measured("cfg_requests_vs_unicast", group.requests/alone.requests, "of them", 1./20),
		measured("cfg_bytes_vs_unicast", group.bytes/alone.bytes, "of them", 1./3),
		measured("cfg_bytes_vs_unicast_without_dry_run", groupBold.bytes/aloneBold.bytes, "of them", 0),
		measured("scene_spread_ms", group.spread, "ms", 200),
	}, nil
}

func changeOnce(seed uint64, each, check bool) (c cost, err error) {
	f, err := fleet.New(fleet.Config{
		N: settingsLamps, Seed: seed, Rate: 50_000, Real: true, Parallel: 2, ShareVerify: true,
		Settings: fleet.Models(func(int) string { return models.Lamp }),
		Link:     func(int) sim.Link { return sim.Link{Loss: settingsLoss} },
	})
	if err != nil {
		return c, err
	}
	defer f.Close()
	ctx, began := context.Background(), f.Clock.Now()
	r, err := change.NewPlan(ctx, f.Change(change.Change{Values: template()}, change.Options{Alone: each}))
	if err != nil {
		return c, err
	}
	if check {
		err = r.Check(ctx)
	}
	if err := errors.Join(err, r.Apply(ctx), r.Confirm(ctx)); err != nil {
		return c, err
	}
	used := f.Net.Counters()
	c.seconds = f.Clock.Now().Sub(began).Seconds()
	c.requests = float64(used.Group.Datagrams + used.Request.Datagrams)
	c.bytes = float64(used.Bytes())
	for _, row := range r.View().Rows {
		d := f.Device(row.Device).Holder().View()
		if row.State != change.RowConfirmed || d.State != settings.Idle || string(d.Digest) != string(row.Target.Short()) {
			return c, fmt.Errorf("%s is %s and %v", row.Device, row.State, d.State)
		}
	}
	if !each {
		c.spread, err = recall(ctx, f)
	}
	return c, err
}

// recall has all lamps show a scene by one message, and returns how long after the
// first the last one did, in milliseconds.
func recall(ctx context.Context, f *fleet.Fleet) (float64, error) {
	body := settings.Recall{Scene: 3}
	req := coap.NewRequest(coap.POST, settings.PathRecall, body.Append(nil))
	coap.AddUint(req, coap.OptionContentFormat, coap.FormatCBOR)
	if _, err := f.Group().Send(ctx, req, sceneCopies); err != nil {
		return 0, err
	}
	var first, last time.Time
	for _, d := range f.Devices {
		at := d.Recalled()
		if at.Times != 1 {
			return 0, fmt.Errorf("%s was told the scene %d times", d.ID, at.Times)
		}
		if first.IsZero() || at.At.Before(first) {
			first = at.At
		}
		if at.At.After(last) {
			last = at.At
		}
	}
	return float64(last.Sub(first)) / float64(time.Millisecond), nil
}
