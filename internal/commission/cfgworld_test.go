package commission

import (
	"context"
	"fmt"
	"testing"
	"time"

	"lamplighter/internal/cose"
	"lamplighter/internal/settings/holder"
	"lamplighter/internal/settings/source"
	"lamplighter/internal/sim/models"
	"lamplighter/internal/suit"
	"lamplighter/internal/updater"
)

// cfgWorld is a world whose lamps have settings.
type cfgWorld struct{ *fwWorld }

func newCfgWorld(t testing.TB, n int, edits ...func(l *lamp)) *cfgWorld {
	t.Helper()
	w := &cfgWorld{newFwWorld(t, 0, func(int, *updater.Config) {})}
	firmware := w.equip
	schema, err := source.Parse(models.Source(models.Lamp))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := suit.NewSigner(cose.Null, cose.NewEd25519(w.vendor))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := schema.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	w.equip = func(l *lamp) {
		firmware(l)
		l.cfg.Settings = &holder.Config{Schema: schema, SchemaDoc: doc, Clock: true}
		for _, edit := range edits {
			edit(l)
		}
	}
	for i := range n {
		w.addLamp(byte(i + 1))
	}
	return w
}

// tried waits until the devices try a change.
func (b *browser) tried(j Job) SettingsRun {
	b.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; {
		run, err := b.SettingsRun(b.t.Context(), j.ID)
		b.must(run, err)
		if run.Phase == SettingsTrying {
			return run
		}
		if time.Now().After(end) || run.Ended != 0 {
			b.t.Fatalf("%s", describeRun(run))
		}
		sleep(context.Background(), 5*time.Millisecond)
	}
}

func describeRun(r SettingsRun) string {
	text := fmt.Sprintf("%s, %d requests, %d alone", r.Phase, r.Requests, r.UnicastRequests)
	if r.Problem != nil {
		text += " " + r.Problem.ID + ": " + r.Problem.Text
	}
	for _, row := range r.Rows {
		text += fmt.Sprintf("\n%s %s is %s of %s", row.Device, row.State, row.Is, row.Expected)
		if row.Problem != nil {
			text += " " + row.Problem.ID + ": " + row.Problem.Text
		}
	}
	return text
}

func wanted(values map[string]any, edits ...func(*SettingsChange)) SettingsChange {
	c := SettingsChange{Group: hall, Model: models.Lamp, Values: values}
	for _, edit := range edits {
		edit(&c)
	}
	return c
}

// run expects what a setting of all lamps is.
func (w *cfgWorld) run(name string, want any, lamps ...*lamp) {
	w.t.Helper()
	if lamps == nil {
		lamps = w.lamps
	}
	for _, l := range lamps {
		if v := l.Settings().Value(name); v != want {
			w.t.Errorf("%s has %s %v, want %v", l.id(), name, v, want)
		}
	}
}

// set changes a lamp's settings behind the site's back.
func (w *cfgWorld) drift(b *browser, l *lamp, values map[string]any) {
	w.t.Helper()
	old := b.settingsRecordOf(l)
	j, err := b.ApplySettings(w.t.Context(), wanted(values, func(c *SettingsChange) { c.Devices = []string{l.id()} }))
	b.must(j, err)
	b.tried(j)
	_, err = b.ConfirmSettings(w.t.Context(), j.ID)
	b.must(nil, err)
	s, _ := b.site()
	b.must(nil, s.setSettings(w.t.Context(), map[string]*settingsRecord{l.id(): &old}))
}

func (b *browser) settingsRecordOf(l *lamp) settingsRecord {
	s, _ := b.site()
	return s.settingsOf(l.id())
}
