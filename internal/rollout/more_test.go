package rollout_test

import (
	"bytes"
	"context"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"lamplighter/internal/firmware"
	"lamplighter/internal/rollout"
	"lamplighter/internal/sim"
)

// Equal inputs make equal rollouts: that is what lets a failure be looked at again.
func TestDeterministic(t *testing.T) {
	var first rollout.View
	for i := range 2 {
		w := newWorld(t, 40, 100_000, bursts)
		v := w.run(w.params(staged))
		if i > 0 && !reflect.DeepEqual(v, first) {
			t.Error("the second time it went another way")
		}
		first = v
	}
}

// A step in the loss halves the rate, and the link that can carry only so much is not
// flooded.
func TestCongestion(t *testing.T) {
	full := false
	w := newWorld(t, 20, 256<<10, perfect)
	for _, l := range w.lamps {
		l.loss = sim.NewGilbert(10, 0, 1)
	}
	w.onSend = func(n int) {
		if full = n > 64 && n < 160; full {
			for _, l := range w.lamps {
				l.loss.Set(0.7, 1)
			}
			return
		}
		for _, l := range w.lamps {
			l.loss.Set(0, 1)
		}
	}
	p := w.params(rollout.Options{})
	lowest := 1e9
	p.Progress = func(v rollout.View) {
		for _, s := range v.Samples {
			lowest = min(lowest, s.Rate)
		}
	}
	w.rest(w.run(p))
	if lowest > 0.5e6 {
		t.Errorf("lowest rate %f", lowest)
	}
}

// The rate never exceeds the cap: so many bytes take so long.
func TestCap(t *testing.T) {
	w := newWorld(t, 10, 128<<10, perfect)
	w.rate = 1e9
	p := w.params(rollout.Options{Cap: 50_000})
	var sending time.Duration
	p.Progress = func(v rollout.View) {
		if v.Phase == rollout.Verifying && sending == 0 {
			sending = w.now.Sub(v.Started)
		}
	}
	w.run(p)
	if least := time.Duration(128<<10*8) * time.Second / 50_000; sending < least {
		t.Errorf("sent in %v, at 50 kbit/s it takes %v", sending, least)
	}
}

// Another sender's image is under way: whoever takes over ends that and sends theirs.
func TestTakeOverOther(t *testing.T) {
	w := newWorld(t, 20, 64<<10, independent)
	for _, l := range w.lamps {
		l.state, l.session, l.foreign = firmware.Downloading, []byte("abcd"), bytes.Repeat([]byte{3}, 8)
		l.layout = firmware.Layout{Size: 5000, Block: 512, K: 64}
		l.source, l.parity = [][]bool{make([]bool, 10)}, []map[uint]bool{{}}
	}
	o := staged
	o.TakeOver = true
	v := w.run(w.params(o))
	w.rest(v)
	if v.Unicast > 40 {
		t.Errorf("%d blocks to one", v.Unicast)
	}
}

// What the same person sent before and stopped is no obstacle, however late a block of
// it arrived: a rollout that stopped is followed by another with a better image.
func TestAfterOwnOther(t *testing.T) {
	w := newWorld(t, 20, 64<<10, independent)
	p := w.params(staged)
	p.Feeder = bytes.Repeat([]byte{3}, 8)
	for _, l := range w.lamps {
		l.state, l.session, l.foreign = firmware.Downloading, []byte("abcd"), p.Feeder
		l.layout = firmware.Layout{Size: 5000, Block: 512, K: 64}
		l.source, l.parity = [][]bool{make([]bool, 10)}, []map[uint]bool{{}}
	}
	w.rest(w.run(p))
}

// Whoever left the group and whoever joined while nobody was here is known when a
// rollout goes on.
func TestReconcile(t *testing.T) {
	w := newWorld(t, 20, 64<<10, independent)
	p := w.params(staged)
	var saved rollout.State
	p.Save = func(st rollout.State) error { saved = st; return nil }
	killed(w, rollout.New(w.plan(p)), 30)
	w.lamps[4].left = true
	p.Devices = slices.Delete(p.Devices, 4, 5)
	l := w.add(20, independent(20))
	p.Devices = append(p.Devices, rollout.Device{ID: l.id, Zone: l.zone})
	s := w.resumed(p, saved)
	v := s.View()
	w.rest(v, "lamp-004")
	if d := row(v, "lamp-004"); d.State != rollout.LeftOut || d.Problem.ID != "fw-gone" || row(v, l.id).State != rollout.Confirmed {
		t.Errorf("%+v, %+v", d, row(v, l.id))
	}
}

// A state goes only with its own image.
func TestResumeOther(t *testing.T) {
	w := newWorld(t, 3, 10_000, perfect)
	p := w.params(rollout.Options{})
	st := rollout.New(w.plan(p)).State()
	st.Size--
	if _, err := rollout.Resume(p, st); err == nil {
		t.Error("a state of another image is gone on with")
	}
	st.Size++
	st.Session = []byte("abcd")
	if _, err := rollout.Resume(p, st); err == nil {
		t.Error("a state of another session is gone on with")
	}
}

// The time of a switch that went by while nobody was here is not made up for without a
// person.
func TestPassed(t *testing.T) {
	w := newWorld(t, 10, 32<<10, perfect)
	p := w.params(rollout.Options{At: w.now.Add(time.Hour)})
	var saved rollout.State
	ctx, kill := context.WithCancel(context.Background())
	p.Save = func(st rollout.State) error { saved = st; return nil }
	p.Progress = func(v rollout.View) {
		if v.Phase == rollout.Switching {
			kill()
		}
	}
	_ = rollout.New(w.plan(p)).Run(ctx)
	kill()
	w.pass(8 * time.Hour)
	var s *rollout.Sender
	waited := false
	p.Progress = func(v rollout.View) {
		if v.Waits {
			waited = true
			for _, l := range w.lamps {
				if l.activated {
					t.Errorf("%s was switched", l.id)
				}
			}
			s.Advance()
		}
	}
	s, err := rollout.Resume(p, saved)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.rest(s.View())
	if !waited {
		t.Error("it did not wait for a person")
	}
}

// What cannot be kept is not gone on with.
func TestSaveFails(t *testing.T) {
	w := newWorld(t, 10, 64<<10, perfect)
	p := w.params(rollout.Options{})
	full := context.DeadlineExceeded
	n := 0
	p.Save = func(rollout.State) error {
		if n++; n > 3 {
			return full
		}
		return nil
	}
	if err := rollout.New(w.plan(p)).Run(context.Background()); err != full {
		t.Errorf("%v", err)
	}
}

// Who was off and who broke is tried again, and nobody else is touched.
func TestRetry(t *testing.T) {
	w := newWorld(t, 30, 64<<10, independent)
	w.lamps[3].off, w.lamps[8].badFlash = true, 20
	s := rollout.New(w.plan(w.params(staged)))
	if err := s.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.rest(s.View(), "lamp-003", "lamp-008")
	boots := map[string]uint{}
	for _, l := range w.lamps {
		boots[l.id] = l.running.Boots
	}
	w.lamps[3].off, w.lamps[8].badFlash = false, 0
	sent := len(w.sent)
	s.Retry()
	if err := s.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	v := s.View()
	w.rest(v)
	for _, l := range w.lamps {
		if l.id != "lamp-003" && l.id != "lamp-008" && l.running.Boots != boots[l.id] {
			t.Errorf("%s was started again", l.id)
		}
	}
	if len(w.sent) != sent || v.Problem != nil || v.Phase != rollout.Done {
		t.Errorf("%d blocks to all for two devices, %s, %v", len(w.sent)-sent, v.Phase, v.Problem)
	}
}

// A device that is taken out in the middle is fed and switched no more.
func TestRemove(t *testing.T) {
	w := newWorld(t, 10, 64<<10, independent)
	s := rollout.New(w.plan(w.params(staged)))
	w.onSend = func(n int) {
		if n == 20 {
			s.Remove("lamp-006")
		}
	}
	if err := s.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	v := s.View()
	w.rest(v, "lamp-006")
	if d := row(v, "lamp-006"); d.State != rollout.LeftOut || w.byID["lamp-006"].activated {
		t.Errorf("%+v", d)
	}
}

// Devices that are slow to read what has arrived have not lost it.
func TestSlowReaders(t *testing.T) {
	for loss, most := range map[float64]float64{0: 1.06, 0.05: 1.24} {
		w := newWorld(t, 100, 256<<10, func(i int) *sim.Gilbert { return sim.NewGilbert(uint64(i), loss, 1) })
		for _, l := range w.lamps {
			l.slow = func() int { return 8 + w.rng.IntN(40) }
		}
		v := w.run(w.params(staged))
		w.rest(v)
		measured := v.Samples[len(v.Samples)-1].Loss
		if ratio := float64(v.Sent) / float64(v.Blocks); ratio > most || math.Abs(measured-loss) > 0.03 {
			t.Errorf("lost %.2f: measured %.3f, sent %.3f of the blocks", loss, measured, ratio)
		}
	}
}

// Lights that do not come back keep the rest of their zone from being switched; a
// retry takes these, too.
func TestHeldBack(t *testing.T) {
	w := newWorld(t, 20, 32<<10, perfect)
	p := w.params(rollout.Options{MaxUnavailable: 2, Threshold: 90, ConfirmWithin: time.Minute})
	p.Probe = func(_ context.Context, id string) error {
		if id == "lamp-000" || id == "lamp-001" { // they die as soon as they run the image
			w.byID[id].off = true
			return context.DeadlineExceeded
		}
		return nil
	}
	s := rollout.New(w.plan(p))
	if err := s.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	v := s.View()
	for i, d := range v.Devices {
		switch {
		case i < 2 && d.State != rollout.Silent, i >= 10 && d.State != rollout.Confirmed:
			t.Errorf("%+v", d)
		case i >= 2 && i < 10 && (d.State != rollout.Verified || d.Problem == nil || d.Problem.ID != "fw-zone"):
			t.Errorf("%+v %v", d, d.Problem)
		}
	}
	for _, l := range w.lamps[:2] {
		l.off = false
		l.tick()
	}
	w.pass(time.Minute)
	p.Probe = nil
	s, err := rollout.Resume(p, s.State())
	if err != nil {
		t.Fatal(err)
	}
	s.Retry()
	if err := s.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.rest(s.View())
}

// A device that loses a third all the time is no sign of congestion: the rate stays.
func TestOneThatLosesMuch(t *testing.T) {
	w := newWorld(t, 20, 256<<10, perfect)
	for i, l := range w.lamps {
		l.loss = sim.NewGilbert(uint64(i), map[bool]float64{true: 0.33, false: 0.01}[i == 3], 0)
	}
	v := w.run(w.params(staged))
	if v.Phase != rollout.Done || len(v.Samples) == 0 {
		t.Fatalf("%v, %d samples", v.Phase, len(v.Samples))
	}
	for _, s := range v.Samples {
		if s.Rate != v.Samples[0].Rate {
			t.Fatalf("the rate went from %g to %g", v.Samples[0].Rate, s.Rate)
		}
	}
}

// What a device lacks in the middle of the source pass is not counted beside the
// blocks that are still to come.
func TestLeft(t *testing.T) {
	w := newWorld(t, 40, 256<<10, independent)
	slow, _ := rollout.ProfileNamed("802.15.4")
	p := w.params(rollout.Options{Profile: slow})
	late := 0
	p.Progress = func(v rollout.View) {
		if v.Phase == rollout.Sending && v.Sent > v.Blocks*3/4 && v.Sent <= v.Blocks {
			late++
			if most := v.Predicted/2 + time.Duration(len(v.Waves))*30*time.Second; v.Left > most {
				t.Errorf("%v left after %d of %d blocks, predicted %v in all", v.Left, v.Sent, v.Blocks, v.Predicted)
			}
		}
	}
	w.rest(w.run(p))
	if late == 0 {
		t.Error("nothing was told")
	}
}
