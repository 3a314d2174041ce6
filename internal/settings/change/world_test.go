package change_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/groupcomm"
	"lamplighter/internal/settings"
	"lamplighter/internal/settings/change"
	"lamplighter/internal/sim"
	"lamplighter/internal/sim/fleet"
	"lamplighter/internal/sim/models"
)

// office is what a template for an office gives: seven values and eight scenes.
func office() settings.Map {
	scenes := settings.Map{}
	for i := range uint64(8) {
		scenes[i] = settings.Map{1: int64(10 * (i + 1)), 2: int64(1500)}
	}
	return settings.Map{1: int64(5), 2: int64(90), 3: int64(1000), 4: int64(2), 5: int64(60), 6: scenes, 7: int64(3), 8: int64(900)}
}

// world is a fleet of lamps.
type world struct {
	*fleet.Fleet
	t *testing.T
}

type setup struct {
	n     int
	loss  float64
	seed  uint64
	model func(i int) string
	real  bool
	clock bool
}

func (s setup) make(t *testing.T) *world {
	t.Helper()
	if s.n == 0 {
		s.n = 10
	}
	if s.model == nil {
		s.model = func(int) string { return models.Lamp }
	}
	f, err := fleet.New(fleet.Config{
		N: s.n, Seed: s.seed + 1, Rate: 50_000, Parallel: 2, Real: s.real, ShareVerify: true, TimeOfDay: s.clock,
		Settings: fleet.Models(s.model), Link: func(int) sim.Link { return sim.Link{Loss: s.loss} },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return &world{f, t}
}

func (w *world) plan(p change.Params) *change.Run {
	w.t.Helper()
	r, err := change.NewPlan(w.t.Context(), p)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// must wants no error.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// refused wants a reason with an id.
func (w *world) refused(err error, id string) {
	w.t.Helper()
	var why *change.Reason
	if !errors.As(err, &why) || why.ID != id {
		w.t.Fatalf("%v instead of %s", err, id)
	}
}

// states counts rows by their state.
func states(v change.View) map[change.RowState]int {
	n := map[change.RowState]int{}
	for _, r := range v.Rows {
		n[r.State]++
	}
	return n
}

// count wants so many rows in a state.
func (w *world) count(r *change.Run, state change.RowState, want int) {
	w.t.Helper()
	if n := states(r.View()); n[state] != want {
		for _, row := range r.View().Rows {
			if row.Reason != nil {
				w.t.Logf("%s %s: %v", row.Device, row.State, row.Reason)
			}
		}
		w.t.Fatalf("%d are %s instead of %d: %v, %s", n[state], state, want, n, r.View().Phase)
	}
}

func (w *world) phase(r *change.Run, want change.Phase) {
	w.t.Helper()
	if got := r.View().Phase; got != want {
		w.t.Fatalf("phase %s instead of %s: %v", got, want, r.View().Reason)
	}
}

// run wants that n devices run m with what they have of their own.
func (w *world) run(m settings.Map, n int) {
	w.t.Helper()
	have := 0
	for _, d := range w.Devices {
		if h := d.Holder(); h != nil && string(settings.Merge(h.Values(), m).Short()) == string(h.Values().Short()) {
			have++
		}
	}
	if have != n {
		w.t.Fatalf("%d run %v instead of %d", have, m, n)
	}
}

// have gives a device settings, past the site's knowledge.
func (w *world) have(i int, patch settings.Map) {
	w.t.Helper()
	p := w.Change(change.Change{Values: patch, Only: []string{w.Devices[i].ID}}, change.Options{})
	r := w.plan(p)
	w.must(r.Apply(w.t.Context()))
	w.must(r.Confirm(w.t.Context()))
}

const minute = time.Minute

// inBubble runs a test in which several things wait at a time.
func inBubble(t *testing.T, name string, f func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// tap sees what is sent, and may fail it.
type tap struct {
	groupcomm.Group
	before func(req *coap.Message, alone string) error
}

func (g tap) Send(ctx context.Context, req *coap.Message, copies int) (int, error) {
	if err := g.before(req, ""); err != nil {
		return 0, err
	}
	return g.Group.Send(ctx, req, copies)
}

func (g tap) Ask(ctx context.Context, req *coap.Message, wait time.Duration, each func(groupcomm.Answer)) error {
	if err := g.before(req, ""); err != nil {
		return err
	}
	return g.Group.Ask(ctx, req, wait, each)
}

func (g tap) Call(ctx context.Context, device string, req *coap.Message) (groupcomm.Answer, error) {
	if err := g.before(req, device); err != nil {
		return groupcomm.Answer{}, err
	}
	return g.Group.Call(ctx, device, req)
}

// mode is that of a transaction, 0 where it is none.
func mode(req *coap.Message) settings.Mode {
	if req.Code != coap.POST {
		return 0
	}
	tr, err := settings.ParseTransaction(req.Payload)
	if err != nil {
		panic(err)
	}
	return tr.Mode
}
