package gm

import (
	"bytes"
	"slices"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
)

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
