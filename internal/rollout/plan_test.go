package rollout_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"lamplighter/internal/firmware"
	"lamplighter/internal/rollout"
)

// Every device that the image does not fit is left out with its reason, and no byte of
// the image or its manifest leaves before a rollout begins.
func TestPlanReasons(t *testing.T) {
	w := newWorld(t, 12, 10_000, perfect)
	l := w.lamps
	l[0].off = true
	l[1].ability.Class = bytes.Repeat([]byte{3}, 16)
	l[2].ability.Vendor = bytes.Repeat([]byte{3}, 16)
	l[3].ability.Minimum = 2
	l[4].ability.Slot = 9_999
	l[5].ability.Anchors = [][]byte{[]byte("another vendor")}
	l[6].state, l[6].foreign, l[6].session = firmware.Downloading, bytes.Repeat([]byte{8}, 8), []byte("abcd")
	l[7].running = firmware.Running{Sequence: 2, Digest: w.man.Image[:8], Version: "2"}
	l[8].state, l[8].revertAt = firmware.Testing, w.now.Add(time.Hour)
	l[9].left = true
	plan := w.plan(w.params(rollout.Options{}))
	want := []string{"fw-silent", "fw-wrong-class", "fw-wrong-class", "fw-older", "fw-no-space", "fw-signer", "fw-busy", "fw-running", "fw-testing", "fw-gone", "", ""}
	for i, f := range plan.Fits {
		got := ""
		if f.Reason != nil {
			got = f.Reason.ID
		}
		if got != want[i] || f.Fits != (want[i] == "") {
			t.Errorf("%s: %q, want %q", f.ID, got, want[i])
		}
	}
	if plan.Eligible() != 2 || len(w.sent) != 0 || slices.ContainsFunc(w.lamps, func(l *lamp) bool { return l.staged }) {
		t.Errorf("%d eligible, %d blocks sent", plan.Eligible(), len(w.sent))
	}
	if plan.Bytes == 0 || plan.Time == 0 || plan.ByUnicast <= plan.Time {
		t.Errorf("predicted %d bytes, %v, one by one %v", plan.Bytes, plan.Time, plan.ByUnicast)
	}
	p := w.params(rollout.Options{TakeOver: true})
	if plan := w.plan(p); !plan.Fits[6].Fits {
		t.Errorf("a takeover is refused: %v", plan.Fits[6].Reason)
	}
}

// What every device can take is what is sent.
func TestPlanLayout(t *testing.T) {
	w := newWorld(t, 3, 100_000, perfect)
	w.lamps[1].ability.Block, w.lamps[2].ability.K = 256, 32
	plan := w.plan(w.params(rollout.Options{}))
	if plan.Layout.Block != 256 || plan.Layout.K != 32 || plan.Bitmap {
		t.Errorf("%+v", plan)
	}
	w.lamps[0].ability.Parity = 0
	if plan := w.plan(w.params(rollout.Options{})); !plan.Bitmap {
		t.Error("a device without a decoder gets parity")
	}
}

// A swapped or truncated image is no image.
func TestPlanImage(t *testing.T) {
	w := newWorld(t, 1, 10_000, perfect)
	for name, change := range map[string]func(*rollout.Params){
		"truncated":   func(p *rollout.Params) { p.Image = p.Image[:9_999] },
		"swapped":     func(p *rollout.Params) { p.Image = bytes.Clone(p.Image); p.Image[5]++ },
		"empty":       func(p *rollout.Params) { p.Image = nil },
		"no manifest": func(p *rollout.Params) { p.Envelope = nil },
	} {
		p := w.params(rollout.Options{})
		change(&p)
		if _, err := rollout.NewPlan(context.Background(), p); !errors.Is(err, rollout.ErrImage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The canary is of different hardware and zones, emergency lights are last.
func TestPlanWaves(t *testing.T) {
	w := newWorld(t, 40, 10_000, perfect)
	p := w.params(rollout.Options{Canary: 3, Percent: 10})
	for i := range p.Devices {
		p.Devices[i].Emergency = i%10 == 0
	}
	plan := w.plan(p)
	hardware, zones := map[string]bool{}, map[string]bool{}
	for _, id := range plan.Waves[0].Devices {
		i := slices.IndexFunc(plan.Fits, func(f rollout.Fit) bool { return f.ID == id })
		hardware[plan.Fits[i].Hardware], zones[plan.Fits[i].Zone] = true, true
	}
	if len(hardware) != 3 || len(zones) != 3 {
		t.Errorf("the canary has %d kinds of hardware in %d zones", len(hardware), len(zones))
	}
	var sizes []int
	seen := map[string]bool{}
	for _, wave := range plan.Waves {
		sizes = append(sizes, len(wave.Devices))
		for _, id := range wave.Devices {
			if seen[id] {
				t.Errorf("%s is in two waves", id)
			}
			seen[id] = true
		}
	}
	if !slices.Equal(sizes, []int{3, 4, 29, 4}) || plan.Waves[3].Name != "Emergency lights" {
		t.Errorf("%v %+v", sizes, plan.Waves)
	}
}

// A state that was saved is read as it was written.
func FuzzParseState(f *testing.F) {
	st := rollout.State{Session: []byte("abcd"), Block: 512, K: 64, Size: 100_000, Phase: rollout.Sending,
		Devices: []rollout.DeviceRecord{{ID: "a", State: rollout.Broken, Reason: &rollout.Reason{ID: "fw-lost", Text: "Lost."}}}}
	f.Add(st.Encode())
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, data []byte) {
		st, err := rollout.ParseState(data)
		if err != nil {
			return
		}
		again, err := rollout.ParseState(st.Encode())
		if err != nil || !bytes.Equal(again.Encode(), st.Encode()) {
			t.Errorf("%x became %x, %v", data, again.Encode(), err)
		}
	})
}
