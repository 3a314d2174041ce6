package change_test

import (
	"testing"

	"lamplighter/internal/settings/change"
)

// While nobody can be reached nothing is said to have reverted: the change can be
// confirmed when the devices are back, also by one who has died in between.
func TestAllCutOff(t *testing.T) {
	for _, dies := range []bool{false, true} {
		w := setup{n: 4}.make(t)
		p := w.Change(change.Change{Values: office()}, change.Options{})
		r := w.plan(p)
		w.must(r.Apply(t.Context()))
		w.Wait(minute)
		power := func(on bool) {
			for _, d := range w.Devices {
				w.Net.Down(d.Addr, !on)
			}
		}
		power(false)
		if dies {
			r = change.Resume(p, r.State())
			w.must(r.Continue(t.Context()))
		} else {
			w.refused(r.Confirm(t.Context()), "cfg-quorum")
		}
		w.phase(r, change.Trial)
		w.count(r, change.RowSilent, 4)
		power(true)
		w.must(r.Confirm(t.Context()))
		w.phase(r, change.Done)
		w.Wait(20 * minute)
		w.run(office(), 4)
	}
}
