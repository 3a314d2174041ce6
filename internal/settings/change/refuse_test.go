package change_test

import (
	"testing"
	"time"

	"lamplighter/internal/settings"
	"lamplighter/internal/settings/change"
	"lamplighter/internal/sim"
	"lamplighter/internal/sim/models"
)

// Nobody confirms, as the page was killed: all go back by themselves, and who comes
// back is told so.
func TestNobodyConfirms(t *testing.T) {
	w := setup{n: 100, loss: 0.05}.make(t)
	before := w.Devices[0].Holder().Values()
	var saved []byte
	p := w.Change(change.Change{Values: office()}, change.Options{})
	p.Save = func(st change.State) error { saved = st.Encode(); return nil }
	r := w.plan(p)
	w.must(r.Apply(t.Context()))
	w.count(r, change.RowTrial, 100)
	w.run(office(), 100)
	w.Wait(11 * minute)
	w.run(before, 100)
	st, err := change.ParseState(saved)
	w.must(err)
	if st.Phase != change.Trial {
		t.Fatal(st.Phase)
	}
	r = change.Resume(p, st)
	w.refused(r.Continue(t.Context()), "cfg-expired")
	w.phase(r, change.Reverted)
	w.count(r, change.RowReverted, 100)
	if st.Rows[0].State != change.RowTrial {
		t.Errorf("the state that was resumed became %s, while others may read it", st.Rows[0].State)
	}
}

// Three devices drifted: they are left out and shown, or mended.
func TestDrift(t *testing.T) {
	w := setup{n: 20, loss: 0.05}.make(t)
	p := w.Change(change.Change{Values: settings.Map{3: int64(400)}}, change.Options{})
	for i := range 3 {
		w.have(i, settings.Map{2: int64(50 + i)})
	}
	r := w.plan(p)
	w.count(r, change.RowDrifted, 3)
	w.count(r, change.RowPlanned, 17)
	d := r.View().Rows[1].Diffs()
	if len(d) != 2 || d[0].Key != 2 || d[0].Known != int64(100) || d[0].Is != int64(51) || d[1].Key != 3 || d[1].New != int64(400) {
		t.Errorf("%+v", d)
	}
	p.Change.Mend = true
	r = w.plan(p)
	w.count(r, change.RowPlanned, 20)
	w.must(r.Apply(t.Context()))
	w.must(r.Confirm(t.Context()))
	w.count(r, change.RowConfirmed, 20)
	w.run(settings.Map{2: int64(100), 3: int64(400)}, 20)
}

// What a device has of its own goes to it alone, the rest to all; undo gives each back
// what it had.
func TestOwnValues(t *testing.T) {
	w := setup{n: 12}.make(t)
	c := change.Change{Values: settings.Map{3: int64(400)}, Own: map[string]settings.Map{
		w.Devices[2].ID: {20: "Door"}, w.Devices[3].ID: {20: "Window", 10: int64(-5)},
	}}
	r := w.plan(w.Change(c, change.Options{}))
	w.must(r.Check(t.Context()))
	w.count(r, change.RowChecked, 12)
	w.must(r.Apply(t.Context()))
	w.must(r.Confirm(t.Context()))
	w.run(settings.Map{3: int64(400)}, 12)
	w.run(settings.Map{20: "Window", 10: int64(-5)}, 1)
	st := r.State()
	r = w.plan(w.Change(st.Undo(), change.Options{}))
	w.must(r.Apply(t.Context()))
	w.must(r.Confirm(t.Context()))
	w.run(settings.Map{3: int64(700), 20: nil, 10: int64(0)}, 12)
}

// Those that have values of their own are asked beside each other: who is silent does
// not hold the others up.
func TestOwnValuesOfTheSilent(t *testing.T) {
	inBubble(t, "12 silent", func(t *testing.T) {
		w := setup{n: 12, real: true}.make(t)
		c := change.Change{Own: map[string]settings.Map{}}
		for _, d := range w.Devices {
			c.Own[d.ID] = settings.Map{20: "Lamp " + d.ID}
		}
		saves := 0
		p := w.Change(c, change.Options{})
		p.Save = func(change.State) error { saves++; return nil }
		r := w.plan(p)
		for _, d := range w.Devices {
			w.Net.SetLink(d.Addr, sim.Link{Loss: 1})
		}
		began := time.Now()
		w.refused(r.Apply(t.Context()), "cfg-too-few")
		if took := time.Since(began); took > 100*time.Second {
			t.Errorf("it took %s", took)
		}
		if saves > 6 {
			t.Errorf("the state of all was saved %d times", saves)
		}
	})
}

// Half of the group falls silent before the commit: the others forget the change.
// With a quorum it goes on.
func TestHalfSilent(t *testing.T) {
	for _, tt := range []struct {
		name  string
		o     change.Options
		check bool
		id    string
	}{
		{"asked", change.Options{}, false, "cfg-too-few"},
		{"checked before", change.Options{}, true, "cfg-went-back"},
		{"checked before, far ahead", change.Options{In: minute}, true, "cfg-too-few"},
		{"quorum", change.Options{Quorum: 10}, false, ""},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			w := setup{n: 20, real: true}.make(t)
			before := w.Devices[0].Holder().Values()
			r := w.plan(w.Change(change.Change{Values: office()}, tt.o))
			if tt.check {
				w.must(r.Check(t.Context()))
			}
			for i := range 10 {
				w.Net.SetLink(w.Devices[2*i].Addr, sim.Link{Loss: 1})
			}
			err := r.Apply(t.Context())
			if tt.id != "" {
				w.refused(err, tt.id)
				w.count(r, change.RowSilent, 10)
				w.run(before, 20)
				if since := w.Clock.Now().Sub(r.View().Started); since > 4*minute {
					t.Errorf("it took %v: the devices did it by themselves", since)
				}
				w.Wait(20 * minute)
				w.run(before, 20)
				return
			}
			w.must(err)
			w.count(r, change.RowTrial, 10)
			w.must(r.Confirm(t.Context()))
			w.phase(r, change.Done)
			w.run(office(), 10)
		})
	}
}

// Who falls silent after the switch is not confirmed; the others only with a quorum.
func TestSilentAfterSwitch(t *testing.T) {
	inBubble(t, "quorum", func(t *testing.T) {
		w := setup{n: 20, real: true}.make(t)
		before := w.Devices[0].Holder().Values()
		r := w.plan(w.Change(change.Change{Values: office()}, change.Options{Quorum: 18}))
		w.must(r.Apply(t.Context()))
		for i := range 2 {
			w.Net.SetLink(w.Devices[i].Addr, sim.Link{Loss: 1})
		}
		w.Wait(4 * minute) // the nonces are old: it looks again
		w.must(r.Confirm(t.Context()))
		w.count(r, change.RowConfirmed, 18)
		w.count(r, change.RowSilent, 2)
		w.run(office(), 20)
		w.Wait(10 * minute)
		w.run(office(), 18)
		w.run(before, 2)
	})
	inBubble(t, "all", func(t *testing.T) {
		w := setup{n: 20, real: true}.make(t)
		before := w.Devices[0].Holder().Values()
		r := w.plan(w.Change(change.Change{Values: office()}, change.Options{}))
		w.must(r.Apply(t.Context()))
		w.Net.SetLink(w.Devices[0].Addr, sim.Link{Loss: 1})
		w.Wait(4 * minute)
		w.refused(r.Confirm(t.Context()), "cfg-quorum")
		w.run(office(), 20)
		w.must(r.Revert(t.Context()))
		w.phase(r, change.Reverted)
		w.run(before, 19)
		w.count(r, change.RowSilent, 1)
		w.Wait(10 * minute)
		w.run(before, 20)
	})
}

// Devices of other models and with other schemas are left out, with a reason where
// somebody asked for them; values that the schema does not allow never leave.
func TestLeftOut(t *testing.T) {
	w := setup{n: 12, model: func(i int) string {
		return map[bool]string{true: models.Sensor, false: models.Lamp}[i%4 == 3]
	}}.make(t)
	r := w.plan(w.Change(change.Change{Values: settings.Map{1: int64(3)}}, change.Options{}))
	if n := len(r.View().Rows); n != 9 {
		t.Fatalf("%d rows", n)
	}
	sensor := w.Devices[3].Holder().Values()
	w.must(r.Check(t.Context()))
	w.must(r.Apply(t.Context()))
	w.must(r.Confirm(t.Context()))
	if got := w.Devices[3].Holder().View(); got.State != settings.Idle || string(got.Values.Short()) != string(sensor.Short()) {
		t.Errorf("%+v", got)
	}
	r = w.plan(w.Change(change.Change{Values: settings.Map{1: int64(4)}, Only: []string{w.Devices[3].ID}}, change.Options{}))
	if row := r.View().Rows[0]; row.State != change.RowRefused || row.Reason.ID != "cfg-model" {
		t.Errorf("%+v", row)
	}
	w.refused(r.Apply(t.Context()), "cfg-nobody")
	for id, m := range map[string]settings.Map{"cfg-range": {1: int64(101)}, "cfg-unknown-key": {99: int64(1)}, "cfg-type": {1: "x"}} {
		r = w.plan(w.Change(change.Change{Values: m}, change.Options{}))
		if row := r.View().Rows[0]; row.State != change.RowRefused || row.Reason.ID != id {
			t.Errorf("%s: %+v", id, row)
		}
	}
	p := w.Change(change.Change{Values: settings.Map{1: int64(4)}}, change.Options{})
	p.Ref.Version++
	if row := w.plan(p).View().Rows[0]; row.Reason == nil || row.Reason.ID != "cfg-schema" {
		t.Errorf("%+v", row)
	}
	r = w.plan(w.Change(change.Change{Values: settings.Map{1: int64(3)}}, change.Options{}))
	w.count(r, change.RowSame, 9)
}

// What nobody knows is read; a device that does not answer is silent.
func TestUnknown(t *testing.T) {
	w := setup{n: 20, loss: 0.05}.make(t)
	w.Devices[4].Power(false)
	p := w.Change(change.Change{Values: settings.Map{1: int64(3)}}, change.Options{})
	for i := range p.Devices {
		p.Devices[i].Confirmed, p.Devices[i].Schema = nil, nil
	}
	r := w.plan(p)
	w.count(r, change.RowPlanned, 19)
	w.count(r, change.RowSilent, 1)
}

// A second installer is told that another change is under way.
func TestTwoAtOnce(t *testing.T) {
	w := setup{n: 10}.make(t)
	first := w.plan(w.Change(change.Change{Values: settings.Map{1: int64(3)}}, change.Options{}))
	second := w.plan(w.Change(change.Change{Values: settings.Map{1: int64(4)}}, change.Options{}))
	w.must(first.Apply(t.Context()))
	w.refused(second.Apply(t.Context()), "cfg-too-few")
	if row := second.View().Rows[0]; row.Reason.ID != "cfg-busy" {
		t.Errorf("%+v", row)
	}
	third := w.plan(w.Change(change.Change{Values: settings.Map{1: int64(4)}}, change.Options{}))
	if row := third.View().Rows[0]; row.Reason.ID != "cfg-busy" {
		t.Errorf("%+v", row)
	}
	w.must(first.Confirm(t.Context()))
	w.run(settings.Map{1: int64(3)}, 10)
	w.refused(first.Confirm(t.Context()), "cfg-no-trial")
	w.refused(first.Apply(t.Context()), "cfg-begun")
}
