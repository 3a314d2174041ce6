package commission

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/sim"
	"lamplighter/internal/store"
)

var errKilled = errors.New("killed")

// mortal is the store and the network of an engine that dies at its n-th durable
// write, just before or just after it. What is dead neither writes nor sends.
type mortal struct {
	store.Store
	coap.Exchanger

	mu     sync.Mutex
	left   int  // writes until death
	before bool // the last one is not done
	dead   chan struct{}
}

func newMortal(db store.Store, ex coap.Exchanger, writes int, before bool) *mortal {
	return &mortal{Store: db, Exchanger: ex, left: writes, before: before, dead: make(chan struct{})}
}

func (m *mortal) gone() bool {
	select {
	case <-m.dead:
		return true
	default:
		return false
	}
}

func (m *mortal) Update(ctx context.Context, fn func(store.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone() {
		return errKilled
	}
	m.left--
	if m.left > 0 {
		return m.Store.Update(ctx, fn)
	}
	defer close(m.dead)
	if !m.before {
		m.Store.Update(ctx, fn)
	}
	return errKilled
}

func (m *mortal) View(ctx context.Context, fn func(store.Tx) error) error {
	if m.gone() {
		return errKilled
	}
	return m.Store.View(ctx, fn)
}

func (m *mortal) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	if m.gone() {
		return nil, errKilled
	}
	resp, err := m.Exchanger.Exchange(ctx, to, req)
	if m.gone() {
		return nil, errKilled
	}
	return resp, err
}

func (m *mortal) Multicast(ctx context.Context, to netip.AddrPort, req *coap.Message, wait time.Duration, each func(*coap.Message, netip.AddrPort)) error {
	if m.gone() {
		return errKilled
	}
	return m.Exchanger.Multicast(ctx, to, req, wait, each)
}

func (m *mortal) Close() error { return nil }

// TestKilledAtEveryWrite kills the engine before and after each of its durable
// writes, from the invitation to the roll call, and goes on with what is stored:
// everybody is joined, once.
func TestKilledAtEveryWrite(t *testing.T) {
	atEveryWrite(t, killAt)
}

// atEveryWrite kills an engine before and after its nth durable write, for each n until
// it makes fewer.
func atEveryWrite(t *testing.T, kill func(t *testing.T, n int, before bool) (survived bool)) {
	for _, before := range []bool{false, true} {
		for n := 1; ; n++ {
			survived := false
			t.Run(fmt.Sprintf("write %d, before %v", n, before), func(t *testing.T) { survived = kill(t, n, before) })
			if survived || t.Failed() {
				break
			}
		}
	}
}

// killAt reports whether the engine made fewer than n writes.
func killAt(t *testing.T, n int, before bool) (survived bool) {
	const lamps = 3
	w := newWorld(t, lamps)
	w.net.SetFaults(sim.Faults{Loss: 0.1})
	db := store.NewMemory()
	invitation := w.invite("Ann")
	m := newMortal(db, w.net.From(browserAddr), n, before)
	first := w.engine(db, func(c *Config) { c.Store, c.Exchange = m, m })
	walked := make(chan bool, 1)
	go func() { walked <- first.walk(invitation) }()
	select {
	case survived = <-walked:
	case <-m.dead:
	}
	first.Close()

	second := w.engine(db)
	for range 3 { // what a person would do: repeat what failed
		if second.walk(invitation) {
			break
		}
	}
	second.verified(lamps)
	if got := len(w.members(hall)); got != lamps+1 {
		t.Errorf("the Group Manager has %d members", got)
	}
	for _, j := range second.Snapshot().Jobs {
		if j.State != JobDone || j.Done != lamps {
			t.Errorf("job %s is %s", j.Kind, second.failures(j))
		}
	}
	return survived
}

// walk goes the whole path as far as it gets.
func (b *browser) walk(invitation string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := b.AcceptInvitation(ctx, invitation); err != nil {
		return false
	}
	if _, err := b.ImportLabels(ctx, b.w.table()); err != nil {
		return false
	}
	job, err := b.Join(ctx, hall, b.w.ids())
	if err != nil {
		return false
	}
	for _, j := range append(b.Snapshot().Jobs, job) { // also those of the engine that died
		if j, err = b.WaitJob(ctx, j.ID); err != nil || j.State != JobDone {
			return false
		}
	}
	call, err := b.RollCall(ctx, hall)
	return err == nil && call.Verified == len(b.w.lamps)
}
