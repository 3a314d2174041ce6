package change_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/groupcomm"
	"lamplighter/internal/settings"
	"lamplighter/internal/settings/change"
	"lamplighter/internal/sim"
	"lamplighter/internal/sim/fleet"
)

// late is a message of a change that the network holds back.
type late struct {
	to    netip.AddrPort
	bytes []byte
}

// holdBack makes a change whose messages of a mode do not arrive, up to the point at
// which whoever makes it dies, and returns these messages.
func (w *world) holdBack(held settings.Mode, p change.Params) (*change.Run, []late) {
	w.t.Helper()
	var list []late
	holding, over := false, false
	ctx, kill := context.WithCancel(w.t.Context())
	w.Net.Record = func(d sim.Datagram) {
		if holding && d.Kind == sim.Request && d.From == fleet.SenderAddr {
			list = append(list, late{d.To, d.Bytes})
		}
	}
	p.Group = tap{p.Group, func(req *coap.Message, _ string) error {
		switch {
		case over:
		case mode(req) == held:
			holding = true
			w.SetLinks(func(int) sim.Link { return sim.Link{Loss: 1} })
		case holding:
			kill()
			return ctx.Err()
		}
		return nil
	}}
	r := w.plan(p)
	err := r.Apply(ctx)
	if err == nil && held == settings.ModeConfirm {
		err = r.Confirm(ctx)
	} else if err == nil {
		err = r.Revert(ctx)
	}
	if err == nil || len(list) == 0 {
		w.t.Fatalf("%d messages are held back: %v", len(list), err)
	}
	w.Net.Record, over = nil, true
	w.SetLinks(func(int) sim.Link { return sim.Link{} })
	return r, list
}

// release lets the messages go.
func (w *world) release(list []late) {
	for _, m := range list {
		for _, d := range w.Devices {
			if m.to == fleet.GroupAddr || m.to == d.Addr {
				w.Net.Inject(w.t.Context(), fleet.SenderAddr, d.Addr, m.bytes, m.to == fleet.GroupAddr)
			}
		}
	}
}

// What is held back on its way and released later does nothing, whichever step it is:
// when the change was taken back, when it has expired, and when another one took its
// place.
func TestHeldBack(t *testing.T) {
	newer := settings.Map{2: int64(77)}
	for _, held := range []settings.Mode{settings.ModeStage, settings.ModeCommit, settings.ModeConfirm, settings.ModeRevert} {
		for name, then := range map[string]func(w *world, r *change.Run){
			"taken back": func(w *world, r *change.Run) { w.must(r.Revert(t.Context())) },
			"expired":    func(w *world, _ *change.Run) { w.Wait(11 * minute) },
			"another is tried": func(w *world, r *change.Run) {
				w.must(r.Revert(t.Context()))
				w.must(w.plan(w.Change(change.Change{Values: newer}, change.Options{})).Apply(t.Context()))
			},
			"another was confirmed": func(w *world, r *change.Run) {
				w.must(r.Revert(t.Context()))
				other := w.plan(w.Change(change.Change{Values: newer}, change.Options{}))
				w.must(other.Apply(t.Context()))
				w.must(other.Confirm(t.Context()))
			},
		} {
			t.Run(held.String()+", "+name, func(t *testing.T) {
				w := setup{n: 4}.make(t)
				before := w.Devices[0].Holder().Values()
				r, list := w.holdBack(held, w.Change(change.Change{Values: office()}, change.Options{}))
				then(w, r)
				now, switched := before, len(w.Devices[0].Applied())
				if strings.HasPrefix(name, "another") {
					now = settings.Merge(before, newer)
				}
				w.run(now, 4)
				w.release(list)
				w.Wait(minute)
				w.run(now, 4)
				for _, d := range w.Devices {
					v := d.Holder().View()
					if len(d.Applied()) != switched || v.State > settings.Staged && name != "another is tried" {
						t.Errorf("%s has switched %d times, not %d: %+v", d.ID, len(d.Applied()), switched, v)
					}
				}
			})
		}
	}
}

// The stage of an older change arrives while a newer one is under way: before its
// commit, or scheduled. The newer one takes place all the same.
func TestOldStage(t *testing.T) {
	for name, o := range map[string]change.Options{"at once": {}, "in a minute": {In: minute}} {
		for _, held := range []settings.Mode{settings.ModeCommit, settings.ModeConfirm} {
			t.Run(name+", before the "+held.String(), func(t *testing.T) {
				w := setup{n: 4}.make(t)
				_, list := w.holdBack(settings.ModeStage, w.Change(change.Change{Values: office()}, change.Options{}))
				newer := settings.Map{2: int64(77)}
				p := w.Change(change.Change{Values: newer}, o)
				p.Group = tap{p.Group, func(req *coap.Message, _ string) error {
					if mode(req) == held {
						w.release(list)
						list = nil
					}
					return nil
				}}
				r := w.plan(p)
				w.must(r.Apply(t.Context()))
				w.count(r, change.RowTrial, 4)
				w.must(r.Confirm(t.Context()))
				w.count(r, change.RowConfirmed, 4)
				w.run(newer, 4)
				w.Wait(11 * minute)
				w.run(newer, 4)
			})
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

// Somebody else asks the devices for nonces while a change is confirmed, which voids
// those that the confirmation quotes: it is said again.
func TestConfirmBesideOthers(t *testing.T) {
	w := setup{n: 4}.make(t)
	p := w.Change(change.Change{Values: office()}, change.Options{})
	way, others := p.Group, 0
	p.Group = tap{way, func(req *coap.Message, _ string) error {
		if mode(req) != settings.ModeConfirm || others == 10 {
			return nil
		}
		others++
		q := settings.StatusRequest{Fields: settings.FieldNonce}
		return way.Ask(t.Context(), coap.NewRequest(coap.FETCH, settings.PathValues, q.Append(nil)), time.Second, func(groupcomm.Answer) {})
	}}
	r := w.plan(p)
	w.must(r.Apply(t.Context()))
	w.must(r.Confirm(t.Context()))
	w.count(r, change.RowConfirmed, 4)
	w.Wait(11 * minute)
	w.run(office(), 4)
}
