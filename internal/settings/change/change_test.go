package change_test

import (
	"testing"

	"lamplighter/internal/settings/change"
)

// A change goes through at 100 devices that lose a twentieth.
func TestJourney(t *testing.T) {
	w := setup{n: 100, loss: 0.05, seed: 3}.make(t)
	for _, alone := range []bool{false, true} {
		p := w.Change(change.Change{Values: office()}, change.Options{Alone: alone})
		if alone {
			p.Change.Values[3] = int64(1200)
		}
		c, at := w.Net.Counters(), w.Clock.Now()
		step := func(name string) {
			d := w.Net.Counters().Since(c)
			t.Logf("%-8s group %d/%d B, unicast %d/%d B, answers %d/%d B; %v", name, d.Group.Datagrams, d.Group.Bytes,
				d.Request.Datagrams, d.Request.Bytes, d.Response.Datagrams, d.Response.Bytes, w.Clock.Now().Sub(at))
			c, at = w.Net.Counters(), w.Clock.Now()
		}
		r := w.plan(p)
		w.count(r, change.RowPlanned, 100)
		step("plan")
		w.must(r.Check(t.Context()))
		w.count(r, change.RowChecked, 100)
		step("check")
		w.must(r.Apply(t.Context()))
		w.phase(r, change.Trial)
		w.count(r, change.RowTrial, 100)
		step("apply")
		w.must(r.Confirm(t.Context()))
		w.phase(r, change.Done)
		w.count(r, change.RowConfirmed, 100)
		step("confirm")
		w.Wait(20 * minute)
		w.run(p.Change.Values, 100)
		v := r.View()
		t.Logf("requests %d, unicast %d, bytes %d", v.Requests, v.Unicast, v.Bytes)
	}
}
