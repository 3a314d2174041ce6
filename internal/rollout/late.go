package rollout

import (
	"context"
	"slices"

	"lamplighter/internal/firmware"
)

// newcomers takes devices in that joined the group, and out those that left it.
func (s *Sender) newcomers(ctx context.Context) error {
	s.mu.Lock()
	joins, leaves := s.ctl.joins, s.ctl.leaves
	s.ctl.joins, s.ctl.leaves = nil, nil
	for _, id := range leaves {
		if d := s.device(id); d != nil && !d.final() {
			s.fail(d, LeftOut, reasonGone)
		}
	}
	s.mu.Unlock()
	if len(joins) == 0 {
		return nil
	}
	plan := &Plan{params: s.p, Layout: s.l, Session: s.st.Session, Started: true}
	for _, d := range joins {
		plan.Fits = append(plan.Fits, Fit{Device: d})
	}
	if err := plan.survey(ctx, s.p); err != nil {
		s.mu.Lock()
		s.ctl.joins = append(joins, s.ctl.joins...)
		s.mu.Unlock()
		return err
	}
	s.mu.Lock()
	for i := range plan.Fits {
		s.admit(plan, &plan.Fits[i])
	}
	s.index()
	s.mu.Unlock()
	return s.keep()
}

// lateWave is where devices switch that came while the rollout went on.
const lateWave = "Joined later"

// admit puts a device that came later into the records. Under mu.
func (s *Sender) admit(plan *Plan, f *Fit) {
	if f.Fits && (f.ability.Block < uint(s.l.Block) || f.ability.K < uint(s.l.K)) {
		f.Fits, f.Reason = false, reasonBlocks
	}
	rec := f.record(plan)
	if d := s.device(f.ID); d == nil {
		s.st.Devices = append(s.st.Devices, rec)
	} else {
		*d = rec
	}
	s.index()
	if !f.Fits {
		return
	}
	last := len(s.st.Waves) - 1
	if last < 0 || s.st.Waves[last].Name != lateWave || last < s.st.Wave {
		s.st.Waves = append(s.st.Waves, WaveRecord{Name: lateWave, State: WaveWaiting})
		last++
	}
	for i := range s.st.Waves { // it may have been in one before it left
		w := &s.st.Waves[i]
		w.Devices = slices.DeleteFunc(slices.Clone(w.Devices), func(id string) bool { return id == f.ID })
	}
	w := &s.st.Waves[last]
	w.Devices = append(append([]string(nil), w.Devices...), f.ID)
	s.st.number()
}

// untended are devices that tried the image and went back because nobody was here to
// confirm it: that is no fault of theirs, and they try again. Under mu.
func (s *Sender) untended(got map[string]reply) {
	for i := range s.st.Devices {
		d := &s.st.Devices[i]
		r, ok := got[d.ID]
		if d.State != Switched && d.State != OnTest || !ok || r.problem() != nil || r.status.Running == nil {
			continue
		}
		if s.runsNew(&r.status) || r.status.Result != firmware.ResultReverted || d.Reason != nil || s.p.Clock.Now().Before(d.SwitchBy) {
			continue
		}
		d.State, d.Executed, d.Again = Waiting, false, true
		s.take(d, r, s.st.Sent)
	}
}
