package change

import (
	"bytes"
	"context"
	"slices"

	"lamplighter/internal/cbor"
	"lamplighter/internal/settings"
)

// NewPlan reads what the devices run and computes what each will run. It sends
// nothing but questions.
func NewPlan(ctx context.Context, p Params) (*Run, error) {
	st := State{Phase: Planning, Change: p.Change, Ref: p.Ref, Started: p.Clock.Now()}
	r := newRun(p, st)
	txn, err := r.draw(settings.TxnSize)
	if err != nil {
		return nil, err
	}
	r.st.Txn = txn
	r.st.Network = p.Schema.Flags(r.all())&settings.Network != 0
	r.st.Options = p.Options.withDefaults(r.st.Network)
	ctx, end := r.begin(ctx)
	defer end()
	got, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	for i := range p.Devices {
		if d := &p.Devices[i]; r.chosen(d.ID) {
			if row, ok := r.fit(d, got[d.ID]); ok {
				r.st.Rows = append(r.st.Rows, row)
			}
		}
	}
	for _, id := range p.Change.Only { // who was chosen and has left is told of
		if r.st.row(id) == nil {
			r.st.Rows = append(r.st.Rows, Row{Device: id, State: RowRefused, Reason: reasonGone})
		}
	}
	if len(r.st.list()) == 0 && !slices.ContainsFunc(r.st.Rows, func(r Row) bool { return r.State == RowSame }) {
		r.st.Reason = reasonNobody
	}
	r.st.Predicted = r.predict()
	return r, r.keep()
}

// all is every setting that the change is about.
func (r *Run) all() settings.Map {
	m := settings.Merge(nil, presence(r.p.Change.Values))
	for _, own := range r.p.Change.Own {
		m = settings.Merge(m, presence(own))
	}
	return m
}

func (r *Run) chosen(id string) bool {
	return len(r.p.Change.Only) == 0 || slices.Contains(r.p.Change.Only, id)
}

// Reading is what a device told when it was read.
type Reading struct {
	Status settings.Status
	Values settings.Map // nil: not known
	Schema *settings.SchemaRef
	Reason *Reason // why there is nothing
}

// Read asks all devices of p what they run. Those whose digest is the one that the
// site confirmed last need not send their values again. Neither a schema nor a change
// is needed for it.
func Read(ctx context.Context, p Params) (map[string]Reading, error) {
	return newRun(p, State{Options: p.Options.withDefaults(false)}).read(ctx)
}

func (r *Run) read(ctx context.Context) (map[string]Reading, error) {
	const full = settings.FieldValues | settings.FieldSchema
	var ids []string
	known := map[string]*Device{}
	for i := range r.p.Devices {
		d := &r.p.Devices[i]
		ids = append(ids, d.ID)
		if d.Confirmed != nil && d.Schema != nil {
			known[d.ID] = d
		}
	}
	fields := full
	if 2*len(known) >= len(ids) {
		fields = 0
	}
	got, err := r.ask(ctx, ids, r.fetch(fields, nil))
	if err != nil {
		return nil, err
	}
	out := map[string]Reading{}
	var again []string
	for _, id := range ids {
		a, ok := got[id]
		out[id] = reading(a, ok, known[id])
		if o := out[id]; o.Reason == nil && (o.Values == nil || o.Schema == nil) {
			again = append(again, id)
		}
	}
	if len(again) == 0 {
		return out, nil
	}
	if got, err = r.ask(ctx, again, r.fetch(full, nil)); err != nil {
		return nil, err
	}
	var large []string // whose values a message to the group cannot bring
	for _, id := range again {
		a, ok := got[id]
		out[id] = reading(a, ok, known[id])
		if o := out[id]; o.Reason == nil && (o.Values == nil || o.Schema == nil) {
			large = append(large, id)
		}
	}
	got = map[string]reply{}
	r.askAlone(ctx, large, r.fetch(full, nil), got)
	for _, id := range large {
		if out[id] = reading(got[id], true, known[id]); out[id].Reason == nil && (out[id].Values == nil || out[id].Schema == nil) {
			out[id] = Reading{Reason: reasonNone}
		}
	}
	return out, ctx.Err()
}

func reading(a reply, answered bool, known *Device) Reading {
	if !answered {
		return Reading{Reason: reasonSilent}
	}
	if !a.said {
		if why := a.problem(); why != nil {
			return Reading{Reason: why}
		}
		return Reading{Reason: reasonNone}
	}
	out := Reading{Status: a.status, Values: a.status.Values, Schema: a.status.Schema}
	if known != nil && out.Values == nil && bytes.Equal(known.Confirmed.Short(), a.status.Running) {
		out.Values = known.Confirmed
	}
	if known != nil && out.Schema == nil && out.Values != nil {
		out.Schema = known.Schema
	}
	if out.Values != nil && !bytes.Equal(out.Values.Short(), a.status.Running) {
		return Reading{Status: a.status, Reason: reasonDigest}
	}
	return out
}

// fit says what a device has to do with the change, and computes what it will run.
// Devices of other models have no row, unless they were chosen by name.
func (r *Run) fit(d *Device, read Reading) (Row, bool) {
	row := Row{Device: d.ID, State: RowRefused, Before: read.Values, Confirmed: d.Confirmed, Is: read.Status.Running}
	refuse := func(state RowState, why *Reason) (Row, bool) {
		row.State, row.Reason = state, why
		return row, true
	}
	switch ref := read.Schema; {
	case read.Reason != nil && read.Reason.ID == reasonSilent.ID:
		return refuse(RowSilent, read.Reason)
	case read.Reason != nil:
		return refuse(RowRefused, read.Reason)
	case ref.Model != r.p.Ref.Model:
		row, _ := refuse(RowRefused, reasonModel.With("(It is a %s.)", ref.Model))
		return row, len(r.p.Change.Only) > 0
	case ref.Version != r.p.Ref.Version || !bytes.Equal(ref.Digest, r.p.Ref.Digest):
		return refuse(RowRefused, reasonSchema.With("(It has version %d.)", ref.Version))
	case read.Status.State == settings.Scheduled || read.Status.State == settings.Trial:
		return refuse(RowRefused, reasonBusy)
	}
	base, drifted := read.Values, d.Confirmed != nil && !bytes.Equal(d.Confirmed.Short(), read.Values.Short())
	if drifted && r.p.Change.Mend {
		base = d.Confirmed
	}
	row.Target = settings.Merge(settings.Merge(base, r.p.Change.Values), r.p.Change.Own[d.ID])
	if bad := r.p.Schema.Refuse(row.Target, false); bad != nil {
		return refuse(RowRefused, ofResult(&settings.Status{Result: bad.Result}).With("(%s.)", bad.Text))
	}
	if drifted && !r.p.Change.Mend {
		return refuse(RowDrifted, reasonDrifted)
	}
	if bytes.Equal(row.Target.Short(), read.Values.Short()) {
		row.State = RowSame
		return row, true
	}
	row.State, row.Part = RowPlanned, true
	row.Patch, row.Shared = settings.Diff(read.Values, row.Target), false
	if len(r.p.Change.Values) > 0 && bytes.Equal(settings.Merge(read.Values, r.p.Change.Values).Short(), row.Target.Short()) {
		row.Patch, row.Shared = r.p.Change.Values, true
	}
	return row, true
}

// batch is devices that get the same patch.
type batch struct {
	ids   []string
	patch settings.Map
	base  []byte // of all of them; nil: they differ
}

// batches groups devices by what is sent to them.
func (r *Run) batches(ids []string) (list []*batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	by := map[string]*batch{}
	for _, id := range ids {
		row := r.st.row(id)
		key, base := string(cbor.MustMarshal(row.Patch)), row.Before.Short()
		b := by[key]
		if b == nil {
			b = &batch{patch: row.Patch, base: base}
			by[key], list = b, append(list, b)
		}
		b.ids = append(b.ids, id)
		if !bytes.Equal(b.base, base) {
			b.base = nil
		}
	}
	return list
}
