package device

import (
	"bytes"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/settings"
	"lamplighter/internal/settings/holder"
)

func number(n int64) *int64 { return &n }

// lampSchema has what a lamp heeds, under keys of a test's own.
func lampSchema() *settings.Schema {
	whole := func(key uint64, name string, low, high, def int64) settings.Def {
		return settings.Def{Key: key, Name: name, Type: settings.Int, Min: number(low), Max: number(high), Default: def}
	}
	return &settings.Schema{Model: "lamp-dim-1", Version: 1, Defs: []settings.Def{
		whole(1, setMinLevel, 1, 100, 1), whole(2, setMaxLevel, 1, 100, 100), whole(3, setFade, 0, 60000, 700),
		whole(4, setPowerOn, 0, 2, 1), whole(5, setPowerOnLevel, 1, 100, 100),
		{Key: 6, Name: "scenes", Type: settings.Table, IDs: &settings.Range{Max: 15}, Members: []settings.Def{
			{Key: 1, Name: "level", Type: settings.Int, Min: number(0), Max: number(100)}, {Key: 2, Name: "fade", Type: settings.Int, Default: int64(700)},
		}},
		whole(7, setOccupancyLink, 0, 255, 0), whole(8, setHoldTime, 10, 7200, 600), whole(9, setTrim, -20, 20, 0),
		whole(21, setLeisure, 0, 20000, 500),
		{Key: 30, Name: setButtons, Type: settings.Table, IDs: &settings.Range{Max: 3}, Members: []settings.Def{
			{Key: 1, Name: "group", Type: settings.Text}, {Key: 2, Name: "action", Type: settings.Int, Default: int64(0)}, {Key: 3, Name: "scene", Type: settings.Int, Default: int64(0)},
		}},
		whole(31, setRepeats, 1, 3, 2), whole(32, setThreshold, 1, 100, 40), whole(33, setLink, 0, 255, 0), whole(34, setReports, 10, 3600, 60),
		{Key: 35, Name: setGroup, Type: settings.Text, Default: ""},
		whole(40, setFunctionDay, 0, 7, 0), whole(41, setFunctionHour, 0, 23, 2), whole(42, setInterval, 0, 104, 0), whole(43, setRated, 30, 480, 60), whole(44, setLowLevel, 5, 100, 20),
	}}
}

func withSettings(c *Config) {
	c.Settings = &holder.Config{Schema: lampSchema(), SchemaDoc: []byte("signed"), Clock: true}
	c.Firmware = nil
}

// transact posts a step to the group, or when it is to be answered alone to one lamp.
func (in *installer) transact(l *bulb, t settings.Transaction) settings.Status {
	in.w.t.Helper()
	resp, err := in.to(l, request(coap.POST, settings.PathTransaction, t.Append(nil)))
	if err != nil {
		in.w.t.Fatal(err)
	}
	s, err := settings.ParseStatus(resp.Payload)
	if err != nil {
		in.w.t.Fatal(err)
	}
	return s
}

// nonceOf asks one lamp for a nonce.
func (in *installer) nonceOf(l *bulb) []byte {
	in.w.t.Helper()
	q := settings.StatusRequest{Fields: settings.FieldNonce}
	resp, err := in.to(l, request(coap.FETCH, settings.PathValues, q.Append(nil)))
	if err != nil {
		in.w.t.Fatal(err)
	}
	s, err := settings.ParseStatus(resp.Payload)
	if err != nil {
		in.w.t.Fatal(err)
	}
	return s.Nonce
}

var txns byte

// set changes settings of one lamp, confirmed.
func (in *installer) set(l *bulb, patch settings.Map) {
	in.w.t.Helper()
	txns++
	txn := []byte{1, 2, 3, txns}
	in.want(settings.ResultOK, in.transact(l, settings.Transaction{Txn: txn, Mode: settings.ModeStage, Schema: 1, Patch: patch}))
	for _, mode := range []settings.Mode{settings.ModeCommit, settings.ModeConfirm} {
		in.want(settings.ResultOK, in.transact(l, settings.Transaction{Txn: txn, Mode: mode, Nonces: in.nonceOf(l)}))
	}
}

func (in *installer) want(r settings.Result, s settings.Status) {
	in.w.t.Helper()
	if s.Result != r {
		in.w.t.Fatalf("%v; want %v", s.Result, r)
	}
}

// lit gives a command to one lamp.
func (in *installer) lit(l *bulb, body any) Light {
	in.w.t.Helper()
	req := lightMessage(body)
	resp, err := in.to(l, req)
	if err != nil {
		in.w.t.Fatal(err)
	}
	var light Light
	if err := decode(&coap.Request{Message: resp}, &light); err != nil {
		in.w.t.Fatal(err)
	}
	return light
}

func recallMessage(scene, fade uint) *coap.Message {
	return request(coap.POST, settings.PathRecall, (&settings.Recall{Scene: scene, Fade: fade}).Append(nil))
}

func (b *building) configured(n int) []*bulb {
	b.t.Helper()
	for _, l := range b.bulbs {
		withSettings(&l.cfg)
		l.boot()
	}
	return b.bulbs
}

// One group message stages, one switches, one confirms, as the group's requests are
// protected, with the nonces that each gave.
func TestSettingsOfAGroup(t *testing.T) {
	b := newBuilding(t, 3)
	lamps := b.configured(3)
	in := b.anna
	var nonces []byte
	for _, l := range lamps {
		in.nonceOf(l) // challenges are met
	}
	txn := []byte("four")
	stage := settings.Transaction{Txn: txn, Mode: settings.ModeStage, Schema: 1, Patch: settings.Map{2: int64(80)}, Fields: settings.FieldNonce}
	stage.Base = lampSchema().Defaults().Short()
	want := settings.Merge(lampSchema().Defaults(), stage.Patch).Short()
	for _, a := range in.cast(request(coap.POST, settings.PathTransaction, stage.Append(nil))) {
		s, err := settings.ParseStatus(a.msg.Payload)
		if err != nil || s.Result != settings.ResultOK || !bytes.Equal(s.Candidate, want) {
			t.Fatalf("%+v, %v", s, err)
		}
		nonces = append(nonces, s.Nonce...)
	}
	if len(nonces) != 3*settings.NonceSize {
		t.Fatalf("%d bytes of nonces", len(nonces))
	}
	commit := settings.Transaction{Txn: txn, Mode: settings.ModeCommit, In: 5000, Within: 60, Nonces: nonces[:2*settings.NonceSize]}
	if got := in.cast(request(coap.POST, settings.PathTransaction, commit.Append(nil))); len(got) != 2 {
		t.Fatalf("%d answer a commit that names two", len(got))
	}
	b.pass(5 * time.Second)
	running := 0
	for _, l := range lamps {
		s := l.lamp.State().Settings
		if s.State == settings.Trial && s.Values[setMaxLevel] == int64(80) && s.SwitchedAt == b.clock.Now().UnixMilli() {
			running++
		}
	}
	if running != 2 {
		t.Errorf("%d run the new settings", running)
	}
	b.pass(60 * time.Second)
	for _, l := range lamps {
		if s := l.lamp.State().Settings; s.Values[setMaxLevel] != int64(100) {
			t.Errorf("nobody confirmed, and it runs %v", s.Values)
		}
	}
}

// A member that only sends commands may not touch settings, nor may the label; it may
// recall a scene.
func TestSettingsAreForInstallers(t *testing.T) {
	b := newBuilding(t, 1)
	l := b.configured(1)[0]
	bert := b.installer("bert", 2)
	bert.self(ace.RoleRequester)
	for path, req := range map[string]*coap.Message{
		"values": request(coap.FETCH, settings.PathValues, (&settings.StatusRequest{}).Append(nil)),
		"step":   request(coap.POST, settings.PathTransaction, (&settings.Transaction{Txn: txnFour, Mode: settings.ModeStage, Schema: 1}).Append(nil)),
		"schema": request(coap.GET, settings.PathSchema, nil),
	} {
		_, err := bert.to(l, req)
		wantCode(t, path, err, coap.Forbidden)
	}
	if resp, err := bert.to(l, recallMessage(1, 0)); err != nil || resp.Code != coap.Changed {
		t.Errorf("%v, %v", resp, err)
	}
	if resp, err := b.anna.to(l, request(coap.GET, settings.PathSchema, nil)); err != nil || string(resp.Payload) != "signed" {
		t.Errorf("%v, %v", resp, err)
	}
}

var txnFour = []byte("four")

func TestLevels(t *testing.T) {
	b := newBuilding(t, 1)
	l, in := b.configured(1)[0], b.anna
	in.lit(l, map[int]any{1: true, 2: 100})
	in.set(l, settings.Map{1: int64(20), 2: int64(80), 3: int64(1000)})
	if s := l.lamp.State(); s.Light != (Light{On: true, Level: 80}) || s.ReachedAt != b.clock.Now().Add(time.Second).UnixMilli() {
		t.Errorf("the lamp does not follow: %+v", s)
	}
	for level, want := range map[int]uint8{5: 20, 50: 50, 100: 80} {
		if got := in.lit(l, map[int]any{2: level}); got.Level != want {
			t.Errorf("%d became %d", level, got.Level)
		}
	}
	in.lit(l, map[int]any{2: 50})
	in.set(l, settings.Map{9: int64(7)})
	if s := l.lamp.State(); s.Light.Level != 50 || s.Output != 57 {
		t.Errorf("%+v", s)
	}
	in.lit(l, on(false))
	if s := l.lamp.State(); s.Output != 0 {
		t.Errorf("off, and gives %d", s.Output)
	}
}

func TestPowerOn(t *testing.T) {
	b := newBuilding(t, 1)
	l, in := b.configured(1)[0], b.anna
	for what, want := range map[int64]Light{0: {Level: 40}, 1: {On: true, Level: 40}, 2: {On: true, Level: 70}} {
		in.lit(l, map[int]any{1: true, 2: 40})
		in.set(l, settings.Map{4: what, 5: int64(70)})
		l.boot()
		if got := l.lamp.State().Light; got != want {
			t.Errorf("power-on %d: %+v, want %+v", what, got, want)
		}
	}
}

// What the lamp was at its latest start is what it was "before", though nobody
// commanded it.
func TestPowerOnIsKept(t *testing.T) {
	b := newBuilding(t, 1)
	l, in := b.configured(1)[0], b.anna
	in.lit(l, map[int]any{1: true, 2: 40})
	in.set(l, settings.Map{4: int64(powerOnOff)})
	l.boot()
	in.set(l, settings.Map{4: int64(1)})
	l.boot()
	if got := l.lamp.State().Light; got != (Light{Level: 40}) {
		t.Errorf("it was off, and is %+v", got)
	}
}

// A scene is stored early and recalled by one message; copies change nothing, and what
// was overtaken does nothing.
func TestRecall(t *testing.T) {
	b := newBuilding(t, 3)
	lamps, in := b.configured(3), b.anna
	for i, l := range lamps[:2] {
		in.set(l, settings.Map{6: settings.Map{3: settings.Map{1: int64(40 * i), 2: int64(2000)}}})
	}
	in.lit(lamps[2], map[int]any{1: true, 2: 77})
	held := in.seal(lightMessage(on(true)))
	if got := in.cast(recallMessage(3, 0)); len(got) != 3 {
		t.Fatalf("%d answer", len(got))
	}
	for i, want := range []Light{{Level: 100}, {On: true, Level: 40}, {On: true, Level: 77}} {
		s := lamps[i].lamp.State()
		if s.Light != want {
			t.Errorf("lamp %d: %+v, want %+v", i, s.Light, want)
		}
		if stored := i < 2; (s.Settings.Scene != nil && *s.Settings.Scene == 3) != stored || stored && (s.Settings.RecalledAt != b.clock.Now().UnixMilli()) {
			t.Errorf("lamp %d: %+v", i, s.Settings)
		}
	}
	if s := lamps[1].lamp.State(); s.ReachedAt != b.clock.Now().Add(2*time.Second).UnixMilli() {
		t.Errorf("fades until %d", s.ReachedAt)
	}
	in.send(held)
	if s := lamps[1].lamp.State(); s.Light.Level != 40 || s.Settings.Scene == nil {
		t.Errorf("a late command came true: %+v", s.Light)
	}
	in.cast(recallMessage(3, 500))
	if s := lamps[1].lamp.State(); s.Settings.Scene == nil {
		t.Error("no scene")
	}
	in.lit(lamps[1], on(true))
	if s := lamps[1].lamp.State(); s.Settings.Scene != nil {
		t.Error("the scene goes on after a command by hand")
	}
	_, err := in.to(lamps[0], request(coap.POST, settings.PathRecall, []byte{0xa0, 1}))
	wantCode(t, "malformed", err, coap.BadRequest)
}

// A released device does not go on with what its owner began.
func TestReleaseEndsAChange(t *testing.T) {
	b := newBuilding(t, 1)
	l, in := b.configured(1)[0], b.anna
	in.transact(l, settings.Transaction{Txn: txnFour, Mode: settings.ModeStage, Schema: 1, Patch: settings.Map{2: int64(50)}})
	in.transact(l, settings.Transaction{Txn: txnFour, Mode: settings.ModeCommit, Nonces: in.nonceOf(l)})
	if v := l.lamp.Settings().View(); v.State != settings.Trial {
		t.Fatalf("%+v", v)
	}
	if err := plainDo(l.at(in).ownerSession(), coap.NewRequest(coap.DELETE, "/ll/claim", nil)); err != nil {
		t.Fatal(err)
	}
	if v := l.lamp.Settings().View(); v.State != settings.Idle || v.Values[2] != int64(100) {
		t.Errorf("%+v", v)
	}
}
