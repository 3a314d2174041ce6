package holder

import (
	"bytes"
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
	spent     string          // the nonce that was quoted last in its time, until a restart
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
	again := t.Quotes([]byte(m.spent)) || t.Quotes([]byte(m.kept))
	if many && !t.Quotes([]byte(m.nonce)) && !again {
		return 0, false
	}
	fresh := m.use(t, up)
	again = again || fresh
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

// use uses up the nonce that is quoted, and says whether it was good.
func (m *reference) use(t settings.Transaction, up time.Duration) (fresh bool) {
	if t.Mode <= settings.ModeStage || !t.Quotes([]byte(m.nonce)) {
		return false
	}
	if fresh = up-m.given <= settings.NonceLife*time.Second; fresh {
		m.spent = m.nonce
	}
	m.nonce = ""
	return fresh
}

func (m *reference) commit(t settings.Transaction, fresh, again bool, up time.Duration, wall time.Time, clock bool) settings.Result {
	first := m.state == settings.Staged
	switch {
	case m.state == settings.Trial, !first && !fresh && !again, !first && t.At > 0 && int64(t.At) == m.at:
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

// told holds the other parts of an answer to the reference.
func (w *world) told(t settings.Transaction, s *settings.Status) {
	if s == nil {
		return
	}
	candidate, left := []byte(nil), time.Duration(0)
	switch w.ref.state {
	case settings.Staged:
		candidate = w.ref.next.Short()
	case settings.Scheduled:
		candidate, left = w.ref.next.Short(), w.ref.end2-w.up
		if w.ref.at > 0 {
			left = min(left, time.Unix(w.ref.at, 0).Sub(w.wall))
		}
	case settings.Trial:
		left = w.ref.end2 - w.up
	}
	if t.Mode == settings.ModeCheck && s.Result == settings.ResultOK {
		candidate = s.Candidate
	}
	if !bytes.Equal(s.Txn, t.Txn) || !bytes.Equal(s.Candidate, candidate) || s.Left != uint(max(0, left)/time.Millisecond) {
		w.t.Fatalf("%s of %x: answered %+v; want candidate %x and %v left", t.Mode, t.Txn, s, candidate, left)
	}
}
