package rollout_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
	"lamplighter/internal/rollout"
	"lamplighter/internal/sim"
)

// lamp is a device that counts blocks instead of decoding them: quick, and it lies and
// breaks as it is told. TestRealFleet has the real ones.
type lamp struct {
	w       *world
	id      string
	zone    string
	loss    *sim.Gilbert
	ability firmware.Ability

	// Faults.
	off, lies, left bool
	bootLoop        bool
	badFlash        int // it fails after so many blocks; 0: never
	deaf            int // datagrams it does not hear yet
	foreign         []byte

	state     firmware.State
	result    firmware.Result
	running   firmware.Running
	before    firmware.Running
	minimum   uint64
	staged    bool
	session   []byte
	layout    firmware.Layout
	source    [][]bool
	parity    []map[uint]bool
	heard     uint
	nonce     []byte
	quoted    []byte
	switchAt  time.Time
	within    time.Duration
	revertAt  time.Time
	back      time.Time // it is away until then
	switched  time.Time
	activated bool
	again     int // blocks of generations that it had already
}

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
	onSend func(n int)
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

// Send implements [rollout.Group].
func (w *world) Send(ctx context.Context, req *coap.Message, copies int) (int, error) {
	if w.paused > 0 {
		w.paused--
		return 0, rollout.ErrPaused
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
		if heard {
			l.serve(req)
		}
	}
	if w.onSend != nil {
		w.onSend(len(w.sent))
	}
	return size, ctx.Err()
}

// Ask implements [rollout.Group].
func (w *world) Ask(ctx context.Context, req *coap.Message, wait time.Duration, each func(rollout.Answer)) error {
	w.asks++
	all := true
	for _, l := range w.lamps {
		if !l.hears() {
			all = false
			continue
		}
		resp := l.serve(req)
		if l.loss.Lost() {
			all = false
			continue
		}
		w.pass(w.air(len(resp.Payload) + 30))
		each(rollout.Answer{Device: l.id, Resp: resp, Size: len(resp.Payload) + 30, RTT: 20 * time.Millisecond})
	}
	if !all {
		w.pass(wait)
	}
	return ctx.Err()
}

// Call implements [rollout.Group].
func (w *world) Call(ctx context.Context, id string, req *coap.Message) (rollout.Answer, error) {
	l := w.byID[id]
	if l == nil || l.left {
		return rollout.Answer{}, rollout.ErrGone
	}
	if coap.Path(req) == firmware.PathBlock {
		w.single++
	}
	sent, wait := 0, 2*time.Second
	for range 5 {
		if ctx.Err() != nil {
			return rollout.Answer{}, ctx.Err()
		}
		sent += len(req.Payload) + 40
		w.pass(20 * time.Millisecond)
		if l.hears() {
			if resp := l.serve(req); !l.loss.Lost() {
				return rollout.Answer{Device: id, Resp: resp, Sent: sent, Size: len(resp.Payload) + 20, RTT: 20 * time.Millisecond}, nil
			}
		}
		w.pass(wait)
		wait *= 2
		for range 10 { // of other traffic: a burst of losses does not wait for us
			l.loss.Lost()
		}
	}
	return rollout.Answer{}, coap.ErrTimeout
}

// Drain implements [rollout.Group].
func (w *world) Drain(ctx context.Context) error {
	w.pass(w.slow)
	return ctx.Err()
}

func (l *lamp) now() time.Time { return l.w.now }

func (l *lamp) hears() bool {
	lost := l.loss.Lost()
	if l.deaf > 0 {
		l.deaf--
		return false
	}
	return !lost && !l.off && !l.left && !l.now().Before(l.back)
}

// tick does what is due.
func (l *lamp) tick() {
	switch {
	case l.off:
	case l.state == firmware.Updating && !l.now().Before(l.switchAt):
		l.boot()
	case l.state == firmware.Testing && !l.now().Before(l.revertAt):
		l.goBack(firmware.ResultReverted)
	}
}

func (l *lamp) boot() {
	l.switched, l.activated = l.switchAt, true
	l.before = l.running
	l.back = l.now().Add(2 * time.Second)
	l.running.Boots++
	if l.bootLoop {
		l.running.Boots += 3
		l.state, l.result, l.session = firmware.Idle, firmware.ResultBootLoop, nil
		return
	}
	l.running.Sequence, l.running.Digest, l.running.Version = l.w.man.Sequence, l.w.man.Image[:8], l.w.man.Version
	l.state, l.revertAt = firmware.Testing, l.now().Add(l.within)
}

func (l *lamp) goBack(why firmware.Result) {
	boots := l.running.Boots + 1
	l.running = l.before
	l.running.Boots, l.state, l.result, l.session = boots, firmware.Idle, why, nil
	l.back = l.now().Add(2 * time.Second)
}

func (l *lamp) serve(req *coap.Message) *coap.Message {
	switch coap.Path(req) {
	case firmware.PathStatus:
		r, err := firmware.ParseStatusRequest(req.Payload)
		if err != nil {
			return coap.Problem(coap.BadRequest, err.Error())
		}
		st := l.status(r)
		return coap.Respond(coap.Content, coap.FormatCBOR, st.Append(nil))
	case firmware.PathManifest:
		l.staged = true
		return coap.Respond(coap.Changed, coap.NoFormat, nil)
	case firmware.PathSession:
		return l.openSession(req.Payload)
	case firmware.PathBlock:
		return l.block(req.Payload)
	}
	return l.activate(req.Payload)
}

func (l *lamp) status(r firmware.StatusRequest) firmware.Status {
	st := firmware.Status{State: l.state}
	mine := l.session != nil && (len(r.Session) == 0 || bytes.Equal(r.Session, l.session))
	if l.state == firmware.Downloaded || l.state == firmware.Updating {
		st.Ready = l.w.man.Image[:8]
		if l.lies {
			st.Ready = bytes.Repeat([]byte{0xee}, 8)
		}
	}
	if r.Fields&firmware.FieldRunning != 0 {
		running := l.running
		st.Running = &running
	}
	if r.Fields&firmware.FieldProgress != 0 {
		st.Result = l.result
		if mine {
			st.Session, st.Heard = l.session, l.heard
			for g := range l.source {
				st.Deficits = append(st.Deficits, byte(l.deficit(g)))
			}
		}
	}
	if r.Fields&firmware.FieldMissing != 0 && mine {
		st.Session, st.Missing = l.session, l.missing()
	}
	if r.Fields&firmware.FieldAbility != 0 {
		a := l.ability
		st.Ability = &a
	}
	if r.Fields&firmware.FieldNonce != 0 {
		l.nonce = binary.BigEndian.AppendUint64(nil, l.w.rng.Uint64())
		st.Nonce = l.nonce
	}
	if r.Fields&firmware.FieldFeeder != 0 && l.foreign != nil {
		st.Feeder, st.FedAgo = l.foreign, 5
	}
	return st
}

func (l *lamp) openSession(body []byte) *coap.Message {
	r, err := firmware.ParseSessionRequest(body)
	if err != nil {
		return coap.Problem(coap.BadRequest, err.Error())
	}
	if r.Op == firmware.OpAbort {
		if l.state != firmware.Testing && bytes.Equal(l.session, r.Session) {
			l.state, l.session, l.result = firmware.Idle, nil, firmware.ResultCanceled
		}
		return coap.Respond(coap.Changed, coap.NoFormat, nil)
	}
	if bytes.Equal(l.session, r.Session) {
		return coap.Respond(coap.Changed, coap.NoFormat, nil)
	}
	if l.session != nil && l.foreign != nil { // fed a moment ago
		return coap.Problem(coap.Conflict, "The device receives another image.")
	}
	if !l.staged || l.running.Sequence >= l.w.man.Sequence {
		return coap.Problem(coap.PreconditionFailed, "The manifest has to come first.")
	}
	l.layout = firmware.Layout{Size: len(l.w.image), Block: int(r.Block), K: int(r.K)}
	l.session, l.state, l.result, l.heard = r.Session, firmware.Downloading, firmware.ResultNone, 0
	l.source, l.parity = nil, nil
	for g := range l.layout.Generations() {
		_, k := l.layout.Generation(g)
		l.source, l.parity = append(l.source, make([]bool, k)), append(l.parity, map[uint]bool{})
	}
	return coap.Respond(coap.Changed, coap.NoFormat, nil)
}

func (l *lamp) deficit(g int) int {
	n := len(l.source[g]) - len(l.parity[g])
	for _, have := range l.source[g] {
		if have {
			n--
		}
	}
	return max(n, 0)
}

func (l *lamp) missing() []byte {
	bitmap := make([]byte, (l.layout.Blocks()+7)/8)
	for b := range l.layout.Blocks() {
		if g, i := l.layout.Place(b); !l.source[g][i] {
			bitmap[b/8] |= 0x80 >> (b % 8)
		}
	}
	return bitmap
}

func (l *lamp) block(body []byte) *coap.Message {
	b, err := firmware.ParseBlock(body)
	if err != nil || !bytes.Equal(b.Session, l.session) {
		return coap.Problem(coap.PreconditionFailed, "not open")
	}
	if b.Index >= firmware.MaxK && l.ability.Parity == 0 {
		return coap.Problem(coap.NotImplemented, "no decoder")
	}
	l.heard++
	if l.state != firmware.Downloading || l.deficit(int(b.Generation)) == 0 {
		l.again++
		return coap.Respond(coap.Changed, coap.NoFormat, nil)
	}
	if l.badFlash > 0 && int(l.heard) >= l.badFlash {
		l.state, l.result, l.session = firmware.Idle, firmware.ResultFailed, nil
		return coap.Problem(coap.InternalServerError, "flash")
	}
	if b.Index < firmware.MaxK {
		first, _ := l.layout.Generation(int(b.Generation))
		at := (first + int(b.Index)) * l.layout.Block
		if !bytes.Equal(b.Bytes, l.w.image[at:at+l.layout.Length(first+int(b.Index))]) {
			l.w.t.Errorf("block %d of generation %d has other bytes", b.Index, b.Generation)
		}
		l.source[b.Generation][b.Index] = true
	} else {
		l.parity[b.Generation][b.Index] = true
	}
	if l.deficit(int(b.Generation)) == 0 {
		for i := range l.source[b.Generation] {
			l.source[b.Generation][i] = true
		}
		clear(l.parity[b.Generation])
	}
	for g := range l.source {
		if l.deficit(g) > 0 {
			return coap.Respond(coap.Changed, coap.NoFormat, nil)
		}
	}
	l.state = firmware.Downloaded
	return coap.Respond(coap.Changed, coap.NoFormat, nil)
}

func (l *lamp) activate(body []byte) *coap.Message {
	r, err := firmware.ParseActivateRequest(body)
	if err != nil {
		l.w.t.Error(err)
		return coap.Problem(coap.BadRequest, err.Error())
	}
	refused := coap.Problem(coap.PreconditionFailed, "no")
	repeats := l.state == firmware.Updating && r.Mode == firmware.ModeTest && r.Quotes(l.quoted)
	if !repeats && !r.Quotes(l.nonce) {
		return refused
	}
	if !repeats {
		l.quoted, l.nonce = l.nonce, nil
	}
	switch {
	case r.Mode == firmware.ModeTest:
		if l.state != firmware.Downloaded && !repeats || l.lies || !bytes.Equal(r.Digest, l.w.man.Image[:8]) {
			l.w.t.Errorf("%s was told to switch in state %d, lies %v", l.id, l.state, l.lies)
			return refused
		}
		at := l.now().Add(time.Duration(r.In) * time.Millisecond)
		if !repeats || at.Before(l.switchAt) {
			l.switchAt = at
		}
		l.state, l.within = firmware.Updating, time.Duration(r.Within)*time.Second
	case r.Mode == firmware.ModeConfirm && l.state == firmware.Testing:
		l.state, l.result, l.session, l.minimum = firmware.Idle, firmware.ResultSuccess, nil, l.running.Sequence
	case r.Mode == firmware.ModeRevert && l.state == firmware.Testing:
		l.goBack(firmware.ResultReverted)
	case r.Mode == firmware.ModeCancel && l.state == firmware.Updating:
		l.state = firmware.Downloaded
	default:
		return refused
	}
	return coap.Respond(coap.Changed, coap.NoFormat, nil)
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
