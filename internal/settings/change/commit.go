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

// sweep asks devices where they stand with this change, and for new nonces.
func (r *Run) sweep(ctx context.Context, ids []string) (map[string]reply, error) {
	got, err := r.ask(ctx, ids, r.fetch(settings.FieldNonce, r.st.Txn))
	for id, a := range got {
		r.hear(id, a)
	}
	return got, err
}

// ours says whether what is under way by a status is this change. A device that is
// asked how it ended tells so also while another is under way.
func (r *Run) ours(s *settings.Status) bool {
	return (len(s.Txn) == 0 || bytes.Equal(s.Txn, r.st.Txn)) && s.Result == settings.ResultNone
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
