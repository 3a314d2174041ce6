package commission

import (
	"context"
	"testing"
	"time"

	"lamplighter/internal/settings"
)

// TestSettingsKilledAtEveryWrite kills the engine before and after each of its durable
// writes in a change, and goes on with what is stored: all lamps run the new settings
// in the end, or all the old ones, and nothing is left under way.
func TestSettingsKilledAtEveryWrite(t *testing.T) {
	atEveryWrite(t, killSettingsAt)
}

// killSettingsAt reports whether the engine made fewer than n writes.
func killSettingsAt(t *testing.T, n int, before bool) (survived bool) {
	w := newCfgWorld(t, 3)
	b := w.commissioned(nil)
	b.Close()
	m := newMortal(b.store, w.net.From(browserAddr), n, before)
	first := w.engine(b.store, func(c *Config) { c.Store, c.Exchange, c.Clock = m, m, skewClock{w.fwWorld} })
	walked := make(chan bool, 1)
	go func() { walked <- first.walkChange() }()
	select {
	case survived = <-walked:
	case <-m.dead:
	}
	first.Close()
	second := w.engine(b.store, w.onTap(nil))
	for range 3 {
		if second.walkChange() {
			break
		}
	}
	w.run("fade-time", int64(1000))
	for _, l := range w.lamps {
		if v := l.Settings().View(); v.State != settings.Idle {
			t.Errorf("%s: %+v", l.id(), v)
		}
	}
	return survived
}

// walkChange goes on with the change that there is, or begins one; it reports whether
// all lamps keep it.
func (b *browser) walkChange() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var id string
	if list := b.Snapshot().Settings; len(list) > 0 && (list[0].Ended == 0 || list[0].Phase == SettingsDone) {
		id = list[0].Job
	} else {
		j, err := b.ApplySettings(ctx, wanted(map[string]any{"3": 1000.0}))
		if err != nil {
			return false
		}
		id = j.ID
	}
	for ctx.Err() == nil {
		run, err := b.SettingsRun(ctx, id)
		switch {
		case err != nil:
			return false
		case run.Ended != 0:
			if j, err := b.WaitJob(ctx, id); err != nil || j.Ended == 0 {
				return false
			}
			for _, row := range run.Rows {
				if row.State != SettingsRowConfirmed && row.State != SettingsRowSame {
					return false
				}
			}
			return len(run.Rows) == 3
		case run.Phase == SettingsTrying:
			_, _ = b.ConfirmSettings(ctx, id)
		}
		sleep(ctx, 5*time.Millisecond)
	}
	return false
}
