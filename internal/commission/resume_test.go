package commission

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// TestHandoverOfNoUse finds a handover whose token is over, and one that the
// device does not take: both devices are joined anew, once.
func TestHandoverOfNoUse(t *testing.T) {
	w := newWorld(t, 2)
	b := w.enrolled()
	if j := b.job(b.Claim(t.Context(), w.ids())); j.State != JobDone {
		t.Fatal(b.failures(j))
	}
	s := b.current()
	for i, expires := range []int64{w.now().Unix() - 1, w.now().Unix() + 1000} {
		d, err := s.device(w.lamps[i].id())
		b.must(nil, err)
		b.must(nil, s.updateDevice(t.Context(), d, func(r *deviceRecord) {
			r.Handover = &handover{Group: hall, Payload: []byte{0xa0}, SenderID: []byte{1}, Expires: uint64(expires)}
		}))
	}
	b.joined()
	b.verified(2)
	for _, d := range s.devices {
		if d.rec.Handover != nil {
			t.Error("a handover is left")
		}
	}
	if got := len(w.members(hall)); got != 3 {
		t.Errorf("%d members", got)
	}
}

// TestHandoverOfAnotherGroup: keys of one group that are still on their way do not
// end a job for another.
func TestHandoverOfAnotherGroup(t *testing.T) {
	w := newWorld(t, 1)
	block := &refuser{Exchanger: w.net.From(browserAddr)}
	b := w.enrolled(func(c *Config) { c.Exchange = block })
	b.joined()
	s := b.current()
	d, err := s.device(w.lamps[0].id())
	b.must(d, err)
	// The device has taken the keys of stage, but the browser never heard so.
	var kept *handover
	block.lose(w.lamps[0].addr, func() bool {
		if h := s.of(d).Handover; h != nil {
			kept = h
		}
		return kept != nil
	})
	if j := b.job(b.Join(t.Context(), stage, w.ids())); j.State != JobFailed || kept == nil || s.of(d).Handover == nil {
		t.Fatalf("no handover is left: %s", b.failures(j))
	}
	block.lose(w.lamps[0].addr, nil)
	before := w.members(hall)[w.lamps[0].id()]
	j := b.job(b.Join(t.Context(), hall, w.ids()))
	if j.State != JobDone || s.of(d).Handover != nil || s.of(d).in(stage) == nil {
		t.Errorf("%s", b.failures(j))
	}
	if after := w.members(hall)[w.lamps[0].id()]; string(after.SenderID) != string(before.SenderID) {
		t.Errorf("it was joined to %s again: Sender ID %x, then %x", hall, before.SenderID, after.SenderID)
	}
}

// refuser times exchanges with one address out while a condition holds.
type refuser struct {
	coap.Exchanger
	mu   sync.Mutex
	addr netip.AddrPort
	when func() bool
}

func (r *refuser) lose(addr netip.AddrPort, when func() bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addr, r.when = addr, when
}

func (r *refuser) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	r.mu.Lock()
	lost := r.when != nil && to == r.addr && r.when()
	r.mu.Unlock()
	if lost {
		return nil, coap.ErrTimeout
	}
	return r.Exchanger.Exchange(ctx, to, req)
}

// fullStore writes nothing while it is full.
type fullStore struct {
	store.Store
	full atomic.Bool
}

func (f *fullStore) Update(ctx context.Context, fn func(store.Tx) error) error {
	if f.full.Load() {
		return errors.New("no space left")
	}
	return f.Store.Update(ctx, fn)
}

// TestRetryWithoutSpace: a retry that could not be saved can be asked for again.
func TestRetryWithoutSpace(t *testing.T) {
	w := newWorld(t, 1)
	disk := &fullStore{Store: store.NewMemory()}
	b := w.enrolled(func(c *Config) { c.Store = disk })
	w.net.Down(w.lamps[0].addr, true)
	j := b.job(b.Join(t.Context(), hall, w.ids()))
	if j.State != JobFailed {
		t.Fatal(b.failures(j))
	}
	w.net.Down(w.lamps[0].addr, false)
	disk.full.Store(true)
	if _, err := b.RetryJob(t.Context(), j.ID); asProblem(err).ID != errStorage.ID {
		t.Errorf("err = %v", err)
	}
	disk.full.Store(false)
	if j = b.job(b.RetryJob(t.Context(), j.ID)); j.State != JobDone {
		t.Error(b.failures(j))
	}
}

// TestForgetDuringJob: a device that is just being claimed is not forgotten, for
// its owner key would be.
func TestForgetDuringJob(t *testing.T) {
	w := newWorld(t, 1)
	g := &gate{Exchanger: w.net.From(browserAddr), armed: make(chan struct{}), caught: make(chan struct{}), opened: make(chan struct{})}
	b := w.enrolled(func(c *Config) { c.Exchange = g })
	close(g.armed)
	j, err := b.Claim(t.Context(), w.ids())
	b.must(j, err)
	<-g.caught
	if err := b.Forget(t.Context(), w.ids()); !errors.Is(err, errInJob) {
		t.Errorf("err = %v", err)
	}
	close(g.opened)
	if j = b.job(j, nil); j.State != JobDone {
		t.Error(b.failures(j))
	}
}

// TestForgottenByAS: a device that the Authorization Server has lost is registered
// again.
func TestForgottenByAS(t *testing.T) {
	w := newWorld(t, 1)
	b := w.enrolled()
	if j := b.job(b.Claim(t.Context(), w.ids())); j.State != JobDone {
		t.Fatal(b.failures(j))
	}
	s := b.current()
	b.must(nil, call(t.Context(), &s.as, coap.DELETE, "/devices/"+w.lamps[0].id(), nil, nil))
	b.joined()
	b.verified(1)
}

// gate holds the first unicast request to a device back until it is opened, and then
// times it out.
type gate struct {
	coap.Exchanger
	once   sync.Once
	armed  chan struct{} // closed: from now on
	caught chan struct{}
	opened chan struct{}
}

func (g *gate) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	first := false
	select {
	case <-g.armed:
		if to != asAddr && to != gmAddr { // those are asked in the background, too
			g.once.Do(func() { first = true })
		}
	default:
	}
	if first {
		close(g.caught)
		<-g.opened
		return nil, coap.ErrTimeout
	}
	return g.Exchanger.Exchange(ctx, to, req)
}

// TestSuperseded: a command that a newer one has overtaken is not repeated to the
// devices that missed it. DESIGN S5.
func TestSuperseded(t *testing.T) {
	w := newWorld(t, 4)
	g := &gate{Exchanger: w.net.From(browserAddr), armed: make(chan struct{}), caught: make(chan struct{}), opened: make(chan struct{})}
	b := w.enrolled(func(c *Config) { c.Exchange, c.Tuning.Follow, c.Tuning.FollowUp = g, 1, 10*time.Second })
	b.joined()
	for _, l := range w.lamps[:3] {
		w.net.Down(l.addr, true)
	}
	close(g.armed)
	off, on := false, true
	older := make(chan RollCall)
	go func() {
		call, _ := b.SetLight(context.Background(), hall, Light{On: &off})
		older <- call
	}()
	<-g.caught
	for _, l := range w.lamps[:3] {
		w.net.Down(l.addr, false)
	}
	if call, err := b.SetLight(t.Context(), hall, Light{On: &on}); err != nil || call.Verified != 4 {
		t.Fatalf("the newer command: %+v, %v", call, err)
	}
	close(g.opened)
	if call := <-older; call.Unicasts != 1 || call.Verified != 1 {
		t.Errorf("the older command went on: %d unicasts, %d verified", call.Unicasts, call.Verified)
	}
	for _, l := range w.lamps {
		if !l.State().Light.On {
			t.Errorf("%s was switched off by the older command", l.id())
		}
	}
	if r := b.Snapshot().Groups[0].RollCall; r == nil || r.Verified != 4 {
		t.Errorf("the view shows the older command: %+v", r)
	}
}

// TestOldJobsGo keeps the newest jobs only.
func TestOldJobsGo(t *testing.T) {
	w := newWorld(t, 1)
	b := w.enrolled()
	for range maxJobs + 3 {
		b.job(b.Claim(t.Context(), w.ids()))
		w.advance(time.Second)
	}
	jobs := b.Snapshot().Jobs
	if len(jobs) != maxJobs || jobs[0].Started < jobs[1].Started {
		t.Errorf("%d jobs", len(jobs))
	}
	again := w.engine(b.store)
	if n := len(again.Snapshot().Jobs); n != maxJobs {
		t.Errorf("%d jobs are stored", n)
	}
}
