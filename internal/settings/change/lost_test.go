package change_test

import (
	"context"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/groupcomm"
	"lamplighter/internal/settings"
	"lamplighter/internal/settings/change"
)

// deaf is a group of which no answer of one device to a confirmation comes through.
// Something may happen at the device when it has confirmed.
type deaf struct {
	groupcomm.Group
	device string
	then   func()
}

func (g *deaf) lost(req *coap.Message) bool {
	if mode(req) != settings.ModeConfirm {
		return false
	}
	if g.then != nil {
		g.then()
		g.then = nil
	}
	return true
}

func (g *deaf) Ask(ctx context.Context, req *coap.Message, wait time.Duration, each func(groupcomm.Answer)) error {
	return g.Group.Ask(ctx, req, wait, func(a groupcomm.Answer) {
		if a.Device != g.device || !g.lost(req) {
			each(a)
		}
	})
}

func (g *deaf) Call(ctx context.Context, device string, req *coap.Message) (groupcomm.Answer, error) {
	a, err := g.Group.Call(ctx, device, req)
	if device == g.device && g.lost(req) {
		return groupcomm.Answer{}, coap.ErrTimeout
	}
	return a, err
}

// A confirmation whose answer is lost is not lost: whatever happens at the device
// meanwhile, both sides know that it keeps the new settings.
func TestAnswerToConfirmIsLost(t *testing.T) {
	for what, c := range map[string]struct {
		patch settings.Map // of another change that begins at once; nil: none
		mode  settings.Mode
		in    uint
		power bool
	}{
		"nothing else": {}, "a restart": {power: true},
		"another is staged":    {patch: settings.Map{2: int64(80)}, mode: settings.ModeStage},
		"another is scheduled": {patch: settings.Map{2: int64(80)}, mode: settings.ModeCommit, in: 3_600_000},
		"another is tried":     {patch: settings.Map{2: int64(80)}, mode: settings.ModeCommit},
	} {
		t.Run(what, func(t *testing.T) {
			w := setup{n: 5}.make(t)
			d := w.Devices[2]
			p := w.Change(change.Change{Values: office()}, change.Options{})
			r := w.plan(p)
			w.must(r.Apply(t.Context()))
			other := p.Group
			g := &deaf{Group: p.Group, device: d.ID, then: func() {
				if c.power {
					w.must(d.Power(false))
					w.must(d.Power(true))
				}
				w.begin(other, d.ID, c.patch, c.mode, c.in)
			}}
			p.Group = g
			r = change.Resume(p, r.State())
			w.must(r.Confirm(t.Context()))
			if g.then != nil {
				t.Fatal("no answer was lost")
			}
			if row := r.View().Rows[2]; row.State != change.RowConfirmed || r.View().Phase != change.Done {
				t.Errorf("%s (%v) in a change that is %s", row.State, row.Reason, r.View().Phase)
			}
			w.Wait(2 * time.Hour)
			w.run(office(), 5)
		})
	}
}

// begin begins a change at a device as another installer does, and leaves it.
func (w *world) begin(g groupcomm.Group, device string, patch settings.Map, upTo settings.Mode, in uint) {
	w.t.Helper()
	if patch == nil {
		return
	}
	step := func(s settings.Transaction) settings.Status {
		req := coap.NewRequest(coap.POST, settings.PathTransaction, s.Append(nil))
		coap.AddUint(req, coap.OptionContentFormat, coap.FormatCBOR)
		a, err := g.Call(w.t.Context(), device, req)
		w.must(err)
		st, err := settings.ParseStatus(a.Resp.Payload)
		w.must(err)
		if st.Result != settings.ResultOK {
			w.t.Fatalf("the other change: %v", st.Result)
		}
		return st
	}
	s := settings.Transaction{Txn: []byte("else"), Mode: settings.ModeStage, Schema: w.Device(device).Holder().Schema().Version, Patch: patch, Fields: settings.FieldNonce}
	st := step(s)
	if upTo == settings.ModeCommit {
		step(settings.Transaction{Txn: s.Txn, Mode: settings.ModeCommit, In: in, Within: 60, Nonces: st.Nonce})
	}
}
