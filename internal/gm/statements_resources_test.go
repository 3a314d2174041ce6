package gm

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore/group"
	"lamplighter/internal/store"
)

// setNextSID moves the test group's numbering of Sender IDs.
func (w *world) setNextSID(next uint64) {
	w.t.Helper()
	err := w.s.changeGroup(context.Background(), "test", testGroup, func(_ store.Tx, g *groupRecord) error {
		g.NextSID = next
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

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

// fetchCreds asks for credentials with a filter.
func (w *world) fetchCreds(gm coap.Caller, f ace.CredsFilter) *coap.Message {
	w.t.Helper()
	return w.call(gm, coap.FETCH, "/ace-group/hall/creds", ace.FormatACEGroupcomm,
		ace.Encode(ace.CredsRequest{GetCreds: ace.GetCreds{Filter: &f}}))
}

// A filter that is empty, or missing, is 4.00. RFC 9594, Section 4.4.1.
func TestStatement072_EmptyFilter(t *testing.T) {
	w := newWorld(t)
	a := w.join("req", ace.RoleRequester)
	wantCode(t, "[true, [], []]", w.fetchCreds(a.gm, ace.CredsFilter{Inclusive: true}), coap.BadRequest)
	wantCode(t, "[false, [], []]", w.fetchCreds(a.gm, ace.CredsFilter{}), coap.BadRequest)
	wantCode(t, "no payload", w.call(a.gm, coap.FETCH, "/ace-group/hall/creds", -1, nil), coap.BadRequest)
	wantCode(t, "no get_creds", w.call(a.gm, coap.FETCH, "/ace-group/hall/creds", 261, []byte{0xa0}), coap.BadRequest)
	wantCode(t, "too many", w.fetchCreds(a.gm, ace.CredsFilter{Inclusive: true, IDs: make([][]byte, maxFilter+1)}), coap.BadRequest)
}

// senderIDs lists the identifiers of an answer with credentials.
func senderIDsOf(t *testing.T, m *coap.Message) (got []string) {
	t.Helper()
	wantCode(t, "creds", m, coap.Content)
	if bytes.Equal(m.Payload, []byte{0x40}) {
		return nil
	}
	if format, _ := coap.ContentFormat(m); format != ace.FormatACEGroupcomm {
		t.Errorf("Content-Format %d", format)
	}
	if l := labels(t, m.Payload); len(l) != 4 || l[9] == nil || l[13] == nil || l[14] == nil || l[15] == nil {
		t.Errorf("parameters %v", l)
	}
	r, err := ace.Decode[ace.CredsResponse](m.Payload)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range r.PeerIDs {
		got = append(got, string(id))
	}
	slices.Sort(got)
	return got
}

func sidsOf(nodes ...*admitted) (want []string) {
	for _, n := range nodes {
		want = append(want, string(n.m.SenderID))
	}
	slices.Sort(want)
	return want
}

// Sender IDs that nobody has are passed over; nobody found is the empty byte string.
// KGO, Section 9.3; RFC 9594, Section 4.4.1.
func TestStatement073_UnknownSenderIDs(t *testing.T) {
	w := newWorld(t)
	a, b := w.join("a", ace.RoleRequester), w.join("b", ace.RoleResponder)
	unknown := []byte{0xee}
	for _, tt := range []struct {
		what   string
		filter ace.CredsFilter
		want   []string
	}{
		{"with an unknown", ace.CredsFilter{Inclusive: true, IDs: [][]byte{unknown, b.m.SenderID, b.m.SenderID}}, sidsOf(b)},
		{"only unknown", ace.CredsFilter{Inclusive: true, IDs: [][]byte{unknown, make([]byte, 9), {}}}, nil},
		{"not an unknown", ace.CredsFilter{IDs: [][]byte{unknown}}, sidsOf(a, b)},
		{"nobody left", ace.CredsFilter{IDs: [][]byte{a.m.SenderID, b.m.SenderID}}, nil},
		{"nobody in the role", ace.CredsFilter{Inclusive: true, Roles: []ace.Role{ace.RoleMonitor}}, nil},
	} {
		resp := w.fetchCreds(a.gm, tt.filter)
		if got := senderIDsOf(t, resp); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %x, want %x", tt.what, got, tt.want)
		}
		if tt.want == nil && !bytes.Equal(resp.Payload, []byte{0x40}) {
			t.Errorf("%s: %x", tt.what, resp.Payload)
		}
	}
	if err := b.client.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := senderIDsOf(t, w.fetchCreds(a.gm, ace.CredsFilter{Inclusive: true, IDs: [][]byte{b.m.SenderID}})); got != nil {
		t.Errorf("who left is found: %x", got)
	}
}

// An element of the role filter with several roles wants all of them; several
// elements want any. Identifiers add to the roles, or take away. RFC 9594, Section
// 4.4.1.
func TestStatement074_RoleFilter(t *testing.T) {
	w := newWorld(t)
	req, resp, two := w.join("req", ace.RoleRequester), w.join("resp", ace.RoleResponder), w.join("two", both)
	w.monitor("mon")
	for _, tt := range []struct {
		what   string
		filter ace.CredsFilter
		want   []string
	}{
		{"both roles", ace.CredsFilter{Inclusive: true, Roles: []ace.Role{6}}, sidsOf(two)},
		{"one role", ace.CredsFilter{Inclusive: true, Roles: []ace.Role{4}}, sidsOf(resp, two)},
		{"either role", ace.CredsFilter{Inclusive: true, Roles: []ace.Role{2, 4}}, sidsOf(req, resp, two)},
		{"role or id", ace.CredsFilter{Inclusive: true, Roles: []ace.Role{6}, IDs: [][]byte{req.m.SenderID}}, sidsOf(req, two)},
		{"not these", ace.CredsFilter{IDs: [][]byte{req.m.SenderID}}, sidsOf(resp, two)},
		{"role but not these", ace.CredsFilter{Roles: []ace.Role{4}, IDs: [][]byte{two.m.SenderID}}, sidsOf(resp)},
	} {
		for who, gm := range map[string]coap.Caller{"a member": req.gm, "a verifier": w.applicant("ver", ace.RoleVerifier).gm} {
			if got := senderIDsOf(t, w.fetchCreds(gm, tt.filter)); !slices.Equal(got, tt.want) {
				t.Errorf("%s, %s: %x, want %x", who, tt.what, got, tt.want)
			}
		}
	}
	empty := newWorld(t)
	if resp := empty.call(empty.applicant("ver", ace.RoleVerifier).gm, coap.GET, "/ace-group/hall/creds", -1, nil); !bytes.Equal(resp.Payload, []byte{0x40}) {
		t.Errorf("GET in an empty group: %x", resp.Payload)
	}
	if got := senderIDsOf(t, w.call(req.gm, coap.GET, "/ace-group/hall/creds", -1, nil)); !slices.Equal(got, sidsOf(req, resp, two)) {
		t.Errorf("GET: %x", got)
	}
	null := w.call(req.gm, coap.FETCH, "/ace-group/hall/creds", 261, []byte{0xa1, 0x04, 0xf6})
	if got := senderIDsOf(t, null); !slices.Equal(got, sidsOf(req, resp, two)) {
		t.Errorf("null: %x", got)
	}
}

// What is for verifiers, members and other non-members get 4.03 with error 8. KGO,
// Sections 8.1.1 and 8.3.1.
func TestStatement075_ForVerifiersOnly(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		member := w.kindApplicant("dev", k, both|ace.RoleVerifier)
		wantAnswer(t, member.send(member.request(both)), coap.Created)
		callers := map[string]coap.Caller{
			"a member with the verifier's role too": member.gm,
			"no verifier":                           w.applicant("out", both|ace.RoleMonitor).gm,
		}
		if k.signs() != nil {
			m, _ := w.monitor("mon")
			callers["a monitor"] = m.gm
		}
		for what, gm := range callers {
			wantProblem(t, what, w.call(gm, coap.GET, "/ace-group/hall/verif-data", -1, nil), coap.Forbidden, ace.ErrorVerifiersOnly)
			wantProblem(t, what, w.fetchGMCred(gm, draw(w.rand, 8)), coap.Forbidden, ace.ErrorVerifiersOnly)
		}
	})
}

func (w *world) fetchGMCred(gm coap.Caller, nc []byte) *coap.Message {
	w.t.Helper()
	return w.call(gm, coap.FETCH, "/ace-group/hall/kdc-cred", ace.FormatACEGroupcomm, ace.Encode(ace.KDCCredRequest{CNonce: nc}))
}

// In a pairwise-only group a verifier gets 4.00 with error 7: there are no signatures.
// KGO, Sections 8.1.1 and 8.3.1.
func TestStatement076_NoSignatures(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		v := w.applicant("ver", ace.RoleVerifier)
		data := w.call(v.gm, coap.GET, "/ace-group/hall/verif-data", -1, nil)
		cred := w.fetchGMCred(v.gm, draw(w.rand, 8))
		if k.signs() != nil {
			wantCode(t, "verif-data", data, coap.Content)
			wantCode(t, "kdc-cred", cred, coap.Content)
			return
		}
		wantProblem(t, "verif-data", data, coap.BadRequest, ace.ErrorSignaturesNotUsed)
		wantProblem(t, "kdc-cred", cred, coap.BadRequest, ace.ErrorSignaturesNotUsed)
	})
}

// Verification data hold no Master Secret and no salt, always the HKDF, and of the
// pairwise mode the two algorithms alone; the Signature Encryption Key is that of the
// members, of the current keys. KGO, Section 9.6.
func TestStatement077_VerifData(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		if k.signs() == nil {
			return
		}
		a := w.kindMember("dev", k, both)
		v := w.applicant("ver", ace.RoleVerifier)
		for range 2 {
			resp := w.call(v.gm, coap.GET, "/ace-group/hall/verif-data", -1, nil)
			wantCode(t, "verif-data", resp, coap.Content)
			got := labels(t, resp.Payload)
			if len(got) != 7 || got[7] == nil || got[9] == nil || got[10] == nil || got[11] == nil || got[12] == nil || got[33] == nil {
				t.Errorf("parameters %v", got)
			}
			want := []int64{3, 6, 8, 9, 10, 11}
			if k.ecdh() != nil {
				want = []int64{3, 4, 6, 8, 9, 10, 11, 12}
			}
			var fields []int64
			for label := range labels(t, got[8]) {
				fields = append(fields, label)
			}
			if slices.Sort(fields); !slices.Equal(fields, want) {
				t.Errorf("fields of key %v, want %v", fields, want)
			}
			r, err := ace.Decode[ace.VerifDataResponse](resp.Payload)
			if err != nil {
				t.Fatal(err)
			}
			g := w.group()
			if bytes.Contains(resp.Payload, g.MasterSecret) || bytes.Contains(resp.Payload, g.MasterSalt) {
				t.Error("the answer holds the Master Secret or the salt")
			}
			m := *a.m
			m.GID, m.MasterSecret, m.MasterSalt = g.GID, g.MasterSecret, g.MasterSalt
			c, err := m.Context(a.cred, a.signer(), nil, w.rand)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(r.SignEncKey, c.SignatureEncryptionKey()) || !bytes.Equal(r.Key.GID, g.GID) || r.Num != g.Num || r.Key.HKDF != k.algs.HKDF {
				t.Errorf("data of version %d, want %d", r.Num, g.Num)
			}
			if err := w.s.Rekey(t.Context(), testGroup, ""); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// GET kdc-cred is for members: a verifier gets 4.03 with error 0. KGO, Section 9.5.1.
func TestStatement078_GMCredForMembers(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		for _, roles := range []ace.Role{ace.RoleVerifier, ace.RoleVerifier | ace.RoleMonitor, both} {
			out := w.applicant("out "+roles.String(), roles)
			wantProblem(t, roles.String(), w.call(out.gm, coap.GET, "/ace-group/hall/kdc-cred", -1, nil), coap.Forbidden, ace.ErrorMembersOnly)
		}
		a := w.kindMember("dev", k, both)
		cred, err := a.client.GMCred(t.Context(), a.m, join.Trusts(w.cfg.Credential), a.signer())
		if err != nil || !bytes.Equal(cred, w.credential(k)) {
			t.Errorf("a member: %v", err)
		}
	})
}

// A verifier's FETCH kdc-cred is answered with a signature over the N_C of the
// request and a new N_KDC; a member's GET over the N_C of its join and a new N_KDC.
// KGO, Section 9.5.
func TestStatement079_ProofOverNonces(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		gm, err := cose.ParseCCS(w.credential(k))
		if err != nil {
			t.Fatal(err)
		}
		a := w.kindMember("dev", k, both)
		nonces := map[string]bool{}
		proof := func(resp *coap.Message, nc []byte, verify func(input, proof []byte) bool) {
			t.Helper()
			wantCode(t, "kdc-cred", resp, coap.Content)
			if got := labels(t, resp.Payload); len(got) != 3 {
				t.Errorf("parameters %v", got)
			}
			r, err := ace.Decode[ace.KDCCredResponse](resp.Payload)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.KDCNonce) < 8 || nonces[string(r.KDCNonce)] || !bytes.Equal(r.KDCCred, w.credential(k)) {
				t.Errorf("N_KDC %x again or too short, or another credential", r.KDCNonce)
			}
			nonces[string(r.KDCNonce)] = true
			if !verify(ace.KDCPoPInput(nc, r.KDCNonce), r.KDCCredVerify) || verify(ace.KDCPoPInput([]byte("another!"), r.KDCNonce), r.KDCCredVerify) {
				t.Error("the proof does not cover both nonces")
			}
		}
		member := gm.Verify
		if k.signs() == nil {
			shared, err := a.signer().SharedSecret(gm.Public)
			if err != nil {
				t.Fatal(err)
			}
			member = func(input, proof []byte) bool { return bytes.Equal(proof, ace.PoPMAC(shared, input)) }
		}
		for range 2 {
			proof(w.call(a.gm, coap.GET, "/ace-group/hall/kdc-cred", -1, nil), a.m.NC, member)
		}
		if k.signs() == nil {
			return
		}
		v := w.applicant("ver", ace.RoleVerifier)
		for range 2 {
			nc := draw(w.rand, 8)
			proof(w.fetchGMCred(v.gm, nc), nc, gm.Verify)
		}
		for what, nc := range map[string][]byte{"no N_C": nil, "a short one": make([]byte, 7), "a long one": make([]byte, 33)} {
			wantCode(t, what, w.fetchGMCred(v.gm, nc), coap.BadRequest)
		}
		wantCode(t, "garbage", w.call(v.gm, coap.FETCH, "/ace-group/hall/kdc-cred", 261, []byte{0xff}), coap.BadRequest)
	})
}

// A pairwise-only group that has moved to another curve: a member's old credential is
// of no use for the proof until another is uploaded.
func TestGMCredAfterChangeOfCurve(t *testing.T) {
	k, moved := groupKinds[5], groupKinds[6]
	w := newKindWorld(t, k)
	a := w.kindMember("dev", k, both)
	if err := w.s.changeGroup(t.Context(), "test", testGroup, func(_ store.Tx, g *groupRecord) error {
		g.Curve = moved.curve
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	path := "/ace-group/hall/kdc-cred"
	wantProblem(t, "before", w.call(a.gm, coap.GET, path, -1, nil), coap.BadRequest, ace.ErrorCredential)
	next := w.kindNode("dev", moved)
	if err := a.client.Upload(t.Context(), join.UploadParams{Roles: both, Cred: next.cred, Key: next.signer(), Rand: w.rand}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "after", w.call(a.gm, coap.GET, path, -1, nil), coap.Content)
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

// A monitor has no Sender ID to renew, 4.00 with error 1; in an inactive group it is
// 5.03 with error 9, without Sender IDs left 5.03 with error 4. KGO, Section 9.2.
func TestStatement081_RenewalRefused(t *testing.T) {
	w := newWorld(t)
	a := w.join("dev", both)
	m, node := w.monitor("mon")
	wantProblem(t, "a monitor", w.call(m.gm, coap.POST, node, -1, nil), coap.BadRequest, ace.ErrorRoles)
	w.setNextSID(w.group().SenderIDs)
	wantProblem(t, "exhausted", w.call(a.gm, coap.POST, a.m.NodePath, -1, nil), coap.ServiceUnavailable, ace.ErrorNoIndividualMaterial)
	w.setNextSID(9)
	if err := w.s.SetActive(t.Context(), testGroup, false); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, "inactive", w.call(a.gm, coap.POST, a.m.NodePath, -1, nil), coap.ServiceUnavailable, ace.ErrorNotActive)
	if g := w.group(); g.isStale(a.m.SenderID) || g.Num != 0 {
		t.Error("a refusal changed the group")
	}
	if err := w.s.SetActive(t.Context(), testGroup, true); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "active again", w.call(a.gm, coap.POST, a.m.NodePath, -1, nil), coap.Content)
}

// A renewal brings the new Sender ID and nothing else; the old one is stale and nobody
// gets it again under the same Gid. KGO, Section 9.2.
func TestStatement082_Renewal(t *testing.T) {
	w := newEmptyWorld(t)
	const room = 8
	if err := w.s.CreateGroup(t.Context(), GroupConfig{Name: testGroup, SenderIDs: room}); err != nil {
		t.Fatal(err)
	}
	a, before := w.join("dev", both), w.group()
	seen := map[string]bool{string(a.m.SenderID): true}
	last := a.m.SenderID
	for range room - 1 {
		resp := w.call(a.gm, coap.POST, a.m.NodePath, -1, nil)
		wantCode(t, "renewal", resp, coap.Content)
		if got := labels(t, resp.Payload); len(got) != 1 || got[21] == nil {
			t.Errorf("the answer has %v", got)
		}
		r, err := ace.Decode[ace.RenewalResponse](resp.Payload)
		if err != nil || seen[string(r.SenderID)] {
			t.Fatalf("Sender ID %x again: %v", r.SenderID, err)
		}
		if g := w.group(); !g.isStale(last) || g.isStale(r.SenderID) || g.Num != before.Num || !bytes.Equal(g.GID, before.GID) {
			t.Errorf("stale %x at num %d", g.current().SIDs, g.Num)
		}
		if got := senderIDsOf(t, w.fetchCreds(a.gm, ace.CredsFilter{Inclusive: true, IDs: [][]byte{last}})); got != nil {
			t.Errorf("the old Sender ID still has a credential: %x", got)
		}
		seen[string(r.SenderID)], last = true, r.SenderID
	}
	wantProblem(t, "exhausted", w.call(a.gm, coap.POST, a.m.NodePath, -1, nil), coap.ServiceUnavailable, ace.ErrorNoIndividualMaterial)
	out := w.applicant("late", both)
	wantProblem(t, "a join", out.send(out.request(both)), coap.ServiceUnavailable, ace.ErrorNoIndividualMaterial)
}

// credUpload is a good upload of another node's credential by a member.
func (a *admitted) credUpload(n *node, w *world, edits ...func(*ace.CredUpload)) []byte {
	w.t.Helper()
	up := ace.CredUpload{ClientCred: n.cred, CNonce: draw(w.rand, 8)}
	offer := join.NewOffer(testGroup, both, n.cred, w.rand)
	offer.NC = up.CNonce
	var err error
	if up.ClientCredVerify, err = offer.ProveWith(n.signer(), a.assoc.NS, a.assoc.Info().DHCred(testGroup)); err != nil {
		w.t.Fatal(err)
	}
	for _, edit := range edits {
		edit(&up)
	}
	return ace.Encode(up)
}

// A member replaces its credential with a proof over the scope of its latest Join
// Request: 2.04 without payload. An empty proof and a wrong one are 4.00 with error 3,
// a credential of another kind error 2, a monitor error 1, a lost challenge 4.00 with a
// new one, an inactive group 5.03 with error 9. KGO, Section 9.4; RFC 9594, Section
// 4.9.1.
func TestStatement083_CredentialUpload(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		a := w.kindMember("dev", k, both)
		next, path := w.kindNode("dev", k), a.m.NodePath+"/cred"
		send := func(edits ...func(*ace.CredUpload)) *coap.Message {
			return w.call(a.gm, coap.POST, path, ace.FormatACEGroupcomm, a.credUpload(next, w, edits...))
		}
		other := w.kindNode("other", k)
		for what, tt := range map[string]struct {
			edit func(*ace.CredUpload)
			id   ace.ErrorID
		}{
			"empty proof":        {func(up *ace.CredUpload) { up.ClientCredVerify = []byte{} }, ace.ErrorPoP},
			"empty for the same": {func(up *ace.CredUpload) { up.ClientCred, up.ClientCredVerify = a.cred, []byte{} }, ace.ErrorPoP},
			"flipped":            {func(up *ace.CredUpload) { up.ClientCredVerify[0] ^= 1 }, ace.ErrorPoP},
			"another nonce":      {func(up *ace.CredUpload) { up.CNonce = draw(w.rand, 8) }, ace.ErrorPoP},
			"another credential": {func(up *ace.CredUpload) { up.ClientCred = other.cred }, ace.ErrorPoP},
			"garbage":            {func(up *ace.CredUpload) { up.ClientCred = []byte("x") }, ace.ErrorCredential},
			"an empty one":       {func(up *ace.CredUpload) { up.ClientCred = []byte{} }, ace.ErrorCredential},
		} {
			wantProblem(t, what, send(tt.edit), coap.BadRequest, tt.id)
		}
		for what, edit := range map[string]func(*ace.CredUpload){
			"no credential": func(up *ace.CredUpload) { up.ClientCred = nil },
			"no nonce":      func(up *ace.CredUpload) { up.CNonce = nil },
			"no proof":      func(up *ace.CredUpload) { up.ClientCredVerify = nil },
		} {
			wantCode(t, what, send(edit), coap.BadRequest)
		}
		if m := w.members()[0]; !bytes.Equal(m.Credential, a.cred) {
			t.Error("a refusal changed the credential")
		}
		resp := send()
		wantCode(t, "upload", resp, coap.Changed)
		if len(resp.Payload) != 0 {
			t.Errorf("the answer has the payload %x", resp.Payload)
		}
		if m := w.members()[0]; !bytes.Equal(m.Credential, next.cred) || !bytes.Equal(m.SenderID, a.m.SenderID) {
			t.Errorf("stored %x", m.Credential)
		}
		w.loseChallenge(a.gm.id)
		lost := send()
		wantHints(t, "lost challenge", lost)
		if got := labels(t, lost.Payload); len(got) != 1 || got[30] == nil {
			t.Errorf("the answer to a lost challenge has %v", got)
		}
		a.assoc.NS = wantHints(t, "lost challenge", lost).KDCChallenge
		wantCode(t, "over the new challenge", send(), coap.Changed)
		if err := w.s.SetActive(t.Context(), testGroup, false); err != nil {
			t.Fatal(err)
		}
		wantProblem(t, "inactive", send(), coap.ServiceUnavailable, ace.ErrorNotActive)
	})
	w := newWorld(t)
	m, node := w.monitor("mon")
	up := (&admitted{node: w.node("mon"), assoc: m.assoc}).credUpload(w.node("mon"), w)
	wantProblem(t, "a monitor", w.call(m.gm, coap.POST, node+"/cred", 261, up), coap.BadRequest, ace.ErrorRoles)
	bound := w.applicant("lamp", both)
	bound = w.applicant("lamp", both, func(c *ace.CWTClaims) { c.CredThumbprint = thumbprint(bound.cred) })
	wantCode(t, "another credential than the token's", bound.send(bound.request(both)), coap.Forbidden)
}

// A member whose token binds it to a credential uploads no other.
func TestUploadOfBoundCredential(t *testing.T) {
	w := newWorld(t)
	n := w.node("lamp")
	a := w.applicant("lamp", both, func(c *ace.CWTClaims) { c.CredThumbprint = thumbprint(n.cred) })
	a.node = n
	joined := a.send(a.request(both))
	wantAnswer(t, joined, coap.Created)
	m := &admitted{node: n, assoc: a.assoc}
	wantCode(t, "another", w.call(a.gm, coap.POST, locationPath(joined)+"/cred", 261, m.credUpload(w.node("x"), w)), coap.Forbidden)
	wantCode(t, "the same", w.call(a.gm, coap.POST, locationPath(joined)+"/cred", 261, m.credUpload(n, w)), coap.Changed)
}

// FETCH /ace-group knows current Gids only; an old one gives the empty byte string.
// Whoever has a token may ask. KGO, Section 9.10.
func TestStatement088_Names(t *testing.T) {
	w := newWorld(t)
	if err := w.s.CreateGroup(t.Context(), GroupConfig{Name: "stairs"}); err != nil {
		t.Fatal(err)
	}
	a := w.join("a", both)
	for what, gm := range map[string]coap.Caller{"a member": a.gm, "a verifier": w.applicant("ver", ace.RoleVerifier).gm, "another": w.applicant("out", both).gm} {
		resp := w.call(gm, coap.FETCH, "/ace-group", 261, ace.Encode(ace.GroupsRequest{GIDs: [][]byte{{1}, w.group().GID}}))
		wantCode(t, what, resp, coap.Content)
		r, err := ace.Decode[ace.GroupsResponse](resp.Payload)
		if err != nil || len(r.GIDs) != 1 || r.Names[0] != testGroup || r.URIs[0] != "/ace-group/hall" {
			t.Errorf("%s: names %+v %v", what, r, err)
		}
		old := w.group().GID
		if err := w.s.Rekey(t.Context(), testGroup, ""); err != nil {
			t.Fatal(err)
		}
		resp = w.call(gm, coap.FETCH, "/ace-group", 261, ace.Encode(ace.GroupsRequest{GIDs: [][]byte{old}}))
		if wantCode(t, what, resp, coap.Content); !bytes.Equal(resp.Payload, []byte{0x40}) {
			t.Errorf("%s: an old Gid: %x", what, resp.Payload)
		}
	}
	ask := func(gids ...[]byte) *coap.Message {
		return w.call(a.gm, coap.FETCH, "/ace-group", ace.FormatACEGroupcomm, ace.Encode(ace.GroupsRequest{GIDs: gids}))
	}
	wantCode(t, "no Gid", ask(), coap.BadRequest)
	wantCode(t, "no payload", w.call(a.gm, coap.FETCH, "/ace-group", -1, nil), coap.BadRequest)
	wantCode(t, "GET", w.call(a.gm, coap.GET, "/ace-group", -1, nil), coap.MethodNotAllowed)
}

// stale-sids of a version that is not older is 4.00; over more versions than sets are
// kept, an answer without payload; else what became stale since, each once, which may
// be nothing. KGO, Section 11.3.1.
func TestStatement089_StaleSIDs(t *testing.T) {
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
	for what, payload := range map[string][]byte{
		"V > V'": {9}, "V = V'": {3}, "no number": {0x20}, "empty": nil, "a text": {0x61, '1'}, "null": {0xf6},
	} {
		wantCode(t, what, fetch(payload), coap.BadRequest)
	}
	out := w.applicant("out", both)
	wantProblem(t, "no member", w.call(out.gm, coap.FETCH, "/ace-group/hall/stale-sids", 60, []byte{0}), coap.Forbidden, ace.ErrorMembersOnly)
	since := func(v byte) (sids [][]byte) {
		resp := fetch([]byte{v})
		wantCode(t, "stale-sids", resp, coap.Content)
		if format, _ := coap.ContentFormat(resp); format != ace.FormatCBOR {
			t.Errorf("Content-Format %d", format)
		}
		if err := cbor.Unmarshal(resp.Payload, &sids); err != nil {
			t.Fatal(err)
		}
		return sids
	}
	has := func(sids [][]byte, want ...[]byte) bool {
		for _, sid := range want {
			if !slices.ContainsFunc(sids, func(s []byte) bool { return bytes.Equal(s, sid) }) {
				return false
			}
		}
		return len(sids) == len(want)
	}
	if got := since(2); !has(got, gone[2]) {
		t.Errorf("since 2: %x, want %x", got, gone[2])
	}
	distinct := [][]byte{gone[1]}
	if !bytes.Equal(gone[1], gone[2]) {
		distinct = append(distinct, gone[2])
	}
	if got := since(1); !has(got, distinct...) {
		t.Errorf("since 1: %x, want %x", got, distinct)
	}
	if resp := fetch([]byte{0}); resp.Code != coap.Content || len(resp.Payload) != 0 { // SKEW 4, three sets
		t.Errorf("since 0: %s %x", coap.CodeString(resp.Code), resp.Payload)
	}
	for range 2 { // two rekeyings with nothing stale
		if err := w.s.Rekey(t.Context(), testGroup, ""); err != nil {
			t.Fatal(err)
		}
	}
	if resp := fetch([]byte{4}); !bytes.Equal(resp.Payload, []byte{0x80}) {
		t.Errorf("nothing stale: %x", resp.Payload)
	}
	for range 2 { // a Sender ID that became stale under two versions stands once
		w.setNextSID(7)
		l := w.join("again", both)
		if err := l.client.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := since(5); !has(got, []byte{7}) {
		t.Errorf("stale twice: %x", got)
	}
}

// active is answered true or false in CF 60; who observes it is told when it changes,
// and only then. KGO, Section 9.9.
func TestStatement090_Active(t *testing.T) {
	w := newWorld(t)
	a := w.join("dev", both)
	m, _ := w.monitor("mon")
	for _, active := range []bool{true, false, true} {
		if err := w.s.SetActive(t.Context(), testGroup, active); err != nil {
			t.Fatal(err)
		}
		for _, gm := range []coap.Caller{a.gm, m.gm} {
			resp := w.call(gm, coap.GET, "/ace-group/hall/active", -1, nil)
			wantCode(t, "active", resp, coap.Content)
			want := []byte{0xf4}
			if active {
				want = []byte{0xf5}
			}
			if format, _ := coap.ContentFormat(resp); format != ace.FormatCBOR || !bytes.Equal(resp.Payload, want) {
				t.Errorf("active %v: %x in %d", active, resp.Payload, format)
			}
		}
	}
	observer := w.watch(a.gm, coap.GET, "/ace-group/hall/active", "t", nil)
	if wantCode(t, "observe", observer.first, coap.Content); !coap.IsNotification(observer.first) || !bytes.Equal(observer.first.Payload, []byte{0xf5}) {
		t.Errorf("observing: %x", observer.first.Payload)
	}
	for _, active := range []bool{false, true} {
		if err := w.s.SetActive(t.Context(), testGroup, active); err != nil {
			t.Fatal(err)
		}
		if n := observer.next(); n == nil || !coap.IsNotification(n) || !bytes.Equal(n.Payload, ace.Encode(active)) {
			t.Fatalf("told %v, want %v", n, active)
		}
		if err := w.s.SetActive(t.Context(), testGroup, active); err != nil {
			t.Fatal(err)
		}
		if n := observer.next(); n != nil {
			t.Errorf("told %x though nothing changed", n.Payload)
		}
	}
	for _, roles := range []ace.Role{both, ace.RoleVerifier} {
		out := w.applicant("out "+roles.String(), roles)
		wantProblem(t, roles.String(), w.call(out.gm, coap.GET, "/ace-group/hall/active", -1, nil), coap.Forbidden, ace.ErrorMembersOnly)
	}
}

// Policies are a map, or the empty byte string where there are none. RFC 9594, Section
// 4.6.1.
func TestPolicies(t *testing.T) {
	for want, p := range map[string]Policies{
		"\xa1\x10\xa2\x01\x19\x0e\x10\x02\x00": {},
		"\xa1\x10\xa2\x01\x18\x3c\x02\x05":     {CheckInterval: 60, ExpirationDelta: 5},
		"\x40":                                 {None: true},
	} {
		w := newEmptyWorld(t)
		if err := w.s.CreateGroup(t.Context(), GroupConfig{Name: testGroup, Policies: p}); err != nil {
			t.Fatal(err)
		}
		a := w.join("dev", both)
		resp := w.call(a.gm, coap.GET, "/ace-group/hall/policies", -1, nil)
		if wantCode(t, "policies", resp, coap.Content); string(resp.Payload) != want {
			t.Errorf("%+v: %x, want %x", p, resp.Payload, want)
		}
		if got, err := a.client.Policies(t.Context()); err != nil || p.None != got.IsZero() {
			t.Errorf("the client reads %+v %v", got, err)
		}
	}
}

// num is a bare number in CF 60. RFC 9594, Section 4.7.1.
func TestNum(t *testing.T) {
	w := newWorld(t)
	a := w.join("dev", both)
	for want := range byte(3) {
		resp := w.call(a.gm, coap.GET, "/ace-group/hall/num", -1, nil)
		if format, _ := coap.ContentFormat(resp); format != ace.FormatCBOR || !bytes.Equal(resp.Payload, []byte{want}) {
			t.Errorf("num %x in %d, want %d", resp.Payload, format, want)
		}
		if err := w.s.Rekey(t.Context(), testGroup, ""); err != nil {
			t.Fatal(err)
		}
	}
}

// A verifier checks signatures of a group without having its keys.
func TestVerifierChecks(t *testing.T) {
	eachKind(t, func(t *testing.T, k groupKind, w *world) {
		if k.signs() == nil {
			return
		}
		a := w.kindMember("dev", k, both)
		v := join.NewVerifier(w.applicant("ver", ace.RoleVerifier).gm, testGroup)
		checker, _, err := v.Checker(t.Context(), join.Trusts(w.cfg.Credential), w.rand)
		if err != nil {
			t.Fatal(err)
		}
		c, err := a.m.Context(a.cred, a.signer(), nil, w.rand)
		if err != nil {
			t.Fatal(err)
		}
		outer, _, err := c.ProtectRequest(coap.NewRequest(coap.GET, "/light", nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := checker.CheckRequest(outer); err != nil || !bytes.Equal(got.From.Cred, a.cred) {
			t.Errorf("%v", err)
		}
		if mode, _ := group.ModeOf(outer); mode != group.Group {
			t.Error("not in group mode")
		}
	})
}
