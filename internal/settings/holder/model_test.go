package holder

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"lamplighter/internal/settings"
)

// world is one device, senders, and a network that loses, repeats and holds back.
type world struct {
	*rig
	rng     *rand.Rand
	ref     reference
	clock   bool
	nonces  [3]string // that the senders have heard, newest
	digests [3][]byte // of what ran, or of the candidate, as they have heard
	txns    [3][]byte
	eager   int // messages that ask for no nonce first, after a way back
	count   uint32
	who     int                    // whose turn it is
	held    []settings.Transaction // on their way, or held back

	confirms, trials, crashes int
}

// one is one random thing that happens.
func (w *world) one() {
	if w.rng.IntN(60) == 0 {
		w.who = w.rng.IntN(3)
	}
	who := w.who
	if w.rng.IntN(8) == 0 { // two at once
		who = w.rng.IntN(3)
	}
	switch w.rng.IntN(12) {
	case 0: // asks
		w.ask(who)
	case 1, 2, 3, 4, 5, 6:
		w.held = append(w.held, w.message(who))
		w.deliver(len(w.held) - 1)
	case 7: // what was held back, or is repeated
		if len(w.held) > 0 {
			w.deliver(w.rng.IntN(len(w.held)))
		}
	case 8:
		w.wait(time.Duration(w.rng.IntN(200)) * time.Second / 2)
	case 9:
		if w.rng.IntN(4) == 0 {
			w.wait(time.Duration(w.rng.IntN(25)) * time.Hour)
		}
	case 10:
		w.cut()
	case 11:
		if w.rng.IntN(2) == 0 {
			w.wall = w.wall.Add(time.Duration(w.rng.IntN(1200)-600) * time.Second)
			w.wait(0)
		}
	}
	if len(w.held) > 20 {
		w.held = w.held[1:]
	}
}

// ask asks for a nonce; the answer may be lost.
func (w *world) ask(who int) {
	s := w.status(settings.StatusRequest{Fields: settings.FieldNonce})
	w.ref.nonce, w.ref.given = string(s.Nonce), w.up
	if w.rng.IntN(10) > 0 {
		w.nonces[who], w.digests[who] = string(s.Nonce), s.Running
		if w.rng.IntN(3) == 0 && s.Candidate != nil {
			w.digests[who] = s.Candidate
		}
	}
}

// wait lets time go by. At times the store fails at what is due, which is then done a
// little later.
func (w *world) wait(d time.Duration) {
	if w.rng.IntN(10) == 0 {
		*w.store = cutting{Store: w.store.Store, before: 1}
	}
	w.pass(d)
	failed := w.store.before > 0 && w.store.writes > 0
	*w.store = cutting{Store: w.store.Store}
	if failed {
		w.check()
		w.pass(again)
	}
	before := w.ref.state
	w.ref.tick(w.up, w.wall)
	if before == settings.Trial && w.ref.state == settings.Idle {
		w.eager = 2
	}
}

// message is what a sender says next: most often what makes sense.
func (w *world) message(who int) settings.Transaction {
	if w.txns[who] == nil || string(w.txns[who]) == w.ref.last && w.rng.IntN(3) > 0 || w.rng.IntN(40) == 0 {
		w.count++
		w.txns[who] = binary.BigEndian.AppendUint32(nil, w.count)
	}
	t := settings.Transaction{Txn: w.txns[who], Mode: settings.Mode(1 + w.rng.IntN(6))}
	switch w.ref.state {
	case settings.Idle:
		t.Mode = min(t.Mode, 1+settings.Mode(w.rng.IntN(6)))
	case settings.Scheduled:
		if w.rng.IntN(3) > 0 {
			t.Mode = settings.ModeCommit
		}
	case settings.Staged:
		if w.rng.IntN(2) == 0 {
			t.Mode = settings.ModeCommit
		}
	case settings.Trial:
		if w.rng.IntN(3) == 0 {
			t.Mode = settings.ModeConfirm
		}
	}
	if w.eager > 0 {
		w.eager--
		t.Mode = map[bool]settings.Mode{true: settings.ModeStage, false: settings.ModeCommit}[w.ref.state == settings.Idle]
	}
	if t.Mode <= settings.ModeStage {
		t.Schema, t.Patch = 3, settings.Map{1: int64(w.rng.IntN(24) * 5), 2: w.rng.IntN(2) == 0, 3: "x"}
		if w.rng.IntN(3) > 0 {
			t.Base = w.digests[who]
		}
		return t
	}
	if w.eager == 0 && w.rng.IntN(4) > 0 {
		w.ask(who)
	}
	t.Nonces = append([]byte("none"), w.nonces[who]...)
	if t.Mode == settings.ModeCommit {
		t.Within = uint(w.rng.IntN(3) * 100)
		switch w.rng.IntN(4) {
		case 0:
			t.In = uint(w.rng.IntN(100_000))
		case 1:
			t.At = uint64(w.wall.Unix() + int64(w.rng.IntN(120)) - 5)
		}
	}
	return t
}

// deliver brings a message to the device once or twice. At times the power is cut at
// the write.
func (w *world) deliver(i int) {
	if w.rng.IntN(6) == 0 {
		return // lost
	}
	t, many := w.held[i], w.rng.IntN(2) == 0
	if w.rng.IntN(25) == 0 {
		w.crash(t, many)
		return
	}
	for range 1 + w.rng.IntN(2) {
		s, failed := w.try(w.rng.IntN(25) == 0, t, many)
		if failed {
			w.ref.use(t, w.up)
			if s == nil || s.Result != settings.ResultStore || s.State != w.ref.state {
				w.t.Fatalf("%s of %x (%v): answered %+v, and the store failed", t.Mode, t.Txn, many, s)
			}
			w.check()
			continue
		}
		before, last := w.ref.state, w.ref.last
		want, ok := w.ref.step(t, many, w.up, w.wall, w.clock)
		if (s != nil) != ok || ok && (s.Result != want || s.State != w.ref.state) {
			w.t.Fatalf("%s of %x (%v): answered %+v, want %v, %v, %v", t.Mode, t.Txn, many, s, want, ok, w.ref.state)
		}
		w.told(t, s)
		if before != settings.Trial && w.ref.state == settings.Trial {
			w.trials++
		}
		if w.ref.last != last && w.ref.end == settings.ResultConfirmed {
			w.confirms++
		}
		w.check()
	}
}

// try posts a step, and may have the store fail with the power on; failed says whether
// it did.
func (w *world) try(fail bool, t settings.Transaction, many bool) (s *settings.Status, failed bool) {
	if fail {
		*w.store = cutting{Store: w.store.Store, before: 1}
	}
	s = w.post(t, many)
	failed = fail && w.store.writes > 0
	*w.store = cutting{Store: w.store.Store}
	return s, failed
}

// crash cuts the power at the write of a step, if it writes: it is taken, or not.
func (w *world) crash(t settings.Transaction, many bool) {
	after := w.rng.IntN(2) == 0
	*w.store = cutting{Store: w.store.Store}
	if after {
		w.store.after = 1
	} else {
		w.store.before = 1
	}
	w.post(t, many)
	hit := w.store.writes > 0
	*w.store = cutting{Store: w.store.Store}
	if !hit || after {
		w.ref.step(t, many, w.up, w.wall, w.clock)
	}
	w.crashes++
	w.cut()
}

// cut is a loss of power.
func (w *world) cut() {
	off := time.Duration(w.rng.IntN(100)) * time.Second
	w.applied = nil
	w.wall, w.up = w.wall.Add(off), 0
	w.boot()
	w.ref.restart(w.wall, w.clock)
	w.check()
}

// check holds the device to the reference.
func (w *world) check() {
	w.t.Helper()
	v := w.h.View()
	want := w.ref.running()
	if v.State != w.ref.state || v.Values.Digest() != want.Digest() || !bytes.Equal(v.Digest, want.Short()) {
		w.t.Fatalf("it is %v with %v; want %v with %v", v.State, v.Values, w.ref.state, want)
	}
	if v.State == settings.Idle && (v.Result != w.ref.end || string(v.Txn) != w.ref.last) {
		w.t.Fatalf("%x ended with %v; want %x, %v", v.Txn, v.Result, w.ref.last, w.ref.end)
	}
	if n := len(w.applied); n > 0 && w.applied[n-1].Digest() != want.Digest() {
		w.t.Fatalf("applied is %v, and %v runs", w.applied[n-1], want)
	}
}

// 10,000 random steps of the protocol for each of several seeds: whatever is lost,
// repeated, held back, cut or set, the device is where the reference is: wholly on one
// or the other settings, with the digest of what it runs; what was confirmed stays, and
// what nobody confirmed is gone in the end.
func TestModel(t *testing.T) {
	steps := 10_000
	if testing.Short() {
		steps = 1000
	}
	for seed := range uint64(4) {
		if w := model(t, seed, steps); w.confirms < steps/200 || w.trials < steps/100 {
			t.Errorf("seed %d: too little happens", seed)
		}
	}
}

// The same from many seeds.
func TestModelSoak(t *testing.T) {
	if os.Getenv("LAMPLIGHTER_SOAK") == "" {
		t.Skip("LAMPLIGHTER_SOAK is not set")
	}
	for seed := range uint64(100) {
		model(t, 100+seed, 10_000)
	}
}

func model(t *testing.T, seed uint64, steps int) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 7)), clock: seed%2 == 0}
	w.rig = newRig(t, func(c *Config) { c.Clock = w.clock })
	w.ref = reference{confirmed: w.h.Values()}
	for range steps {
		w.one()
		w.applied = w.applied[max(0, len(w.applied)-1):]
		w.check()
	}
	confirmed := w.ref.confirmed
	w.wait(settings.MaxAhead*time.Second + settings.MaxConfirm*time.Second)
	w.wait(settings.MaxConfirm * time.Second)
	if got := w.h.Values(); w.ref.state != settings.Idle || got.Digest() != confirmed.Digest() {
		t.Fatalf("seed %d: in the end %v runs, and %v was confirmed", seed, got, confirmed)
	}
	t.Logf("seed %d: %d transactions, %d trials, %d confirmed, %d cuts in a step", seed, w.count, w.trials, w.confirms, w.crashes)
	return w
}
