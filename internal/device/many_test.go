package device

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"net/netip"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
)

// orchard is the Group Manager's tree of keys for the hall; the lamp is leaf 1 of
// four.
type orchard struct {
	w       *world
	tree    ace.KeyTree
	signing ed25519.PrivateKey
}

func (w *world) orchard(in *installer) *orchard {
	w.t.Helper()
	o := &orchard{w: w, signing: key(90), tree: ace.KeyTree{
		Secret: bytes.Repeat([]byte{byte(w.controls + 7)}, 32), Alg: cose.AESCCM16_64_128, Generation: 1, Base: in.ms.Num,
	}}
	o.tree.Secret = append(o.tree.Secret, w.lamp.members["hall"].rec.Membership.GID...) // of this world only
	next := w.rekeyed(in)
	material, err := o.tree.Material(1, 2, next.Num)
	if err != nil {
		w.t.Fatal(err)
	}
	msg := rekeyingMessage(next)
	msg.MgtKeyMaterial = ace.Encode(material)
	if err := w.control().tell(node, ace.Encode(msg)); err != nil {
		w.t.Fatal(err)
	}
	return o
}

// seal makes the message for the members below the nodes.
func (o *orchard) seal(ms *join.Membership, nodes ...uint64) []byte {
	o.w.t.Helper()
	list, err := o.tree.Seal("hall", ms.Num, rekeying(ms), nodes, cose.EdDSA, func(b []byte) ([]byte, error) {
		return ed25519.Sign(o.signing, b), nil
	})
	if err != nil || len(list) != 1 {
		o.w.t.Fatal(len(list), err)
	}
	return list[0]
}

// cast sends a message to all members; nobody may answer.
func (o *orchard) cast(payload []byte) {
	o.w.t.Helper()
	req := coap.NewRequest(coap.POST, "/ace-group/hall", payload)
	err := o.w.net.From(gmAddr).Multicast(o.w.t.Context(), groupAddr, req, time.Second, func(m *coap.Message, _ netip.AddrPort) {
		o.w.t.Errorf("somebody answers %v", m.Code)
	})
	if err != nil {
		o.w.t.Fatal(err)
	}
}

// One multicast brings everybody new keys; repetitions cost nothing, and who it
// leaves out gets none.
func TestOneToMany(t *testing.T) {
	w, in := commissioned(t)
	o := w.orchard(in)
	gm := w.watched()
	next := *w.rekeyed(in)
	message := o.seal(&next, ace.TreeNode(0, 1))
	for range 3 {
		o.cast(message)
	}
	g := w.lamp.State().Groups[0]
	if g.Num != next.Num || !bytes.Equal(g.GID, next.GID) || gm.requests() != 0 {
		t.Fatalf("%+v, want version %d", g, next.Num)
	}
	if tree := w.lamp.members["hall"].rec.Membership.Tree; tree == nil || tree.Num != next.Num {
		t.Errorf("the keys of the tree are of version %+v", tree)
	}
	if l, err := in.light(on(true)); err != nil || !l.On {
		t.Errorf("%+v, %v", l, err)
	}
	w.boot()
	last := *w.rekeyed(in)
	o.cast(o.seal(&last, ace.TreeNode(2, 1))) // leaves 2 and 3
	if g := w.lamp.State().Groups[0]; g.Num != next.Num {
		t.Errorf("it got keys that were not for it: %+v", g)
	}
	o.cast(o.seal(&last, ace.TreeNode(1, 0), ace.TreeNode(2, 1)))
	if g := w.lamp.State().Groups[0]; g.Num != last.Num {
		t.Errorf("%+v", g)
	}
	// After a gap it asks what became stale.
	w.rekeyed(in)
	late := *w.rekeyed(in)
	gm = w.watched()
	o.cast(o.seal(&late, ace.TreeNode(0, 2)))
	for range 500 {
		if w.lamp.State().Groups[0].Num == late.Num {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if g := w.lamp.State().Groups[0]; g.Num != late.Num || gm.requests() != 1 {
		t.Errorf("%+v after %d requests", g, gm.requests())
	}
	if _, err := in.light(on(false)); err != nil {
		t.Error(err)
	}
}

// What does not bear the Group Manager's signature, is old, for another group or
// changed on the way, has no effect, and a flood of it costs little.
func TestOneToManyForged(t *testing.T) {
	w, in := commissioned(t)
	o := w.orchard(in)
	first := w.lamp.State().Groups[0]
	next := *w.rekeyed(in)
	good := o.seal(&next, ace.TreeNode(1, 0))
	forger := *o
	forger.signing = key(77)
	ms := w.lamp.members["hall"].rec.Membership
	elsewhere := ms
	elsewhere.Group = "attic"
	trust := join.Trusts(w.gmCred)
	if _, err := elsewhere.OpenMany(good, trust); !errors.Is(err, cose.ErrVerify) {
		t.Errorf("for another group: %v", err)
	}
	if _, err := ms.OpenMany(forger.seal(&next, ace.TreeNode(1, 0)), trust); !errors.Is(err, cose.ErrVerify) {
		t.Errorf("another signature: %v", err)
	}
	stranger := *o
	stranger.tree.Secret = bytes.Repeat([]byte{9}, 32)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		o.cast(bad)
	}
	for i := range byte(40) {
		forged := next
		forged.GID = append(bytes.Clone(next.GID), i)
		o.cast(forger.seal(&forged, ace.TreeNode(1, 0)))   // by who was a member
		o.cast(stranger.seal(&forged, ace.TreeNode(1, 0))) // by anybody
	}
	o.cast(nil)
	if g := w.lamp.State().Groups[0]; g.Num != first.Num || !bytes.Equal(g.GID, first.GID) {
		t.Fatalf("%+v", g)
	}
	if used := w.lamp.members["hall"].many.check.used; used != w.lamp.members["hall"].many.check.burst {
		t.Errorf("%d signatures were checked at a time", used)
	}
	resp, err := plain{in}.Call(t.Context(), coap.NewRequest(coap.POST, "/ace-group/hall", good))
	if err != nil || resp.Code != coap.MethodNotAllowed {
		t.Errorf("to one: %v, %v", resp, err)
	}
	w.clock.Advance(time.Minute)
	o.cast(good)
	if g := w.lamp.State().Groups[0]; g.Num != next.Num {
		t.Errorf("the good one: %+v", g)
	}
}

// A message to many that was recorded while the lamp was off brings it keys that
// are old by now. It does not obey under them before the Group Manager has
// confirmed them.
func TestOldMessageToMany(t *testing.T) {
	w, in := commissioned(t)
	o := w.orchard(in)
	bert := w.installer("bert", 2)
	bert.self(ace.RoleRequester)
	w.net.Down(lampAddr, true)
	next := *w.rekeyed(in)
	bert.refresh()
	recorded := o.seal(&next, ace.TreeNode(1, 0))
	if err := bert.member.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.net.Down(lampAddr, false)
	w.boot()
	o.cast(recorded)
	if g := w.lamp.State().Groups[0]; g.Num != next.Num || g.InSync {
		t.Fatalf("%+v", g)
	}
	outer, _, err := bert.group.ProtectRequest(lightMessage(on(true)), nil)
	if err != nil {
		t.Fatal(err)
	}
	bert.send(outer)
	if w.lamp.State().Light.On {
		t.Error("obeyed somebody who had left")
	}
	in.refresh()
	if l, err := in.light(on(true)); err != nil || !l.On {
		t.Errorf("%+v, %v", l, err)
	}
	before := w.lamp.State().Groups[0]
	o.cast(recorded)
	if after := w.lamp.State().Groups[0]; after.Num != before.Num {
		t.Errorf("the old message again: %+v", after)
	}
}
