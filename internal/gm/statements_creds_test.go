package gm

import (
	"bytes"
	"slices"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

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
