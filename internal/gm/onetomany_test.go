package gm

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore/group"
	"lamplighter/internal/sim"
)

var toMany = GroupConfig{OneToMany: true, ControlGroupURI: fmt.Sprintf("coap://%v/ace-group/%s", manyAddr, testGroup)}

// sentBy counts datagrams from the Group Manager to an address that a filter takes.
func (f *fleet) sentBy(fn func(sim.Datagram) bool) *int {
	n := new(int)
	f.net.Record = func(d sim.Datagram) {
		if d.From == gmAddr && d.Kind == sim.Request && fn(d) {
			*n++
		}
	}
	return n
}

// One message brings the new keys to all members: it is sent at most three times,
// the same bytes each time, and nobody gets one of its own.
func TestOneToMany(t *testing.T) {
	f := newFleet(t, toMany)
	for range 20 {
		f.add(controlled)
	}
	join := f.lamps[3].join(controlled)
	if join.RekeyingScheme != ace.RekeyingCompleteSubtree || join.ControlGroupURI != toMany.ControlGroupURI || join.MgtKeyMaterial == nil {
		t.Errorf("the Join Response has scheme %d, URI %q", join.RekeyingScheme, join.ControlGroupURI)
	}
	var bodies [][]byte
	posts := 0
	f.net.Record = func(d sim.Datagram) {
		if d.From != gmAddr || d.Kind != sim.Request {
			return
		}
		if d.To != manyAddr {
			posts++
			return
		}
		m, err := coap.UnmarshalUDP(d.Bytes)
		if err != nil || coap.Path(m) != "/ace-group/hall" || m.Type != coap.NonConfirmable {
			t.Errorf("%v (%v)", m, err)
			return
		}
		if len(bodies) == 0 || !bytes.Equal(bodies[len(bodies)-1], m.Payload) {
			bodies = append(bodies, m.Payload)
		}
	}
	f.evict("n7")
	f.settle()
	for i, l := range f.lamps {
		if i == 7 {
			f.behind(l)
			continue
		}
		f.inStep(l)
		if l.ways["many"] != 1 || l.ways["post"] != 0 {
			t.Errorf("%s was told %v", l.subject, l.ways)
		}
	}
	if len(bodies) != 1 || posts != 1 { // the notice of the eviction
		t.Errorf("%d different messages for many, %d others", len(bodies), posts)
	}
	p := f.progress()
	if p.Told != 19 || p.Total != 19 || p.Ended.IsZero() {
		t.Errorf("progress %+v", p)
	}
	if job := stored[rekeyJob](f, jobKey(testGroup)); job.Sent != maxSent {
		t.Errorf("sent %d times", job.Sent)
	}
}

// When all members are evicted at once a DELETE goes to the group address beside the
// notices; it is not sent when some stay. KGO, Section 10.
func TestAllEvictedAtOnce(t *testing.T) {
	f := newFleet(t, toMany)
	f.add(controlled)
	f.add(controlled)
	f.add(controlled)
	deletes := f.sentBy(func(d sim.Datagram) bool {
		m, err := coap.UnmarshalUDP(d.Bytes)
		return err == nil && d.To == manyAddr && m.Code == coap.DELETE && coap.Path(m) == "/ace-group/hall"
	})
	f.evict("n0")
	f.settle()
	if *deletes != 0 {
		t.Error("a DELETE for all, and two are left")
	}
	f.evict("n1", "n2")
	f.settle()
	if *deletes != 3 { // one, that reaches three sockets
		t.Errorf("%d copies of the DELETE", *deletes)
	}
	for _, l := range f.lamps {
		if l.ended != "DELETE" {
			t.Errorf("%s heard %q", l.subject, l.ended)
		}
	}
}

// Who kept all keys that it ever had opens no later message, with the help of others
// who were evicted neither; who missed a message opens the next.
func TestOneToManyForwardSecrecy(t *testing.T) {
	f := newFleet(t, toMany)
	for range 12 {
		f.add(controlled)
	}
	off := f.lamps[11]
	f.net.Down(off.addr, true)
	kept := map[int]*ace.MgtKeyMaterial{}
	gone := map[int]bool{}
	for _, i := range []int{5, 2, 8, 9} {
		kept[i] = f.lamps[i].mat
		gone[i] = true
		var messages [][]byte
		f.net.Record = func(d sim.Datagram) {
			if m, err := coap.UnmarshalUDP(d.Bytes); err == nil && d.To == manyAddr {
				messages = append(messages, m.Payload)
			}
		}
		f.evict(fmt.Sprintf("n%d", i))
		f.settle()
		gm, err := cose.ParseCCS(f.cfg.Credential)
		if err != nil || len(messages) == 0 {
			t.Fatal(len(messages), err)
		}
		for who, mat := range kept {
			for _, m := range messages {
				if _, _, err := mat.OpenOneToMany(testGroup, m, &gm); !errors.Is(err, ace.ErrNotCovered) {
					t.Errorf("lamp%d, evicted, opens a message: %v", who, err)
				}
			}
		}
	}
	f.net.Down(off.addr, false)
	f.rekey()
	f.settle()
	for i, l := range f.lamps {
		if gone[i] {
			f.behind(l)
		} else {
			f.inStep(l)
		}
	}
	if off.ways["many"] != 1 { // the latest; a gap, after which it asks what is stale
		t.Errorf("who missed four rekeyings was told %v", off.ways)
	}
}

// When the messages would have to be wrapped for too many subtrees there is a new
// tree: everybody is told by itself, with its new keys of the tree, and the next
// rekeying is one message again.
func TestTreeIsRenewed(t *testing.T) {
	f := newFleet(t, toMany)
	const n = 220
	for range n {
		f.add(controlled)
	}
	var out []string
	for i := 0; i < n; i += 2 { // every other leaf: no two that stay share a subtree
		out = append(out, fmt.Sprintf("n%d", i))
	}
	before := f.group().Tree.Generation
	f.evict(out...)
	f.settle()
	if g := f.group(); g.Tree.Generation != before+1 || len(g.Tree.Burnt) != 0 || g.Tree.Base != g.Num {
		t.Fatalf("tree %d since version %d with %d leaves out of use", g.Tree.Generation, g.Tree.Base, len(g.Tree.Burnt))
	}
	for i, l := range f.lamps {
		if i%2 == 0 {
			f.behind(l)
		} else if f.inStep(l); l.ways["post"] != 1 || l.ways["many"] != 0 {
			t.Errorf("%s was told %v", l.subject, l.ways)
		}
	}
	f.rekey()
	f.settle()
	for i, l := range f.lamps {
		if i%2 == 1 {
			if f.inStep(l); l.ways["many"] != 1 || l.ways["post"] != 1 {
				t.Errorf("%s was told %v", l.subject, l.ways)
			}
		} else if l.f.behind(l); l.ways["many"] != 0 {
			t.Errorf("%s, evicted, was told %v", l.subject, l.ways)
		}
	}
	if job := stored[rekeyJob](f, jobKey(testGroup)); len(job.Cover) == 0 {
		t.Error("the next rekeying is point to point")
	}
}

// A member that missed the renewal of the tree, or lost every message, has all it
// needs from one answer.
func TestTreeKeysFromAnswers(t *testing.T) {
	f := newFleet(t, toMany)
	a, b := f.add(controlled), f.add(controlled)
	f.net.Down(a.addr, true)
	if err := f.s.changeGroup(t.Context(), "test", testGroup, f.renewed); err != nil {
		t.Fatal(err)
	}
	f.settle()
	f.net.Down(a.addr, false)
	for _, path := range []string{"/ace-group/hall", a.m.NodePath} {
		r, err := ace.Decode[ace.KeyResponse](f.call(a.gm, coap.GET, path, -1, nil).Payload)
		if err != nil || r.RekeyingScheme != ace.RekeyingCompleteSubtree || r.MgtKeyMaterial == nil {
			t.Fatalf("%s: %+v (%v)", path, r, err)
		}
		a.takeMaterial(r.MgtKeyMaterial)
		if a.mat.Generation != f.group().Tree.Generation || a.mat.Num != r.Num {
			t.Errorf("%s: keys of tree %d, version %d", path, a.mat.Generation, a.mat.Num)
		}
		if next, err := a.client.Keys(t.Context(), a.m); err == nil {
			a.m = next
		}
	}
	f.rekey()
	f.settle()
	f.inStep(a)
	f.inStep(b)
	if a.ways["many"] != 1 {
		t.Errorf("told %v", a.ways)
	}
}

// In groups without signatures the keys of the tree come with a credential that
// signs, and its proof. RFC 9594, Section 6.2.1.
func TestTreeWithoutSignatures(t *testing.T) {
	algs := group.DefaultAlgorithms
	algs.GroupEnc, algs.Sign = cose.Null, cose.Null
	cfg := toMany
	cfg.Algs = algs
	f := newFleet(t, cfg)
	if err := f.s.changeGroup(t.Context(), "test", testGroup, f.renewed); err != nil {
		t.Fatal(err)
	}
	g := f.group()
	m := &memberRecord{Node: "n0", NC: []byte("12345678")}
	raw, err := f.s.material(g, &leafRecord{Generation: g.Tree.Generation}, m)
	if err != nil {
		t.Fatal(err)
	}
	mat, err := ace.Decode[ace.MgtKeyMaterial](raw)
	if err != nil {
		t.Fatal(err)
	}
	cred, err := cose.ParseCCS(mat.KDCCred)
	if err != nil || !cred.Verify(ace.KDCPoPInput(m.NC, mat.KDCNonce), mat.KDCCredVerify) {
		t.Error("no credential that signs:", err)
	}
	alg, sign, err := f.s.treeSigner(g)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := g.Tree.keys().Seal(testGroup, g.Num+1, []byte("m"), []uint64{ace.TreeNode(0, g.Tree.Height)}, alg, sign)
	if err != nil {
		t.Fatal(err)
	}
	if _, text, err := mat.OpenOneToMany(testGroup, parts[0], &cred); err != nil || string(text) != "m" {
		t.Errorf("%q (%v)", text, err)
	}
}
