package change_test

import (
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/settings"
	"lamplighter/internal/settings/change"
	"lamplighter/internal/sim/models"
)

// More devices than a message can name, and others among them.
func TestMany(t *testing.T) {
	w := setup{n: 400, loss: 0.05, model: func(i int) string {
		return map[bool]string{true: models.Switch, false: models.Lamp}[i%10 == 0]
	}}.make(t)
	r := w.plan(w.Change(change.Change{Values: office()}, change.Options{}))
	w.count(r, change.RowPlanned, 360)
	w.must(r.Check(t.Context()))
	err := r.Apply(t.Context())
	w.count(r, change.RowTrial, 360)
	w.must(err)
	w.must(r.Confirm(t.Context()))
	w.count(r, change.RowConfirmed, 360)
	w.run(office(), 360)
	for i := 0; i < 400; i += 10 {
		if v := w.Devices[i].Holder().View(); v.State != settings.Idle || v.Txn != nil {
			t.Fatalf("%s: %+v", w.Devices[i].ID, v)
		}
	}
	if v := r.View(); v.Requests > 60 {
		t.Errorf("%d requests", v.Requests)
	}
}

// A time of day is for devices that have a clock: they all switch then. The others
// refuse it, and nothing changes.
func TestAt(t *testing.T) {
	for _, clock := range []bool{true, false} {
		w := setup{n: 10, loss: 0.05, clock: clock}.make(t)
		at := w.Clock.Now().Add(10 * minute)
		r := w.plan(w.Change(change.Change{Values: office()}, change.Options{At: at}))
		err := r.Apply(t.Context())
		if !clock {
			w.refused(err, "cfg-too-few")
			if row := r.View().Rows[0]; row.Reason.ID != "cfg-time" {
				t.Errorf("%+v", row)
			}
			w.Wait(time.Hour)
			w.run(office(), 0)
			continue
		}
		w.must(err)
		for _, d := range w.Devices {
			if a := d.Applied(); len(a) != 1 || a[0].At.Sub(at).Abs() > 1100*time.Millisecond {
				t.Errorf("%s: %v", d.ID, a)
			}
		}
		w.must(r.Confirm(t.Context()))
		w.run(office(), 10)
	}
}

// All switch at one time, whichever of the announcements each heard.
func TestTogether(t *testing.T) {
	inBubble(t, "loss", func(t *testing.T) {
		w := setup{n: 30, loss: 0.2, real: true, seed: 4}.make(t)
		r := w.plan(w.Change(change.Change{Values: office()}, change.Options{In: 10 * time.Second}))
		w.must(r.Apply(t.Context()))
		late := 0
		for _, d := range w.Devices {
			if a := d.Applied(); len(a) != 1 {
				t.Errorf("%s: %v", d.ID, a)
			} else if off := a[0].At.Sub(r.View().SwitchAt); off < 0 || off > 200*time.Millisecond {
				late++
			}
		}
		if late > 2 { // a hundredth hears none of three
			t.Errorf("%d were late", late)
		}
	})
}

// What may cut devices off is staged with answers, told early, and confirmed over the
// new settings: with nonces that were given after the switch.
func TestNetwork(t *testing.T) {
	w := setup{n: 10, loss: 0.05}.make(t)
	p := w.Change(change.Change{Values: settings.Map{21: int64(800)}}, change.Options{})
	var nonces [][]byte
	p.Group = tap{p.Group, func(req *coap.Message, _ string) error {
		if m := mode(req); m == settings.ModeCommit || m == settings.ModeConfirm {
			tr, _ := settings.ParseTransaction(req.Payload)
			nonces = append(nonces, tr.Nonces)
		} else if m == settings.ModeStage {
			if tr, _ := settings.ParseTransaction(req.Payload); tr.Fields&settings.FieldNonce == 0 {
				t.Error("it is staged without answers")
			}
		}
		return nil
	}}
	r := w.plan(p)
	w.must(r.Check(t.Context()))
	w.must(r.Apply(t.Context()))
	if v := r.View(); !v.Network || v.RevertAt.Before(w.Clock.Now()) {
		t.Errorf("%+v", v)
	}
	w.must(r.Confirm(t.Context()))
	w.run(settings.Map{21: int64(800)}, 10)
	if first, last := nonces[0], nonces[len(nonces)-1]; len(first) != 40 || string(first[:4]) == string(last[:4]) {
		t.Error("the confirmation quotes the nonces of the commit")
	}
}

// A scene that was stored early is shown by one message, once by each lamp.
func TestScene(t *testing.T) {
	w := setup{n: 100, loss: 0.05, seed: 2}.make(t)
	r := w.plan(w.Change(change.Change{Values: office()}, change.Options{}))
	w.must(r.Apply(t.Context()))
	w.must(r.Confirm(t.Context()))
	body := settings.Recall{Scene: 3}
	req := coap.NewRequest(coap.POST, settings.PathRecall, body.Append(nil))
	coap.AddUint(req, coap.OptionContentFormat, coap.FormatCBOR)
	begun, sent := w.Clock.Now(), w.Net.Counters()
	_, err := w.Group().Send(t.Context(), req, 3)
	w.must(err)
	for _, d := range w.Devices {
		if got := d.Recalled(); got.Scene != 3 || got.Times != 1 || got.At.Sub(begun) > 200*time.Millisecond {
			t.Errorf("%s: %+v", d.ID, got)
		}
	}
	if n := w.Net.Counters().Since(sent).Group.Datagrams; n > 3 {
		t.Errorf("%d datagrams", n)
	}
}

// Undo of what was not confirmed is nothing; a state that is no state is refused.
func TestState(t *testing.T) {
	w := setup{n: 3}.make(t)
	r := w.plan(w.Change(change.Change{Values: office()}, change.Options{}))
	st := r.State()
	if c := st.Undo(); len(c.Only) != 0 {
		t.Errorf("%+v", c)
	}
	back, err := change.ParseState(st.Encode())
	w.must(err)
	if string(back.Encode()) != string(st.Encode()) {
		t.Error("it encodes to something else")
	}
	for _, bad := range [][]byte{nil, {0xa0}, {0xff}, st.Encode()[:40]} {
		if _, err := change.ParseState(bad); err == nil {
			t.Errorf("%x is taken", bad)
		}
	}
	w.must(r.Continue(t.Context())) // nobody had it applied
	w.phase(r, change.Planning)
	w.must(r.Revert(t.Context()))
	w.phase(r, change.Stopped)
}

// Reading needs no change.
func TestRead(t *testing.T) {
	w := setup{n: 5, model: func(i int) string { return models.Names()[i%4] }}.make(t)
	p := w.Change(change.Change{}, change.Options{})
	p.Schema = nil
	p.Devices[0].Confirmed = nil
	got, err := change.Read(t.Context(), p)
	w.must(err)
	for _, d := range w.Devices {
		g := got[d.ID]
		if g.Reason != nil || g.Schema.Model != d.Holder().Schema().Model || string(g.Values.Short()) != string(d.Holder().Values().Short()) {
			t.Errorf("%s: %+v", d.ID, g)
		}
	}
}
