package change

import (
	"bytes"
	"context"
	"time"

	"lamplighter/internal/settings"
)

// look waits for the switch and looks what became of it. When too few devices run
// the new settings all are told to go back.
func (r *Run) look(ctx context.Context) error {
	if err := r.sleep(ctx, r.st.SwitchAt.Add(lookAfter)); err != nil {
		return err
	}
	rest := r.committed()
	for n := 0; n < looks && len(rest) > 0; n++ {
		got, err := r.sweep(ctx, rest)
		if err != nil {
			return err
		}
		late := r.place(got, rest)
		if rest = rest[:0]; len(late) == 0 {
			break
		}
		rest = append(rest, late...)
		if n+1 < looks {
			if err := r.hurry(ctx, late, got); err != nil {
				return err
			}
		}
	}
	if err := r.enter(Trial); err != nil {
		return err
	}
	if len(r.st.list(RowTrial, RowConfirmed)) < max(r.st.need(), 1) {
		return r.back(ctx, reasonBack)
	}
	return nil
}

// committed lists devices that may have switched.
func (r *Run) committed() (ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.st.Rows {
		if row := &r.st.Rows[i]; row.Committed && row.State != RowConfirmed && row.State != RowReverted {
			ids = append(ids, row.Device)
		}
	}
	return ids
}

// place notes where devices stand, and returns those that have not switched.
func (r *Run) place(got map[string]reply, ids []string) (late []string) {
	for _, id := range ids {
		a, ok := got[id]
		if !ok || !a.said {
			r.set(id, RowSilent, reasonSilent)
			continue
		}
		if r.placeOne(id, &a.status) {
			late = append(late, id)
		}
	}
	return late
}

func (r *Run) placeOne(id string, s *settings.Status) (late bool) {
	r.mu.Lock()
	row := *r.st.row(id)
	r.mu.Unlock()
	isNew := bytes.Equal(s.Running, row.Target.Short())
	switch {
	case s.State == settings.Trial && r.ours(s) && isNew:
		r.set(id, RowTrial, nil)
	case bytes.Equal(s.Txn, r.st.Txn) && s.Result == settings.ResultConfirmed && (isNew || s.State == settings.Trial):
		r.set(id, RowConfirmed, nil) // also while another change is under way, or tried
	case s.State == settings.Trial && r.ours(s):
		r.set(id, RowRefused, reasonDigest)
	case s.State == settings.Trial || s.State == settings.Scheduled && !r.ours(s):
		r.set(id, RowRefused, reasonBusy)
	case s.State == settings.Scheduled:
		r.set(id, RowScheduled, nil)
		return true
	case s.State == settings.Staged && r.ours(s):
		r.set(id, RowStaged, reasonMissed)
		return true
	case isNew:
		r.set(id, RowConfirmed, nil)
	case row.Committed && !bytes.Equal(s.Txn, r.st.Txn) && bytes.Equal(s.Running, row.Before.Short()):
		r.set(id, RowPlanned, reasonMissed)
		return true
	case s.Result == settings.ResultReverted && row.Committed:
		r.set(id, RowReverted, reasonReverted)
	case (s.Result == settings.ResultWithdrawn || s.Result == settings.ResultCanceled) && row.Committed:
		r.set(id, RowReverted, reasonCanceled)
	case bytes.Equal(s.Running, row.Before.Short()) && row.Committed:
		r.set(id, RowReverted, reasonMissed)
	case bytes.Equal(s.Running, row.Before.Short()):
		r.set(id, RowPlanned, nil)
	case !bytes.Equal(s.Txn, r.st.Txn):
		r.set(id, RowRefused, reasonBase)
	default:
		r.set(id, RowRefused, reasonDigest)
	}
	return false
}

// hurry has devices that missed the stage or the switch make it at once, and waits
// for those whose time is not yet up.
func (r *Run) hurry(ctx context.Context, late []string, got map[string]reply) error {
	var left time.Duration
	var missed, staged []string
	for _, id := range late {
		switch s := got[id].status; {
		case s.State == settings.Idle, s.State == settings.Staged && !r.ours(&s): // an older stage came late
			missed = append(missed, id)
		case s.State == settings.Staged:
			staged = append(staged, id)
		default:
			left = max(left, time.Duration(s.Left)*time.Millisecond)
		}
	}
	if len(missed)+len(staged)+len(r.st.list(RowTrial)) == 0 { // somebody's clock was set: the devices know
		at := r.p.Clock.Now().Add(left)
		r.change(func(st *State) { st.SwitchAt, st.RevertAt = at, at.Add(st.Options.Within) })
		if err := r.keep(); err != nil {
			return err
		}
		return r.sleep(ctx, at.Add(lookAfter))
	}
	said := map[string]reply{}
	r.askAlone(ctx, staged, r.quoting(settings.ModeCommit), said)
	if err := r.again(ctx, missed, said); err != nil {
		return err
	}
	return r.p.Clock.Sleep(ctx, min(left, 10*time.Second)+lookAfter)
}

// again stages and commits at devices that missed the stage, each alone.
func (r *Run) again(ctx context.Context, ids []string, got map[string]reply) error {
	if len(ids) == 0 {
		return nil
	}
	for _, b := range r.batches(ids) {
		r.askAlone(ctx, b.ids, r.transact(settings.ModeStage, b, settings.FieldNonce), got)
	}
	var ready []string
	for _, id := range ids {
		r.hear(id, got[id])
		if a := got[id]; a.problem() == nil && a.said && a.status.State == settings.Staged {
			ready = append(ready, id)
		}
	}
	r.askAlone(ctx, ready, r.quoting(settings.ModeCommit), got)
	return ctx.Err()
}
