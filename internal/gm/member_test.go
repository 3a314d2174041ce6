package gm

import (
	"bytes"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/join"
)

func TestLeave(t *testing.T) {
	w := newWorld(t)
	a, b := w.join("a", both), w.join("b", both)
	before := w.group()
	resp := w.call(a.gm, coap.DELETE, a.m.NodePath, -1, nil)
	wantCode(t, "leave", resp, coap.Deleted)
	if len(resp.Payload) != 0 {
		t.Error("the answer has a payload")
	}
	g := w.group()
	if g.Num != before.Num+1 || bytes.Equal(g.GID, before.GID) || bytes.Equal(g.MasterSecret, before.MasterSecret) || bytes.Equal(g.MasterSalt, before.MasterSalt) {
		t.Error("84: the group was not rekeyed")
	}
	wantProblem(t, "85: the leaver's GET", w.call(a.gm, coap.GET, "/ace-group/hall", -1, nil), coap.Forbidden, ace.ErrorMembersOnly)
	if err := a.client.Leave(t.Context()); err != nil {
		t.Errorf("leaving twice: %v", err)
	}
	if w.group().Num != g.Num {
		t.Error("leaving twice rekeyed twice")
	}
	cur, purged, changed, err := b.client.Update(t.Context(), b.m)
	if err != nil || !changed || !bytes.Equal(cur.GID, g.GID) || !bytes.Equal(cur.MasterSecret, g.MasterSecret) {
		t.Fatalf("b's update: %v %v", changed, err)
	}
	if !bytes.Equal(cur.SenderID, b.m.SenderID) {
		t.Errorf("93: Sender ID %x became %x", b.m.SenderID, cur.SenderID)
	}
	if !purged.Has(a.m.SenderID) || purged.Has(b.m.SenderID) || len(cur.Peers) != 0 {
		t.Errorf("purged %+v, left %v", purged, cur.Peers)
	}
	again, err := w.rejoin(a)
	if err != nil || again.Rejoined {
		t.Errorf("85: joining again with the same token: %v", err)
	}
}

// rejoin joins over the association that is there.
func (w *world) rejoin(a *admitted) (*join.Answer, error) {
	_, answer, err := join.Self(w.t.Context(), a.gm, w.self(a.node, both, a.assoc.NS))
	return answer, err
}

func TestStaleSIDs(t *testing.T) {
	w := newWorld(t)
	a := w.join("stays", both)
	fetch := func(payload []byte) *coap.Message {
		return w.call(a.gm, coap.FETCH, "/ace-group/hall/stale-sids", ace.FormatCBOR, payload)
	}
	wantCode(t, "V = V'", fetch([]byte{0}), coap.BadRequest)
	var gone [][]byte
	for _, subject := range []string{"x", "y", "z"} { // versions 1, 2, 3
		l := w.join(subject, both)
		gone = append(gone, l.m.SenderID)
		if err := l.client.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.group().Stale); n != 3 {
		t.Errorf("94: %d stale sets, want 3", n)
	}
	wantCode(t, "V > V'", fetch([]byte{9}), coap.BadRequest)
	wantCode(t, "no number", fetch([]byte{0x20}), coap.BadRequest)
	wantCode(t, "empty", fetch(nil), coap.BadRequest)
	two, err := a.client.StaleSIDs(t.Context(), 2)
	if err != nil || two.All || len(two.SIDs) != 1 || !two.Has(gone[2]) {
		t.Errorf("since 2: %+v %v, want %x", two, err, gone[2])
	}
	one, err := a.client.StaleSIDs(t.Context(), 1)
	if err != nil || one.All || !one.Has(gone[1]) || !one.Has(gone[2]) || one.Has(gone[0]) {
		t.Errorf("since 1: %+v %v", one, err)
	}
	if all, err := a.client.StaleSIDs(t.Context(), 0); err != nil || !all.All {
		t.Errorf("since 0: %+v %v, want all", all, err)
	}
	if _, _, err := a.client.Creds(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	cur, purged, changed, err := a.client.Update(t.Context(), a.m)
	if err != nil || !changed || !purged.All || cur.Num != 3 || cur.Peers != nil {
		t.Errorf("update over a long gap: %+v %v %v", purged, changed, err)
	}
}
