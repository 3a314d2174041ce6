package commission

import (
	"context"
	"sync"
	"testing"

	"lamplighter/internal/settings"
)

// onceWhen calls do, once, in front of the first message to the group that is sent when
// all lamps are in a state.
func (w *cfgWorld) onceWhen(state settings.State, do func()) func(*Config) {
	var once sync.Once
	return func(c *Config) {
		w.onTap(&tap{})(c)
		c.Exchange = &listened{c.Exchange.(*tap), func() {
			for _, l := range w.lamps {
				if l.Settings().View().State != state {
					return
				}
			}
			if len(w.lamps) > 0 && state != settings.Idle {
				once.Do(do)
			}
		}}
	}
}

// The group gets new keys in the middle of a change: between stage and commit, between
// two announcements of the switch, between switch and look, before the confirmation.
// All devices keep the new settings.
func TestSettingsRekeyed(t *testing.T) {
	for _, state := range []settings.State{settings.Staged, settings.Scheduled, settings.Trial, settings.Idle} {
		t.Run(state.String(), func(t *testing.T) {
			t.Parallel()
			w := newCfgWorld(t, 3)
			done := false
			rekey := func() {
				done = true
				if err := w.gm.Rekey(context.Background(), hall, ""); err != nil {
					t.Error(err)
				}
			}
			b := w.enrolled(w.onceWhen(state, rekey))
			b.joined()
			j, run := b.applied(wanted(map[string]any{"3": 1000.0}))
			if state == settings.Idle {
				rekey()
			}
			if run = b.confirmedChange(j); !done {
				t.Error("no new keys")
			}
			for _, row := range run.Rows {
				if row.State != SettingsRowConfirmed {
					t.Errorf("%s", describeRun(run))
				}
			}
			w.run("fade-time", int64(1000))
		})
	}
}
