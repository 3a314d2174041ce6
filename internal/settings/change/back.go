package change

import (
	"context"

	"lamplighter/internal/settings"
)

// Revert takes the change back: before the switch it is canceled, after it the
// devices go back to what they ran. It ends an operation that is under way. What was
// confirmed stays; [State.Undo] makes a change of that. It returns nil when every
// device was told.
func (r *Run) Revert(ctx context.Context) error {
	r.interrupt()
	ctx, end := r.begin(ctx)
	defer end()
	if r.st.Phase.Over() {
		return nil
	}
	why := reasonCanceled
	var err error
	switch r.st.Phase {
	case Scheduled, Trial, Confirming, Reverting:
		err = r.back(ctx, why)
	default:
		err = r.forget(ctx, why)
	}
	if reason, ok := err.(*Reason); ok && reason.ID == why.ID {
		return nil
	}
	return err
}

// forget has the devices drop the candidate, and a switch that was scheduled. The
// change ends as stopped for a reason, which is returned.
func (r *Run) forget(ctx context.Context, why *Reason) error {
	ids := r.list(func(row *Row) bool {
		return row.State == RowStaged || row.State == RowScheduled || row.Committed || r.st.Phase == Staging && why == reasonCanceled
	})
	if err := r.take(ctx, ids); err != nil {
		return err
	}
	return r.end(Stopped, why)
}

// back has the devices go back. The change ends as reverted for a reason, which is
// returned.
func (r *Run) back(ctx context.Context, why *Reason) error {
	if err := r.enter(Reverting); err != nil {
		return err
	}
	if err := r.take(ctx, r.committed()); err != nil {
		return err
	}
	return r.end(Reverted, why)
}

func (r *Run) list(is func(*Row) bool) (ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.st.Rows {
		if row := &r.st.Rows[i]; row.Part && is(row) {
			ids = append(ids, row.Device)
		}
	}
	return ids
}

// take takes the change back at devices, each by what it needs where it stands.
func (r *Run) take(ctx context.Context, ids []string) error {
	for range confirmTries { // somebody else who asks for nonces makes these void
		got, err := r.sweep(ctx, ids)
		if err != nil {
			return err
		}
		cancel, revert := r.standing(got, ids)
		if len(cancel)+len(revert) == 0 {
			break
		}
		staying, err := r.tell(ctx, settings.ModeCancel, cancel, RowPlanned)
		if err != nil {
			return err
		}
		trying, err := r.tell(ctx, settings.ModeRevert, revert, RowReverted)
		if err != nil {
			return err
		}
		if ids = append(staying, trying...); len(ids) == 0 {
			break
		}
	}
	r.change(func(st *State) {
		for i := range st.Rows {
			row := &st.Rows[i]
			if row.Part && row.Committed && (row.State == RowSilent || row.State == RowScheduled || row.State == RowTrial) {
				row.Reason = reasonUntold
			}
		}
	})
	return r.keep()
}

// standing parts devices into those that cancel and those that revert, and notes where
// the others are. Who refused keeps its reason.
func (r *Run) standing(got map[string]reply, ids []string) (cancel, revert []string) {
	for _, id := range ids {
		a, ok := got[id]
		r.mu.Lock()
		refused := r.st.row(id).State == RowRefused
		r.mu.Unlock()
		switch s := &a.status; {
		case ok && a.said && r.ours(s) && (s.State == settings.Staged || s.State == settings.Scheduled):
			cancel = append(cancel, id)
		case ok && a.said && r.ours(s) && s.State == settings.Trial:
			revert = append(revert, id)
		case !refused:
			r.place(got, []string{id})
		}
	}
	return cancel, revert
}

// tell cancels or reverts at devices, and returns those that did not do it.
func (r *Run) tell(ctx context.Context, mode settings.Mode, ids []string, good RowState) (rest []string, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	got, err := r.ask(ctx, ids, r.quoting(mode))
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if a, ok := got[id]; ok && a.problem() == nil {
			r.hear(id, a)
			r.change(func(st *State) {
				row := st.row(id)
				if row.Is = row.Before.Short(); row.State != RowRefused {
					row.State, row.Reason = good, nil
				}
				if a.said {
					row.Is = a.status.Running
				}
			})
		} else {
			rest = append(rest, id)
		}
	}
	return rest, r.keep()
}
