package change_test

import (
	"context"
	"errors"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/settings"
	"lamplighter/internal/settings/change"
	"lamplighter/internal/sim"
	"lamplighter/internal/sim/fleet"
)

// A commit that is held back on its way and released later is refused: its
// transaction is over, or its nonces are old.
func TestHeldBack(t *testing.T) {
	for _, revert := range []bool{true, false} {
		w := setup{n: 4}.make(t)
		before := w.Devices[0].Holder().Values()
		var held [][]byte
		committing, times := false, 0
		ctx, kill := context.WithCancel(t.Context())
		w.Net.Record = func(d sim.Datagram) {
			if committing && d.Kind == sim.Request && d.To == fleet.GroupAddr {
				held = append(held, d.Bytes)
			}
		}
		p := w.Change(change.Change{Values: office()}, change.Options{})
		p.Group = tap{p.Group, func(req *coap.Message, _ string) error {
			if mode(req) != settings.ModeCommit {
				return nil
			}
			committing = true
			if times++; times == 3 {
				kill() // the page dies
			}
			w.SetLinks(func(int) sim.Link { return sim.Link{Loss: 1} })
			return nil
		}}
		r := w.plan(p)
		if err := r.Apply(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		committing = false
		w.SetLinks(func(int) sim.Link { return sim.Link{} })
		if revert {
			w.must(r.Revert(t.Context()))
			w.phase(r, change.Reverted)
		} else {
			w.Wait(6 * minute)
		}
		if len(held) < 4 {
			t.Fatalf("%d datagrams", len(held))
		}
		for _, b := range held {
			for _, d := range w.Devices {
				w.Net.Inject(t.Context(), fleet.SenderAddr, d.Addr, b, true)
			}
		}
		w.Wait(minute)
		w.run(before, 4)
		for _, d := range w.Devices {
			if s := d.Holder().View(); s.State > settings.Staged || len(d.Applied()) > 0 {
				t.Errorf("%s: %+v", d.ID, s)
			}
		}
	}
}

// A device that changes between the plan and the switch is found by its digest, and
// only what matches is confirmed.
func TestChangesMeanwhile(t *testing.T) {
	for _, tt := range []struct {
		name  string
		mixed bool // devices run different settings: none can be named as the base
		check bool
		id    string
	}{
		{"the same base", false, false, "cfg-base"},
		{"different bases", true, false, "cfg-digest"},
		{"the same base, checked", false, true, "cfg-base"},
		{"different bases, checked", true, true, "cfg-digest"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := setup{n: 10}.make(t)
			if tt.mixed {
				w.have(9, settings.Map{20: "Door"})
			}
			p := w.Change(change.Change{Values: settings.Map{1: int64(3)}}, change.Options{Quorum: 9})
			r := w.plan(p)
			if tt.check {
				w.must(r.Check(t.Context()))
			}
			w.have(0, settings.Map{2: int64(55)})
			switched := len(w.Devices[0].Applied())
			w.must(r.Apply(t.Context()))
			if now := len(w.Devices[0].Applied()); now != switched && !tt.check {
				t.Error("it was switched although its candidate was another than was computed")
			}
			if row := r.View().Rows[0]; row.State != change.RowRefused || row.Reason.ID != tt.id {
				t.Fatalf("%+v %v", row, row.Reason)
			}
			w.count(r, change.RowTrial, 9)
			w.must(r.Confirm(t.Context()))
			w.phase(r, change.Done)
			w.Wait(20 * minute)
			w.run(settings.Map{1: int64(3)}, 9)
			w.run(settings.Map{1: int64(1), 2: int64(55)}, 1)
		})
	}
}

// A device that restarts while it tries the settings goes back; then nothing is
// confirmed, as not all run the new ones.
func TestRestartsInTrial(t *testing.T) {
	w := setup{n: 5}.make(t)
	before := w.Devices[0].Holder().Values()
	r := w.plan(w.Change(change.Change{Values: office()}, change.Options{}))
	w.must(r.Apply(t.Context()))
	w.must(errors.Join(w.Devices[2].Power(false), w.Devices[2].Power(true)))
	w.Wait(minute)
	w.refused(r.Confirm(t.Context()), "cfg-quorum")
	if row := r.View().Rows[2]; row.State != change.RowReverted {
		t.Errorf("%+v", row)
	}
	w.must(r.Revert(t.Context()))
	w.run(before, 5)
}
