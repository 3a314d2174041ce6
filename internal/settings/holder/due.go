package holder

import (
	"time"

	"lamplighter/internal/settings"
)

const (
	again       = time.Second // after the store failed
	maxRestarts = 2           // while new settings are tried
)

// boot takes what was read from the store.
func (h *Holder) boot(rec record) error {
	now := h.cfg.Now()
	fitted, changed := h.fit(rec)
	rec = fitted
	switch rec.State {
	case settings.Staged:
		h.deadline = settings.StageLife * time.Second
	case settings.Scheduled:
		if rec.At == 0 || !h.cfg.Clock {
			rec.State, rec.At, rec.Ahead = settings.Staged, 0, 0
			h.deadline = settings.StageLife * time.Second
			break
		}
		ahead := time.Duration(min(rec.At-min(rec.At, unix(now)), rec.Ahead)) * time.Second
		h.deadline = ahead
	case settings.Trial:
		end := time.UnixMilli(rec.Switched).Add(time.Duration(rec.Within) * time.Second)
		began := !now.Before(time.UnixMilli(rec.Switched))
		if !h.cfg.Clock || rec.Switched == 0 || !began || !now.Before(end) || rec.Boots >= maxRestarts {
			rec.Values, rec.Switched = rec.Before, h.stamp()
			rec, changed = rec.ended(settings.ResultReverted), true
			h.log.Info("restarted with new settings that nobody had confirmed: back to those before")
			break
		}
		rec.Boots++
		changed = true
		h.deadline = end.Sub(now)
	}
	h.rec = record{} // the device is not told: it begins with these
	if changed {
		if err := h.commit(rec); err != nil {
			return err
		}
	} else {
		h.adopt(rec)
	}
	return nil
}

// fit holds the record to the schema, which may be another than when it was written:
// values that cannot be are replaced by defaults, a change under way is dropped.
func (h *Holder) fit(rec record) (record, bool) {
	s, changed := h.cfg.Schema, false
	if rec.State != settings.Idle {
		for _, m := range []settings.Map{rec.Values, rec.Candidate, rec.Before} {
			_, r := s.Check(m)
			changed = changed || r.Refused()
		}
	}
	if changed {
		if rec.State == settings.Trial {
			rec.Values = rec.Before
		}
		rec = rec.ended(settings.ResultSchema)
	}
	for {
		key, r := s.Check(rec.Values)
		if !r.Refused() {
			return rec, changed
		}
		h.log.Warn("a setting does not fit the schema any more", "key", key, "why", r.String())
		changed = true
		next := settings.Map{key: nil}
		if d := s.Def(key); d != nil && d.Default != nil {
			next[key] = d.Default
		}
		if key == 0 || s.Def(key) != nil && rec.Values[key] == nil {
			rec.Values = s.Defaults()
			continue
		}
		rec.Values = replace(rec.Values, next)
	}
}

// replace is settings.Merge that does not go into maps.
func replace(m, patch settings.Map) settings.Map {
	out := settings.Map{}
	for k, v := range m {
		out[k] = v
	}
	for k, v := range patch {
		delete(out, k)
		if v != nil {
			out[k] = v
		}
	}
	return out
}

func unix(t time.Time) uint64 { return uint64(max(0, t.Unix())) }

// stamp is the time of a switch, where that can be told.
func (h *Holder) stamp() int64 { return h.cfg.Now().UnixMilli() }

// Due is when Tick has something to do, and whether there is such a time. It changes
// with every request and every Tick.
func (h *Holder) Due() (time.Time, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rec.State == settings.Idle {
		return time.Time{}, false
	}
	return h.cfg.Now().Add(h.wait()), true
}

// wait is how long it is until the present state ends by itself.
func (h *Holder) wait() time.Duration {
	up := h.cfg.Uptime()
	wait := h.deadline - up
	if h.rec.State == settings.Scheduled && h.rec.At > 0 {
		wait = min(wait, time.Unix(int64(h.rec.At), 0).Sub(h.cfg.Now()))
	}
	return max(0, wait, h.retry-up)
}

// left is what is left of Scheduled and Trial.
func (h *Holder) left() time.Duration {
	if h.rec.State != settings.Scheduled && h.rec.State != settings.Trial {
		return 0
	}
	return h.wait()
}

// Tick does what is due: a scheduled switch, going back to the settings before,
// dropping a candidate that was left.
func (h *Holder) Tick() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rec.State == settings.Idle || h.wait() > 0 {
		return
	}
	var err error
	switch h.rec.State {
	case settings.Scheduled:
		if h.late() {
			h.log.Warn("a switch was missed: the change is dropped")
			err = h.commit(h.rec.ended(settings.ResultTime))
			break
		}
		err = h.switchOver(h.rec)
	case settings.Trial:
		h.log.Info("nobody confirmed the new settings in time: back to those before")
		err = h.back(h.rec, settings.ResultReverted)
	default:
		err = h.commit(h.rec.ended(settings.ResultCanceled))
	}
	if err != nil {
		h.retry = h.cfg.Uptime() + again
	}
}

// late says whether a scheduled switch is so late that the others are through.
func (h *Holder) late() bool {
	within := time.Duration(h.rec.Within) * time.Second
	if h.rec.At > 0 && h.cfg.Now().Sub(time.Unix(int64(h.rec.At), 0)) > within {
		return true
	}
	return h.cfg.Uptime()-h.deadline > within
}

// switchOver makes the candidate of rec what runs, on trial.
func (h *Holder) switchOver(rec record) error {
	next := rec
	next.State, next.Values, next.Before, next.Candidate = settings.Trial, rec.Candidate, rec.Values, nil
	next.At, next.Ahead, next.Boots, next.Switched = 0, 0, 0, h.stamp()
	deadline := h.cfg.Uptime() + time.Duration(rec.Within)*time.Second
	if err := h.commit(next); err != nil {
		return err
	}
	h.deadline = deadline
	return nil
}

// back makes what ran before rec's trial run again.
func (h *Holder) back(rec record, how settings.Result) error {
	rec.Values, rec.Switched = rec.Before, h.stamp()
	return h.commit(rec.ended(how))
}

// Drop ends a change that is under way: what one owner began is not the next one's.
func (h *Holder) Drop() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.nonce = nonce{}
	switch h.rec.State {
	case settings.Idle:
		return nil
	case settings.Trial:
		return h.back(h.rec, settings.ResultWithdrawn)
	}
	return h.commit(h.rec.ended(settings.ResultCanceled))
}
