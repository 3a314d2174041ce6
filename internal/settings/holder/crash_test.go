package holder

import (
	"fmt"
	"testing"
	"time"

	"lamplighter/internal/settings"
)

// The power is cut before or after each write of a whole change, however it ends. The
// device is wholly on the old or wholly on the new settings, in the end on the new
// ones only if they were confirmed; and who repeats the steps comes through.
func TestCutAtEachWrite(t *testing.T) {
	ask := func(r *rig, mode settings.Mode, edit func(*settings.Transaction)) settings.Result {
		s := step(txnA, mode, r.nonce())
		if mode == settings.ModeStage {
			s = stage(txnA, settings.Map{1: int64(50), 2: true})
		}
		if edit != nil {
			edit(&s)
		}
		return r.post(s, false).Result
	}
	in := func(s *settings.Transaction) { s.In = 1000 }
	for name, flow := range map[string]struct {
		steps   []func(*rig) settings.Result
		confirm bool
	}{
		"confirmed": {[]func(*rig) settings.Result{
			func(r *rig) settings.Result { return ask(r, settings.ModeStage, nil) },
			func(r *rig) settings.Result { return ask(r, settings.ModeCommit, nil) },
			func(r *rig) settings.Result { return ask(r, settings.ModeConfirm, nil) },
		}, true},
		"scheduled": {[]func(*rig) settings.Result{
			func(r *rig) settings.Result { return ask(r, settings.ModeStage, nil) },
			func(r *rig) settings.Result { return ask(r, settings.ModeCommit, in) },
			func(r *rig) settings.Result { r.pass(time.Second); return settings.ResultOK },
			func(r *rig) settings.Result { return ask(r, settings.ModeConfirm, nil) },
		}, true},
		"reverted": {[]func(*rig) settings.Result{
			func(r *rig) settings.Result { return ask(r, settings.ModeStage, nil) },
			func(r *rig) settings.Result { return ask(r, settings.ModeCommit, nil) },
			func(r *rig) settings.Result { return ask(r, settings.ModeRevert, nil) },
		}, false},
		"cancelled": {[]func(*rig) settings.Result{
			func(r *rig) settings.Result { return ask(r, settings.ModeStage, nil) },
			func(r *rig) settings.Result { return ask(r, settings.ModeCommit, in) },
			func(r *rig) settings.Result { return ask(r, settings.ModeCancel, nil) },
		}, false},
		"left": {[]func(*rig) settings.Result{
			func(r *rig) settings.Result { return ask(r, settings.ModeStage, nil) },
			func(r *rig) settings.Result { return ask(r, settings.ModeCommit, nil) },
			func(r *rig) settings.Result { r.pass(settings.DefaultConfirm * time.Second); return settings.ResultOK },
		}, false},
	} {
		for _, clock := range []bool{true, false} {
			for cut := 1; ; cut++ {
				reached := false
				for _, after := range []bool{false, true} {
					what := fmt.Sprintf("%s, clock %v, write %d, after %v", name, clock, cut, after)
					reached = cutAt(t, what, flow.steps, flow.confirm, clock, cut, after) || reached
				}
				if !reached {
					break
				}
			}
		}
	}
}

// cutAt runs the steps, with the power cut at one write, and says whether that was
// reached. The steps are then repeated from the first, as a sender does that knows of
// no answer.
func cutAt(t *testing.T, what string, steps []func(*rig) settings.Result, confirm, clock bool, cut int, after bool) bool {
	t.Helper()
	r := newRig(t, func(c *Config) { c.Clock = clock })
	older, newer := r.h.Values().Digest(), settings.Merge(r.h.Values(), settings.Map{1: int64(50), 2: true}).Digest()
	if after {
		r.store.after = cut
	} else {
		r.store.before = cut
	}
	confirmed := false
	whole := func() {
		t.Helper()
		if d := r.h.Values().Digest(); d != older && d != newer {
			t.Fatalf("%s: neither old nor new: %v", what, r.h.Values())
		}
	}
	hit := false
	for i, s := range steps {
		s(r)
		if r.store.writes >= cut && !hit {
			hit = true
			confirmed = confirm && i == len(steps)-1 && after
			r.up = 0
			r.boot() // at that moment
			whole()
			break
		}
	}
	if !hit {
		return false
	}
	if confirmed && r.h.Values().Digest() != newer {
		t.Errorf("%s: a confirmed change is lost", what)
	}
	for range 3 { // a restart in the trial may have ended the transaction
		if r.h.View().State == settings.Idle && r.h.View().Result != settings.ResultNone {
			break
		}
		for _, s := range steps {
			s(r)
			whole()
		}
	}
	v := r.h.View()
	ends := map[bool][]settings.Result{
		true:  {settings.ResultConfirmed, settings.ResultReverted},
		false: {settings.ResultReverted, settings.ResultWithdrawn, settings.ResultCanceled},
	}[confirm]
	fits := false
	for _, e := range ends {
		fits = fits || v.Result == e
	}
	if !fits || v.State != settings.Idle || (v.Result == settings.ResultConfirmed) != (r.h.Values().Digest() == newer) {
		t.Errorf("%s: in the end %+v", what, v)
	}
	r.pass(settings.MaxConfirm * time.Second)
	r.boot()
	if got := r.h.Values().Digest(); (got == newer) != (v.Result == settings.ResultConfirmed) {
		t.Errorf("%s: later %v runs", what, r.h.Values())
	}
	return true
}
