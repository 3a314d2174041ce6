package commission

import (
	"context"
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/store"
)

// TestLeave removes a device: the others go on under new keys, it can come back.
func TestLeave(t *testing.T) {
	w := newWorld(t, 4)
	b := w.enrolled()
	b.joined()
	b.verified(4)
	if j := b.job(b.Leave(t.Context(), hall, []string{w.lamps[1].id()})); j.State != JobDone {
		t.Fatal(b.failures(j))
	}
	if got := len(w.members(hall)); got != 4 {
		t.Errorf("%d members after one left", got)
	}
	if g := b.Snapshot().Groups[0]; g.Epoch != 1 || len(g.Members) != 3 {
		t.Errorf("group = %+v", g)
	}
	if d := b.Snapshot().Devices[1]; d.State != DeviceClaimed || len(d.Groups) != 0 {
		t.Errorf("device = %+v", d)
	}
	b.verified(3)
	if j := b.job(b.Leave(t.Context(), hall, []string{w.lamps[1].id()})); j.State != JobDone {
		t.Errorf("leaving twice: %s", b.failures(j))
	}
	b.joined()
	b.verified(4)
}

// TestRekeyedByOthers: the keys change without this browser's doing; a roll call
// finds out.
func TestRekeyedByOthers(t *testing.T) {
	w := newWorld(t, 3)
	b := w.enrolled()
	b.joined()
	copied := w.restored(b)
	if j := copied.job(copied.Leave(t.Context(), hall, []string{w.lamps[0].id()})); j.State != JobDone {
		t.Fatal(copied.failures(j))
	}
	copied.verified(2)
	w.advance(time.Minute)
	call, err := b.RollCall(t.Context(), hall)
	if err != nil || call.Verified != 2 {
		t.Fatalf("%+v, %v", call, err)
	}
	b.verifiedOf(2, 3)
}

// verifiedOf is verified where some devices are known to have left.
func (b *browser) verifiedOf(n, all int) {
	b.t.Helper()
	call, err := b.RollCall(b.t.Context(), hall)
	if err != nil || call.Verified != n || len(call.Answers) != all {
		b.t.Errorf("%d of %d verified, want %d of %d: %v\n%s", call.Verified, len(call.Answers), n, all, err, b.Diagnostics())
	}
}

// TestRelease gives devices up: another installer can claim them.
func TestRelease(t *testing.T) {
	w := newWorld(t, 3)
	b := w.enrolled()
	b.joined()
	if j := b.job(b.Release(t.Context(), w.ids()[:2])); j.State != JobDone {
		t.Fatal(b.failures(j))
	}
	if d := b.Snapshot().Devices[0]; d.Claimed || d.State != DeviceFound || len(d.Groups) != 0 {
		t.Errorf("device = %+v", d)
	}
	if err := b.Forget(t.Context(), w.ids()); err == nil {
		t.Error("a claimed device was forgotten")
	}
	other := w.engine(nil)
	other.must(other.AcceptInvitation(t.Context(), w.invite("Bob")))
	other.must(other.ImportLabels(t.Context(), w.table()))
	if j := other.job(other.Join(t.Context(), hall, w.ids()[:2])); j.State != JobDone {
		t.Fatal(other.failures(j))
	}
	other.verified(2)
	b.verified(1)
	b.must(nil, b.Forget(t.Context(), w.ids()[:1]))
	if n := len(b.Snapshot().Devices); n != 2 {
		t.Errorf("%d devices", n)
	}
}

// TestReset: a device that was reset at its button is claimed and joined anew.
func TestReset(t *testing.T) {
	w := newWorld(t, 2)
	b := w.enrolled()
	b.joined()
	w.lamps[0].forget(t)
	w.boot(w.lamps[0])
	if j := b.job(b.Join(t.Context(), stage, w.ids())); j.State != JobDone {
		t.Fatal(b.failures(j))
	}
	if d := b.Snapshot().Devices[0]; len(d.Groups) != 1 || d.Groups[0].Group != stage {
		t.Errorf("device = %+v", d)
	}
}

// forget deletes all but the lamp's key.
func (l *lamp) forget(t *testing.T) {
	err := l.cfg.Store.Update(context.Background(), func(tx store.Tx) error {
		var keys []string
		tx.Scan("", func(key string, _ []byte) bool {
			if !strings.Contains(key, "key") {
				keys = append(keys, key)
			}
			return true
		})
		for _, key := range keys {
			tx.Delete(key)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// restored is a second browser with a backup of the first.
func (w *world) restored(b *browser) *browser {
	w.t.Helper()
	file, err := b.Backup(w.t.Context(), "correct horse")
	b.must(file, err)
	second := w.engine(nil)
	second.ex = w.net.From(netip.MustParseAddrPort("127.0.0.1:40001"))
	if _, err := second.Restore(w.t.Context(), file, "wrong passphrase"); asProblem(err).ID != "wrong-passphrase" {
		w.t.Errorf("a wrong passphrase: %v", err)
	}
	site, err := second.Restore(w.t.Context(), file, "correct horse")
	second.must(site, err)
	want := b.Snapshot().Site
	want.Rights = site.Rights // are asked for afterwards
	if !reflect.DeepEqual(site, want) || !site.BackedUp {
		w.t.Errorf("site = %+v", site)
	}
	return second
}

// TestCancel stops a job; its retry does the rest.
func TestCancel(t *testing.T) {
	w := newWorld(t, 8)
	b := w.enrolled(func(c *Config) { c.Tuning.Concurrency = 1 })
	j, err := b.Join(t.Context(), hall, w.ids())
	b.must(j, err)
	j, err = b.CancelJob(t.Context(), j.ID)
	if err != nil || j.State != JobCanceled || j.Done == j.Total || j.Ended == 0 {
		t.Fatalf("%+v, %v", j, err)
	}
	for _, d := range b.Snapshot().Devices {
		if d.State == DeviceWorking || d.Problem != nil {
			t.Errorf("%s is %s", d.ID, d.State)
		}
	}
	if j = b.job(b.RetryJob(t.Context(), j.ID)); j.State != JobDone {
		t.Errorf("retry: %s", b.failures(j))
	}
	b.verified(8)
}

// TestMethods holds the table of calls against the table of methods.
func TestMethods(t *testing.T) {
	w := newWorld(t, 1)
	b := w.enrolled()
	if len(calls) != len(Methods) {
		t.Errorf("%d calls for %d methods", len(calls), len(Methods))
	}
	for _, m := range Methods {
		name := strings.ToUpper(m.Name[:1]) + m.Name[1:]
		method, ok := reflect.TypeOf(b.Engine).MethodByName(name)
		if !ok || calls[m.Name] == nil {
			t.Errorf("%s is missing", m.Name)
			continue
		}
		takes := method.Type.NumIn() - 1
		if takes > 0 && method.Type.In(1).String() == "context.Context" {
			takes--
		}
		if takes != len(m.Params) {
			t.Errorf("%s takes %d arguments, says %d", m.Name, takes, len(m.Params))
		}
		if takes > 0 {
			if _, err := b.Call(t.Context(), m.Name, json.RawMessage(`[]`)); asProblem(err).ID != "bad-argument" {
				t.Errorf("%s without arguments: %v", m.Name, err)
			}
		}
	}
	for _, bad := range []string{`{`, `{}`, `[1]`, `["x"]`} {
		if _, err := b.Call(t.Context(), "claim", json.RawMessage(bad)); asProblem(err).ID != "bad-argument" {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := b.Call(t.Context(), "nothing", nil); asProblem(err).ID != "unknown-method" {
		t.Errorf("err = %v", err)
	}
	if n, err := b.Call(t.Context(), "discover", nil); err != nil || n != 1 {
		t.Errorf("discover: %v, %v", n, err)
	}
	if v, err := b.Call(t.Context(), "blink", json.RawMessage(`["`+w.lamps[0].id()+`", 2]`)); err != nil || v != nil {
		t.Errorf("blink: %v, %v", v, err)
	}
	if !w.lamps[0].State().Blinking {
		t.Error("it does not blink")
	}
}

// TestSnapshotFollowsEvents: a view that applies the events has what a snapshot
// says.
func TestSnapshotFollowsEvents(t *testing.T) {
	w := newWorld(t, 3)
	b := w.enrolled()
	b.joined()
	on := true
	b.must(b.SetLight(t.Context(), hall, Light{On: &on}))
	b.pub.flush()
	snap := b.Snapshot()
	devices, groups, jobs := map[string]Device{}, map[string]Group{}, map[string]Job{}
	verified := 0
	for _, ev := range b.events {
		switch ev.Type {
		case "device":
			devices[ev.Device.ID] = *ev.Device
		case "group":
			groups[ev.Group.Name] = *ev.Group
		case "job":
			jobs[ev.Job.ID] = *ev.Job
		case "answer":
			if ev.Answer.Answer.State == AnswerVerified {
				verified++
			}
		}
	}
	for _, d := range snap.Devices {
		if !reflect.DeepEqual(d, devices[d.ID]) {
			t.Errorf("device %+v, events say %+v", d, devices[d.ID])
		}
	}
	if g := snap.Groups[0]; !reflect.DeepEqual(g, groups[hall]) || g.Light == nil || !*g.Light.On {
		t.Errorf("group %+v, events say %+v", g, groups[hall])
	}
	if j := snap.Jobs[0]; !reflect.DeepEqual(j, jobs[j.ID]) {
		t.Errorf("job %+v, events say %+v", j, jobs[j.ID])
	}
	if verified != 3 {
		t.Errorf("%d answers were told", verified)
	}
}
