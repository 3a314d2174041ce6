package gm

import (
	"bytes"
	"errors"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/join"
)

func Test69NonMember(t *testing.T) {
	w := newWorld(t)
	a := w.join("dev", both)
	out := w.applicant("out", both)
	for _, r := range routes() {
		if r.path == "" || r.path == "GROUP" && r.method == coap.POST {
			continue
		}
		path := "/ace-group/hall"
		switch r.path {
		case "GROUP":
		case "GROUP/nodes/NODE":
			path = a.m.NodePath
		case "GROUP/nodes/NODE/cred":
			path = a.m.NodePath + "/cred"
		default:
			path += r.path[len("GROUP"):]
		}
		wantProblem(t, r.method.String()+" "+path, w.call(out.gm, r.method, path, -1, nil), coap.Forbidden, r.denied)
	}
}

func Test70Keys(t *testing.T) {
	w := newWorld(t)
	a := w.join("dev", both)
	read := func(path string) *ace.KeyResponse {
		resp := w.call(a.gm, coap.GET, path, -1, nil)
		wantCode(t, path, resp, coap.Content)
		k, err := ace.Decode[ace.KeyResponse](resp.Payload)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	group, own := read("/ace-group/hall"), read(a.m.NodePath)
	if group.Key.SenderID != nil || !bytes.Equal(own.Key.SenderID, a.m.SenderID) {
		t.Errorf("Sender IDs %x and %x", group.Key.SenderID, own.Key.SenderID)
	}
	if !bytes.Equal(own.Key.MasterSecret, a.m.MasterSecret) || own.Profile != 1 || own.EXI == 0 || own.EXP == 0 {
		t.Errorf("keys %+v", own.Num)
	}
}

func Test71AnotherNode(t *testing.T) {
	w := newWorld(t)
	a, b := w.join("a", both), w.join("b", both)
	for _, method := range []coap.Code{coap.GET, coap.POST, coap.DELETE} {
		wantCode(t, method.String(), w.call(a.gm, method, b.m.NodePath, -1, nil), coap.Forbidden)
		wantCode(t, method.String(), w.call(a.gm, method, "/ace-group/hall/nodes/n9", -1, nil), coap.Forbidden)
	}
	if len(w.members()) != 2 {
		t.Error("a member removed another")
	}
}

func Test80Verifier(t *testing.T) {
	w := newWorld(t)
	a := w.join("dev", both)
	v := w.applicant("ver", ace.RoleVerifier)
	for _, sub := range []string{"", "/num", "/policies", "/active", "/kdc-cred"} { // 78: kdc-cred too
		wantProblem(t, sub, w.call(v.gm, coap.GET, "/ace-group/hall"+sub, -1, nil), coap.Forbidden, ace.ErrorMembersOnly)
	}
	wantProblem(t, "stale-sids", w.call(v.gm, coap.FETCH, "/ace-group/hall/stale-sids", 60, []byte{0}), coap.Forbidden, ace.ErrorMembersOnly)
	wantProblem(t, "nodes", w.call(v.gm, coap.GET, a.m.NodePath, -1, nil), coap.Forbidden, ace.ErrorMembersOnly)
	wantCode(t, "join", v.send(v.request(ace.RoleRequester)), coap.Forbidden)
}

func Test81And82Renewal(t *testing.T) {
	w := newEmptyWorld(t)
	if err := w.s.CreateGroup(t.Context(), GroupConfig{Name: testGroup, SenderIDs: 3}); err != nil {
		t.Fatal(err)
	}
	a := w.join("dev", both)
	resp := w.call(a.gm, coap.POST, a.m.NodePath, -1, nil)
	wantCode(t, "renewal", resp, coap.Content)
	if got := labels(t, resp.Payload); len(got) != 1 || got[21] == nil {
		t.Errorf("82: the answer has %v", got)
	}
	g := w.group()
	if !g.isStale(a.m.SenderID) || g.Num != 0 {
		t.Errorf("82: stale %x at num %d", g.current().SIDs, g.Num)
	}
	if got, _, err := a.client.Creds(t.Context(), [][]byte{a.m.SenderID}); err != nil || got != nil {
		t.Errorf("the old Sender ID still has a credential: %v %v", got, err)
	}
	wantCode(t, "second", w.call(a.gm, coap.POST, a.m.NodePath, -1, nil), coap.Content)
	wantProblem(t, "exhausted", w.call(a.gm, coap.POST, a.m.NodePath, -1, nil), coap.ServiceUnavailable, ace.ErrorNoIndividualMaterial)
	if err := w.s.SetActive(t.Context(), testGroup, false); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, "inactive", w.call(a.gm, coap.POST, a.m.NodePath, -1, nil), coap.ServiceUnavailable, ace.ErrorNotActive)
}

func Test84And85Leave(t *testing.T) {
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

func Test88Names(t *testing.T) {
	w := newWorld(t)
	if err := w.s.CreateGroup(t.Context(), GroupConfig{Name: "stairs"}); err != nil {
		t.Fatal(err)
	}
	a := w.join("a", both)
	ask := func(gids ...[]byte) *coap.Message {
		return w.call(a.gm, coap.FETCH, "/ace-group", ace.FormatACEGroupcomm, ace.Encode(ace.GroupsRequest{GIDs: gids}))
	}
	resp := ask([]byte{1}, a.m.GID)
	wantCode(t, "names", resp, coap.Content)
	r, err := ace.Decode[ace.GroupsResponse](resp.Payload)
	if err != nil || len(r.GIDs) != 1 || r.Names[0] != testGroup || r.URIs[0] != "/ace-group/hall" {
		t.Errorf("names %+v %v", r, err)
	}
	if err := w.s.Rekey(t.Context(), testGroup); err != nil {
		t.Fatal(err)
	}
	if resp := ask(a.m.GID); !bytes.Equal(resp.Payload, []byte{0x40}) {
		t.Errorf("an old Gid: %x", resp.Payload)
	}
	wantCode(t, "no Gid", ask(), coap.BadRequest)
	wantCode(t, "no payload", w.call(a.gm, coap.FETCH, "/ace-group", -1, nil), coap.BadRequest)
	wantCode(t, "GET", w.call(a.gm, coap.GET, "/ace-group", -1, nil), coap.MethodNotAllowed)
}

func Test89And94StaleSIDs(t *testing.T) {
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

func Test79And78KDCCred(t *testing.T) {
	w := newWorld(t)
	a := w.join("dev", both)
	trust := func(cred []byte) bool { return bytes.Equal(cred, w.cfg.Credential) }
	if _, err := a.client.GMCred(t.Context(), a.m, trust, nil); err != nil {
		t.Error(err)
	}
	other := *a.m
	other.NC = draw(w.rand, 8)
	if _, err := a.client.GMCred(t.Context(), &other, trust, nil); !errors.Is(err, join.ErrVerify) {
		t.Errorf("over another N_C: %v", err)
	}
}

func Test90AndPoliciesAndNum(t *testing.T) {
	w := newWorld(t)
	a := w.join("dev", both)
	resp := w.call(a.gm, coap.GET, "/ace-group/hall/active", -1, nil)
	if format, _ := coap.ContentFormat(resp); format != ace.FormatCBOR || !bytes.Equal(resp.Payload, []byte{0xf5}) {
		t.Errorf("active: %x in %d", resp.Payload, format)
	}
	if err := w.s.SetActive(t.Context(), testGroup, false); err != nil {
		t.Fatal(err)
	}
	if resp := w.call(a.gm, coap.GET, "/ace-group/hall/active", -1, nil); !bytes.Equal(resp.Payload, []byte{0xf4}) {
		t.Errorf("inactive: %x", resp.Payload)
	}
	resp = w.call(a.gm, coap.GET, "/ace-group/hall/policies", -1, nil)
	p, err := ace.Decode[ace.PoliciesResponse](resp.Payload)
	if err != nil || p.Policies.CheckInterval != 3600 {
		t.Errorf("policies %+v %v", p, err)
	}
	resp = w.call(a.gm, coap.GET, "/ace-group/hall/num", -1, nil)
	var num uint64
	if err := cbor.Unmarshal(resp.Payload, &num); err != nil || num != 0 { // 96
		t.Errorf("num %x", resp.Payload)
	}
	wantCode(t, "unknown resource", w.call(a.gm, coap.GET, "/ace-group/hall/nonsense", -1, nil), coap.NotFound)
	wantCode(t, "unknown method", w.call(a.gm, coap.PUT, "/ace-group/hall/num", -1, nil), coap.MethodNotAllowed)
}
