package rollout

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"lamplighter/internal/firmware"
)

// ErrAborted says that the rollout was aborted.
var ErrAborted = errors.New("the rollout was aborted")

const pausedWait = 5 * time.Second // between looks whether a paused group goes on

// Sender is one rollout. Run does the work; the other methods may be called
// meanwhile from anywhere.
type Sender struct {
	p     Params
	l     firmware.Layout
	fresh bool // what the devices have must be asked first

	mu      sync.Mutex
	st      State // written by Run's goroutine only, under mu
	ctl     control
	byID    map[string]int
	shown   time.Time
	bucket  bucket
	rtt     time.Duration
	answer  int // bytes of an answer to a sweep
	rotate  int // of the acker
	pending chan reply
}

// New makes a rollout from a plan.
func New(plan *Plan) *Sender {
	s := &Sender{p: plan.params, l: plan.Layout, fresh: plan.Started}
	s.st = plan.state()
	s.ready()
	return s
}

// Resume goes on with a rollout whose state was saved. Devices that have left or
// joined the group since are dealt with; what the others have they are asked.
func Resume(params Params, st State) (*Sender, error) {
	params.Options = st.Options
	params = params.withDefaults()
	if err := params.check(); err != nil {
		return nil, err
	}
	s := &Sender{p: params, l: st.layout(), st: st, fresh: true}
	if err := s.l.Check(); err != nil {
		return nil, fmt.Errorf("going on with a rollout: %w", err)
	}
	if string(s.l.SessionID(params.Manifest.Digest)) != string(st.Session) {
		return nil, ErrImage
	}
	s.ready()
	s.reconcile(params.Devices)
	return s, nil
}

// Run does the rollout until its end: nil when it is over, whatever the outcome
// (see [Sender.View]); ctx's error when that ended before, and then Resume goes on.
func (s *Sender) Run(ctx context.Context) error {
	return errors.New("not built yet")
}

// State is what must be kept to go on later.
func (s *Sender) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.st.clone()
}
