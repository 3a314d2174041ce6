package rollout

import (
	"slices"
	"time"
)

// showEvery is how often a view is given out while nothing but numbers changes.
const showEvery = 250 * time.Millisecond

// show gives the view out, at once or when the last one is old enough.
func (s *Sender) show(now bool) {
	t := s.p.Clock.Now()
	if !now && t.Sub(s.shown) < showEvery {
		return
	}
	s.shown = t
	s.p.Progress(s.View())
}

// keep saves the state.
func (s *Sender) keep() error { return s.p.Save(s.State()) }

func (s *State) clone() State {
	c := *s
	c.Todo = slices.Clone(s.Todo)
	c.Generations = slices.Clone(s.Generations)
	c.Devices = slices.Clone(s.Devices)
	for i := range c.Devices {
		c.Devices[i].Deficits = slices.Clone(c.Devices[i].Deficits)
	}
	c.Waves = slices.Clone(s.Waves)
	c.Samples = slices.Clone(s.Samples)
	return c
}

// View is what a page draws.
func (s *Sender) View() View {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.st
	v := View{
		Phase: st.Phase, Paused: st.Paused, Waits: st.Waits, Started: st.Started, Ended: st.Ended,
		Blocks: s.l.Blocks(), BlockSize: st.Block, Sent: st.Sent, Parity: st.Parity, Sweeps: st.Sweeps, Unicast: st.Unicast, Bytes: st.Bytes,
		Samples: slices.Clone(st.Samples), Predicted: st.Predicted, ByUnicast: st.ByUnicast, Left: s.left(),
		Problem: st.Problem, ProblemDevice: st.ProblemDevice, Stop: st.Stop,
	}
	if st.Paused && !st.Phase.Over() {
		v.Phase = Paused
	}
	for g, gen := range st.Generations {
		_, k := s.l.Generation(g)
		v.Generations = append(v.Generations, GenerationView{K: k, Sent: int(gen.Sent)})
	}
	for i := range st.Devices {
		v.Devices = append(v.Devices, s.viewDevice(&st.Devices[i], v.Generations))
	}
	for _, w := range st.Waves {
		v.Waves = append(v.Waves, s.viewWave(&w))
	}
	return v
}

// viewDevice makes a device's row and counts it in its generations.
func (s *Sender) viewDevice(d *DeviceRecord, gens []GenerationView) DeviceView {
	row := DeviceView{Device: d.ID, State: d.State, Alone: int(d.Alone), Loss: d.Loss, Version: d.Version, Wave: d.Wave, Problem: d.Reason}
	has := d.State == Verified || d.State == Switched || d.State == OnTest || d.State == Confirmed
	for g := range gens {
		missing := gens[g].K
		if has {
			missing = 0
		} else if d.Deficits != nil && g < len(d.Deficits) {
			missing = int(d.Deficits[g])
		} else if d.State == Receiving { // as far as blocks went out
			missing = max(0, gens[g].K-gens[g].Sent)
		}
		row.Missing += missing
		if d.State == LeftOut {
			continue
		}
		if missing == 0 {
			gens[g].Complete++
		}
		gens[g].Worst = max(gens[g].Worst, missing)
	}
	if n := s.l.Blocks(); n > 0 {
		row.Progress = 1 - float64(row.Missing)/float64(n)
	}
	if d.State == LeftOut {
		row.Missing, row.Progress = 0, 0
	}
	return row
}

func (s *Sender) viewWave(w *WaveRecord) WaveView {
	v := WaveView{Name: w.Name, Devices: slices.Clone(w.Devices), State: w.State}
	for _, id := range w.Devices {
		switch d := s.device(id); {
		case d == nil:
		case d.State == Confirmed:
			v.Done++
		case d.State == Reverted || d.State == Broken || d.State == Silent:
			v.Failed++
		}
	}
	return v
}

// left is how long the rest takes, roughly: blocks at the present rate, and the
// waves.
func (s *Sender) left() time.Duration {
	st := &s.st
	if st.Phase.Over() {
		return 0
	}
	var d time.Duration
	if st.Phase != Switching && st.Rate > 0 {
		d = time.Duration(float64(s.toSend()*(st.Block+overheadGroup)*8) / st.Rate * float64(time.Second))
		d += s.spread(s.taking())
	}
	for _, w := range st.Waves[min(st.Wave, len(st.Waves)):] {
		d += switchTime
		if len(w.Devices) > 0 {
			d += st.Options.Soak
		}
	}
	return d
}

// toSend is how many blocks are still to go to the group, as far as that is known:
// the source blocks of this pass and the parity that is owed, afterwards what the
// worst devices lack. What a device lacked in the middle of the pass says nothing:
// most of that is still to come.
func (s *Sender) toSend() (blocks int) {
	for b := range s.l.Blocks() {
		if bit(s.st.Todo, b) {
			blocks++
		}
	}
	for g := range s.st.Generations {
		worst := 0
		for i := range s.st.Devices {
			if d := &s.st.Devices[i]; s.st.Phase == Verifying && d.State == Receiving && g < len(d.Deficits) {
				worst = max(worst, int(d.Deficits[g]))
			}
		}
		blocks += max(int(s.st.Generations[g].Owed), worst)
	}
	return blocks
}

func (s *Sender) device(id string) *DeviceRecord {
	if i, ok := s.byID[id]; ok {
		return &s.st.Devices[i]
	}
	return nil
}
