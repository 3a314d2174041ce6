package gm

import (
	"bytes"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
)

var assisted = lampKind{control: true, actor: "ann"}

// Who was revoked knows the associations that it obtained: no keys go out over them
// until somebody else obtains others, and the devices stay members.
func TestBarredAssociations(t *testing.T) {
	f := newFleet(t, GroupConfig{})
	a, b := f.add(assisted), f.add(lampKind{control: true, actor: "bob"})
	before := f.group()
	if err := f.s.Bar(t.Context(), []string{"ann"}); err != nil {
		t.Fatal(err)
	}
	f.settle()
	if g := f.group(); g.Num != before.Num+1 { // ann has the keys
		t.Fatalf("version %d after the revocation", g.Num)
	}
	f.inStep(b)
	f.behind(a)
	if p := f.progress(); p.Barred != 1 || p.Confirmed != 1 || p.Reason != ReasonBarred || p.Ended.IsZero() {
		t.Errorf("progress %+v", p)
	}
	for _, ask := range []struct {
		code coap.Code
		path string
	}{{coap.GET, "/ace-group/hall"}, {coap.GET, a.m.NodePath}, {coap.POST, "/ace-group/hall"}, {coap.POST, a.m.NodePath}, {coap.DELETE, a.m.NodePath}, {coap.POST, a.m.NodePath + "/cred"}} {
		resp := f.call(a.gm, ask.code, ask.path, -1, nil)
		wantCode(t, ask.path, resp, coap.Forbidden)
		if bytes.Contains(resp.Payload, f.group().MasterSecret) || len(resp.Payload) == 0 {
			t.Errorf("%v %s: %q", ask.code, ask.path, resp.Payload)
		}
	}
	wantCode(t, "num", f.call(a.gm, coap.GET, "/ace-group/hall/num", -1, nil), coap.Content)
	if len(f.members()) != 2 {
		t.Errorf("members %+v", f.members())
	}
	if err := f.s.Bar(t.Context(), []string{"ann"}); err != nil || f.group().Num != before.Num+1 {
		t.Errorf("the same set again: version %d (%v)", f.group().Num, err)
	}
	// A token of somebody else for the same keys is no other association.
	claims := f.claims(a.subject, scope(testGroup, both))
	claims.Actor, claims.CNF = "bob", &ace.Confirmation{KID: a.claims.CNF.OSCORE.ID}
	update := request(coap.POST, "/authz-info", ace.FormatACE, ace.Encode(ace.AuthzInfoRequest{AccessToken: f.seal(claims).AccessToken}))
	if resp, err := a.gm.Call(t.Context(), update); err != nil || resp.Code != coap.Created {
		t.Fatal(resp, err)
	}
	wantCode(t, "after an update of the rights", f.call(a.gm, coap.GET, a.m.NodePath, -1, nil), coap.Forbidden)
	old := *a.assoc
	a.connect(lampKind{actor: "bob"})
	a.join(lampKind{control: true})
	f.rekey()
	f.settle()
	f.inStep(a)
	f.inStep(b)
	c, err := old.Context(oscore.NewSequence(1<<30, nil))
	if err != nil {
		t.Fatal(err)
	}
	ann := oscore.NewClient(c, f.net.From(clientAddr), gmAddr)
	for _, path := range []string{"", "/num", "/creds", "/policies"} {
		wantCode(t, "the old association"+path, f.call(ann, coap.GET, "/ace-group/hall"+path, -1, nil), coap.Forbidden)
	}
}

// When the revocation is taken back, members who were kept waiting are told.
func TestBarIsLifted(t *testing.T) {
	f := newFleet(t, GroupConfig{})
	a := f.add(assisted)
	f.add(controlled)
	if err := f.s.Bar(t.Context(), []string{"ann", "eve"}); err != nil {
		t.Fatal(err)
	}
	f.settle()
	f.behind(a)
	if err := f.s.Bar(t.Context(), []string{"eve"}); err != nil {
		t.Fatal(err)
	}
	f.settle()
	f.inStep(a)
	if g := f.group(); g.Num != 1 {
		t.Errorf("version %d", g.Num)
	}
}

// The keys of the tree that somebody saw who was revoked open nothing later either.
func TestBarredLeaf(t *testing.T) {
	f := newFleet(t, toMany)
	a := f.add(assisted)
	f.add(controlled)
	stolen, old := a.mat, a.assoc
	if err := f.s.Bar(t.Context(), []string{"ann"}); err != nil {
		t.Fatal(err)
	}
	f.settle()
	f.behind(a)
	a.connect(lampKind{actor: "bob"})
	a.join(controlled)
	f.rekey()
	f.settle()
	f.inStep(a)
	f.inStep(f.lamps[1])
	if a.mat.Leaf == stolen.Leaf && a.mat.Generation == stolen.Generation {
		t.Error("the lamp has the leaf that ann knows")
	}
	a.mat, a.assoc = stolen, old
	f.rekey()
	before := a.ways[ace.ErrNotCovered.Error()]
	f.settle()
	if a.ways[ace.ErrNotCovered.Error()] == before {
		t.Errorf("with the keys that ann knows: %v", a.ways)
	}
}

// Keys are changed when a group's period has passed, and before they expire.
func TestRekeyingByTheClock(t *testing.T) {
	f := newFleet(t, GroupConfig{RekeyPeriod: time.Hour, KeyLifetime: 10 * time.Hour})
	a := f.add(lampKind{control: true, life: 1000 * time.Hour})
	look := func(d time.Duration, num uint64, why Reason) {
		t.Helper()
		f.pass(d)
		f.s.round(t.Context())
		f.settle()
		if g := f.group(); g.Num != num {
			t.Errorf("version %d, want %d", g.Num, num)
		}
		f.inStep(a)
		if p := f.progress(); p.Reason != why {
			t.Errorf("reason %q, want %q", p.Reason, why)
		}
	}
	look(59*time.Minute, 0, "")
	look(time.Minute, 1, ReasonPeriod)
	look(time.Minute, 1, ReasonPeriod)
	look(time.Hour, 2, ReasonPeriod)
	look(-time.Minute, 2, ReasonPeriod)
	look(time.Minute, 2, ReasonPeriod)
	f.pass(-24 * time.Hour) // nobody knows how old the keys are
	f.s.round(t.Context())
	f.settle()
	if g := f.group(); g.Num != 3 {
		t.Errorf("version %d after the clock was set back", g.Num)
	}
	f.inStep(a)
	look(59*time.Minute, 3, ReasonPeriod)
	if err := f.s.changeGroup(t.Context(), "test", testGroup, f.period(0)); err != nil {
		t.Fatal(err)
	}
	look(8*time.Hour, 3, ReasonPeriod)
	look(time.Hour, 4, ReasonLifetime)
	if err := f.s.SetActive(t.Context(), testGroup, false); err != nil {
		t.Fatal(err)
	}
	look(20*time.Hour, 4, ReasonLifetime)
}

// A preview says what happens then.
func TestPreview(t *testing.T) {
	f := newFleet(t, GroupConfig{})
	a, b, c, d := f.add(controlled), f.add(controlled), f.add(lampKind{}), f.add(lampKind{})
	f.add(assisted)
	if err := f.s.Bar(t.Context(), []string{"ann"}); err != nil {
		t.Fatal(err)
	}
	f.settle()
	f.get(c.observe("/ace-group/hall"))
	p, err := f.s.Preview(t.Context(), testGroup, "n0")
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Evicted) != 1 || len(p.Stale) != 1 || !bytes.Equal(p.Stale[0], a.m.SenderID) || len(p.Keys) != 3 || len(p.Barred) != 1 || p.Barred[0] != "n4" {
		t.Errorf("%+v", p)
	}
	if p.ToMany || p.Posts != 2 || p.Notices != 1 || p.Messages() != 3 || len(p.Asking) != 1 || p.Asking[0] != "n3" {
		t.Errorf("%+v", p)
	}
	if f.group().Num != 1 || len(f.members()) != 5 {
		t.Error("the preview has changed something")
	}
	f.evict("n0")
	f.settle()
	f.inStep(b)
	f.behind(d)
	if q := f.progress(); q.Confirmed != 1 || q.Told != 1 || q.Asking != 1 || q.Barred != 1 || q.Total != 4 {
		t.Errorf("progress %+v", q)
	}
	if _, err := f.s.Preview(t.Context(), testGroup, "n0"); err != ErrNoMember {
		t.Error(err)
	}
	if _, err := f.s.Preview(t.Context(), "nowhere"); err == nil {
		t.Error("a preview of no group")
	}
	many := newFleet(t, toMany)
	for range 8 {
		many.add(controlled)
	}
	if p, err = many.s.Preview(t.Context(), testGroup, "n1", "n5"); err != nil || !p.ToMany || p.Multicasts != maxSent || p.Posts != 2 || len(p.Keys) != 6 {
		t.Errorf("for many: %+v (%v)", p, err)
	}
}

// A member that a revoked person had joined anew is shown as one to be renewed, also
// while an association that somebody else obtained earlier lives on.
func TestBarredBesideAnEarlierAssociation(t *testing.T) {
	f := newFleet(t, GroupConfig{})
	a := f.add(lampKind{control: true, actor: "bob"})
	a.connect(assisted)
	a.join(lampKind{control: true})
	shown := func() (barred bool) {
		t.Helper()
		if err := f.s.cfg.Store.View(t.Context(), func(tx store.Tx) error {
			m, err := loadMember(tx, testGroup, a.subject)
			if err == nil {
				barred, err = (&administration{exchange: &exchange{s: f.s, tx: tx}, name: testGroup}).barred(m)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return barred
	}
	if shown() {
		t.Error("barred before anybody was revoked")
	}
	if err := f.s.Bar(t.Context(), []string{"ann"}); err != nil {
		t.Fatal(err)
	}
	if !shown() {
		t.Error("not barred, though it has the association of a revoked person")
	}
	a.connect(lampKind{actor: "bob"})
	a.join(lampKind{control: true})
	if shown() {
		t.Error("barred after it was renewed")
	}
}
