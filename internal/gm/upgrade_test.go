package gm

import (
	_ "embed"
	"errors"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/join"
	"lamplighter/internal/store"
	"lamplighter/internal/store/schema"
	"lamplighter/internal/store/storetest"
)

// format1 is a store as the first version left it: a group "hall" with three
// members, one of whom has left, and one who has renewed its Sender ID; a group
// "stage" that is not active.
//
//go:embed testdata/format1.txt
var format1 []byte

// A store of the first format is brought up and goes on: members stay, their
// associations work, others join and are given other Sender IDs.
func TestUpgradeFromFormat1(t *testing.T) {
	old := store.NewMemory()
	storetest.Fill(t, old, format1)
	l := newLine(t)
	l.store, l.cfg.Store = old, old
	l.reboot()
	members := l.members()
	if len(members) != 2 || string(members[0].SenderID) != "\x00" || string(members[1].SenderID) != "\x03" {
		t.Fatalf("members %+v", members)
	}
	if g := l.group(); g.Num != 1 || g.Curve == 0 {
		t.Errorf("version %d, curve %v", g.Num, g.Curve)
	}
	var stored *associationRecord
	if err := old.View(t.Context(), func(tx store.Tx) (err error) {
		owned, err := indexed(tx, ownerKey("dev1", ""))
		if len(owned) == 1 {
			stored = owned[0]
		}
		return err
	}); err != nil || stored == nil {
		t.Fatal("no association", err)
	}
	if err := old.View(t.Context(), func(tx store.Tx) error { // format 3
		if v, err := tx.Get(expiryKey(stored.Expires, stored.ID)); err != nil || v == nil {
			t.Error("an association is not found by its expiry", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if g := l.group(); g.RekeyedAt == 0 || g.RekeyedAt+g.Lifetime != g.Expires {
		t.Errorf("rekeyed at %d, expires at %d", g.RekeyedAt, g.Expires)
	}
	gm := l.client(&join.Association{
		MasterSecret: stored.MasterSecret, MasterSalt: stored.MasterSalt, IDContext: stored.IDContext,
		SenderID: stored.RecipientID, RecipientID: stored.SenderID, NextSSN: 500,
	})
	dev1 := join.NewMember(gm, testGroup, "/ace-group/hall/nodes/"+members[0].Node)
	if num, err := dev1.Num(t.Context()); err != nil || num != 1 {
		t.Errorf("an old association: %d %v", num, err)
	}
	c := l.joinOver("dev9")
	if sid := c.m.SenderID; string(sid) == "\x00" || string(sid) == "\x03" {
		t.Errorf("Sender ID %x is another's", sid)
	}
	if len(c.m.Peers) != 2 {
		t.Errorf("%d peers", len(c.m.Peers))
	}
	stage := l.connectTo("stage")
	wantProblem(t, "a group that is not active", stage, coap.ServiceUnavailable, ace.ErrorNotActive)
}

// connectTo sends a Join Request of a fresh node for a group and returns the
// answer.
func (l *line) connectTo(group string) *coap.Message {
	l.t.Helper()
	n := l.node("visitor")
	a, gm := l.connect(l.seal(l.claims(n.subject, scope(group, both))), []byte{9})
	offer := join.NewOffer(group, both, n.cred, l.rand)
	req := request(coap.POST, "/ace-group/"+group, ace.FormatACEGroupcomm, ace.Encode(offer.Request(offer.Prove(n.key, a.NS), true)))
	return l.call(gm, req.Code, "/ace-group/"+group, ace.FormatACEGroupcomm, req.Payload)
}

// A store of a newer program is left alone.
func TestNewerStoreIsRefused(t *testing.T) {
	w := newWorld(t)
	if err := w.store.Update(t.Context(), func(tx store.Tx) error { return tx.Put(schema.Key, []byte("99")) }); err != nil {
		t.Fatal(err)
	}
	if _, err := New(w.cfg); !errors.Is(err, schema.ErrNewer) {
		t.Errorf("%v", err)
	}
}
