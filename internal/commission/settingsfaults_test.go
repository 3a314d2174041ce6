package commission

import (
	"context"
	"crypto/ed25519"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/settings"
	"lamplighter/internal/settings/holder"
	"lamplighter/internal/settings/source"
	"lamplighter/internal/sim"
	"lamplighter/internal/sim/models"
	"lamplighter/internal/store"
	"lamplighter/internal/suit"
)

// applied applies a change and waits until devices try it.
func (b *browser) applied(c SettingsChange) (Job, SettingsRun) {
	b.t.Helper()
	j, err := b.ApplySettings(b.t.Context(), c)
	b.must(j, err)
	return j, b.tried(j)
}

// confirmed confirms a change that devices try.
func (b *browser) confirmedChange(j Job) SettingsRun {
	b.t.Helper()
	run, err := b.ConfirmSettings(b.t.Context(), j.ID)
	if err != nil || run.Phase != SettingsDone {
		b.t.Fatalf("%v %s", err, describeRun(run))
	}
	return run
}

// ended waits for the end of a change.
func (b *browser) endedChange(j Job) (Job, SettingsRun) {
	b.t.Helper()
	j = b.job(j, nil)
	run, err := b.SettingsRun(b.t.Context(), j.ID)
	b.must(run, err)
	return j, run
}

func rowOf(r SettingsRun, id string) SettingsRow {
	i := slices.IndexFunc(r.Rows, func(row SettingsRow) bool { return row.Device == id })
	if i < 0 {
		return SettingsRow{State: "no row", Problem: &Problem{}}
	}
	if r.Rows[i].Problem == nil {
		r.Rows[i].Problem = &Problem{}
	}
	return r.Rows[i]
}

// While devices try what one installer wants, another one is told that they are busy.
func TestSettingsTwoInstallers(t *testing.T) {
	w := newCfgWorld(t, 3)
	ann, bert := w.team(nil)
	j, _ := ann.applied(wanted(map[string]any{"3": 1000.0}))
	run, err := bert.PlanSettings(t.Context(), wanted(map[string]any{"3": 2000.0}))
	if err != nil || rowOf(run, w.lamps[0].id()).Problem.ID != "cfg-busy" || rowOf(run, w.lamps[0].id()).Problem.Next == "" {
		t.Fatalf("%v %s", err, describeRun(run))
	}
	theirs, err := bert.ApplySettings(t.Context(), wanted(map[string]any{"3": 2000.0}))
	bert.must(theirs, err)
	theirs, run = bert.endedChange(theirs)
	if theirs.State != JobFailed || problemOf(theirs, w.lamps[1].id()) != "cfg-busy" {
		t.Errorf("%s: %s", bert.failures(theirs), describeRun(run))
	}
	ann.confirmedChange(j)
	w.run("fade-time", int64(1000))
	j, _ = bert.applied(wanted(map[string]any{"3": 2000.0}))
	bert.confirmedChange(j)
	w.run("fade-time", int64(2000))
}

// A network that loses a twentieth each way.
func TestSettingsLoss(t *testing.T) {
	w := newCfgWorld(t, 12)
	b := w.commissioned(nil)
	w.net.SetFaults(sim.Faults{Loss: 0.05})
	j, run := b.applied(wanted(map[string]any{"3": 1000.0}))
	if run.PredictedRequests == 0 || run.OneByOneRequests != 6*12 || run.PredictedBytes == 0 {
		t.Errorf("nothing is predicted: %+v", run)
	}
	b.confirmedChange(j)
	w.run("fade-time", int64(1000))
}

// A switch at a time of day waits for it; devices without a clock refuse it in words.
func TestSettingsAt(t *testing.T) {
	clock := true
	w := newCfgWorld(t, 3, func(l *lamp) { l.cfg.Settings.Clock = clock })
	b := w.commissioned(nil)
	at := w.now().Add(time.Hour).Truncate(time.Second)
	j, run := b.applied(wanted(map[string]any{"3": 1000.0}, func(c *SettingsChange) { c.At = at.UnixMilli() }))
	if w.now().Before(at) || run.SwitchAt != at.UnixMilli() {
		t.Errorf("switched at %v, not %v", run.SwitchAt, at)
	}
	b.confirmedChange(j)
	w.run("fade-time", int64(1000))
	if _, err := b.ApplySettings(t.Context(), wanted(nil, func(c *SettingsChange) { c.At = at.UnixMilli() })); id(err) != "cfg-bad-options" {
		t.Errorf("a time that is past: %v", err)
	}
	clock = false
	w = newCfgWorld(t, 3, func(l *lamp) { l.cfg.Settings.Clock = clock })
	b = w.commissioned(nil)
	j, err := b.ApplySettings(t.Context(), wanted(map[string]any{"3": 1000.0}, func(c *SettingsChange) { c.At = w.now().Add(time.Hour).UnixMilli() }))
	b.must(j, err)
	if j, run = b.endedChange(j); run.Phase != SettingsStopped || problemOf(j, w.lamps[0].id()) != "cfg-time" {
		t.Errorf("%s: %s", b.failures(j), describeRun(run))
	}
	w.run("fade-time", int64(700))
}

// listened calls before in front of each message to the group.
type listened struct {
	*tap
	before func()
}

func (x *listened) Multicast(ctx context.Context, to netip.AddrPort, req *coap.Message, wait time.Duration, each func(*coap.Message, netip.AddrPort)) error {
	x.before()
	return x.tap.Multicast(ctx, to, req, wait, each)
}

// silentWhen takes the first n lamps off the network once these are in a state.
func (w *cfgWorld) silentWhen(state settings.State, n int) func(*Config) {
	return func(c *Config) {
		w.onTap(&tap{})(c)
		var mu sync.Mutex
		done := false
		c.Exchange = &listened{c.Exchange.(*tap), func() {
			mu.Lock()
			defer mu.Unlock()
			if done || len(w.lamps) == 0 {
				return
			}
			for _, l := range w.lamps {
				if l.Settings().View().State != state {
					return
				}
			}
			done = true
			for _, l := range w.lamps[:n] {
				w.net.Down(l.addr, true)
			}
		}}
	}
}

// Half of the group does not hear the switch: the others go back, or with a quorum go
// on without them.
func TestSettingsHalfSilent(t *testing.T) {
	for _, quorum := range []int{0, 2} {
		w := newCfgWorld(t, 4)
		b := w.enrolled(w.silentWhen(settings.Staged, 2))
		b.joined()
		c := wanted(map[string]any{"3": 1000.0}, func(c *SettingsChange) { c.Quorum = quorum })
		j, err := b.ApplySettings(t.Context(), c)
		b.must(j, err)
		if quorum > 0 {
			b.tried(j)
			run := b.confirmedChange(j)
			if rowOf(run, w.lamps[0].id()).State == SettingsRowConfirmed || rowOf(run, w.lamps[3].id()).State != SettingsRowConfirmed {
				t.Errorf("%s", describeRun(run))
			}
			w.run("fade-time", int64(1000), w.lamps[2:]...)
			w.run("fade-time", int64(700), w.lamps[:2]...)
			for _, l := range w.lamps[:2] { // they are back, and another try takes them along
				w.net.Down(l.addr, false)
			}
			j, run = b.applied(wanted(map[string]any{"3": 1000.0}))
			if rowOf(run, w.lamps[0].id()).State != SettingsRowTrial || rowOf(run, w.lamps[3].id()).State != SettingsRowSame {
				t.Errorf("%s", describeRun(run))
			}
			b.confirmedChange(j)
			w.run("fade-time", int64(1000))
			continue
		}
		if j, run := b.endedChange(j); run.Phase != SettingsReverted || run.Problem == nil || run.Problem.ID != "cfg-went-back" || problemOf(j, w.lamps[0].id()) == "" {
			t.Errorf("%s", describeRun(run))
		}
		w.run("fade-time", int64(700))
	}
}

// What cuts devices off is not kept: the confirmation has to reach them after the
// switch.
func TestSettingsNetwork(t *testing.T) {
	w := newCfgWorld(t, 3)
	b := w.commissioned(nil)
	j, run := b.applied(wanted(map[string]any{"21": 200.0}))
	if !run.Network {
		t.Error("not told that it may cut devices off")
	}
	for _, l := range w.lamps {
		w.net.Down(l.addr, true)
	}
	w.advance(time.Minute) // what was heard just now does not count
	if run, err := b.ConfirmSettings(t.Context(), j.ID); id(err) != "cfg-quorum" {
		t.Errorf("%v %s", err, describeRun(run))
	}
	if run = b.tried(j); run.RevertAt == 0 {
		t.Errorf("%s", describeRun(run))
	}
	w.advance(11 * time.Minute)
	w.tick()
	for _, l := range w.lamps {
		w.net.Down(l.addr, false)
	}
	w.run("leisure", int64(500))
	if _, run = b.endedChange(j); run.Phase != SettingsReverted {
		t.Errorf("%s", describeRun(run))
	}
	j, _ = b.applied(wanted(map[string]any{"21": 200.0}))
	b.confirmedChange(j)
	w.run("leisure", int64(200))
}

// A canceled change is taken back, and can be made again.
func TestSettingsCancelRetry(t *testing.T) {
	w := newCfgWorld(t, 3)
	b := w.commissioned(nil)
	j, _ := b.applied(wanted(map[string]any{"3": 1000.0}))
	j, err := b.CancelJob(t.Context(), j.ID)
	b.must(j, err)
	if run, err := b.SettingsRun(t.Context(), j.ID); err != nil || run.Phase != SettingsReverted || j.State != JobCanceled {
		t.Errorf("%v %s %s", err, j.State, describeRun(run))
	}
	w.run("fade-time", int64(700))
	s, _ := b.site()
	b.must(nil, s.db.View(t.Context(), func(tx store.Tx) error {
		rec, err := get[changeRecord](tx, preChange+j.ID)
		if err == nil && !rec.Revert {
			t.Error("an engine that ends meanwhile would not know that it was canceled")
		}
		return err
	}))
	j, err = b.RetryJob(t.Context(), j.ID)
	b.must(j, err)
	b.tried(j)
	w.run("fade-time", int64(1000))
	b.confirmedChange(j)
	if _, err = b.RetryJob(t.Context(), j.ID); id(err) != "cfg-confirmed-in-part" {
		t.Errorf("%v", err)
	}
}

// Three devices that drifted are shown and mended, or kept as they are.
func TestSettingsDriftOfThree(t *testing.T) {
	w := newCfgWorld(t, 5)
	b := w.commissioned(nil)
	j, _ := b.applied(wanted(map[string]any{"3": 1000.0}))
	if _, err := b.KeepSettings(t.Context(), hall, w.ids()); id(err) != "cfg-one-at-a-time" {
		t.Errorf("kept what is only tried: %v", err)
	}
	b.confirmedChange(j)
	for i, l := range w.lamps[:3] {
		w.drift(b, l, map[string]any{"2": float64(50 + i)})
	}
	drifted := func(list []SettingsDevice, err error) (n int) {
		b.must(list, err)
		for _, d := range list {
			if d.State == SettingsDrifted {
				n++
			}
		}
		return n
	}
	if n := drifted(b.ReadSettings(t.Context(), hall)); n != 3 {
		t.Fatalf("%d drifted", n)
	}
	if n := drifted(b.KeepSettings(t.Context(), hall, w.ids()[:1])); n != 2 {
		t.Fatalf("%d drifted after one was kept", n)
	}
	j, _ = b.applied(wanted(map[string]any{"3": 2000.0}, func(c *SettingsChange) { c.Mend = true }))
	b.confirmedChange(j)
	w.run("max-level", int64(50), w.lamps[0])
	w.run("max-level", int64(100), w.lamps[1:]...)
	if n := drifted(b.ReadSettings(t.Context(), hall)); n != 0 {
		t.Fatalf("%d drifted in the end", n)
	}
}

// signedBy is a schema's document, signed with a key.
func signedBy(t *testing.T, model string, key ed25519.PrivateKey) (*settings.Schema, []byte) {
	t.Helper()
	schema, err := source.Parse(models.Source(model))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := suit.NewSigner(cose.Null, cose.NewEd25519(key))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := schema.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	return schema, doc
}

// A schema that was changed, or that nobody signed whom the devices trust, changes
// nothing; one whose devices tell no keys is marked.
func TestSettingsSchemaSignature(t *testing.T) {
	_, strange := signedBy(t, models.Lamp, newKey(t))
	for _, x := range []struct {
		name, problem string
		edit          func(l *lamp)
	}{
		{"wrong signature", "cfg-schema-signature", func(l *lamp) {
			doc := slices.Clone(l.cfg.Settings.SchemaDoc)
			doc[len(doc)-1] ^= 1
			l.cfg.Settings.SchemaDoc = doc
		}},
		{"unknown signer", "cfg-schema-signer", func(l *lamp) { l.cfg.Settings.SchemaDoc = strange }},
		{"no keys told", "", func(l *lamp) { l.cfg.Settings.SchemaDoc, l.cfg.Firmware = strange, nil }},
	} {
		t.Run(x.name, func(t *testing.T) {
			w := newCfgWorld(t, 2, x.edit)
			b := w.commissioned(nil)
			list, err := b.SettingsSchemas(t.Context(), hall)
			if err != nil || len(list) != 1 || list[0].Signed {
				t.Fatalf("%+v %v", list, err)
			}
			said := ""
			if list[0].Problem != nil {
				said = list[0].Problem.ID
			}
			if said != x.problem {
				t.Errorf("said %q", said)
			}
			c := wanted(map[string]any{"3": 1000.0})
			if _, err := b.PlanSettings(t.Context(), c); x.problem != "" && id(err) != x.problem || x.problem == "" && err != nil {
				t.Errorf("planned: %v", err)
			}
			if x.problem == "" {
				return
			}
			if _, err := b.ApplySettings(t.Context(), c); id(err) != x.problem {
				t.Errorf("applied: %v", err)
			}
			w.run("fade-time", int64(700))
		})
	}
}

// A switch is linked with a group; a lamp cannot be.
func TestSettingsLink(t *testing.T) {
	w := newCfgWorld(t, 2)
	firmware := w.equip
	schema, doc := signedBy(t, models.Switch, w.vendor)
	w.equip = func(l *lamp) {
		firmware(l)
		l.cfg.Settings = &holder.Config{Schema: schema, SchemaDoc: doc}
	}
	w.addLamp(3)
	b := w.commissioned(nil)
	button := w.lamps[2]
	to := SettingsLink{Group: hall, Button: 1, Action: 3, Scene: 4}
	c, err := b.LinkSettings(t.Context(), []string{button.id()}, hall, to)
	if err != nil || c.Model != models.Switch {
		t.Fatalf("%+v %v", c, err)
	}
	j, run := b.applied(c)
	if len(run.Rows) != 1 {
		t.Errorf("%s", describeRun(run))
	}
	b.confirmedChange(j)
	has, _ := button.Settings().Value("buttons").(settings.Map)
	if one, _ := has[1].(settings.Map); one[1] != hall || one[2] != int64(3) || one[3] != int64(4) {
		t.Errorf("%v", has)
	}
	if _, err := b.LinkSettings(t.Context(), []string{w.lamps[0].id()}, hall, to); id(err) != "cfg-no-link" {
		t.Errorf("%v", err)
	}
	if _, err := b.LinkSettings(t.Context(), []string{button.id(), w.lamps[0].id()}, hall, to); id(err) != "cfg-models" && id(err) != "cfg-no-link" {
		t.Errorf("%v", err)
	}
	to.Group = "nowhere"
	if _, err := b.LinkSettings(t.Context(), []string{button.id()}, hall, to); err == nil {
		t.Error("linked with a group that is not there")
	}
	// A file of both models, in which one lamp was changed, is a change of this lamp.
	_, err = b.ReadSettings(t.Context(), hall)
	b.must(nil, err)
	file, err := b.ExportSettings(t.Context(), hall, "csv")
	b.must(nil, err)
	c, err = b.ImportSettings(t.Context(), hall, strings.Replace(file, "fade-time,int,700", "fade-time,int,900", 1))
	if err != nil || c.Model != "lamp-dim-1" || len(c.Devices) != 1 {
		t.Errorf("%+v %v", c, err)
	}
	run, err = b.PlanSettings(t.Context(), c)
	if err != nil || run.Network || len(run.Rows) != 1 || run.Rows[0].State != SettingsRowPlanned {
		t.Errorf("nothing of the network is changed: %v %v %s", err, run.Network, describeRun(run))
	}
	if c, err = b.ImportSettings(t.Context(), hall, file); err != nil {
		t.Errorf("as exported: %+v %v", c, err)
	}
	both := strings.Replace(file, "long-press,int,500", "long-press,int,700", 1)
	if _, err = b.ImportSettings(t.Context(), hall, strings.Replace(both, "fade-time,int,700", "fade-time,int,900", 1)); id(err) != "cfg-models" {
		t.Errorf("of two models: %v", err)
	}
	wrong := strings.ReplaceAll(file, "fade-time,int,700", "fade-time,int,-1")
	if _, err = b.ImportSettings(t.Context(), hall, wrong); id(err) != "cfg-values" || !strings.Contains(err.Error(), "used:\nline ") || strings.Contains(err.Error(), "..") {
		t.Errorf("a file with mistakes: %v", err)
	}
}
