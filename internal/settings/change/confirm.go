package change

import (
	"bytes"
	"context"

	"lamplighter/internal/settings"
)

// Confirm has the devices keep what they try, when as many as have to be run exactly
// what was computed for them. It returns nil when the change is done, a [Reason] when
// it is not.
func (r *Run) Confirm(ctx context.Context) error {
	ctx, end := r.begin(ctx)
	defer end()
	return r.confirm(ctx)
}

func (r *Run) confirm(ctx context.Context) error {
	if r.st.Phase != Trial && r.st.Phase != Confirming {
		return reasonNoTrial
	}
	ids := r.st.list(RowTrial)
	if _, fresh := r.quote(ids, justNow); len(fresh) < len(ids) || len(ids) < r.st.need() || r.st.Phase == Confirming {
		ids = r.committed()
		got, err := r.sweep(ctx, ids)
		if err != nil {
			return err
		}
		r.place(got, ids)
		ids = r.st.list(RowTrial)
	}
	done := len(r.st.list(RowConfirmed))
	if len(ids)+done == 0 && !r.mayTry() {
		return r.end(Reverted, reasonExpired)
	}
	if done == 0 && len(ids) < r.st.need() {
		r.change(func(st *State) { st.Reason = reasonQuorum })
		if err := r.keep(); err != nil {
			return err
		}
		return reasonQuorum
	}
	r.change(func(st *State) { st.Reason = nil })
	if err := r.enter(Confirming); err != nil {
		return err
	}
	if err := r.keepNew(ctx, ids); err != nil {
		return err
	}
	return r.finish()
}

// mayTry says whether a device that is silent may still try the new settings: it was
// cut off, or whoever asks was.
func (r *Run) mayTry() bool {
	silent := r.list(func(row *Row) bool { return row.Committed && row.State == RowSilent })
	return len(silent) > 0 && r.p.Clock.Now().Before(r.st.RevertAt)
}

// confirmTries is how often devices that answer are told to keep what they try.
const confirmTries = 4

// keepNew tells devices to keep what they try, until each has said that it does.
func (r *Run) keepNew(ctx context.Context, ids []string) error {
	got, err := r.ask(ctx, ids, r.quoting(settings.ModeConfirm))
	if err != nil {
		return err
	}
	var unsure []string
	for _, id := range ids {
		if a, ok := got[id]; ok && a.problem() == nil && r.kept(id, a) {
			r.set(id, RowConfirmed, nil)
		} else {
			unsure = append(unsure, id)
		}
	}
	if err := r.keep(); err != nil || len(unsure) == 0 {
		return err
	}
	rest := unsure
	for n := 0; n < confirmTries && len(rest) > 0; n++ { // somebody else who asks for nonces makes these void
		if got, err = r.sweep(ctx, rest); err != nil {
			return err
		}
		r.place(got, rest)
		again := map[string]reply{}
		rest = r.st.list(RowTrial)
		r.askAlone(ctx, rest, r.quoting(settings.ModeConfirm), again)
		for id, a := range again {
			if a.problem() == nil && r.kept(id, a) {
				r.set(id, RowConfirmed, nil)
			}
		}
		rest = r.st.list(RowTrial)
	}
	for _, id := range unsure {
		r.mu.Lock()
		state := r.st.row(id).State
		r.mu.Unlock()
		if state == RowTrial || state == RowSilent {
			r.set(id, RowSilent, reasonUnsure)
		}
	}
	return r.keep()
}

// kept says whether an answer to a confirmation means that the device keeps what was
// computed for it. An empty one stands for "done".
func (r *Run) kept(id string, a reply) bool {
	r.hear(id, a)
	r.mu.Lock()
	defer r.mu.Unlock()
	row := r.st.row(id)
	if !a.said {
		row.Is = row.Target.Short()
		return true
	}
	return a.status.State == settings.Idle && bytes.Equal(a.status.Running, row.Target.Short())
}

// finish ends a change that was confirmed.
func (r *Run) finish() error {
	if done := len(r.st.list(RowConfirmed)); done < r.st.need() {
		return r.end(Failed, reasonPartly.With("(%d of %d do.)", done, len(r.st.list())))
	}
	return r.enter(Done)
}
