package holder

import (
	"bytes"
	"crypto/sha256"
	"io"
	"slices"
	"time"

	"lamplighter/internal/cbor"
	"lamplighter/internal/settings"
)

// nonce is what the device gave and a switch quotes. There is one at a time; it is
// not kept over a restart.
type nonce struct {
	value []byte // nil: none, or used
	given time.Duration
}

// newNonce gives a nonce; the one before is void.
func (h *Holder) newNonce() []byte {
	h.nonce = nonce{}
	value := make([]byte, settings.NonceSize)
	if _, err := io.ReadFull(h.cfg.Rand, value); err != nil {
		h.log.Error("no randomness for a nonce", "err", err)
		return nil
	}
	h.nonce = nonce{value, h.cfg.Uptime()}
	return value
}

// outcome is how a step was taken.
type outcome struct {
	result    settings.Result
	key       uint64
	candidate []byte // of a dry run
}

// isFresh says whether t quotes the present nonce, and uses it up. One that is too old
// is good for nothing, nor for what repeats the step.
func (h *Holder) isFresh(t *settings.Transaction) bool {
	n := h.nonce
	if !t.Quotes(n.value) {
		return false
	}
	if h.nonce = (nonce{}); h.cfg.Uptime()-n.given > settings.NonceLife*time.Second {
		return false
	}
	h.spent = n.value
	return true
}

// quoted says whether t quotes a nonce that a step has used up.
func (h *Holder) quoted(t *settings.Transaction) bool {
	return t.Quotes(h.spent) || t.Quotes(h.rec.Used)
}

// prepare checks or stages: it answers what staging would, and with keep does it.
func (h *Holder) prepare(t *settings.Transaction, keep bool) outcome {
	own := bytes.Equal(t.Txn, h.rec.Txn)
	step := fingerprint(t)
	repeated := own && slices.ContainsFunc(h.rec.Steps, func(s []byte) bool { return bytes.Equal(s, step) })
	switch {
	case bytes.Equal(t.Txn, h.rec.Last):
		return outcome{result: ended(t.Mode, h.rec.End)}
	case repeated:
		return outcome{result: settings.ResultOK}
	case h.rec.State > settings.Staged:
		return outcome{result: settings.ResultBusy}
	case t.Schema != h.cfg.Schema.Version:
		return outcome{result: settings.ResultSchema}
	}
	base, more := h.rec.Values, false
	if own && len(t.Base) > 0 && bytes.Equal(t.Base, h.rec.Candidate.Short()) {
		base, more = h.rec.Candidate, true
	} else if len(t.Base) > 0 && !bytes.Equal(t.Base, h.rec.Values.Short()) {
		return outcome{result: settings.ResultBase}
	}
	if key, r := h.cfg.Schema.CheckPatch(t.Patch); r.Refused() {
		return outcome{result: r, key: key}
	}
	candidate := settings.Merge(base, t.Patch)
	if key, r := h.cfg.Schema.Check(candidate); r.Refused() {
		return outcome{result: r, key: key}
	}
	if !keep {
		return outcome{result: settings.ResultOK, candidate: candidate.Short()}
	}
	next := record{
		Values: h.rec.Values, Switched: h.rec.Switched, Used: h.rec.Used, Last: h.rec.Last, End: h.rec.End,
		State: settings.Staged, Txn: t.Txn, Candidate: candidate, Steps: [][]byte{step},
	}
	if more {
		steps := append(slices.Clone(h.rec.Steps), step)
		next.Steps = steps[max(0, len(steps)-maxSteps):]
	}
	if h.commit(next) != nil {
		return outcome{result: settings.ResultStore}
	}
	h.deadline = h.cfg.Uptime() + settings.StageLife*time.Second
	return outcome{result: settings.ResultOK}
}

// fingerprint tells the steps of staging apart.
func fingerprint(t *settings.Transaction) []byte {
	sum := sha256.Sum256(cbor.MustMarshal([]any{t.Base, t.Schema, t.Patch}))
	return sum[:settings.DigestSize]
}

// ended is the answer to a step of a transaction that has ended: done, if that is
// what the step wanted, else how it ended.
func ended(mode settings.Mode, end settings.Result) settings.Result {
	back := end == settings.ResultReverted || end == settings.ResultCanceled || end == settings.ResultWithdrawn
	undo := mode == settings.ModeCancel || mode == settings.ModeRevert
	if undo && back || !undo && end == settings.ResultConfirmed {
		return settings.ResultOK
	}
	return end
}

// act commits, confirms, cancels or reverts. The nonce that is quoted is used up,
// whatever comes of it.
func (h *Holder) act(t *settings.Transaction) settings.Result {
	fresh := h.isFresh(t)
	own := h.rec.State != settings.Idle && bytes.Equal(t.Txn, h.rec.Txn)
	switch {
	case bytes.Equal(t.Txn, h.rec.Last):
		return ended(t.Mode, h.rec.End)
	case !own && h.rec.State > settings.Staged:
		return settings.ResultBusy
	case !own:
		return settings.ResultNoStage
	}
	switch t.Mode {
	case settings.ModeCommit:
		return h.schedule(t, fresh)
	case settings.ModeConfirm:
		return h.confirm(fresh)
	}
	if !fresh {
		return settings.ResultStale
	}
	if err := h.undo(); err != nil {
		return settings.ResultStore
	}
	return settings.ResultOK
}

// confirm has what runs stay.
func (h *Holder) confirm(fresh bool) settings.Result {
	switch {
	case h.rec.State != settings.Trial:
		return settings.ResultNoStage
	case !fresh:
		return settings.ResultStale
	}
	next := h.rec
	next.Used = h.spent
	if h.commit(next.ended(settings.ResultConfirmed)) != nil {
		return settings.ResultStore
	}
	return settings.ResultOK
}

// undo drops the change, whether it runs already or not.
func (h *Holder) undo() error {
	next := h.rec
	next.Used = h.spent
	if next.State == settings.Trial {
		return h.back(next, settings.ResultWithdrawn)
	}
	return h.commit(next.ended(settings.ResultCanceled))
}

// schedule switches at once or sets the time of the switch. Repetitions can only make
// it earlier: a message that was held back on its way names a later time, as it says
// how long it is until then.
func (h *Holder) schedule(t *settings.Transaction, fresh bool) settings.Result {
	again := h.rec.State > settings.Staged
	switch {
	case h.rec.State == settings.Trial:
		return settings.ResultOK
	case again && !fresh && !h.quoted(t), again && t.At > 0 && t.At == h.rec.At: // which may be just over
		return settings.ResultOK
	case !again && !fresh:
		return settings.ResultStale
	}
	now, up := h.cfg.Now(), h.cfg.Uptime()
	wait := time.Duration(t.In) * time.Millisecond
	if t.At > 0 {
		if !h.cfg.Clock || t.At < unix(now) || t.At > unix(now)+settings.MaxAhead {
			return settings.ResultTime
		}
		wait = time.Unix(int64(t.At), 0).Sub(now)
	}
	if again && up+wait >= h.deadline {
		return settings.ResultOK
	}
	next := h.rec
	if fresh {
		next.Used = h.spent
	}
	if !again {
		next.Within = t.Within
		if next.Within == 0 {
			next.Within = settings.DefaultConfirm
		}
	}
	next.State, next.At, next.Ahead = settings.Scheduled, t.At, uint64((wait+time.Second-1)/time.Second)
	if t.At == 0 {
		next.Ahead = 0
	}
	if wait <= 0 {
		if h.switchOver(next) != nil {
			return settings.ResultStore
		}
		return settings.ResultOK
	}
	if h.commit(next) != nil {
		return settings.ResultStore
	}
	h.deadline = up + wait
	return settings.ResultOK
}
