package gm

import (
	"bytes"
	"strings"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

// kindMember lets a node join the test group, which is of a kind.
func (w *world) kindMember(subject string, k groupKind, roles ace.Role) *admitted {
	w.t.Helper()
	return w.joinAs(w.kindNode(subject, k), roles)
}

// keysAt reads keys.
func (w *world) keysAt(gm coap.Caller, path string) *ace.KeyResponse {
	w.t.Helper()
	resp := w.call(gm, coap.GET, path, -1, nil)
	wantCode(w.t, path, resp, coap.Content)
	if format, _ := coap.ContentFormat(resp); format != ace.FormatACEGroupcomm {
		w.t.Errorf("%s: Content-Format %d", path, format)
	}
	k, err := ace.Decode[ace.KeyResponse](resp.Payload)
	if err != nil {
		w.t.Fatal(err)
	}
	return k
}

// Keys are for members: GET /ace-group/g by another is 4.03 with error 0. RFC 9594,
// Section 4.3.2.
func TestStatement069_KeysForMembersOnly(t *testing.T) {
	w := newWorld(t)
	a := w.join("dev", both)
	for _, roles := range []ace.Role{both, ace.RoleMonitor, ace.RoleVerifier} {
		out := w.applicant("out "+roles.String(), roles)
		wantProblem(t, roles.String(), w.call(out.gm, coap.GET, "/ace-group/hall", -1, nil), coap.Forbidden, ace.ErrorMembersOnly)
	}
	wantCode(t, "a member", w.call(a.gm, coap.GET, "/ace-group/hall", -1, nil), coap.Content)
	if err := a.client.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, "who left", w.call(a.gm, coap.GET, "/ace-group/hall", -1, nil), coap.Forbidden, ace.ErrorMembersOnly)
}

// The group's keys come without a Sender ID, the node's with it, but for a monitor.
// Both have exi, exp and the profile. KGO, Section 9.1.
func TestStatement070_Keys(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		a := w.kindMember("dev", k, both)
		all, own := w.keysAt(a.gm, "/ace-group/hall"), w.keysAt(a.gm, a.m.NodePath)
		if all.Key.SenderID != nil || !bytes.Equal(own.Key.SenderID, a.m.SenderID) {
			t.Errorf("Sender IDs %x and %x", all.Key.SenderID, own.Key.SenderID)
		}
		for _, r := range []*ace.KeyResponse{all, own} {
			if !bytes.Equal(r.Key.MasterSecret, a.m.MasterSecret) || r.GKTY != 1 || r.Profile != 1 || r.EXI == 0 || r.EXP == 0 || r.Num != 0 {
				t.Errorf("keys of version %d", r.Num)
			}
		}
		if k.signs() == nil {
			return
		}
		monitor, path := w.monitor("mon")
		if r := w.keysAt(monitor.gm, path); r.Key.SenderID != nil || !bytes.Equal(r.Key.MasterSecret, a.m.MasterSecret) {
			t.Errorf("a monitor's own keys have the Sender ID %x", r.Key.SenderID)
		}
	})
}

// A node's resources are its own: another member gets 4.03. RFC 9594, Section 4.8.
func TestStatement071_AnotherNode(t *testing.T) {
	w := newWorld(t)
	a, b := w.join("a", both), w.join("b", both)
	for _, method := range []coap.Code{coap.GET, coap.POST, coap.DELETE} {
		wantCode(t, method.String(), w.call(a.gm, method, b.m.NodePath, -1, nil), coap.Forbidden)
		wantCode(t, method.String(), w.call(a.gm, method, "/ace-group/hall/nodes/n9", -1, nil), coap.Forbidden)
	}
	wantCode(t, "cred", w.call(a.gm, coap.POST, b.m.NodePath+"/cred", ace.FormatACEGroupcomm, a.credUpload(a.node, w)), coap.Forbidden)
	if m := w.members(); len(m) != 2 || !bytes.Equal(m[1].Credential, b.cred) {
		t.Error("a member changed another")
	}
}

// Who may use which method of which resource: a verifier gets 4.03 for num, policies,
// active, stale-sids, nodes and whatever else is for members; the table of KGO, Section
// 8.5, for all kinds of clients.
func TestStatement080_PermittedMethods(t *testing.T) {
	w := newWorld(t)
	sends, verifies, out := w.join("dev", both), w.applicant("ver", ace.RoleVerifier), w.applicant("out", both|ace.RoleMonitor)
	listens, node := w.monitor("mon")
	const g = "/ace-group/hall"
	type client struct {
		gm   coap.Caller
		node string
	}
	clients := map[byte]client{
		's': {sends.gm, sends.m.NodePath}, 'm': {listens.gm, node}, 'v': {verifies.gm, sends.m.NodePath}, 'o': {out.gm, sends.m.NodePath},
	}
	for _, tt := range []struct {
		path    string
		method  coap.Code
		allowed string // clients that are not answered 4.03
	}{
		{"/ace-group", coap.FETCH, "smvo"},
		{g, coap.GET, "sm"},
		{g, coap.POST, "smo"}, // a verifier that is nothing else does not join
		{g + "/active", coap.GET, "sm"},
		{g + "/verif-data", coap.GET, "v"},
		{g + "/creds", coap.GET, "smv"},
		{g + "/creds", coap.FETCH, "smv"},
		{g + "/kdc-cred", coap.GET, "sm"},
		{g + "/kdc-cred", coap.FETCH, "v"},
		{g + "/stale-sids", coap.FETCH, "sm"},
		{g + "/policies", coap.GET, "sm"},
		{g + "/num", coap.GET, "sm"},
		{"NODE/cred", coap.POST, "sm"}, // a monitor is told otherwise: statement 83
		{"NODE", coap.POST, "sm"},      // and here: statement 81
		{"NODE", coap.GET, "sm"},
		{"NODE", coap.DELETE, "sm"},
	} {
		for kind, c := range clients {
			path := strings.Replace(tt.path, "NODE", c.node, 1)
			resp := w.call(c.gm, tt.method, path, -1, nil)
			allowed := strings.IndexByte(tt.allowed, kind) >= 0
			if allowed == (resp.Code == coap.Forbidden) {
				t.Errorf("%c: %v %s is answered %s", kind, tt.method, path, coap.CodeString(resp.Code))
			}
			want := ace.ErrorMembersOnly
			if tt.allowed == "v" {
				want = ace.ErrorVerifiersOnly
			}
			if id, _, ok := ace.ParseProblem(resp); !allowed && tt.path != g && (!ok || id != want) {
				t.Errorf("%c: %v %s has the error %d, want %d", kind, tt.method, path, id, want)
			}
		}
	}
	for _, path := range []string{"/ace-group", g, g + "/active", g + "/verif-data", g + "/creds", g + "/kdc-cred", g + "/stale-sids", g + "/policies", g + "/num"} {
		wantCode(t, "PUT "+path, w.call(out.gm, coap.PUT, path, -1, nil), coap.MethodNotAllowed)
	}
	wantCode(t, "unknown resource", w.call(out.gm, coap.GET, g+"/nonsense", -1, nil), coap.NotFound)
}

// A token permits what its roles do: over an association whose token does not grant
// the member's roles there is nothing for the member but to leave or to join in
// others. RFC 9594, Section 4.1.2.
func TestMemberOverLesserToken(t *testing.T) {
	w := newWorld(t)
	a := w.join("dev", both)
	_, less := w.transfer(w.seal(w.claims("dev", scope(testGroup, ace.RoleResponder))))
	for _, path := range []string{"", "/num", "/creds", "/kdc-cred", "/policies", "/active"} {
		wantCode(t, path, w.call(less, coap.GET, "/ace-group/hall"+path, -1, nil), coap.Forbidden)
	}
	wantCode(t, "own keys", w.call(less, coap.GET, a.m.NodePath, -1, nil), coap.Forbidden)
	wantCode(t, "renewal", w.call(less, coap.POST, a.m.NodePath, -1, nil), coap.Forbidden)
	wantCode(t, "with the other token", w.call(a.gm, coap.GET, a.m.NodePath, -1, nil), coap.Content)
	again := &applicant{a.node, w, a.assoc, less}
	again.assoc.NS = wantHints(t, "challenge", w.call(less, coap.POST, "/ace-group/hall", -1, nil)).KDCChallenge
	wantAnswer(t, again.send(again.request(ace.RoleResponder)), coap.Changed)
	wantCode(t, "in the lesser role", w.call(less, coap.GET, a.m.NodePath, -1, nil), coap.Content)
	wantCode(t, "leave", w.call(less, coap.DELETE, a.m.NodePath, -1, nil), coap.Deleted)
}
