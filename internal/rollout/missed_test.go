package rollout_test

import (
	"context"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
	"lamplighter/internal/rollout"
	"lamplighter/internal/sim"
)

// deafTo has a lamp lose what opens a session until so many blocks were sent to all.
func (w *world) deafTo(lamp, blocks int) {
	l := w.lamps[lamp]
	l.lose = func(req *coap.Message) bool {
		path := coap.Path(req)
		return len(w.sent) < blocks && (path == firmware.PathManifest || path == firmware.PathSession)
	}
}

// few is what one lamp may get alone that could have had it with the group: the tail of
// repair, and what is cheaper so than by parity. Above it the group's sending was wasted
// on that lamp.
func few(v rollout.View) int { return v.Blocks / 8 }

// sparing holds every lamp but those named to few blocks alone.
func sparing(t *testing.T, v rollout.View, but ...string) {
	t.Helper()
	for _, d := range v.Devices {
		named := false
		for _, id := range but {
			named = named || id == d.Device
		}
		if d.Alone > few(v) && !named {
			t.Errorf("%s got %d of %d blocks alone", d.Device, d.Alone, v.Blocks)
		}
	}
}

// Lamps that miss the opening, however often it is said in the first blocks, are opened
// early and get what they lack with the others.
func TestMissedOpening(t *testing.T) {
	for _, lamps := range [][]int{{40}, {40, 41}, {3, 40, 41, 42, 43, 90}} {
		for _, blocks := range []int{25, 41, 70} {
			w := newWorld(t, 100, size, independent)
			for _, i := range lamps {
				w.deafTo(i, blocks)
			}
			v := w.run(w.params(staged))
			report(t, v)
			w.rest(v)
			sparing(t, v)
			if ratio := float64(v.Sent+v.Unicast) / float64(v.Blocks); ratio > 1.20+2*float64(blocks)/256 {
				t.Errorf("%d lamps were deaf to the opening for %d blocks: %.3f of the blocks", len(lamps), blocks, ratio)
			}
		}
	}
}

// A sender that dies before one lamp has heard the opening opens it when it is back.
func TestMissedOpeningKilled(t *testing.T) {
	for _, percent := range []int{10, 30, 60} {
		for _, with := range []bool{true, false} {
			w := newWorld(t, 100, size, independent)
			kill := 256 * percent / 100
			w.deafTo(40, kill)
			p := w.params(staged)
			var saved rollout.State
			p.Save = func(st rollout.State) error { saved = st; return nil }
			killed(w, rollout.New(w.plan(p)), kill)
			s, err := rollout.Resume(p, saved)
			if !with {
				s = rollout.New(w.plan(w.params(staged)))
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			v := s.View()
			report(t, v)
			w.rest(v)
			sparing(t, v)
			if all := len(w.sent) + w.single; all > 256*6/5+kill {
				t.Errorf("killed at %d %%, state %v: %d blocks in all", percent, with, all)
			}
		}
	}
}

// A lamp that hears nothing of what goes to the group gets all alone, and the view says
// that it did.
func TestDeafToGroup(t *testing.T) {
	w := newWorld(t, 30, 64<<10, independent)
	w.lamps[4].noGroup = true
	v := w.run(w.params(staged))
	report(t, v)
	w.rest(v)
	sparing(t, v, "lamp-004")
	if d := row(v, "lamp-004"); d.Alone < v.Blocks {
		t.Errorf("%+v", d)
	}
}

// Bursts that take several offers in a row leave no lamp with much to get alone.
func TestMissedInBursts(t *testing.T) {
	for seed := range 12 {
		w := newWorld(t, 100, size, func(i int) *sim.Gilbert { return sim.NewGilbert(uint64(seed*1000+i), 0.05, 20) })
		v := w.run(w.params(staged))
		report(t, v)
		w.rest(v)
		sparing(t, v)
	}
}

// A lamp that hears next to nothing while the source blocks go out, and well after that,
// does not make all others receive parity for what it lost then.
func TestDeafForAWhile(t *testing.T) {
	w := newWorld(t, 100, size, independent)
	l := w.lamps[40]
	l.lose = func(req *coap.Message) bool {
		return coap.Path(req) == firmware.PathBlock && len(w.sent) < 250
	}
	v := w.run(w.params(staged))
	report(t, v)
	w.rest(v)
	if all := v.Sent + v.Unicast; all > v.Blocks*5/2 {
		t.Errorf("%d blocks in all", all)
	}
}

// Lamps that had much to read yet when the sender died have not lost it: who goes on does
// not take that for losses.
func TestKilledWithSlowReaders(t *testing.T) {
	w := newWorld(t, 100, size, perfect)
	for _, l := range w.lamps {
		l.slow = func() int { return 40 }
	}
	p := w.params(staged)
	var saved rollout.State
	p.Save = func(st rollout.State) error { saved = st; return nil }
	killed(w, rollout.New(w.plan(p)), 80)
	measured := 0.0
	p.Progress = func(v rollout.View) {
		for _, s := range v.Samples {
			measured = max(measured, s.Loss)
		}
	}
	for _, l := range w.lamps { // what waits is read after the question
		l.lag = true
	}
	s := w.resumed(p, saved)
	w.rest(s.View())
	if measured > 0.06 {
		t.Errorf("measured a loss of %.2f where nothing is lost", measured)
	}
}
