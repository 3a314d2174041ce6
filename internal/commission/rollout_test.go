package commission

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/firmware"
)

// Eight lamps get an image and run it; everything that is shown says so.
func TestRollout(t *testing.T) {
	w := newFwWorld(t, 8)
	b := w.commissioned(&tap{})
	img := b.image(w.file("1.1.0", 11))
	j := b.rolls(img, FirmwareOptions{Profile: "wi-fi"})
	if _, err := b.StartFirmware(t.Context(), hall, img.Digest, FirmwareOptions{}); id(err) != "fw-one-at-a-time" && b.board(j).Ended == 0 {
		t.Errorf("a second one: %v", err)
	}
	r := w.confirmed(b, j, "1.1.0")
	if r.Blocks != fwBlocks || r.Sent != fwBlocks || r.BlockSize != 1024 || r.Sweeps == 0 || r.Bytes < fwSize || len(r.Generations) != 1 || r.Generations[0].Complete != 8 || r.Ended == 0 || r.Problem != nil {
		t.Errorf("%+v", r)
	}
	if !r.Image.Signed || len(r.Waves) != 3 || r.Waves[0].Name != "Canary" || r.Waves[0].State != WaveDone || r.Waves[0].Done != 1 || r.PredictedSeconds <= 0 {
		t.Errorf("%+v", r)
	}
	for _, l := range w.lamps {
		if v := l.Firmware().View(); v.Minimum != 11 {
			t.Errorf("%s: minimum %d", l.id(), v.Minimum)
		}
	}
	snap := b.Snapshot()
	if len(snap.Rollouts) != 1 || snap.Rollouts[0].Phase != PhaseDone || snap.Jobs[0].Kind != "firmware" || snap.Jobs[0].State != JobDone {
		t.Errorf("%+v", snap.Rollouts)
	}
	plan, err := b.PlanFirmware(t.Context(), hall, img.Digest, FirmwareOptions{})
	b.must(plan, err)
	noNulls(t, snap.Rollouts, plan)
	if text := b.Diagnostics(); !strings.Contains(text, "40 blocks of 1024: 40 sent") || !strings.Contains(text, "confirmed lacks 0") {
		t.Errorf("diagnostics:\n%s", text)
	}
	b.verified(8)
	// Once more: they run it.
	if r := w.rerun(b, img); r.Sent != 0 || r.row(w.ids()[0]).Problem.ID != "fw-running" {
		t.Errorf("%s", describe(r))
	}
}

// noNulls holds values against their types in TypeScript: a list is never null.
func noNulls(t *testing.T, values ...any) {
	t.Helper()
	text, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	null := regexp.MustCompile(`"[a-zA-Z]+":null`).FindAllString(string(text), -1)
	if slices.ContainsFunc(null, func(s string) bool { return s != `"problem":null` }) {
		t.Errorf("lists that are null: %q", null)
	}
}

// rerun expects a rollout with nothing to do.
func (w *fwWorld) rerun(b *browser, img FirmwareImage) Rollout {
	w.t.Helper()
	j, r := b.ended(b.rolls(img, FirmwareOptions{}))
	if j.State != JobDone || r.Phase != PhaseDone || r.Problem != nil {
		w.t.Errorf("%s\n%s", b.failures(j), describe(r))
	}
	return r
}

// The page hears of a rollout, not too often, and of its end.
func TestRolloutEvents(t *testing.T) {
	w := newFwWorld(t, 2)
	b := w.commissioned(&tap{})
	began := time.Now()
	j := b.rolls(b.image(w.file("1.1.0", 11)), FirmwareOptions{})
	w.confirmed(b, j, "1.1.0")
	b.Engine.pub.flush()
	b.mu.Lock()
	defer b.mu.Unlock()
	n, last := 0, Rollout{}
	for _, ev := range b.events {
		if ev.Type == "rollout" {
			n, last = n+1, *ev.Rollout
		}
	}
	if most := 3 + int(time.Since(began)/rolloutPace); n == 0 || n > most || last.Phase != PhaseDone || last.Job != j.ID {
		t.Errorf("%d events, at most %d; the last %s", n, most, last.Phase)
	}
}

// The report has each device, and which image it was.
func TestFirmwareReport(t *testing.T) {
	w := newFwWorld(t, 2)
	b := w.commissioned(&tap{})
	w.net.Down(w.lamps[1].addr, true)
	img := b.image(w.file("1.1.0", 11))
	j, r := b.ended(b.rolls(img, FirmwareOptions{}))
	if j.State != JobPartial || r.row(w.ids()[1]).State != RolloutLeftOut {
		t.Fatalf("%s\n%s", b.failures(j), describe(r))
	}
	text, err := b.FirmwareReport(t.Context(), j.ID)
	if err != nil {
		t.Fatal(err)
	}
	reader := csv.NewReader(strings.NewReader(text))
	reader.FieldsPerRecord = -1
	rows, err := reader.ReadAll()
	if err != nil || len(rows) != 6 || rows[1][1] != img.Digest || rows[1][3] == "" || rows[1][5] != "true" {
		t.Fatalf("%v\n%s", err, text)
	}
	good, bad := rows[4], rows[5]
	if good[0] != w.ids()[0] || good[1] != "Lamp 1" || good[2] != "Hall" || good[3] != "1.0.0" || good[4] != "1.1.0" || good[5] != "confirmed" || good[6] != "40" || good[8] == "" || good[9] != "" {
		t.Errorf("%q", good)
	}
	if bad[5] != "left-out" || bad[9] == "" {
		t.Errorf("%q", bad)
	}
	if _, err := b.FirmwareReport(t.Context(), "none"); id(err) != "unknown-job" {
		t.Error(err)
	}
}

// A reload in the middle goes on, and sends nothing again that all have.
func TestRolloutReload(t *testing.T) {
	for _, percent := range []int{30, 60, 90} {
		w := newFwWorld(t, 4)
		x := &tap{}
		b := w.commissioned(x)
		j := b.rollsUntil(x, b.image(w.file("1.1.0", 11)), fwBlocks*percent/100)
		before := x.count()
		b.Close()
		y := &tap{}
		again := w.engine(b.store, w.onTap(y))
		if list := again.Snapshot().Rollouts; len(list) != 1 || list[0].Job != j.ID || list[0].Phase.over() {
			t.Fatalf("after the reload: %+v", list)
		}
		r := w.confirmed(again, j, "1.1.0")
		if r.Sent > fwBlocks || before+y.count() > fwBlocks+fwBlocks/2 {
			t.Errorf("at %d %%: %d messages to the group, then %d; %s", percent, before, y.count(), describe(r))
		}
	}
}

// rollsUntil starts a rollout and returns when so many messages have gone to the
// group, with the engine's work held there until Close.
func (b *browser) rollsUntil(x *tap, img FirmwareImage, messages int) Job {
	b.t.Helper()
	reached := make(chan struct{})
	x.when(messages, func(ctx context.Context) {
		close(reached)
		<-ctx.Done()
	})
	j := b.rolls(img, FirmwareOptions{})
	select {
	case <-reached:
	case <-time.After(fwMinutes):
		b.t.Fatalf("it does not get there: %s", describe(b.board(j)))
	}
	return j
}

// The link breaks in the middle and comes back.
func TestRolloutWithoutLink(t *testing.T) {
	w := newFwWorld(t, 3)
	x := &tap{}
	b := w.commissioned(x)
	x.when(20, func(context.Context) {
		x.setCut(true)
		b.SetLink(false, 0, "gone")
	})
	j := b.rolls(b.image(w.file("1.1.0", 11)), FirmwareOptions{})
	eventually(t, "a job that waits", func() bool { return b.Snapshot().Jobs[0].State == JobWaiting })
	x.setCut(false)
	b.SetLink(true, 0, "")
	w.confirmed(b, j, "1.1.0")
}

// A reload while there is no link goes on when it comes.
func TestRolloutReloadWithoutLink(t *testing.T) {
	w := newFwWorld(t, 2)
	x := &tap{}
	b := w.commissioned(x)
	j := b.rollsUntil(x, b.image(w.file("1.1.0", 11)), 20)
	b.Close()
	y := &tap{cut: true}
	again := w.engine(b.store, w.onTap(y))
	again.SetLink(false, 0, "gone")
	if again.board(j).Phase.over() {
		t.Fatal("it ended")
	}
	y.setCut(false)
	again.SetLink(true, 0, "")
	w.confirmed(again, j, "1.1.0")
}

// New keys in the middle: the session goes on under them.
func TestRolloutRekeyed(t *testing.T) {
	w := newFwWorld(t, 3)
	x := &tap{}
	b := w.commissioned(x)
	epoch := b.group(hall).Epoch
	x.when(25, func(context.Context) { b.must(nil, w.gm.Rekey(context.Background(), hall, "")) })
	r := w.confirmed(b, b.rolls(b.image(w.file("1.1.0", 11)), FirmwareOptions{}), "1.1.0")
	if b.group(hall).Epoch <= epoch {
		t.Error("there were no new keys")
	}
	if r.Sent+r.Parity > 2*fwBlocks {
		t.Errorf("%s", describe(r))
	}
}

// A member is evicted in the middle: the others get the image, and it does not.
func TestRolloutEvicted(t *testing.T) {
	w := newFwWorld(t, 4)
	x := &tap{}
	b := w.commissioned(x)
	gone := w.lamps[2]
	x.when(25, func(context.Context) {
		b.must(nil, w.gm.Evict(context.Background(), hall, w.members(hall)[gone.id()].Node))
	})
	j, r := b.ended(b.rolls(b.image(w.file("1.1.0", 11)), FirmwareOptions{}))
	if j.State != JobPartial || j.Done != 3 || r.Phase != PhaseDone {
		t.Fatalf("%s\n%s", b.failures(j), describe(r))
	}
	if row := r.row(gone.id()); row.Problem == nil || row.Problem.ID != "fw-gone" || gone.Firmware().View().Running.Version != "1.0.0" {
		t.Errorf("%+v", row)
	}
}

// A paused group is waited for.
func TestRolloutInPausedGroup(t *testing.T) {
	w := newFwWorld(t, 2)
	x := &tap{}
	b := w.commissioned(x)
	x.when(20, func(context.Context) {
		b.must(nil, w.gm.SetActive(context.Background(), hall, false))
		s := b.current()
		g, _ := s.knownGroup(hall)
		s.setPaused(g, true)
	})
	j := b.rolls(b.image(w.file("1.1.0", 11)), FirmwareOptions{})
	eventually(t, "a rollout that rests", func() bool {
		r := b.board(j)
		return r.Phase == PhasePaused && !r.Paused && r.Problem != nil && r.Problem.ID == "group-paused"
	})
	b.must(nil, w.gm.SetActive(context.Background(), hall, true))
	if r := w.confirmed(b, j, "1.1.0"); r.Problem != nil {
		t.Errorf("%s", describe(r))
	}
}

// A canary on which the image does not start stops the rollout; tried again when
// that is mended, only what failed is done.
func TestRolloutCanary(t *testing.T) {
	w := newFwWorld(t, 4)
	b := w.commissioned(&tap{})
	for _, l := range w.lamps {
		w.setCrash(l.id(), true)
	}
	img := b.image(w.file("1.1.0", 11))
	j, r := b.ended(b.rolls(img, FirmwareOptions{}))
	if j.State != JobFailed || r.Phase != PhaseStopped || r.Problem == nil || r.Problem.ID != "fw-boot-loop" {
		t.Fatalf("%s\n%s", b.failures(j), describe(r))
	}
	canary := r.Waves[0].Devices[0]
	if r.ProblemDevice != canary || r.row(canary).State != RolloutReverted {
		t.Errorf("%s", describe(r))
	}
	for _, l := range w.lamps {
		if v := l.Firmware().View(); v.Running.Version != "1.0.0" || v.Minimum > fwFactory {
			t.Errorf("%s: %+v", l.id(), v)
		}
		if row := r.row(l.id()); l.id() != canary && row.State != RolloutVerified {
			t.Errorf("%+v", row)
		}
		w.setCrash(l.id(), false)
	}
	again, err := b.RetryJob(t.Context(), j.ID)
	b.must(again, err)
	if r = w.confirmed(b, again, "1.1.0"); r.Problem != nil {
		t.Errorf("%s", describe(r))
	}
}

// A person pauses, goes on, and lets each wave begin.
func TestRolloutByHand(t *testing.T) {
	w := newFwWorld(t, 3)
	x := &tap{}
	b := w.commissioned(x)
	paused := make(chan struct{})
	var j Job
	started := make(chan struct{})
	x.when(20, func(context.Context) {
		<-started
		b.must(b.PauseFirmware(context.Background(), j.ID))
		close(paused)
	})
	j = b.rolls(b.image(w.file("1.1.0", 11)), FirmwareOptions{Hold: true, Percent: -1})
	close(started)
	<-paused
	eventually(t, "a pause", func() bool { r := b.board(j); return r.Paused && r.Phase == PhasePaused })
	if _, err := b.AdvanceFirmware(t.Context(), j.ID); id(err) != "fw-not-waiting" {
		t.Error(err)
	}
	sent := x.count()
	time.Sleep(20 * time.Millisecond)
	if x.count() != sent || b.Snapshot().Jobs[0].State != JobWaiting {
		t.Errorf("%d, then %d messages; %s", sent, x.count(), b.Snapshot().Jobs[0].State)
	}
	b.must(b.ResumeFirmware(t.Context(), j.ID))
	eventually(t, "the second wave to wait", func() bool { return b.board(j).Waits })
	running := 0
	for _, l := range w.lamps {
		if l.Firmware().View().Running.Version == "1.1.0" {
			running++
		}
	}
	if running != 1 {
		t.Errorf("%d lamps run it after the canary", running)
	}
	b.must(b.AdvanceFirmware(t.Context(), j.ID))
	w.confirmed(b, j, "1.1.0")
}

// A canceled rollout leaves every lamp as it was; its retry goes on.
func TestRolloutCanceled(t *testing.T) {
	w := newFwWorld(t, 3)
	x := &tap{}
	b := w.commissioned(x)
	j := b.rollsUntil(x, b.image(w.file("1.1.0", 11)), 25)
	j, err := b.CancelJob(t.Context(), j.ID)
	if r := b.board(j); err != nil || j.State != JobCanceled || r.Phase != PhaseStopped {
		t.Fatalf("%v %s\n%s", err, b.failures(j), describe(r))
	}
	for _, l := range w.lamps {
		if v := l.Firmware().View(); v.State != firmware.Idle || v.Running.Version != "1.0.0" {
			t.Errorf("%s: %+v", l.id(), v)
		}
	}
	again, err := b.RetryJob(t.Context(), j.ID)
	b.must(again, err)
	w.confirmed(b, again, "1.1.0")
}

// What a person has canceled does not go on after a reload: the devices are told then,
// when they could not be before.
func TestRolloutCanceledWithoutLink(t *testing.T) {
	w := newFwWorld(t, 3)
	x := &tap{}
	b := w.commissioned(x)
	j := b.rollsUntil(x, b.image(w.file("1.1.0", 11)), 25)
	x.setCut(true)
	b.SetLink(false, 0, "gone")
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := b.CancelJob(short, j.ID); id(err) != "canceled" {
		t.Fatalf("ended without a link: %v", err)
	}
	b.Close()
	again := w.engine(b.store, w.onTap(nil))
	ended, err := again.WaitJob(t.Context(), j.ID)
	if r := again.board(j); err != nil || ended.State != JobCanceled || r.Phase != PhaseStopped {
		t.Fatalf("%v %s\n%s", err, ended.State, describe(r))
	}
	for _, l := range w.lamps {
		if v := l.Firmware().View(); v.State != firmware.Idle || v.Running.Version != "1.0.0" {
			t.Errorf("%s: %+v", l.id(), v)
		}
	}
	retried, err := again.RetryJob(t.Context(), j.ID)
	again.must(retried, err)
	w.confirmed(again, retried, "1.1.0")
}
