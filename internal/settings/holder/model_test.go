package holder

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"lamplighter/internal/settings"
)

// reference is what a device has to be, in the plainest way: what is confirmed, and
// what is tried or waits. It knows no store, and a crash is that a step may or may not
// have been taken.
type reference struct {
	confirmed settings.Map
	state     settings.State
	txn       string
	next      settings.Map // candidate, or what is tried
	last      string
	end       settings.Result
	nonce     string
	given     time.Duration
	spent     string          // the nonce that was quoted last, until a restart
	kept      string          // the nonce of the latest step that was taken
	steps     map[string]bool // of staging
	end2      time.Duration   // by uptime: when the state ends
	at        int64           // seconds by the wall; 0: none
	ahead     int64
	within    time.Duration
	switched  int64 // milliseconds by the wall
	boots     int
}

func (m *reference) running() settings.Map {
	if m.state == settings.Trial {
		return m.next
	}
	return m.confirmed
}

func (m *reference) close(how settings.Result) {
	if m.state == settings.Trial {
		m.nonce = ""
	}
	if how == settings.ResultConfirmed {
		m.confirmed = m.next
	}
	m.last, m.end = m.txn, how
	m.state, m.txn, m.next, m.steps, m.at, m.boots = settings.Idle, "", nil, nil, 0, 0
}

func (m *reference) enterTrial(up time.Duration, wall time.Time) {
	m.nonce = ""
	m.state, m.end2, m.at, m.boots, m.switched = settings.Trial, up+m.within, 0, 0, wall.UnixMilli()
}

// tick is what time does.
func (m *reference) tick(up time.Duration, wall time.Time) {
	switch m.state {
	case settings.Staged:
		if up >= m.end2 {
			m.close(settings.ResultCanceled)
		}
	case settings.Scheduled:
		over := m.at > 0 && !wall.Before(time.Unix(m.at, 0))
		if up < m.end2 && !over {
			return
		}
		if up-m.end2 > m.within || m.at > 0 && wall.Sub(time.Unix(m.at, 0)) > m.within {
			m.close(settings.ResultTime)
			return
		}
		m.enterTrial(up, wall)
	case settings.Trial:
		if up >= m.end2 {
			m.close(settings.ResultReverted)
		}
	}
}

// restart is what a loss of power does. The uptime begins at 0.
func (m *reference) restart(wall time.Time, clock bool) {
	m.nonce, m.spent = "", ""
	switch m.state {
	case settings.Staged:
		m.end2 = settings.StageLife * time.Second
	case settings.Scheduled:
		if m.at == 0 || !clock {
			m.state, m.at, m.end2 = settings.Staged, 0, settings.StageLife*time.Second
			return
		}
		m.end2 = time.Duration(min(max(m.at-wall.Unix(), 0), m.ahead)) * time.Second
	case settings.Trial:
		left := time.UnixMilli(m.switched).Add(m.within).Sub(wall)
		if !clock || left <= 0 || left > m.within || m.boots >= 2 {
			m.close(settings.ResultReverted)
			return
		}
		m.boots++
		m.end2 = left
	}
}

// step is what a request does, and how it has to be answered; ok is false for
// silence.
func (m *reference) step(t settings.Transaction, many bool, up time.Duration, wall time.Time, clock bool) (r settings.Result, ok bool) {
	txn := string(t.Txn)
	if t.Mode == settings.ModeStage || t.Mode == settings.ModeCheck {
		return m.stage(t, up), true
	}
	quotes := m.nonce != "" && t.Quotes([]byte(m.nonce))
	again := t.Quotes([]byte(m.spent)) || t.Quotes([]byte(m.kept))
	if many && !quotes && !again {
		return 0, false
	}
	fresh := quotes && up-m.given <= settings.NonceLife*time.Second
	if quotes {
		m.spent, m.nonce = m.nonce, ""
	}
	again = again || quotes
	own := m.state != settings.Idle && txn == m.txn
	undo := t.Mode == settings.ModeCancel || t.Mode == settings.ModeRevert
	switch {
	case txn == m.last:
		return m.ended(undo), true
	case !own && m.state > settings.Staged:
		return settings.ResultBusy, true
	case !own:
		return settings.ResultNoStage, true
	case undo && !fresh, t.Mode == settings.ModeConfirm && m.state == settings.Trial && !fresh:
		return settings.ResultStale, true
	case undo && m.state == settings.Trial:
		m.kept = m.spent
		m.close(settings.ResultWithdrawn)
		return settings.ResultOK, true
	case undo:
		m.kept = m.spent
		m.close(settings.ResultCanceled)
		return settings.ResultOK, true
	case t.Mode == settings.ModeConfirm && m.state != settings.Trial:
		return settings.ResultNoStage, true
	case t.Mode == settings.ModeConfirm:
		m.kept = m.spent
		m.close(settings.ResultConfirmed)
		return settings.ResultOK, true
	}
	return m.commit(t, fresh, again, up, wall, clock), true
}

func (m *reference) commit(t settings.Transaction, fresh, again bool, up time.Duration, wall time.Time, clock bool) settings.Result {
	first := m.state == settings.Staged
	switch {
	case m.state == settings.Trial, !first && !fresh && !again:
		return settings.ResultOK
	case first && !fresh:
		return settings.ResultStale
	}
	wait := time.Duration(t.In) * time.Millisecond
	if t.At > 0 {
		wait = time.Unix(int64(t.At), 0).Sub(wall)
		if !clock || int64(t.At) < wall.Unix() || int64(t.At) > wall.Unix()+settings.MaxAhead {
			return settings.ResultTime
		}
	}
	if !first && up+wait >= m.end2 {
		return settings.ResultOK
	}
	if fresh {
		m.kept = m.spent
	}
	if first {
		m.within = settings.DefaultConfirm * time.Second
		if t.Within > 0 {
			m.within = time.Duration(t.Within) * time.Second
		}
	}
	if wait <= 0 {
		m.enterTrial(up, wall)
		return settings.ResultOK
	}
	m.state, m.end2, m.at, m.ahead = settings.Scheduled, up+wait, int64(t.At), int64((wait+time.Second-1)/time.Second)
	return settings.ResultOK
}

func (m *reference) ended(undo bool) settings.Result {
	back := m.end == settings.ResultCanceled || m.end == settings.ResultWithdrawn || m.end == settings.ResultReverted
	if undo && back || !undo && m.end == settings.ResultConfirmed {
		return settings.ResultOK
	}
	return m.end
}

func (m *reference) stage(t settings.Transaction, up time.Duration) settings.Result {
	id := string(t.Append(nil)[10:]) // without id and mode
	switch {
	case string(t.Txn) == m.last:
		return m.ended(false)
	case string(t.Txn) == m.txn && m.steps[id]:
		return settings.ResultOK
	case m.state > settings.Staged:
		return settings.ResultBusy
	}
	base, more := m.confirmed, false
	if len(t.Base) > 0 && !bytes.Equal(t.Base, base.Short()) {
		if m.state != settings.Staged || m.txn != string(t.Txn) || !bytes.Equal(t.Base, m.next.Short()) {
			return settings.ResultBase
		}
		base, more = m.next, true
	} else if len(t.Base) > 0 && m.txn == string(t.Txn) && bytes.Equal(t.Base, m.next.Short()) {
		base, more = m.next, true
	}
	if level, ok := t.Patch[1].(int64); ok && (level < 0 || level > 100 || level%5 != 0) {
		return settings.ResultRange
	}
	if t.Mode == settings.ModeCheck {
		return settings.ResultOK
	}
	if !more {
		m.steps = map[string]bool{}
	}
	m.steps[id] = true
	m.state, m.txn, m.next, m.end2 = settings.Staged, string(t.Txn), settings.Merge(base, t.Patch), up+settings.StageLife*time.Second
	return settings.ResultOK
}

// world is one device, senders, and a network that loses, repeats and holds back.
type world struct {
	*rig
	rng     *rand.Rand
	ref     reference
	clock   bool
	nonces  [3]string // that the senders have heard, newest
	digests [3][]byte // of what ran, or of the candidate, as they have heard
	txns    [3][]byte
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

func (w *world) wait(d time.Duration) {
	w.pass(d)
	w.ref.tick(w.up, w.wall)
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
	if t.Mode <= settings.ModeStage {
		t.Schema, t.Patch = 3, settings.Map{1: int64(w.rng.IntN(24) * 5), 2: w.rng.IntN(2) == 0, 3: "x"}
		if w.rng.IntN(3) > 0 {
			t.Base = w.digests[who]
		}
		return t
	}
	if w.rng.IntN(4) > 0 {
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
		before, last := w.ref.state, w.ref.last
		want, ok := w.ref.step(t, many, w.up, w.wall, w.clock)
		s := w.post(t, many)
		if (s != nil) != ok || ok && (s.Result != want || s.State != w.ref.state) {
			w.t.Fatalf("%s of %x (%v): answered %+v, want %v, %v, %v", t.Mode, t.Txn, many, s, want, ok, w.ref.state)
		}
		if before != settings.Trial && w.ref.state == settings.Trial {
			w.trials++
		}
		if w.ref.last != last && w.ref.end == settings.ResultConfirmed {
			w.confirms++
		}
		w.check()
	}
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
		if w.confirms < steps/200 || w.trials < steps/100 {
			t.Errorf("seed %d: too little happens", seed)
		}
	}
}
