package change

import (
	"bytes"
	"context"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/settings"
)

const (
	stageCopies   = 2                // of a message that nobody answers
	announcements = 3                // of a switch, each with what remains
	askedAhead    = 20 * time.Second // a switch that is so far away is answered, and can be canceled
	lookAfter     = time.Second      // the switch
	looks         = 4                // at devices that are not yet where they should be
)

// quoting is a step that quotes the devices' nonces.
func (r *Run) quoting(mode settings.Mode) step {
	return step{code: coap.POST, path: settings.PathTransaction, quoted: true, body: func(ids []string, _ []byte) []byte {
		t := settings.Transaction{Txn: r.st.Txn, Mode: mode}
		t.Nonces, _ = r.quote(ids, nonceFresh)
		if mode == settings.ModeCommit {
			r.schedule(&t)
		}
		return t.Append(nil)
	}}
}

// schedule says when the switch is, from now.
func (r *Run) schedule(t *settings.Transaction) {
	t.Within = uint(r.st.Options.Within / time.Second)
	if !r.st.Options.At.IsZero() {
		t.At = uint64(r.st.SwitchAt.Unix())
		return
	}
	t.In = uint(max(0, r.st.SwitchAt.Sub(r.p.Clock.Now())).Milliseconds())
}

// sweep asks devices where they stand, and for new nonces.
func (r *Run) sweep(ctx context.Context, ids []string) (map[string]reply, error) {
	got, err := r.ask(ctx, ids, r.fetch(settings.FieldNonce))
	for id, a := range got {
		r.hear(id, a)
	}
	return got, err
}

// ours says whether a status is of this change.
func (r *Run) ours(s *settings.Status) bool {
	return len(s.Txn) == 0 || bytes.Equal(s.Txn, r.st.Txn)
}

// commit has the devices switch.
func (r *Run) commit(ctx context.Context) error {
	ids := r.st.list(RowStaged)
	if _, fresh := r.quote(ids, nonceFresh); len(fresh) < len(ids) { // somebody took time
		if err := r.restage(ctx, ids); err != nil {
			return err
		}
		if ids = r.st.list(RowStaged); len(ids) < max(r.st.need(), 1) {
			return r.forget(ctx, reasonShort)
		}
	}
	o := r.st.Options
	r.change(func(st *State) {
		if st.SwitchAt = o.At; o.At.IsZero() {
			st.SwitchAt = r.p.Clock.Now().Add(o.In)
		}
		st.RevertAt = st.SwitchAt.Add(o.Within)
		st.Phase = Scheduled
		for _, id := range ids {
			st.row(id).Committed = true
		}
	})
	if err := r.keep(); err != nil { // before anything is sent: the page may die
		return err
	}
	if o.Alone || !o.At.IsZero() || o.In >= askedAhead {
		return r.commitAsked(ctx, ids)
	}
	return r.announce(ctx, ids)
}

// restage asks who is still ready, and for a new nonce.
func (r *Run) restage(ctx context.Context, ids []string) error {
	got, err := r.sweep(ctx, ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		a, ok := got[id]
		switch {
		case !ok || !a.said:
			r.set(id, RowSilent, reasonSilent)
		case a.status.State != settings.Staged || !r.ours(&a.status):
			r.set(id, RowRefused, reasonNoStage)
		}
	}
	return r.keep()
}

// announce says the switch a few times, and wants no answers: the look after the
// switch tells.
func (r *Run) announce(ctx context.Context, ids []string) error {
	s := r.quoting(settings.ModeCommit)
	for n := range announcements {
		for _, part := range r.parts(ids, s, false) {
			if err := r.send(ctx, s.message(part, nil), 1); err != nil {
				return err
			}
		}
		for _, id := range ids {
			r.set(id, RowScheduled, nil)
		}
		if err := r.keep(); err != nil {
			return err
		}
		left := r.st.SwitchAt.Sub(r.p.Clock.Now())
		if err := r.p.Clock.Sleep(ctx, max(0, left/time.Duration(announcements-n+1))); err != nil {
			return err
		}
	}
	return nil
}

func (r *Run) send(ctx context.Context, req *coap.Message, copies int) error {
	size := 0
	err := r.unpaused(ctx, func() (err error) {
		size, err = r.p.Group.Send(ctx, req, copies)
		return err
	})
	r.count(copies, 0, copies*size)
	return err
}

// commitAsked says the switch and wants to hear that it was understood. When too few
// did, the others are told to forget it.
func (r *Run) commitAsked(ctx context.Context, ids []string) error {
	got, err := r.ask(ctx, ids, r.quoting(settings.ModeCommit))
	if err != nil {
		return err
	}
	var missed []string
	for _, id := range ids {
		if a := got[id]; a.said && a.status.Result == settings.ResultNoStage {
			missed = append(missed, id)
		}
	}
	if err := r.again(ctx, missed, got); err != nil {
		return err
	}
	for _, id := range ids {
		a, ok := got[id]
		r.hear(id, a)
		switch why := a.problem(); {
		case !ok || why != nil && why.ID == reasonSilent.ID:
			r.set(id, RowSilent, reasonSilent)
		case why != nil:
			r.set(id, RowRefused, why)
		default:
			r.set(id, RowScheduled, nil)
		}
	}
	if len(r.st.list(RowScheduled)) < max(r.st.need(), 1) {
		return r.forget(ctx, reasonShort)
	}
	return r.keep()
}

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
		switch s := got[id].status; s.State {
		case settings.Idle:
			missed = append(missed, id)
		case settings.Staged:
			staged = append(staged, id)
		default:
			left = max(left, time.Duration(s.Left)*time.Millisecond)
		}
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
