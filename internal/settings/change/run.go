package change

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"lamplighter/internal/settings"
)

// Run is one change. Its operations may be called from anywhere, one at a time;
// [Run.Revert] ends one that is under way.
type Run struct {
	p  Params
	op sync.Mutex // held by an operation

	mu     sync.Mutex
	st     State
	cancel context.CancelFunc // ends the operation under way
	nonces map[string]nonce
}

// nonce is what a device gave last.
type nonce struct {
	bytes []byte
	at    time.Time
}

func newRun(p Params, st State) *Run {
	if p.Parallel <= 0 {
		p.Parallel = 4
	}
	if p.Sender == nil {
		p.Sender = func(string) []byte { return nil }
	}
	if p.Asked == nil {
		p.Asked = func(string, bool) {}
	}
	st.Rows = append([]Row(nil), st.Rows...) // whoever has st goes on reading it
	return &Run{p: p, st: st, nonces: map[string]nonce{}}
}

// Resume makes a run of what was saved. [Run.Continue] asks the devices where they
// stand and goes on.
func Resume(p Params, st State) *Run { return newRun(p, st) }

// View is the change as it stands.
func (r *Run) View() View {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.st.View()
}

// State is what has to survive.
func (r *Run) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	st := r.st
	st.Rows = append([]Row(nil), st.Rows...)
	return st
}

// begin starts an operation; end has to be called.
func (r *Run) begin(ctx context.Context) (context.Context, func()) {
	r.op.Lock()
	ctx, cancel := context.WithCancel(ctx)
	r.mu.Lock()
	r.cancel = cancel
	r.mu.Unlock()
	return ctx, func() {
		cancel()
		r.op.Unlock()
	}
}

// interrupt ends the operation under way.
func (r *Run) interrupt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cancel != nil {
		r.cancel()
	}
}

// change changes the state.
func (r *Run) change(f func(st *State)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.st)
}

// keep saves the state and shows it.
func (r *Run) keep() error {
	st := r.State()
	if r.p.Save != nil {
		if err := r.p.Save(st); err != nil {
			return fmt.Errorf("keeping the change: %w", err)
		}
	}
	if r.p.Progress != nil {
		r.p.Progress(st.View())
	}
	return nil
}

// enter goes on to a phase.
func (r *Run) enter(phase Phase) error {
	r.change(func(st *State) {
		st.Phase = phase
		if phase.Over() {
			st.Ended = r.p.Clock.Now()
		}
	})
	return r.keep()
}

// end ends the change with a reason, which is what it returns, too.
func (r *Run) end(phase Phase, why *Reason) error {
	r.change(func(st *State) { st.Reason = why })
	if err := r.enter(phase); err != nil {
		return err
	}
	return why
}

// set notes where a device stands.
func (r *Run) set(id string, state RowState, why *Reason) {
	r.change(func(st *State) {
		row := st.row(id)
		row.State, row.Reason = state, why
	})
}

// hear notes what every status tells, and returns the reply.
func (r *Run) hear(id string, a reply) {
	if !a.said {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if row := r.st.row(id); row != nil {
		row.Is = a.status.Running
	}
	if len(a.status.Nonce) > 0 {
		r.nonces[id] = nonce{a.status.Nonce, r.p.Clock.Now()}
	}
}

const (
	nonceFresh = settings.NonceLife / 2 * time.Second // how long a nonce is relied on; it lives longer at the device
	justNow    = 30 * time.Second                     // ago devices were looked at, so that they are not looked at again
)

// quote returns the nonces of devices, and those of the devices that gave one lately.
func (r *Run) quote(ids []string, lately time.Duration) (list []byte, have []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		if n, ok := r.nonces[id]; ok && r.p.Clock.Now().Sub(n.at) < lately {
			list, have = append(list, n.bytes...), append(have, id)
		}
	}
	return list, have
}

// sleep waits until t, and no longer than that is away now: a clock that is set back
// makes nobody wait.
func (r *Run) sleep(ctx context.Context, t time.Time) error {
	for left := t.Sub(r.p.Clock.Now()); ; {
		d := min(left, t.Sub(r.p.Clock.Now()), time.Second)
		if d <= 0 {
			return ctx.Err()
		}
		if err := r.p.Clock.Sleep(ctx, d); err != nil {
			return err
		}
		left -= d
	}
}

func (r *Run) draw(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(r.p.Rand, b); err != nil {
		return nil, fmt.Errorf("drawing random bytes: %w", err)
	}
	return b, nil
}
