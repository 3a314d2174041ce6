package rollout_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
	"lamplighter/internal/groupcomm"
	"lamplighter/internal/rollout"
	"lamplighter/internal/sim"
)

// world is the group, its clock and its devices.
type world struct {
	t      *testing.T
	now    time.Time
	rate   float64
	lamps  []*lamp
	byID   map[string]*lamp
	image  []byte
	man    rollout.Manifest
	rng    *rand.Rand
	sent   []firmware.Block // to the group
	single int              // blocks to one device
	asks   int
	paused int // Send fails so often, as the group is paused
	slow   time.Duration
	full   int // Drain says so often that the next hop has refused something
	onSend func(n int)
	onDead func()         // one that is off is asked alone
	most   map[string]int // zone: devices away at a time, at most
}

var envelope = []byte("the manifest")

func newWorld(t *testing.T, n, size int, link func(i int) *sim.Gilbert) *world {
	w := &world{t: t, now: time.Date(2027, 1, 4, 8, 0, 0, 0, time.UTC), rate: 1e6, byID: map[string]*lamp{}, rng: rand.New(rand.NewPCG(1, 2)), most: map[string]int{}}
	w.image = make([]byte, size)
	for i := range w.image {
		w.image[i] = byte(w.rng.Uint32())
	}
	digest := sha256.Sum256(envelope)
	w.man = rollout.Manifest{Digest: digest[:], Image: sha256.Sum256(w.image), Size: size, Sequence: 2, Vendor: bytes.Repeat([]byte{1}, 16), Class: bytes.Repeat([]byte{2}, 16), Version: "2", Signer: []byte("vendor")}
	for i := range n {
		w.add(i, link(i))
	}
	return w
}

func (w *world) add(i int, loss *sim.Gilbert) *lamp {
	l := &lamp{w: w, id: fmt.Sprintf("lamp-%03d", i), zone: fmt.Sprintf("zone-%d", i/10), loss: loss, minimum: 1}
	l.ability = firmware.Ability{Block: 1024, K: 64, Parity: 64, Slot: 1 << 20, Vendor: w.man.Vendor, Class: w.man.Class, Minimum: 1, Anchors: [][]byte{[]byte("vendor")}, Hardware: fmt.Sprintf("r%d", i%3)}
	l.running = firmware.Running{Sequence: 1, Digest: bytes.Repeat([]byte{9}, 8), Version: "1", Boots: 1}
	w.lamps, w.byID[l.id] = append(w.lamps, l), l
	return l
}

// independent and bursts are links that lose 5 %.
func independent(i int) *sim.Gilbert { return sim.NewGilbert(uint64(i), 0.05, 1) }
func bursts(i int) *sim.Gilbert      { return sim.NewGilbert(uint64(i), 0.05, 5) }
func perfect(i int) *sim.Gilbert     { return sim.NewGilbert(uint64(i), 0, 1) }

func (w *world) devices() (list []rollout.Device) {
	for _, l := range w.lamps {
		list = append(list, rollout.Device{ID: l.id, Name: l.id, Zone: l.zone})
	}
	return list
}

func (w *world) params(o rollout.Options) rollout.Params {
	if o.Profile.Rate == 0 {
		o.Profile, _ = rollout.ProfileNamed("wi-fi")
	}
	return rollout.Params{Group: w, Clock: w, Rand: sharedRand{w.rng}, Image: w.image, Envelope: envelope, Manifest: w.man,
		Devices: w.devices(), Options: o, Feeder: bytes.Repeat([]byte{7}, 8), Parallel: 1}
}

type sharedRand struct{ *rand.Rand }

func (r sharedRand) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return len(p), nil
}

// Now and Sleep are the clock.
func (w *world) Now() time.Time { return w.now }

func (w *world) Sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	w.pass(d)
	return nil
}

// pass lets time pass, a little at a time so that what is due comes in order.
func (w *world) pass(d time.Duration) {
	for d > 0 {
		step := min(d, time.Second)
		w.now, d = w.now.Add(step), d-step
		away := map[string]int{}
		for _, l := range w.lamps {
			l.tick()
			if l.state == firmware.Testing || l.now().Before(l.back) {
				away[l.zone]++
			}
		}
		for zone, n := range away {
			w.most[zone] = max(w.most[zone], n)
		}
	}
}

func (w *world) air(bytes int) time.Duration {
	return time.Duration(float64(bytes*8) / w.rate * float64(time.Second))
}

// Send implements [groupcomm.Group].
func (w *world) Send(ctx context.Context, req *coap.Message, copies int) (int, error) {
	if w.paused > 0 {
		w.paused--
		return 0, groupcomm.ErrPaused
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if coap.Path(req) == firmware.PathBlock {
		b, err := firmware.ParseBlock(req.Payload)
		if err != nil {
			w.t.Error(err)
		}
		w.sent = append(w.sent, b)
	}
	size := len(req.Payload) + 80
	w.pass(w.air(size * copies))
	for _, l := range w.lamps {
		heard := false
		for range copies {
			heard = l.hears() || heard
		}
		if heard && !l.noGroup && (l.lose == nil || !l.lose(req)) {
			l.receive(req)
		}
	}
	if w.onSend != nil {
		w.onSend(len(w.sent))
	}
	return size, ctx.Err()
}

// Ask implements [groupcomm.Group].
func (w *world) Ask(ctx context.Context, req *coap.Message, wait time.Duration, each func(groupcomm.Answer)) error {
	w.asks++
	all := true
	for _, l := range w.lamps {
		if !l.hears() || l.noGroup {
			all = false
			continue
		}
		if !l.lag {
			l.catchUp(0)
		}
		l.lag = false
		resp := l.handle(req, true)
		if resp == nil {
			all = false
			continue
		}
		if l.loss.Lost() {
			all = false
			continue
		}
		w.pass(w.air(len(resp.Payload) + 30))
		each(groupcomm.Answer{Device: l.id, Resp: resp, Size: len(resp.Payload) + 30, RTT: 20 * time.Millisecond})
	}
	if !all {
		w.pass(wait)
	}
	return ctx.Err()
}

// Call implements [groupcomm.Group].
func (w *world) Call(ctx context.Context, id string, req *coap.Message) (groupcomm.Answer, error) {
	l := w.byID[id]
	if l == nil || l.left {
		return groupcomm.Answer{}, groupcomm.ErrGone
	}
	if coap.Path(req) == firmware.PathBlock {
		w.single++
	}
	if l.off && w.onDead != nil {
		w.onDead()
	}
	sent, wait := 0, 2*time.Second
	for range 5 {
		if ctx.Err() != nil {
			return groupcomm.Answer{}, ctx.Err()
		}
		sent += len(req.Payload) + 40
		w.pass(20 * time.Millisecond)
		if l.hears() {
			if resp := l.serve(req); !l.loss.Lost() {
				return groupcomm.Answer{Device: id, Resp: resp, Sent: sent, Size: len(resp.Payload) + 20, RTT: 20 * time.Millisecond}, nil
			}
		}
		w.pass(wait)
		wait *= 2
		for range 10 { // of other traffic: a burst of losses does not wait for us
			l.loss.Lost()
		}
	}
	return groupcomm.Answer{}, coap.ErrTimeout
}

// Drain implements [groupcomm.Group].
func (w *world) Drain(ctx context.Context) error {
	w.pass(w.slow)
	if w.full > 0 {
		w.full--
		return fmt.Errorf("%w: too fast", coap.ErrBusy)
	}
	return ctx.Err()
}

// Helpers of tests.

func (w *world) plan(p rollout.Params) *rollout.Plan {
	w.t.Helper()
	plan, err := rollout.NewPlan(context.Background(), p)
	if err != nil {
		w.t.Fatal(err)
	}
	return plan
}

// run does a whole rollout.
func (w *world) run(p rollout.Params) rollout.View {
	w.t.Helper()
	s := rollout.New(w.plan(p))
	if err := s.Run(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	return s.View()
}

// resumed goes on with what was saved until it is over.
func (w *world) resumed(p rollout.Params, saved rollout.State) *rollout.Sender {
	w.t.Helper()
	s, err := rollout.Resume(p, saved)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := s.Run(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// rest checks that every lamp but those named runs the new image, confirmed.
func (w *world) rest(v rollout.View, but ...string) {
	w.t.Helper()
	for _, d := range v.Devices {
		if slices.Contains(but, d.Device) {
			continue
		}
		if l := w.byID[d.Device]; d.State != rollout.Confirmed || l.running.Version != "2" || l.state != firmware.Idle {
			w.t.Errorf("%s: %s (%v), runs %s", d.Device, d.State, d.Problem, l.running.Version)
		}
	}
}

func row(v rollout.View, id string) rollout.DeviceView {
	for _, d := range v.Devices {
		if d.Device == id {
			return d
		}
	}
	return rollout.DeviceView{}
}
