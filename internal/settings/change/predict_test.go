package change_test

import (
	"testing"
	"time"

	"lamplighter/internal/settings"
	"lamplighter/internal/settings/change"
)

// What a change takes is about what the plan says.
func TestPredict(t *testing.T) {
	own := func(w *world, n int) change.Change {
		c := change.Change{Values: settings.Map{3: int64(1000)}, Own: map[string]settings.Map{}}
		for _, d := range w.Devices[:n] {
			c.Own[d.ID] = settings.Map{10: int64(5)}
		}
		return c
	}
	for _, x := range []struct {
		name    string
		n, own  int
		options change.Options
		office  bool
	}{
		{"many", 100, 0, change.Options{}, true},
		{"few", 10, 0, change.Options{}, true},
		{"two", 2, 0, change.Options{}, true},
		{"ahead", 50, 0, change.Options{In: time.Minute}, true},
		{"alone", 40, 0, change.Options{Alone: true}, true},
		{"own", 30, 10, change.Options{}, false},
	} {
		w := setup{n: x.n, loss: 0.05, seed: 5}.make(t)
		c := change.Change{Values: office()}
		if !x.office {
			c = own(w, x.own)
		}
		r := w.plan(w.Change(c, x.options))
		said := r.View().Predicted
		w.must(r.Check(t.Context()))
		w.must(r.Apply(t.Context()))
		w.must(r.Confirm(t.Context()))
		v := r.View()
		t.Logf("%s: %+v, took %d requests, %d bytes", x.name, said, v.Requests, v.Bytes)
		if d := said.Requests - v.Requests; d < -max(5, v.Requests/4) || d > max(5, v.Requests/4) {
			t.Errorf("%s: %d requests, not %d", x.name, v.Requests, said.Requests)
		}
		if d := said.Bytes - v.Bytes; d < -v.Bytes/3 || d > v.Bytes/3 {
			t.Errorf("%s: %d bytes, not %d", x.name, v.Bytes, said.Bytes)
		}
		if said.OneByOne != 6*x.n {
			t.Errorf("%s: %d one by one", x.name, said.OneByOne)
		}
		if x.options.Alone && v.Requests != said.OneByOne {
			t.Errorf("%s: %d requests one by one, not %d", x.name, v.Requests, said.OneByOne)
		}
	}
}
