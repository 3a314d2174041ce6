package change

import (
	"context"
	"time"
)

// Continue goes on after whoever ran the change had died. What the devices say counts:
// before the confirmation they revert by themselves. It returns as [Run.Apply] or
// [Run.Confirm] does, nil also where nobody had it applied.
func (r *Run) Continue(ctx context.Context) error {
	ctx, end := r.begin(ctx)
	defer end()
	if r.st.Phase.Over() || !r.st.Going {
		return nil
	}
	ids := r.st.list()
	got, err := r.sweep(ctx, ids)
	if err != nil {
		return err
	}
	r.place(got, ids)
	if err := r.keep(); err != nil {
		return err
	}
	return r.goOn(ctx, r.sooner(got))
}

// sooner is when the last device that is scheduled will have switched.
func (r *Run) sooner(got map[string]reply) (left time.Duration) {
	for _, a := range got {
		if a.said && r.ours(&a.status) {
			left = max(left, time.Duration(a.status.Left)*time.Millisecond)
		}
	}
	return left
}

func (r *Run) goOn(ctx context.Context, left time.Duration) error {
	confirmed, trial, scheduled := len(r.st.list(RowConfirmed)), len(r.st.list(RowTrial)), len(r.st.list(RowScheduled))
	switch {
	case r.st.Phase == Reverting:
		return r.back(ctx, reasonCanceled)
	case r.st.Phase == Confirming || confirmed > 0:
		r.change(func(st *State) { st.Phase = Confirming })
		return r.confirm(ctx)
	case trial > 0 && scheduled == 0:
		if at := r.p.Clock.Now().Add(left); at.After(r.st.RevertAt) { // the devices know how long they try
			r.change(func(st *State) { st.RevertAt = at })
		}
		return r.look(ctx) // those that missed the switch are looked after, too
	case scheduled > 0:
		r.change(func(st *State) {
			st.Phase = Scheduled
			if at := r.p.Clock.Now().Add(left); trial == 0 && at.After(st.SwitchAt) {
				st.SwitchAt = at
			}
		})
		return r.look(ctx)
	case r.st.Phase == Trial && r.mayTry():
		return r.keep() // somebody may still confirm
	case r.st.Phase == Scheduled || r.st.Phase == Trial: // committed, and nobody is on the way
		if staged := len(r.st.list(RowStaged)); staged > 0 && r.p.Clock.Now().Before(r.st.SwitchAt) {
			if err := r.commit(ctx); err != nil { // it died before anything was sent
				return err
			}
			return r.look(ctx)
		} else if staged > 0 {
			return r.forget(ctx, reasonExpired)
		}
		return r.end(Reverted, reasonExpired)
	}
	return r.apply(ctx)
}
