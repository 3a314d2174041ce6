package rollout_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"lamplighter/internal/rollout"
	"lamplighter/internal/sim"
)

const size = 256 << 10

var staged = rollout.Options{Canary: 2, Percent: 10}

func report(t *testing.T, v rollout.View) {
	t.Helper()
	t.Logf("%s: %.3f of %d blocks, parity %d, sweeps %d, to one %d, %d bytes, %v, predicted %v, problem %v",
		v.Phase, float64(v.Sent)/float64(v.Blocks), v.Blocks, v.Parity, v.Sweeps, v.Unicast, v.Bytes, v.Ended.Sub(v.Started).Round(time.Second), v.Predicted.Round(time.Second), v.Problem)
}

// 100 devices lose 5 %, independently or in bursts: all get the image for few blocks.
func TestHundred(t *testing.T) {
	for _, tt := range []struct {
		name   string
		link   func(int) *sim.Gilbert
		ratio  float64
		sweeps int
	}{{"independent", independent, 1.20, 3}, {"bursts", bursts, 1.40, 4}, {"perfect", perfect, 1.0, 1}} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, 100, size, tt.link)
			v := w.run(w.params(staged))
			report(t, v)
			w.rest(v)
			if v.Phase != rollout.Done || float64(v.Sent) > tt.ratio*float64(v.Blocks)+0.5 || v.Sweeps > tt.sweeps {
				t.Errorf("%s, %d of %d blocks, %d sweeps", v.Phase, v.Sent, v.Blocks, v.Sweeps)
			}
		})
	}
}

// Five of a hundred lose 30 %, three are off: the others do not wait for these.
func TestUneven(t *testing.T) {
	w := newWorld(t, 100, size, func(i int) *sim.Gilbert {
		if i%20 == 7 {
			return sim.NewGilbert(uint64(i), 0.3, 1)
		}
		return sim.NewGilbert(uint64(i), 0.01, 1)
	})
	for _, i := range []int{3, 50, 99} {
		w.lamps[i].off = true
	}
	v := w.run(w.params(staged))
	report(t, v)
	w.rest(v, "lamp-003", "lamp-050", "lamp-099")
	if d := row(v, "lamp-050"); d.State != rollout.LeftOut || d.Problem.ID != "fw-silent" {
		t.Errorf("%+v", d)
	}
	if v.Sent > v.Blocks*8/5 {
		t.Errorf("%d of %d blocks", v.Sent, v.Blocks)
	}
}

// A canary that boots in a loop: nobody else is switched, the canary runs the image
// before, and a retry goes on.
func TestCanary(t *testing.T) {
	w := newWorld(t, 100, size, independent)
	w.lamps[0].bootLoop = true
	s := rollout.New(w.plan(w.params(staged)))
	if err := s.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	v := s.View()
	report(t, v)
	if v.Phase != rollout.Stopped || v.Problem == nil || v.Problem.ID != "fw-boot-loop" || v.ProblemDevice != "lamp-000" || v.Stop == nil {
		t.Errorf("%s, %v at %s", v.Phase, v.Problem, v.ProblemDevice)
	}
	if d := row(v, "lamp-000"); d.State != rollout.Reverted || w.lamps[0].running.Version != "1" {
		t.Errorf("%+v", d)
	}
	for _, l := range w.lamps {
		if l.activated && row(v, l.id).Wave != 0 {
			t.Errorf("%s was switched", l.id)
		}
	}
	before := w.single
	w.lamps[0].bootLoop = false
	s.Retry()
	if err := s.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	report(t, s.View())
	w.rest(s.View())
	if len(w.sent) > v.Sent || w.single-before > v.Blocks*3/2 {
		t.Errorf("the retry sent %d blocks to all and %d to one", len(w.sent)-v.Sent, w.single-before)
	}
}

// killed runs a rollout until so many blocks were sent to all.
func killed(w *world, s *rollout.Sender, blocks int) {
	ctx, kill := context.WithCancel(context.Background())
	w.onSend = func(n int) {
		if n >= blocks {
			kill()
		}
	}
	if err := s.Run(ctx); !errors.Is(err, context.Canceled) {
		w.t.Errorf("not killed: %v", err)
	}
	w.onSend = nil
}

// A sender that dies at any part goes on after one sweep and sends little again: with
// its state, and without any, as another person's does.
func TestKilled(t *testing.T) {
	for _, percent := range []int{1, 30, 60, 90, 104} {
		for _, with := range []bool{true, false} {
			w := newWorld(t, 100, size, independent)
			p := w.params(staged)
			var saved rollout.State
			p.Save = func(st rollout.State) error {
				var err error
				saved, err = rollout.ParseState(st.Encode())
				return err
			}
			killed(w, rollout.New(w.plan(p)), 256*percent/100)
			sent, asks := len(w.sent), w.asks
			var s *rollout.Sender
			var err error
			if with {
				s, err = rollout.Resume(p, saved)
			} else {
				q := w.params(staged)
				plan := w.plan(q)
				if !plan.Started {
					t.Error("the plan does not see the session")
				}
				s = rollout.New(plan)
			}
			if err != nil {
				t.Fatal(err)
			}
			first := true
			w.onSend = func(n int) {
				if first && w.asks-asks != 1 {
					t.Errorf("%d sweeps before the first block", w.asks-asks)
				}
				first = false
			}
			complete := w.complete()
			if err := s.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			w.rest(s.View())
			twice := w.twice(sent)
			for _, b := range w.sent[sent:] {
				if complete[int(b.Generation)] {
					t.Errorf("generation %d was complete", b.Generation)
				}
			}
			t.Logf("killed at %d %%, state %v: %d blocks in all, %d sweeps, %d source blocks twice", percent, with, len(w.sent), w.asks, twice)
			if twice > 8 || len(w.sent) > 256*125/100 {
				t.Errorf("%d source blocks were sent twice, %d blocks in all", twice, len(w.sent))
			}
		}
	}
}

// complete says which generations every lamp has.
func (w *world) complete() map[int]bool {
	all := map[int]bool{}
	for g := range 4 {
		all[g] = true
		for _, l := range w.lamps {
			all[g] = all[g] && g < len(l.source) && l.deficit(g) == 0
		}
	}
	return all
}

// twice counts source blocks that were sent again after the first so many.
func (w *world) twice(after int) (n int) {
	seen := map[[2]uint]bool{}
	for i, b := range w.sent {
		at := [2]uint{b.Generation, b.Index}
		if i >= after && b.Index < 64 && seen[at] {
			n++
		}
		seen[at] = true
	}
	return n
}
