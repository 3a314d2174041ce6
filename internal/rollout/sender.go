// Package rollout sends one firmware image to all devices of a group and switches
// them in waves: source blocks and parity by multicast, sweeps that ask what is
// missing, a pairwise finish for stragglers, then canary, a few, the rest. It knows
// no page: clock, exchange and store are interfaces, and the devices' own state is
// what it goes on from. docs/firmware.md has the protocol.
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
	byID  map[string]int
	fresh bool // what the devices have must be asked first

	mu  sync.Mutex
	st  State // written by Run's goroutine only, under mu
	ctl control

	// Of Run's goroutine.
	shown  time.Time
	next   time.Time     // when the next datagram may leave
	since  int           // bytes since the last drain
	rtt    time.Duration // under mu, too
	answer int           // bytes of an answer to a sweep, about
	swept  int           // blocks that had been sent at the latest sweep
	turn   int           // of the ackers
	acker  chan reply
	roll   roll
	taken  int            // ackers in a row that say that somebody else feeds them
	probes map[string]int // device: how often its probe failed
	places map[uint]int   // block, see firmware.Number: how many had been sent to the group with its latest; under mu
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
	s := &Sender{p: params, l: st.layout(), st: st.clone(), fresh: st.Phase != Planning}
	if err := s.l.Check(); err != nil {
		return nil, fmt.Errorf("going on with a rollout: %w", err)
	}
	if st.Size != len(params.Image) || string(s.l.SessionID(params.Manifest.Digest)) != string(st.Session) ||
		len(st.Generations) != s.l.Generations() || len(st.Todo) != (s.l.Blocks()+7)/8 {
		return nil, ErrImage
	}
	s.ready()
	s.skipParity()
	for i := range s.st.Devices { // which of the blocks they had read when it died nobody knows
		s.st.Devices[i].Based = false
	}
	s.reconcile(params.Devices)
	return s, nil
}

// skipParity passes over parity blocks that may have been sent after the last save: a
// device that has them would gain nothing.
func (s *Sender) skipParity() {
	for g := range s.st.Generations {
		if gen := &s.st.Generations[g]; gen.Parity > 0 || gen.Owed > 0 {
			gen.First = firmware.MaxK + (gen.First-firmware.MaxK+gen.Parity+window)%allParity
			gen.Parity = 0
		}
	}
}

func (s *Sender) ready() {
	s.st.Waits = false // Run finds out whether it still does
	s.ctl.wake, s.ctl.paused = make(chan struct{}, 1), s.st.Paused
	s.answer, s.probes = firmware.OverheadAnswer+16+s.l.Generations(), map[string]int{}
	s.places, s.roll.absent = map[uint]int{}, map[string]int{}
	s.index()
}

// index numbers the devices.
func (s *Sender) index() {
	s.byID = make(map[string]int, len(s.st.Devices))
	for i, d := range s.st.Devices {
		s.byID[d.ID] = i
	}
}

// reconcile compares the group's devices with those of the state.
func (s *Sender) reconcile(devices []Device) {
	there := map[string]bool{}
	for _, d := range devices {
		there[d.ID] = true
		if s.device(d.ID) == nil {
			s.ctl.joins = append(s.ctl.joins, d)
		}
	}
	for _, d := range s.st.Devices {
		if !there[d.ID] && len(devices) > 0 {
			s.ctl.leaves = append(s.ctl.leaves, d.ID)
		}
	}
}

// Run does the rollout until its end: nil when it is over, whatever the outcome
// (see [Sender.View]), [ErrAborted] after an abort. It fails with ctx's error when
// that ended before and with what Save fails with; then Resume goes on.
func (s *Sender) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.ctl.running {
		s.mu.Unlock()
		return errors.New("the rollout runs already")
	}
	s.ctl.running = true
	s.mu.Unlock()
	inner, cancel := context.WithCancel(ctx)
	err := s.run(inner)
	cancel()
	if s.acker != nil { // nothing of a sender goes on after it
		<-s.acker
		s.acker = nil
	}
	if s.roll.answer != nil {
		<-s.roll.answer
		s.roll.answer = nil
	}
	if errors.Is(err, errTaken) {
		err = s.yield()
	}
	if errors.Is(err, ErrAborted) {
		err = s.abort(ctx)
	}
	s.mu.Lock()
	s.ctl.running = false
	s.mu.Unlock()
	s.show(true)
	return err
}

func (s *Sender) run(ctx context.Context) error {
	if s.st.Phase.Over() {
		return nil
	}
	for _, step := range []func(context.Context) error{s.gate, s.newcomers, s.begin, s.pass, s.repair, s.switchAll, s.revive} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return s.end()
}

// enter begins a phase.
func (s *Sender) enter(p Phase) error {
	s.mu.Lock()
	s.st.Phase = p
	if p.Over() {
		s.st.Ended, s.st.Waits = s.p.Clock.Now(), false
	}
	s.mu.Unlock()
	if err := s.keep(); err != nil {
		return err
	}
	s.show(true)
	return nil
}

// end says how it went.
func (s *Sender) end() error {
	if s.st.Phase.Over() {
		return nil
	}
	if s.countState(Confirmed) > 0 {
		return s.enter(Done)
	}
	s.mu.Lock()
	s.blame("", reasonNobody)
	s.mu.Unlock()
	return s.enter(Failed)
}

// State is what must be kept to go on later.
func (s *Sender) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.st.clone()
}

// list returns the devices in one of the states, in their order.
func (s *Sender) list(states ...DeviceState) (ids []string) {
	for i := range s.st.Devices {
		for _, state := range states {
			if s.st.Devices[i].State == state {
				ids = append(ids, s.st.Devices[i].ID)
			}
		}
	}
	return ids
}

func (s *Sender) countState(states ...DeviceState) int { return len(s.list(states...)) }

// taking is how many devices take blocks or may do so yet.
func (s *Sender) taking() int { return s.countState(Waiting, Receiving) }

// fail notes why a device takes no further part. Under mu.
func (s *Sender) fail(d *DeviceRecord, state DeviceState, why *Reason) {
	d.State, d.Reason = state, why
	s.blame(d.ID, why)
}

// blame keeps the first failure. Under mu.
func (s *Sender) blame(device string, why *Reason) {
	if s.st.Problem == nil {
		s.st.Problem, s.st.ProblemDevice = why, device
	}
}
