package change

import (
	"bytes"
	"context"

	"lamplighter/internal/coap"
	"lamplighter/internal/settings"
)

// transact is a step of the transaction that has a patch.
func (r *Run) transact(mode settings.Mode, b *batch, fields settings.Field) step {
	t := settings.Transaction{Txn: r.st.Txn, Mode: mode, Base: b.base, Schema: r.st.Ref.Version, Patch: b.patch, Fields: fields}
	return step{code: coap.POST, path: settings.PathTransaction, room: len(t.Append(nil)), body: func(_ []string, of []byte) []byte {
		t := t
		t.Of = of
		return t.Append(nil)
	}}
}

// apart is devices that are asked alone, each with a step of its own, beside each other.
type apart struct {
	ids   []string
	steps map[string]step
}

func (a *apart) add(ids []string, s step) {
	for _, id := range ids {
		a.ids = append(a.ids, id)
		a.steps[id] = s
	}
}

func (r *Run) askApart(ctx context.Context, a *apart) (map[string]reply, error) {
	got := map[string]reply{}
	r.askAlone(ctx, a.ids, step{code: coap.POST, path: settings.PathTransaction, body: func(one []string, of []byte) []byte {
		return a.steps[one[0]].body(one, of)
	}}, got)
	return got, ctx.Err()
}

// prepare checks or stages at devices and compares what each says with what was
// computed for it.
func (r *Run) prepare(ctx context.Context, ids []string, mode settings.Mode, good RowState) error {
	alone := &apart{steps: map[string]step{}}
	for _, b := range r.batches(ids) {
		s := r.transact(mode, b, settings.FieldNonce)
		if r.st.Options.Alone || len(b.ids) <= fewAlone {
			alone.add(b.ids, s)
			continue
		}
		got, err := r.ask(ctx, b.ids, s)
		if err != nil {
			return err
		}
		if err := r.judgeAll(b.ids, got, good); err != nil {
			return err
		}
	}
	if len(alone.ids) == 0 {
		return nil
	}
	got, err := r.askApart(ctx, alone)
	if err != nil {
		return err
	}
	return r.judgeAll(alone.ids, got, good)
}

func (r *Run) judgeAll(ids []string, got map[string]reply, good RowState) error {
	for _, id := range ids {
		a, ok := got[id]
		r.hear(id, a)
		r.judge(id, a, ok, good)
	}
	return r.keep()
}

// stageSilently stages what the devices have just checked, and wants no answers: they
// gave nonces with the check, and the look after the switch tells. Who missed it is
// staged alone then. It says whether it did: not where a device has not checked the
// change, or might be lost by it.
func (r *Run) stageSilently(ctx context.Context) (bool, error) {
	ids := r.st.list(RowChecked)
	_, fresh := r.quote(ids, nonceFresh)
	if r.st.Options.Alone || r.st.Network || len(ids) == 0 || len(fresh) < len(r.st.list()) {
		return false, nil
	}
	rest := &apart{steps: map[string]step{}}
	for _, b := range r.batches(ids) {
		group, alone := r.reachable(b.ids)
		if len(group) <= fewAlone {
			alone, group = b.ids, nil
		}
		s := r.transact(settings.ModeStage, b, 0)
		rest.add(alone, s)
		everyone := len(group) == len(r.p.Devices)
		for _, part := range r.parts(group, s, everyone) {
			var of []byte
			if !everyone {
				of = r.of(part)
			}
			if err := r.send(ctx, s.message(part, of), stageCopies); err != nil {
				return true, err
			}
		}
		for _, id := range group {
			r.set(id, RowStaged, nil)
		}
	}
	got, err := r.askApart(ctx, rest)
	if err != nil {
		return true, err
	}
	for id, a := range got {
		r.judge(id, a, true, RowStaged)
	}
	return true, r.keep()
}

// judge notes how a device took a check or a stage.
func (r *Run) judge(id string, a reply, answered bool, good RowState) {
	r.mu.Lock()
	expected := r.st.row(id).Target.Short()
	r.mu.Unlock()
	switch why := a.problem(); {
	case !answered || why != nil && why.ID == reasonSilent.ID:
		r.set(id, RowSilent, reasonSilent)
	case why != nil:
		r.set(id, RowRefused, why)
	case !a.said || !bytes.Equal(a.status.Candidate, expected):
		r.set(id, RowRefused, reasonDigest)
	default:
		r.set(id, good, nil)
	}
}

// Check lets the devices check the change. They keep nothing of it.
func (r *Run) Check(ctx context.Context) error {
	ctx, end := r.begin(ctx)
	defer end()
	ids := r.st.list()
	switch {
	case r.st.Phase != Planning:
		return reasonBegun
	case len(ids) == 0:
		return reasonNobody
	}
	if err := r.enter(Checking); err != nil {
		return err
	}
	if err := r.prepare(ctx, ids, settings.ModeCheck, RowChecked); err != nil {
		return err
	}
	return r.enter(Planning)
}

// Apply stages the change, commits it, and looks at the devices after the switch. It
// returns nil when they try the new settings: somebody has to confirm. Otherwise it
// returns a [Reason].
func (r *Run) Apply(ctx context.Context) error {
	ctx, end := r.begin(ctx)
	defer end()
	switch {
	case r.st.Phase != Planning:
		return reasonBegun
	case len(r.st.list()) == 0:
		return r.end(Stopped, reasonNobody)
	}
	if len(r.st.list()) < r.st.need() {
		return r.end(Stopped, reasonShort) // nobody was told anything yet
	}
	r.change(func(st *State) { st.Going, st.Reason = true, nil })
	return r.apply(ctx)
}

func (r *Run) apply(ctx context.Context) error {
	if err := r.enter(Staging); err != nil {
		return err
	}
	if did, err := r.stageSilently(ctx); err != nil {
		return err
	} else if did {
		// judged by the look
	} else if err := r.prepare(ctx, r.st.list(RowPlanned, RowChecked, RowSilent, RowRefused), settings.ModeStage, RowStaged); err != nil {
		return err
	}
	if len(r.st.list(RowStaged)) < max(r.st.need(), 1) {
		return r.forget(ctx, reasonShort)
	}
	if err := r.commit(ctx); err != nil {
		return err
	}
	return r.look(ctx)
}
