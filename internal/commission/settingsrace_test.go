package commission

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/settings"
	"lamplighter/internal/sim/models"
)

// goes waits until a change is tried, and confirms it, or until it has ended.
func (b *browser) goes(j Job) SettingsRun {
	b.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; sleep(context.Background(), 2*time.Millisecond) {
		run, err := b.SettingsRun(context.Background(), j.ID)
		b.must(run, err)
		switch {
		case run.Ended != 0:
			_, err := b.WaitJob(context.Background(), j.ID)
			b.must(nil, err)
			return run
		case run.Phase == SettingsTrying:
			_, _ = b.ConfirmSettings(context.Background(), j.ID) // what came of it the run says
		case time.Now().After(end):
			b.t.Fatalf("%s", describeRun(run))
		}
	}
}

// Two installers change the same lamps at the same time: all lamps run what one of
// them wanted, or what they ran before, and each is told the truth.
func TestSettingsAtTheSameTime(t *testing.T) {
	w := newCfgWorld(t, 3)
	ann, bert := w.team(nil)
	before := w.lamps[0].Settings().Value("fade-time")
	for n := range 6 {
		var ends [2]SettingsRun
		var both sync.WaitGroup
		for i, b := range []*browser{ann, bert} {
			both.Go(func() {
				sleep(t.Context(), time.Duration(i*n)*300*time.Microsecond)
				j, err := b.ApplySettings(t.Context(), wanted(map[string]any{"3": float64(1000 + 200*n + 100*i)}, func(c *SettingsChange) { c.Mend, c.Quorum = true, 3 }))
				b.must(j, err)
				ends[i] = b.goes(j)
			})
		}
		both.Wait()
		for _, l := range w.lamps { // who could not be told goes back by itself
			if v := l.Settings().View(); v.State == settings.Trial && (ends[0].Phase == SettingsDone || ends[1].Phase == SettingsDone) {
				t.Errorf("round %d: a change is done, and there is a trial: %+v", n, v)
			}
		}
		w.advance(11 * time.Minute)
		w.tick()
		now := w.lamps[0].Settings().Value("fade-time")
		w.run("fade-time", now)
		done := 0
		for i, run := range ends {
			if run.Phase == SettingsDone {
				done++
			}
			if now == int64(1000+200*n+100*i) && run.Phase != SettingsDone {
				t.Errorf("round %d: the lamps run %v, and installer %d reads %s", n, now, i, describeRun(run))
			}
			for _, row := range run.Rows {
				truth := row.Problem != nil && row.Problem.Next != "" && (row.Problem.ID == "cfg-busy" || row.Problem.ID == "cfg-base") // the other's is under way, or through
				if run.Phase != SettingsDone && row.State == SettingsRowRefused && !truth {
					t.Errorf("round %d: %s", n, describeRun(run))
				}
			}
		}
		if done == 0 != (now == before) {
			t.Errorf("round %d: %d were told that their change is done, and the lamps run %v, before %v", n, done, now, before)
		}
		t.Logf("%d of both went through", done)
		before = now
		for _, l := range w.lamps {
			if v := l.Settings().View(); v.State != settings.Idle {
				t.Errorf("round %d: %+v", n, v)
			}
		}
	}
}

// beforeStep does something in front of a message to the group.
type beforeStep struct {
	*tap
	mu    sync.Mutex
	after int // so many messages
	armed func()
}

func (x *beforeStep) arm(after int, f func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.after, x.armed = after, f
}

func (x *beforeStep) Multicast(ctx context.Context, to netip.AddrPort, req *coap.Message, wait time.Duration, each func(*coap.Message, netip.AddrPort)) error {
	x.mu.Lock()
	f := x.armed
	due := f != nil && x.after == 0
	if x.after--; due {
		x.armed = nil
	}
	x.mu.Unlock()
	if due {
		f()
	}
	return x.tap.Multicast(ctx, to, req, wait, each)
}

// Between what the installer knows and the stage a lamp's settings change, or it gets
// a firmware with another schema: it is left as it is, and the installer is told why.
func TestSettingsChangedMeanwhile(t *testing.T) {
	w := newCfgWorld(t, 3)
	x := &beforeStep{}
	b := w.enrolled(func(c *Config) {
		w.onTap(&tap{})(c)
		x.tap = c.Exchange.(*tap)
		c.Exchange = x
	})
	b.joined()
	_, err := b.ReadSettings(t.Context(), hall)
	b.must(nil, err)
	odd := w.lamps[1]
	refused := func(want string) {
		t.Helper()
		j, err := b.ApplySettings(t.Context(), wanted(map[string]any{"3": 1000.0}))
		b.must(j, err)
		j, run := b.endedChange(j)
		if row := rowOf(run, odd.id()); row.Problem.ID != want || row.State != SettingsRowRefused || row.Problem.Text == "" || run.Phase != SettingsStopped {
			t.Errorf("want %s: %s", want, describeRun(run))
		}
		w.run("fade-time", int64(700))
	}
	schema, doc := signedBy(t, models.Lamp, w.vendor)
	newer := *schema
	newer.Version++
	old := *odd.cfg.Settings
	x.arm(1, func() { // the first reads
		odd.cfg.Settings.Schema, odd.cfg.Settings.SchemaDoc = &newer, doc
		w.boot(odd)
	})
	refused("cfg-schema")
	*odd.cfg.Settings = old
	w.boot(odd)
	x.arm(1, func() { // the first reads
		h := odd.Settings()
		mux := coap.NewMux()
		h.Register(mux, func(f coap.HandlerFunc) coap.HandlerFunc { return f })
		do := func(code coap.Code, path string, body []byte) settings.Status {
			s, err := settings.ParseStatus(mux.Serve(t.Context(), &coap.Request{Message: coap.NewRequest(code, path, body)}).Payload)
			b.must(s, err)
			return s
		}
		txn := []byte("else")
		do(coap.POST, settings.PathTransaction, (&settings.Transaction{Txn: txn, Mode: settings.ModeStage, Schema: 1, Patch: settings.Map{2: int64(55)}}).Append(nil))
		for _, mode := range []settings.Mode{settings.ModeCommit, settings.ModeConfirm} {
			nonce := do(coap.FETCH, settings.PathValues, (&settings.StatusRequest{Fields: settings.FieldNonce}).Append(nil)).Nonce
			do(coap.POST, settings.PathTransaction, (&settings.Transaction{Txn: txn, Mode: mode, Nonces: nonce}).Append(nil))
		}
	})
	refused("cfg-base")
	w.run("max-level", int64(55), odd)
}
