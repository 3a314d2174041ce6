package change_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/groupcomm"
	"lamplighter/internal/settings"
	"lamplighter/internal/settings/change"
	"lamplighter/internal/sim"
)

// chaos makes something happen before some of the messages.
type chaos struct {
	w    *world
	rng  *rand.Rand
	kill context.CancelFunc // of the page

	alive groupcomm.Group
}

func (c *chaos) before(*coap.Message, string) error {
	d := c.w.Devices[c.rng.IntN(len(c.w.Devices))]
	switch c.rng.IntN(20) {
	case 0:
		c.w.Net.SetLink(d.Addr, sim.Link{Loss: 1})
	case 1:
		c.w.Net.SetLink(d.Addr, sim.Link{Loss: 0.3})
	case 2, 3:
		c.w.Net.SetLink(d.Addr, sim.Link{})
	case 4: // the power fails for a moment
		if err := errors.Join(d.Power(false), d.Power(true)); err != nil {
			panic(err)
		}
	case 5:
		c.kill()
	case 6:
		return groupcomm.ErrPaused
	case 7:
		c.w.Wait(time.Duration(c.rng.IntN(200)) * time.Second)
	case 8:
		c.other(d.ID)
	}
	return nil
}

// other stages a change of somebody else at a device, or tries to, and leaves it.
func (c *chaos) other(device string) {
	s := settings.Transaction{Txn: []byte{0, 0, 0, byte(c.rng.Uint32())}, Mode: settings.ModeStage, Schema: 1, Patch: settings.Map{2: int64(80)}}
	req := coap.NewRequest(coap.POST, settings.PathTransaction, s.Append(nil))
	coap.AddUint(req, coap.OptionContentFormat, coap.FormatCBOR)
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	_, _ = c.alive.Call(ctx, device, req) // whatever comes of it
}

// Whatever happens, a device runs wholly the old or wholly the new settings, nobody
// stays on new ones that were not confirmed, and who is said to keep them does.
func TestRandomFaults(t *testing.T) {
	ends := map[change.Phase]int{}
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { ends[random(t, seed)]++ })
	}
	t.Log(ends)
	if ends[change.Done] == 0 || ends[change.Reverted] == 0 || ends[change.Stopped] == 0 {
		t.Error("there were not all kinds of ends")
	}
}

// The same from many seeds.
func TestRandomFaultsSoak(t *testing.T) {
	if os.Getenv("LAMPLIGHTER_SOAK") == "" {
		t.Skip("LAMPLIGHTER_SOAK is not set")
	}
	for seed := range uint64(1500) {
		t.Run(fmt.Sprint(100+seed), func(t *testing.T) { random(t, 100+seed) })
	}
}

func random(t *testing.T, seed uint64) change.Phase {
	w := setup{n: 6, loss: 0.05, seed: seed, clock: seed%2 == 0}.make(t)
	rng := rand.New(rand.NewPCG(seed, 1))
	before := w.Devices[0].Holder().Values()
	own := settings.Map{20: "Door"}
	p := w.Change(change.Change{Values: office(), Own: map[string]settings.Map{w.Devices[1].ID: own}}, w.options(rng, seed))
	var saved []byte
	p.Save = func(st change.State) error { saved = st.Encode(); return nil }
	r := w.plan(p)
	c := &chaos{w: w, rng: rng, alive: p.Group}
	p.Group = &dying{Group: tap{p.Group, c.before}, left: 1 + rng.IntN(60), kill: func() { c.kill() }}
	step := (*change.Run).Apply
	if rng.IntN(2) == 0 {
		step = func(r *change.Run, ctx context.Context) error {
			if err := r.Check(ctx); err != nil {
				return err
			}
			return r.Apply(ctx)
		}
	}
	for n := 0; n < 30 && !r.View().Phase.Over(); n++ {
		st, err := change.ParseState(saved)
		w.must(err)
		if n > 0 && rng.IntN(2) == 0 || r.View().Phase == change.Planning && n == 0 {
			r = change.Resume(p, st) // a new page
		}
		var ctx context.Context
		ctx, c.kill = context.WithCancel(t.Context())
		err = step(r, ctx)
		if errors.Is(err, context.Canceled) {
			step = (*change.Run).Continue
			continue
		}
		step = (*change.Run).Confirm
		if rng.IntN(4) == 0 {
			step = (*change.Run).Revert
		}
		w.check(before, own)
	}
	w.SetLinks(func(int) sim.Link { return sim.Link{} })
	w.Wait(2 * time.Hour)
	w.check(before, own)
	w.claims(r.View())
	return r.View().Phase
}

func (w *world) options(rng *rand.Rand, seed uint64) change.Options {
	o := change.Options{Quorum: rng.IntN(7), Within: time.Duration(300+rng.IntN(900)) * time.Second, Alone: rng.IntN(8) == 0}
	if rng.IntN(3) == 0 {
		o.In = time.Duration(rng.IntN(60)) * time.Second
	}
	if seed%4 == 0 {
		o.At = w.Clock.Now().Add(minute)
	}
	return o
}

// claims compares what a change that is over says with what devices run.
func (w *world) claims(v change.View) {
	w.t.Helper()
	for _, row := range v.Rows {
		h := w.Device(row.Device).Holder().View()
		isNew := string(h.Digest) == string(row.Target.Short())
		if h.State > settings.Staged {
			w.t.Errorf("%s is left %v", row.Device, h.State)
		}
		if isNew && row.State != change.RowConfirmed && row.State != change.RowSilent && row.State != change.RowSame {
			w.t.Errorf("%s keeps the new settings, and is said to be %s (%v)", row.Device, row.State, row.Reason)
		}
		if (row.State == change.RowConfirmed && !isNew) || (v.Phase == change.Reverted || v.Phase == change.Stopped) && isNew {
			w.t.Errorf("%s runs new %v, but is %s in a change that is %s", row.Device, isNew, row.State, v.Phase)
		}
	}
}

// check wants each device to run the old or the new settings.
func (w *world) check(before, own settings.Map) {
	w.t.Helper()
	for i, d := range w.Devices {
		target := settings.Merge(before, office())
		if i == 1 {
			target = settings.Merge(target, own)
		}
		switch got := d.Holder().View(); string(got.Digest) {
		case string(before.Short()), string(target.Short()):
		default:
			w.t.Fatalf("%s runs %v", d.ID, got.Values)
		}
	}
}

// A group that rests is waited for; who has left it is refused.
func TestPausedAndGone(t *testing.T) {
	w := setup{n: 6}.make(t)
	p := w.Change(change.Change{Values: office()}, change.Options{Quorum: 5})
	asked := 0
	p.Group = tap{p.Group, func(_ *coap.Message, alone string) error {
		if asked++; asked%2 == 0 {
			return groupcomm.ErrPaused
		}
		if alone == w.Devices[5].ID {
			return groupcomm.ErrGone
		}
		return nil
	}}
	w.Net.SetLink(w.Devices[5].Addr, sim.Link{Loss: 1})
	r := w.plan(p)
	if row := r.View().Rows[5]; row.State != change.RowRefused || row.Reason.ID != "cfg-gone" {
		t.Errorf("%+v", row)
	}
	w.must(r.Apply(t.Context()))
	w.must(r.Confirm(t.Context()))
	w.run(office(), 5)
}

// At every step at which the page may die another one goes on, before anything is
// sent twice that matters, and the devices say where they are.
func TestDiesAnywhere(t *testing.T) {
	for at := 1; ; at++ {
		w := setup{n: 6, seed: uint64(at)}.make(t)
		p := w.Change(change.Change{Values: office()}, change.Options{})
		var saved []byte
		sent, kill := 0, context.CancelFunc(func() {})
		p.Save = func(st change.State) error { saved = st.Encode(); return nil }
		r := w.plan(p)
		p.Group = tap{p.Group, func(*coap.Message, string) error {
			if sent++; sent == at {
				kill()
				return context.Canceled
			}
			return nil
		}}
		goOn := func(step func(*change.Run, context.Context) error) bool {
			var ctx context.Context
			ctx, kill = context.WithCancel(t.Context())
			err := step(r, ctx)
			if !errors.Is(err, context.Canceled) {
				w.must(err)
				return false
			}
			st, err := change.ParseState(saved)
			w.must(err)
			r = change.Resume(p, st)
			w.must(r.Continue(t.Context()))
			return true
		}
		r = change.Resume(p, r.State())
		died := goOn((*change.Run).Apply)
		if v := r.View(); v.Phase == change.Trial {
			died = goOn((*change.Run).Confirm) || died
		}
		w.phase(r, change.Done)
		w.run(office(), 6)
		if !died {
			break
		}
	}
}
