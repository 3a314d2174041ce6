package device

import (
	"bytes"
	"testing"
	"time"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// The group is deleted, or uses from now on what the lamp lacks.
func TestGroupEnds(t *testing.T) {
	for name, c := range map[string]struct {
		key  any
		why  GroupEnd
		left bool
	}{
		"deleted":    {map[int]any{}, EndDeleted, false},
		"algorithms": {map[int]any{3: 5, 8: 14, 9: 99, 10: -8, 11: [][]int{{1}, {1, 6}}, 4: 10, 12: -27, 13: [][]int{{1}, {1, 4}}}, EndUnbuilt, true},
		"keys":       {map[int]any{3: 5, 8: 14, 9: 10, 10: -7, 11: [][]int{{2}, {2, 1}}, 4: 10, 12: -27, 13: [][]int{{2}, {2, 1}}}, EndUnbuilt, true},
	} {
		t.Run(name, func(t *testing.T) {
			w, in := commissioned(t)
			body := map[int]any{7: 1, 8: c.key, 10: 1}
			if c.left {
				body[9], body[11] = in.ms.Num, in.ms.Expires
			}
			if err := w.control().tell(node, cbor.MustMarshal(body)); err != nil {
				t.Fatal(err)
			}
			for range 500 {
				if len(w.lamp.State().Groups) == 0 {
					break
				}
				time.Sleep(time.Millisecond)
			}
			if s := w.lamp.State(); len(s.Groups) != 0 || len(s.Gone) != 1 || s.Gone[0].Why != c.why {
				t.Fatalf("%+v", s)
			}
			if _, still := w.members()[lampSubject]; still == c.left {
				t.Errorf("at the Group Manager a member: %v", still)
			}
			if got := in.cast(lightMessage(on(true))); len(got) != 0 {
				t.Error("obeys")
			}
		})
	}
}

// The same algorithms once more change nothing; sequence numbers and windows stay.
func TestSameAlgorithms(t *testing.T) {
	w, in := commissioned(t)
	before := w.lamp.State().Groups[0]
	body := map[int]any{7: 1, 9: in.ms.Num, 10: 1, 11: in.ms.Expires, 8: map[int]any{
		3: 5, 8: 14, 9: 10, 10: -8, 11: [][]int{{1}, {1, 6}}, 4: 10, 12: -27, 13: [][]int{{1}, {1, 4}},
	}}
	if err := w.control().tell(node, cbor.MustMarshal(body)); err != nil {
		t.Fatal(err)
	}
	if after := w.lamp.State().Groups[0]; after.Num != before.Num || !bytes.Equal(after.GID, before.GID) {
		t.Errorf("%+v", after)
	}
	if _, err := in.light(on(true)); err != nil {
		t.Error(err)
	}
}

// The group uses other algorithms from now on, under the same version of its keys:
// what is derived changes, sequence numbers and replay windows go on.
// draft-ietf-ace-oscore-gm-admin-17, Section 6.6.2.
func TestOtherAlgorithms(t *testing.T) {
	w, in := commissioned(t)
	if _, err := in.light(on(true)); err != nil {
		t.Fatal(err)
	}
	if _, err := in.light(on(false)); err != nil {
		t.Fatal(err)
	}
	old := in.group
	held := in.seal(lightMessage(on(true)))
	before := w.lamp.members["hall"].epoch.ctx
	body := map[int]any{7: 1, 9: in.ms.Num, 10: 1, 11: in.ms.Expires, 8: map[int]any{
		3: 5, 8: 14, 9: 30, 10: -8, 11: [][]int{{1}, {1, 6}}, 4: 30, 12: -27, 13: [][]int{{1}, {1, 4}},
	}}
	if err := w.control().tell(node, cbor.MustMarshal(body)); err != nil {
		t.Fatal(err)
	}
	now := w.lamp.members["hall"]
	if ms := now.rec.Membership; ms.Algs.GroupEnc != 30 || ms.Algs.AEAD != 30 || ms.Num != in.ms.Num || !bytes.Equal(ms.GID, in.ms.GID) {
		t.Fatalf("%+v", ms.Algs)
	}
	if was, is := before.Window(in.ms.SenderID), now.epoch.ctx.Window(in.ms.SenderID); was != is || was == (oscore.WindowState{}) {
		t.Errorf("the replay window was %+v and is %+v", was, is)
	}
	in.send(held)
	if w.lamp.State().Light.On {
		t.Error("obeys under the old algorithms")
	}
	next := *in.ms
	next.Algs.GroupEnc, next.Algs.AEAD = 30, 30
	var err error
	if in.group, err = next.Context(in.cred, cose.NewEd25519(in.key), old.Sequence(), w.rand); err != nil {
		t.Fatal(err)
	}
	for _, reboot := range []bool{false, true} {
		if reboot {
			w.boot()
		}
		if l, err := in.light(on(!reboot)); err != nil || l.On == reboot {
			t.Errorf("reboot %v: %+v, %v", reboot, l, err)
		}
	}
}
