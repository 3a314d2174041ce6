package holder

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/settings"
	"lamplighter/internal/store"
)

// Every step in every state, of the transaction that is under way and of another;
// with a fresh nonce, and without.
func TestTransitions(t *testing.T) {
	const (
		idle, staged, scheduled, trial = settings.Idle, settings.Staged, settings.Scheduled, settings.Trial
		ok, none, busy, stale          = settings.ResultOK, settings.ResultNoStage, settings.ResultBusy, settings.ResultStale
	)
	type end struct {
		result settings.Result
		state  settings.State
		level  int64
	}
	for _, c := range []struct {
		from     settings.State
		mode     settings.Mode
		own      end // of A, with a nonce
		other    end // of B, with a nonce
		unquoted end // of A, without
	}{
		{idle, settings.ModeCheck, end{ok, idle, 5}, end{ok, idle, 5}, end{ok, idle, 5}},
		{idle, settings.ModeStage, end{ok, staged, 5}, end{ok, staged, 5}, end{ok, staged, 5}},
		{idle, settings.ModeCommit, end{none, idle, 5}, end{none, idle, 5}, end{none, idle, 5}},
		{idle, settings.ModeConfirm, end{none, idle, 5}, end{none, idle, 5}, end{none, idle, 5}},
		{idle, settings.ModeCancel, end{none, idle, 5}, end{none, idle, 5}, end{none, idle, 5}},
		{idle, settings.ModeRevert, end{none, idle, 5}, end{none, idle, 5}, end{none, idle, 5}},
		{staged, settings.ModeCheck, end{ok, staged, 5}, end{ok, staged, 5}, end{ok, staged, 5}},
		{staged, settings.ModeStage, end{ok, staged, 5}, end{ok, staged, 5}, end{ok, staged, 5}},
		{staged, settings.ModeCommit, end{ok, trial, 50}, end{none, staged, 5}, end{stale, staged, 5}},
		{staged, settings.ModeConfirm, end{none, staged, 5}, end{none, staged, 5}, end{none, staged, 5}},
		{staged, settings.ModeCancel, end{ok, idle, 5}, end{none, staged, 5}, end{stale, staged, 5}},
		{staged, settings.ModeRevert, end{ok, idle, 5}, end{none, staged, 5}, end{stale, staged, 5}},
		{scheduled, settings.ModeCheck, end{ok, scheduled, 5}, end{busy, scheduled, 5}, end{ok, scheduled, 5}},
		{scheduled, settings.ModeStage, end{ok, scheduled, 5}, end{busy, scheduled, 5}, end{ok, scheduled, 5}},
		{scheduled, settings.ModeCommit, end{ok, trial, 50}, end{busy, scheduled, 5}, end{ok, scheduled, 5}},
		{scheduled, settings.ModeConfirm, end{none, scheduled, 5}, end{busy, scheduled, 5}, end{none, scheduled, 5}},
		{scheduled, settings.ModeCancel, end{ok, idle, 5}, end{busy, scheduled, 5}, end{stale, scheduled, 5}},
		{scheduled, settings.ModeRevert, end{ok, idle, 5}, end{busy, scheduled, 5}, end{stale, scheduled, 5}},
		{trial, settings.ModeCheck, end{ok, trial, 50}, end{busy, trial, 50}, end{ok, trial, 50}},
		{trial, settings.ModeStage, end{ok, trial, 50}, end{busy, trial, 50}, end{ok, trial, 50}},
		{trial, settings.ModeCommit, end{ok, trial, 50}, end{busy, trial, 50}, end{ok, trial, 50}},
		{trial, settings.ModeConfirm, end{ok, idle, 50}, end{busy, trial, 50}, end{stale, trial, 50}},
		{trial, settings.ModeCancel, end{ok, idle, 5}, end{busy, trial, 50}, end{stale, trial, 50}},
		{trial, settings.ModeRevert, end{ok, idle, 5}, end{busy, trial, 50}, end{stale, trial, 50}},
	} {
		try := func(who string, txn []byte, quoted bool, want end) {
			t.Helper()
			r := newRig(t).to(c.from)
			s := step(txn, c.mode, nil)
			if c.mode == settings.ModeCheck || c.mode == settings.ModeStage {
				s = stage(txn, patch(50))
				s.Mode = c.mode
			} else if quoted {
				s.Nonces = r.nonce()
			}
			what := strings.Join([]string{c.from.String(), c.mode.String(), who}, ", ")
			r.want(what, r.post(s, false), want.result, want.state, want.level)
			before := r.h.View()
			r.boot()
			if v := r.h.View(); want.state < scheduled && (v.State != before.State || !bytes.Equal(v.Digest, before.Digest) || v.Result != before.Result) {
				t.Errorf("%s: after a restart %+v, before %+v", what, v, before)
			}
		}
		try("own", txnA, true, c.own)
		try("other", txnB, true, c.other)
		try("unquoted", txnA, false, c.unquoted)
	}
}

func TestRefusedSettings(t *testing.T) {
	long := strings.Repeat("x", 400)
	var notes = settings.Map{}
	for i := range 2 {
		notes[uint64(i)] = settings.Map{1: long}
	}
	change := func(f func(*settings.Transaction)) settings.Transaction {
		s := stage(txnA, patch(50))
		f(&s)
		return s
	}
	for what, c := range map[string]struct {
		t      settings.Transaction
		result settings.Result
		key    uint64
	}{
		"an unknown key":   {stage(txnA, settings.Map{1: int64(5), 99: true}), settings.ResultUnknownKey, 99},
		"above the range":  {stage(txnA, patch(105)), settings.ResultRange, 1},
		"below the range":  {stage(txnA, patch(-5)), settings.ResultRange, 1},
		"between steps":    {stage(txnA, patch(7)), settings.ResultRange, 1},
		"another type":     {stage(txnA, settings.Map{2: "on"}), settings.ResultType, 2},
		"half a scene":     {stage(txnA, settings.Map{6: settings.Map{3: settings.Map{2: int64(1)}}}), settings.ResultType, 6},
		"no such scene":    {stage(txnA, settings.Map{6: settings.Map{16: settings.Map{1: int64(1)}}}), settings.ResultRange, 6},
		"another schema":   {change(func(s *settings.Transaction) { s.Schema = 2 }), settings.ResultSchema, 0},
		"it has drifted":   {change(func(s *settings.Transaction) { s.Base = []byte("12345678") }), settings.ResultBase, 0},
		"a known base":     {change(func(s *settings.Transaction) { s.Base = lamp().Defaults().Short() }), settings.ResultOK, 0},
		"an unknown field": {stage(txnA, settings.Map{4: settings.Map{0: settings.Map{9: "x"}}}), settings.ResultUnknownKey, 4},
	} {
		for _, mode := range []settings.Mode{settings.ModeCheck, settings.ModeStage} {
			for _, many := range []bool{false, true} {
				r := newRig(t)
				c.t.Mode = mode
				s := r.post(c.t, many)
				state := settings.Idle
				if mode == settings.ModeStage && c.result == settings.ResultOK {
					state = settings.Staged
				}
				r.want(what, s, c.result, state, 5)
				if s.Key != c.key || !bytes.Equal(s.Txn, txnA) {
					t.Errorf("%s: key %d of %x", what, s.Key, s.Txn)
				}
				if want := settings.Merge(lamp().Defaults(), c.t.Patch).Short(); c.result == settings.ResultOK && !bytes.Equal(s.Candidate, want) {
					t.Errorf("%s: candidate %x, want %x", what, s.Candidate, want)
				}
			}
		}
	}
	r := newRig(t)
	for i := range 5 {
		base := r.h.Values()
		p := settings.Map{4: settings.Map{uint64(2 * i): notes[0], uint64(2*i + 1): notes[1]}}
		s := r.post(stage([]byte{1, 2, 3, byte(i)}, p), false)
		if fits := len(mustEncode(settings.Merge(base, p))) <= settings.MaxValues; (s.Result == settings.ResultOK) != fits || !fits && s.Result != settings.ResultTooLarge {
			t.Errorf("step %d: %v", i, s.Result)
		}
		r.post(step([]byte{1, 2, 3, byte(i)}, settings.ModeCommit, r.nonce()), false)
		r.post(step([]byte{1, 2, 3, byte(i)}, settings.ModeConfirm, r.nonce()), false)
	}
	if n := len(mustEncode(r.h.Values())); n > settings.MaxValues || n < settings.MaxValues/2 {
		t.Errorf("%d bytes run", n)
	}
}

func mustEncode(m settings.Map) []byte { b, _ := m.MarshalCBOR(); return b }

func TestMalformed(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{settings.PathTransaction, settings.PathValues} {
		code := map[string]coap.Code{settings.PathTransaction: coap.POST, settings.PathValues: coap.FETCH}[path]
		for _, body := range []string{"", "\x01", "\xa0\x00", "\xa1\x02\x01"} {
			if body == "\xa1\x02\x01" && path == settings.PathValues {
				body = "\xa1\x02\xff"
			}
			if resp := r.serve(code, path, []byte(body), false); resp.Code != coap.BadRequest {
				t.Errorf("%s with %x: %s", path, body, coap.CodeString(resp.Code))
			}
			if resp := r.serve(code, path, []byte(body), true); resp != nil {
				t.Errorf("%s with %x to a group: %s", path, body, coap.CodeString(resp.Code))
			}
		}
	}
	if resp := r.serve(coap.GET, settings.PathSchema, nil, false); resp.Code != coap.Content || string(resp.Payload) != "signed" {
		t.Errorf("schema: %v", resp)
	}
	if resp := r.serve(coap.GET, settings.PathSchema, nil, true); resp != nil {
		t.Error("a schema is told to a group")
	}
}

// A repetition is answered as the first time, also after a restart and when the
// transaction has ended.
func TestRepeated(t *testing.T) {
	for _, many := range []bool{false, true} {
		r := newRig(t)
		base := r.h.Values().Short()
		st := stage(txnA, patch(50))
		st.Base = base
		first := r.post(st, many)
		r.want("stage", first, settings.ResultOK, settings.Staged, 5)
		for range 2 {
			s := r.post(st, many)
			r.want("stage again", s, settings.ResultOK, settings.Staged, 5)
			if !bytes.Equal(s.Candidate, first.Candidate) {
				t.Error("another candidate")
			}
			r.boot()
		}
		commit := step(txnA, settings.ModeCommit, r.nonce())
		for range maxRestarts {
			r.want("commit", r.post(commit, many), settings.ResultOK, settings.Trial, 50)
			r.want("stage during the trial", r.post(st, many), settings.ResultOK, settings.Trial, 50)
			r.boot()
		}
		confirm := step(txnA, settings.ModeConfirm, r.nonce())
		for range 3 {
			r.want("confirm", r.post(confirm, many), settings.ResultOK, settings.Idle, 50)
			r.want("stage after the end", r.post(st, many), settings.ResultOK, settings.Idle, 50)
			r.boot()
		}
		for mode, want := range map[settings.Mode]settings.Result{
			settings.ModeCommit: settings.ResultOK, settings.ModeCancel: settings.ResultConfirmed, settings.ModeRevert: settings.ResultConfirmed,
		} {
			r.want("after the end "+mode.String(), r.post(step(txnA, mode, r.nonce()), many), want, settings.Idle, 50)
		}
		if len(r.applied) != 1 {
			t.Errorf("applied %d times", len(r.applied))
		}
	}
	for mode, end := range map[settings.Mode]settings.Result{settings.ModeRevert: settings.ResultWithdrawn, settings.ModeConfirm: settings.ResultReverted} {
		r := newRig(t).to(settings.Trial)
		n := r.nonce()
		if mode == settings.ModeConfirm { // too late
			r.pass(settings.DefaultConfirm * time.Second)
			n = r.nonce()
		}
		want := settings.ResultOK
		if mode == settings.ModeConfirm {
			want = end
		}
		for i := range 2 { // a refusal leaves nothing by which the group would be known to mean it
			r.want(mode.String(), r.post(step(txnA, mode, n), i == 0), want, settings.Idle, 5)
			if s := r.status(settings.StatusRequest{Txn: txnA}); s.Result != end || !bytes.Equal(s.Txn, txnA) {
				t.Errorf("%v: it tells %v of %x", mode, s.Result, s.Txn)
			}
			r.boot()
		}
		r.want("stage", r.post(stage(txnA, patch(50)), false), end, settings.Idle, 5)
		r.want("a new one", r.post(stage(txnB, patch(60)), false), settings.ResultOK, settings.Staged, 5)
		if s := r.status(settings.StatusRequest{Txn: txnA}); s.Result != end || !bytes.Equal(s.Txn, txnA) || s.State != settings.Staged {
			t.Errorf("%v: of the one before it tells %+v", mode, s)
		}
	}
}

// What all share comes to the group, what each has for itself comes pairwise, upon
// the candidate; repetitions of either change nothing.
func TestCandidateInParts(t *testing.T) {
	r := newRig(t)
	shared := stage(txnA, patch(50))
	shared.Base = r.h.Values().Short()
	first := r.post(shared, true)
	own := stage(txnA, settings.Map{3: "A7"})
	own.Base = first.Candidate
	want := settings.Merge(r.h.Values(), settings.Map{1: int64(50), 3: "A7"})
	for _, s := range []settings.Transaction{own, shared, own} {
		got := r.post(s, false)
		r.want("a part", got, settings.ResultOK, settings.Staged, 5)
		if !bytes.Equal(got.Candidate, want.Short()) {
			t.Errorf("candidate %x, want %x", got.Candidate, want.Short())
		}
		r.boot()
	}
	other := stage(txnB, settings.Map{3: "A7"}) // not upon the candidate of somebody else
	other.Base = want.Short()
	r.want("of another", r.post(other, false), settings.ResultBase, settings.Staged, 5)
	r.post(step(txnA, settings.ModeCommit, r.nonce()), false)
	if r.h.Values().Digest() != want.Digest() {
		t.Errorf("%v runs", r.h.Values())
	}
}

// Who is meant is said by Sender IDs and by nonces; others are silent to a group.
func TestWhoIsMeant(t *testing.T) {
	of := settings.AppendOf(settings.AppendOf(nil, []byte{1}), []byte{2, 7})
	r := newRig(t)
	st := stage(txnA, patch(50))
	st.Of = of
	if s := r.post(st, true); s != nil || r.h.View().State != settings.Idle {
		t.Error("staged, though not meant")
	}
	q := settings.StatusRequest{Of: of}
	if resp := r.serve(coap.FETCH, settings.PathValues, q.Append(nil), true); resp != nil {
		t.Error("tells, though not meant")
	}
	r.want("to it alone", r.post(st, false), settings.ResultOK, settings.Staged, 5)
	st.Of = settings.AppendOf(of, r.kid)
	r.want("meant", r.post(st, true), settings.ResultOK, settings.Staged, 5)
	commit := step(txnA, settings.ModeCommit, []byte("xxxxyyyy"))
	if r.post(commit, true) != nil {
		t.Error("commits with the nonces of others")
	}
	r.want("to it alone", r.post(commit, false), settings.ResultStale, settings.Staged, 5)
	n := r.nonce()
	commit.Nonces = append(commit.Nonces, n...)
	r.want("meant", r.post(commit, true), settings.ResultOK, settings.Trial, 50)
	r.kid = nil
	st.Of = of
	if r.post(st, true) != nil {
		t.Error("no member, and meant")
	}
}

// A nonce is good once, for its time, until the next is given, and not over a switch
// or a restart.
func TestNonces(t *testing.T) {
	r := newRig(t).to(settings.Staged)
	old := r.nonce()
	n := r.nonce()
	r.want("one before", r.post(step(txnA, settings.ModeCommit, old), false), settings.ResultStale, settings.Staged, 5)
	r.want("used for another", r.post(step(txnB, settings.ModeCommit, n), false), settings.ResultNoStage, settings.Staged, 5)
	r.want("used", r.post(step(txnA, settings.ModeCommit, n), false), settings.ResultStale, settings.Staged, 5)
	n = r.nonce()
	r.pass(settings.NonceLife*time.Second + 1)
	r.want("held back", r.post(step(txnA, settings.ModeCommit, n), false), settings.ResultStale, settings.Staged, 5)
	n = r.nonce()
	r.boot()
	r.want("before a restart", r.post(step(txnA, settings.ModeCommit, n), false), settings.ResultStale, settings.Staged, 5)
	c := step(txnA, settings.ModeCommit, r.nonce())
	c.In = 1000
	r.want("in a second", r.post(c, false), settings.ResultOK, settings.Scheduled, 5)
	n = r.nonce()
	r.pass(time.Second)
	r.want("before the switch", r.post(step(txnA, settings.ModeConfirm, n), false), settings.ResultStale, settings.Trial, 50)
	r.want("after the switch", r.post(step(txnA, settings.ModeConfirm, r.nonce()), false), settings.ResultOK, settings.Idle, 50)
}

// A commit that was held back until its nonce was too old does not make a scheduled
// switch earlier, nor does its repetition.
func TestOldNonceMovesNothing(t *testing.T) {
	r := newRig(t).to(settings.Staged)
	c := step(txnA, settings.ModeCommit, r.nonce())
	c.In = 3_600_000
	r.want("in an hour", r.post(c, false), settings.ResultOK, settings.Scheduled, 5)
	held := step(txnA, settings.ModeCommit, r.nonce())
	r.pass(settings.NonceLife*time.Second + 1)
	for range 2 {
		r.want("held back", r.post(held, false), settings.ResultOK, settings.Scheduled, 5)
	}
	r.want("in time", r.post(step(txnA, settings.ModeCommit, r.nonce()), false), settings.ResultOK, settings.Trial, 50)
}

// Nor over the way back.
func TestNonceBeforeTheWayBack(t *testing.T) {
	r := newRig(t).to(settings.Trial)
	r.pass(settings.DefaultConfirm*time.Second - time.Second)
	n := r.nonce()
	r.pass(time.Second)
	r.post(stage(txnB, patch(60)), false)
	r.want("before the way back", r.post(step(txnB, settings.ModeCommit, n), false), settings.ResultStale, settings.Staged, 5)
}

func TestFields(t *testing.T) {
	r := newRig(t).to(settings.Trial)
	s := r.status(settings.StatusRequest{Fields: settings.FieldValues | settings.FieldBefore | settings.FieldSchema, Keys: []uint64{1, 77}})
	if len(s.Values) != 1 || s.Values[1] != int64(50) || s.Before[1] != int64(5) || s.Schema.Model != "lamp" || s.Nonce != nil {
		t.Errorf("%+v", s)
	}
	if s.Left != settings.DefaultConfirm*1000 || !bytes.Equal(s.Txn, txnA) || s.Result != settings.ResultNone {
		t.Errorf("%+v", s)
	}
	all := r.read(r.serve(coap.GET, settings.PathValues, nil, false), coap.Content)
	if all.Values.Digest() != r.h.Values().Digest() || all.Schema == nil {
		t.Errorf("%+v", all)
	}
	if v := r.h.View(); v.SwitchedAt != r.wall.UnixMilli() || v.Left != settings.DefaultConfirm*time.Second {
		t.Errorf("%+v", v)
	}
}

func TestScenes(t *testing.T) {
	r := newRig(t)
	r.post(stage(txnA, settings.Map{6: settings.Map{3: settings.Map{1: int64(40)}}}), false)
	r.post(step(txnA, settings.ModeCommit, r.nonce()), false)
	if s, ok := r.h.Scene(3); !ok || s[1] != int64(40) || s[2] != int64(700) {
		t.Errorf("%v, %v", s, ok)
	}
	if _, ok := r.h.Scene(4); ok {
		t.Error("a scene that was never stored")
	}
	if r.h.Value("min-level") != int64(5) || r.h.Value("label") != nil || r.h.Value("nothing") != nil {
		t.Error("values by name")
	}
}

func TestDrop(t *testing.T) {
	for _, state := range []settings.State{settings.Idle, settings.Staged, settings.Scheduled, settings.Trial} {
		r := newRig(t).to(state)
		if err := r.h.Drop(); err != nil {
			t.Fatal(err)
		}
		r.runs(state.String(), settings.Idle, 5)
		if _, due := r.h.Due(); due {
			t.Error("something is due")
		}
	}
}

// A device whose new firmware has another schema keeps what still fits.
func TestAnotherSchema(t *testing.T) {
	r := newRig(t).to(settings.Trial)
	r.cfg.Schema = lamp()
	r.cfg.Schema.Version, r.cfg.Schema.Defs[0].Max = 4, number(20)
	r.boot()
	r.runs("the trial cannot be any more", settings.Idle, 5)
	r = newRig(t).to(settings.Trial)
	r.post(step(txnA, settings.ModeConfirm, r.nonce()), false)
	r.post(stage(txnB, settings.Map{2: true}), false)
	r.cfg.Schema = lamp()
	r.cfg.Schema.Version, r.cfg.Schema.Defs = 4, r.cfg.Schema.Defs[1:]
	r.boot()
	v := r.h.View()
	if _, has := v.Values[1]; has || v.Values[2] != false || v.State != settings.Idle || v.Result != settings.ResultSchema {
		t.Errorf("%+v", v)
	}
}

func TestUnusable(t *testing.T) {
	for what, cfg := range map[string]Config{
		"nothing": {}, "no store": {Schema: lamp()}, "no schema": {Store: store.NewMemory()},
		"a bad schema": {Schema: &settings.Schema{Model: "x"}, Store: store.NewMemory()},
	} {
		if _, err := Open(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := Open(Config{Schema: lamp(), Store: store.NewMemory()}); err != nil {
		t.Error(err)
	}
}

// What is stored and cannot be read makes no device that never starts again: it has
// the settings of the factory, says so by its digest, and takes new ones.
func TestUnreadableRecord(t *testing.T) {
	later := cbor.MustMarshal(map[int]any{1: map[int]any{1: 0.5}, 2: 0})
	for _, b := range [][]byte{nil, {0xff}, {0x80}, later, later[:3]} {
		r := newRig(t).to(settings.Trial)
		err := r.store.Store.Update(t.Context(), func(tx store.Tx) error { return tx.Put(key, append([]byte{}, b...)) })
		if err != nil {
			t.Fatal(err)
		}
		h, err := Open(r.cfg)
		if err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		if string(h.Values().Short()) != string(lamp().Defaults().Short()) {
			t.Errorf("%x: runs %v", b, h.Values())
		}
		r.boot()
		r.to(settings.Trial).boot()
	}
}
