package holder

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/settings"
	"lamplighter/internal/store"
)

func number(n int64) *int64 { return &n }

// lamp is a small schema.
func lamp() *settings.Schema {
	return &settings.Schema{
		Model: "lamp", Version: 3,
		Defs: []settings.Def{
			{Key: 1, Name: "min-level", Type: settings.Int, Min: number(0), Max: number(100), Step: 5, Default: int64(5)},
			{Key: 2, Name: "blink", Type: settings.Bool, Default: false},
			{Key: 3, Name: "label", Type: settings.Text, Max: number(400), Flags: settings.PerDevice},
			{Key: 4, Name: "notes", Type: settings.Table, IDs: &settings.Range{Max: 9}, Members: []settings.Def{
				{Key: 1, Name: "text", Type: settings.Text, Default: ""},
			}},
			{Key: 6, Name: "scenes", Type: settings.Table, IDs: &settings.Range{Max: 15}, Members: []settings.Def{
				{Key: 1, Name: "level", Type: settings.Int, Min: number(0), Max: number(100)},
				{Key: 2, Name: "fade", Type: settings.Int, Default: int64(700)},
			}},
		},
	}
}

var errCut = errors.New("the power is cut")

// cutting is a store that fails at a write: before it, or after it is durable.
type cutting struct {
	store.Store
	writes int
	before int // the write that does not take place, from 1; 0: none
	after  int // the write that does, and is not answered
}

func (c *cutting) Update(ctx context.Context, fn func(store.Tx) error) error {
	c.writes++
	if c.writes == c.before {
		return errCut
	}
	err := c.Store.Update(ctx, fn)
	if c.writes == c.after && err == nil {
		return errCut
	}
	return err
}

// rig is one device under test.
type rig struct {
	t     testing.TB
	store *cutting
	wall  time.Time // as the device's clock says
	up    time.Duration
	cfg   Config
	h     *Holder
	mux   *coap.Mux

	applied []settings.Map
	kid     []byte // its Sender ID
}

func newRig(t testing.TB, edits ...func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, store: &cutting{Store: store.NewMemory()}, wall: time.Unix(1_800_000_000, 0), kid: []byte{7}}
	r.cfg = Config{
		Schema: lamp(), SchemaDoc: []byte("signed"), Store: r.store, Clock: true,
		Now: func() time.Time { return r.wall }, Uptime: func() time.Duration { return r.up },
		Rand:     rand.NewChaCha8([32]byte{1}),
		SenderID: func(string) []byte { return r.kid },
		Apply:    func(_, now settings.Map) { r.applied = append(r.applied, now) },
	}
	for _, edit := range edits {
		edit(&r.cfg)
	}
	r.boot()
	return r
}

func noClock(c *Config) { c.Clock = false }

func (r *rig) boot() {
	r.t.Helper()
	h, err := Open(r.cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.h, r.mux = h, coap.NewMux()
	h.Register(r.mux, func(f coap.HandlerFunc) coap.HandlerFunc { return f })
}

// pass lets time go by, and what is due happen.
func (r *rig) pass(d time.Duration) {
	r.up += d
	r.wall = r.wall.Add(d)
	r.h.Tick()
}

func (r *rig) serve(code coap.Code, path string, payload []byte, many bool) *coap.Message {
	req := &coap.Request{Message: coap.NewRequest(code, path, payload), Multicast: many, Peer: coap.Peer{Kind: coap.PeerGroup, Name: "hall"}}
	return r.mux.Serve(r.t.Context(), req)
}

// post takes a step; nil: silence.
func (r *rig) post(t settings.Transaction, many bool) *settings.Status {
	r.t.Helper()
	return r.read(r.serve(coap.POST, settings.PathTransaction, t.Append(nil), many), coap.Changed)
}

func (r *rig) read(resp *coap.Message, code coap.Code) *settings.Status {
	r.t.Helper()
	if resp == nil {
		return nil
	}
	if resp.Code != code {
		r.t.Fatalf("answered %s: %s", coap.CodeString(resp.Code), resp.Payload)
	}
	s, err := settings.ParseStatus(resp.Payload)
	if err != nil {
		r.t.Fatal(err)
	}
	if string(s.Running) != string(r.h.Values().Short()) {
		r.t.Fatalf("it says that %x runs, and %x does", s.Running, r.h.Values().Short())
	}
	return &s
}

func (r *rig) status(q settings.StatusRequest) *settings.Status {
	r.t.Helper()
	return r.read(r.serve(coap.FETCH, settings.PathValues, q.Append(nil), false), coap.Content)
}

func (r *rig) nonce() []byte {
	r.t.Helper()
	return r.status(settings.StatusRequest{Fields: settings.FieldNonce}).Nonce
}

var txnA, txnB = []byte("txnA"), []byte("txnB")

func patch(level int64) settings.Map { return settings.Map{1: level} }

func stage(txn []byte, p settings.Map) settings.Transaction {
	return settings.Transaction{Txn: txn, Mode: settings.ModeStage, Schema: 3, Patch: p}
}

func step(txn []byte, mode settings.Mode, nonces []byte) settings.Transaction {
	return settings.Transaction{Txn: txn, Mode: mode, Nonces: nonces}
}

// want fails unless a step was taken so, and left the device so.
func (r *rig) want(what string, s *settings.Status, result settings.Result, state settings.State, level int64) {
	r.t.Helper()
	if s == nil {
		r.t.Fatalf("%s: silence", what)
	}
	if s.Result != result || s.State != state {
		r.t.Errorf("%s: %q, %q; want %q, %q", what, s.Result, s.State, result, state)
	}
	r.runs(what, state, level)
}

func (r *rig) runs(what string, state settings.State, level int64) {
	r.t.Helper()
	if v := r.h.View(); v.State != state || v.Values[1] != level {
		r.t.Errorf("%s: %q with %v; want %q with %d", what, v.State, v.Values, state, level)
	}
}

// to brings a new device into a state with transaction A, which makes 5 to 50.
func (r *rig) to(state settings.State) *rig {
	r.t.Helper()
	if state == settings.Idle {
		return r
	}
	r.want("stage", r.post(stage(txnA, patch(50)), false), settings.ResultOK, settings.Staged, 5)
	commit := step(txnA, settings.ModeCommit, nil)
	switch state {
	case settings.Staged:
		return r
	case settings.Scheduled:
		commit.In = 10_000
	}
	commit.Nonces = r.nonce()
	level := map[settings.State]int64{settings.Scheduled: 5, settings.Trial: 50}[state]
	r.want("commit", r.post(commit, false), settings.ResultOK, state, level)
	return r
}
