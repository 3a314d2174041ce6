package commission

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/as"
	"lamplighter/internal/sim"
	"lamplighter/internal/sim/image"
	"lamplighter/internal/store"
	"lamplighter/internal/suit"
)

// A lamp that joins the group in the middle gets the image too; one that leaves it is
// left out.
func TestRolloutMembers(t *testing.T) {
	w := newFwWorld(t, 4)
	x := &tap{}
	b := w.enrolled(w.onTap(x))
	leaves, joins := w.lamps[0], w.lamps[3]
	if j := b.job(b.Join(t.Context(), hall, w.ids()[:3])); j.State != JobDone {
		t.Fatal(b.failures(j))
	}
	x.when(20, func(context.Context) {
		b.job(b.Join(context.Background(), hall, []string{joins.id()}))
		b.job(b.Leave(context.Background(), hall, []string{leaves.id()}))
	})
	j, r := b.ended(b.rolls(b.image(w.file("1.1.0", 11)), FirmwareOptions{}))
	if j.State != JobPartial || j.Total != 4 || j.Done != 3 {
		t.Fatalf("%s\n%s", b.failures(j), describe(r))
	}
	if row := r.row(leaves.id()); row.State != RolloutLeftOut || row.Problem == nil || row.Problem.ID != "fw-gone" {
		t.Errorf("%+v", row)
	}
	for _, l := range w.lamps[1:] {
		if v := l.Firmware().View().Running.Version; v != "1.1.0" {
			t.Errorf("%s runs %s", l.id(), v)
		}
	}
}

// A browser that lost everything but its backup starts the same file: it goes on with
// what the lamps have.
func TestRolloutFromBackup(t *testing.T) {
	w := newFwWorld(t, 3)
	x := &tap{}
	b := w.commissioned(x)
	saved, err := b.Backup(t.Context(), "long enough")
	b.must(saved, err)
	file := w.file("1.1.0", 11)
	b.rollsUntil(x, b.image(file), 30)
	b.Close()
	y := &tap{}
	other := w.engine(nil, w.onTap(y))
	other.must(other.Restore(t.Context(), saved, "long enough"))
	img := other.image(file)
	plan, err := other.PlanFirmware(t.Context(), hall, img.Digest, FirmwareOptions{})
	if err != nil || plan.Fits != 3 {
		t.Fatalf("%+v %v", plan, err)
	}
	r := w.confirmed(other, other.rolls(img, FirmwareOptions{}), "1.1.0")
	if y.count() > fwBlocks {
		t.Errorf("%d messages to the group after the takeover: %s", y.count(), describe(r))
	}
}

// Two installers: whom one feeds the other leaves out, unless he takes over.
func TestRolloutOfAnother(t *testing.T) {
	w := newFwWorld(t, 3)
	x := &tap{}
	ann, bert := w.team(x)
	file := w.file("1.1.0", 11)
	ann.rollsUntil(x, ann.image(file), 30)
	img := bert.image(file)
	plan, err := bert.PlanFirmware(t.Context(), hall, img.Digest, FirmwareOptions{})
	if err != nil || plan.Fits != 0 || plan.Devices[0].Problem.ID != "fw-busy" || plan.Problem == nil {
		t.Fatalf("%+v %v", plan, err)
	}
	ann.Close()
	plan, err = bert.PlanFirmware(t.Context(), hall, img.Digest, FirmwareOptions{TakeOver: true})
	if err != nil || plan.Fits != 3 {
		t.Fatalf("%+v %v", plan, err)
	}
	r := w.confirmed(bert, bert.rolls(img, FirmwareOptions{TakeOver: true}), "1.1.0")
	if r.Sent+r.Parity > fwBlocks*3/4 {
		t.Errorf("%s", describe(r))
	}
}

// Who is a member of the group and on no lamp's list sends no firmware.
func TestRolloutDenied(t *testing.T) {
	w := newFwWorld(t, 1)
	ann := w.hired("Ann", as.RoleAdmin, "127.0.0.1:40001", w.onTap(nil))
	ann.joined()
	bert := w.hired("Bert", as.RoleInstaller, "127.0.0.1:40002", w.onTap(nil))
	_, err := bert.GroupMembers(t.Context(), hall)
	bert.must(nil, err)
	img := bert.image(w.file("1.1.0", 11))
	plan, err := bert.PlanFirmware(t.Context(), hall, img.Digest, FirmwareOptions{})
	if err != nil || plan.Fits != 0 || len(plan.Devices) != 1 || plan.Devices[0].Problem.ID != "fw-denied" {
		t.Fatalf("%+v %+v %v", plan, plan.Devices[0].Problem, err)
	}
}

// Datagrams are lost on all ways; all lamps get the image.
func TestRolloutWithLoss(t *testing.T) {
	w := newFwWorld(t, 6)
	x := &tap{}
	b := w.commissioned(x)
	w.net.SetFaults(sim.Faults{Loss: 0.1})
	r := w.confirmed(b, b.rolls(b.image(w.file("1.1.0", 11)), FirmwareOptions{Profile: "802.15.4"}), "1.1.0")
	if r.BlockSize != 512 || r.Blocks != 2*fwBlocks || r.Sent+r.Parity > 2*r.Blocks {
		t.Errorf("%s", describe(r))
	}
}

// A reload while a lamp tries the image goes on with the confirmation.
func TestRolloutReloadWhileSwitching(t *testing.T) {
	w := newFwWorld(t, 3)
	b := w.commissioned(&tap{})
	switched := make(chan struct{})
	var once sync.Once
	w.started = func(version string) {
		if version != "1.0.0" {
			once.Do(func() {
				go func() { b.Close(); close(switched) }()
				<-b.life.Done()
			})
		}
	}
	j := b.rolls(b.image(w.file("1.1.0", 11)), FirmwareOptions{})
	<-switched
	if n := w.confirmedLamps(); n != 0 {
		t.Fatalf("%d lamps are confirmed already", n)
	}
	again := w.engine(b.store, w.onTap(&tap{}))
	r := w.confirmed(again, j, "1.1.0")
	if r.Sent != fwBlocks || r.Parity > fwBlocks/4 {
		t.Errorf("%s", describe(r))
	}
	again.Close()
	last := w.engine(b.store, w.onTap(&tap{}))
	snap := last.Snapshot()
	noNulls(t, snap.Rollouts)
	text, err := last.FirmwareReport(t.Context(), j.ID)
	if len(snap.Rollouts) != 1 || snap.Rollouts[0].Phase != PhaseDone || err != nil || strings.Count(text, "confirmed") != 3 {
		t.Errorf("after another reload: %+v %v\n%s", snap.Rollouts, err, text)
	}
}

func (w *fwWorld) confirmedLamps() (n int) {
	for _, l := range w.lamps {
		if l.Firmware().View().Minimum > fwFactory {
			n++
		}
	}
	return n
}

// The browser is removed from the group in the middle: that is told. When it is a
// member again the rollout can go on.
func TestRolloutRemoved(t *testing.T) {
	w := newFwWorld(t, 3)
	x := &tap{}
	b := w.commissioned(x)
	x.when(25, func(context.Context) {
		own := b.current().membership(b.current().groups[hall]).SenderID
		for _, m := range w.members(hall) {
			if string(m.SenderID) == string(own) {
				b.must(nil, w.gm.Evict(context.Background(), hall, m.Node))
			}
		}
		eventually(t, "the news", func() bool { return b.group(hall).Ended == EndRemoved })
	})
	j, r := b.ended(b.rolls(b.image(w.file("1.1.0", 11)), FirmwareOptions{}))
	if j.State != JobFailed || r.Phase != PhaseFailed || r.Problem == nil || r.Problem.ID != "removed-from-group" {
		t.Fatalf("%s\n%s", b.failures(j), describe(r))
	}
	b.must(nil, b.Enter(t.Context(), hall))
	again, err := b.RetryJob(t.Context(), j.ID)
	b.must(again, err)
	if r = w.confirmed(b, again, "1.1.0"); r.Sent+r.Parity > 2*fwBlocks {
		t.Errorf("%s", describe(r))
	}
}

// Two groups are sent to at a time, but not with the same lamp in both.
func TestRolloutsOfTwoGroups(t *testing.T) {
	w := newFwWorld(t, 4)
	x := &tap{}
	b := w.enrolled(w.onTap(x))
	for group, ids := range map[string][]string{hall: w.ids()[:2], stage: w.ids()[2:]} {
		if j := b.job(b.Join(t.Context(), group, ids)); j.State != JobDone {
			t.Fatal(b.failures(j))
		}
	}
	if j := b.job(b.Join(t.Context(), stage, w.ids()[:1])); j.State != JobDone {
		t.Fatal(b.failures(j))
	}
	img := b.image(w.file("1.1.0", 11))
	hold := make(chan struct{})
	x.when(20, func(context.Context) { <-hold })
	first := b.rolls(img, FirmwareOptions{})
	if _, err := b.StartFirmware(t.Context(), stage, img.Digest, FirmwareOptions{}); id(err) != "fw-devices-taken" {
		t.Error(err)
	}
	if _, err := b.StartFirmware(t.Context(), hall, img.Digest, FirmwareOptions{}); id(err) != "fw-one-at-a-time" {
		t.Error(err)
	}
	second, err := b.StartFirmware(t.Context(), stage, img.Digest, FirmwareOptions{Devices: w.ids()[2:]})
	b.must(second, err)
	close(hold)
	w.confirmed(b, first, "1.1.0", w.lamps[:2]...)
	w.confirmed(b, second, "1.1.0", w.lamps[2:]...)
}

// A canceled job of another kind, and one that is none.
func TestRolloutArguments(t *testing.T) {
	w := newFwWorld(t, 1)
	b := w.commissioned(&tap{})
	other := b.Snapshot().Jobs[0]
	for what, got := range map[string]struct {
		err  error
		want string
	}{
		"a join job":     {errOf(b.Firmware(t.Context(), other.ID)), "fw-no-rollout"},
		"its pause":      {errOf(b.PauseFirmware(t.Context(), other.ID)), "fw-no-rollout"},
		"no job":         {errOf(b.ResumeFirmware(t.Context(), "x")), "unknown-job"},
		"no group":       {errOf(b.StartFirmware(t.Context(), "nowhere", "", FirmwareOptions{})), "unknown-group"},
		"no image":       {errOf(b.StartFirmware(t.Context(), hall, "00", FirmwareOptions{})), "fw-unknown-image"},
		"an empty group": {errOf(b.StartFirmware(t.Context(), stage, b.image(w.file("1.1.0", 11)).Digest, FirmwareOptions{})), "no-members"},
	} {
		if id(got.err) != got.want {
			t.Errorf("%s: %v, want %s", what, got.err, got.want)
		}
	}
	if _, err := b.Call(t.Context(), "inspectFirmware", []byte(`["not base64!"]`)); id(err) != "bad-argument" {
		t.Error(err)
	}
	args, err := json.Marshal([]any{w.file("1.2.0", 12)})
	b.must(args, err)
	if got, err := b.Call(t.Context(), "inspectFirmware", args); err != nil || got.(FirmwareImage).Version != "1.2.0" {
		t.Errorf("%+v %v", got, err)
	}
}

// Images are kept within bounds: the longest unused goes first, one of a rollout that
// is under way stays, and what nobody uses for long goes at the next start.
func TestFirmwareImagesBounds(t *testing.T) {
	w := newFwWorld(t, 3)
	x := &tap{}
	b := w.commissioned(x)
	digests := func(b *browser) (list []string) {
		images, err := b.FirmwareImages(t.Context())
		b.must(images, err)
		for _, img := range images {
			list = append(list, img.Digest)
		}
		return list
	}
	big := func(version string, sequence uint64, size int) FirmwareImage {
		w.advance(time.Second)
		return b.image(w.file(version, sequence, func(p *suit.Params) {
			p.Image = image.Make(image.Image{Version: version}, size)
		}))
	}
	small := b.image(w.file("1.1.0", 11))
	j := b.rollsUntil(x, small, 20)
	one, two := big("2", 12, maxImage), big("3", 13, 6<<20)
	if list := digests(b); !slices.Equal(list, []string{two.Digest, one.Digest, small.Digest}) {
		t.Fatalf("%q", list)
	}
	three := big("4", 14, maxImage)
	if list := digests(b); !slices.Equal(list, []string{three.Digest, two.Digest, small.Digest}) {
		t.Errorf("%q", list)
	}
	b.job(b.CancelJob(t.Context(), j.ID))
	b.Close()
	w.advance(imageLife + time.Hour)
	again := w.engine(b.store, w.onTap(x))
	eventually(t, "no images", func() bool { return len(digests(again)) == 0 })
	chunks := 0
	b.must(nil, again.current().db.View(t.Context(), func(tx store.Tx) error {
		return tx.Scan(preChunk, func(string, []byte) bool { chunks++; return true })
	}))
	if chunks != 0 {
		t.Errorf("%d chunks are left", chunks)
	}
}

// A person's roll call goes first: blocks wait until it has its answers.
func TestRolloutGivesWay(t *testing.T) {
	w := newFwWorld(t, 3)
	x := &tap{}
	b := w.commissioned(x)
	asked, answer, called := make(chan struct{}), make(chan struct{}), make(chan RollCall, 1)
	x.when(20, func(context.Context) {
		x.setAsk(func() {
			close(asked)
			<-answer
		})
		go func() {
			call, _ := b.RollCall(context.Background(), hall)
			called <- call
		}()
		<-asked
	})
	j := b.rolls(b.image(w.file("1.1.0", 11)), FirmwareOptions{})
	<-asked
	time.Sleep(60 * time.Millisecond)
	if n := x.count(); n > 20 {
		t.Errorf("%d messages while a roll call is under way", n)
	}
	close(answer)
	if call := <-called; call.Verified != 3 {
		t.Errorf("%+v", call)
	}
	w.confirmed(b, j, "1.1.0")
}
