package gm

import (
	"bytes"
	"slices"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

func Test72To74Creds(t *testing.T) {
	w := newWorld(t)
	req, resp, two := w.join("req", ace.RoleRequester), w.join("resp", ace.RoleResponder), w.join("two", both)
	fetch := func(f ace.CredsFilter) *coap.Message {
		return w.call(req.gm, coap.FETCH, "/ace-group/hall/creds", ace.FormatACEGroupcomm,
			ace.Encode(ace.CredsRequest{GetCreds: ace.GetCreds{Filter: &f}}))
	}
	wantCode(t, "72", fetch(ace.CredsFilter{Inclusive: true}), coap.BadRequest)
	wantCode(t, "72", fetch(ace.CredsFilter{}), coap.BadRequest)
	wantCode(t, "no payload", w.call(req.gm, coap.FETCH, "/ace-group/hall/creds", -1, nil), coap.BadRequest)
	wantCode(t, "no get_creds", w.call(req.gm, coap.FETCH, "/ace-group/hall/creds", 261, []byte{0xa0}), coap.BadRequest)
	wantCode(t, "too many", fetch(ace.CredsFilter{Inclusive: true, IDs: make([][]byte, maxFilter+1)}), coap.BadRequest)

	ids := func(m *coap.Message) (got []string) {
		t.Helper()
		wantCode(t, "creds", m, coap.Content)
		if bytes.Equal(m.Payload, []byte{0x40}) {
			return nil
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
	sids := func(nodes ...*admitted) (want []string) {
		for _, n := range nodes {
			want = append(want, string(n.m.SenderID))
		}
		slices.Sort(want)
		return want
	}
	unknown := []byte{0xee}
	for _, tt := range []struct {
		what   string
		filter ace.CredsFilter
		want   []string
	}{
		{"73: with an unknown", ace.CredsFilter{Inclusive: true, IDs: [][]byte{unknown, resp.m.SenderID, resp.m.SenderID}}, sids(resp)},
		{"73: only unknown", ace.CredsFilter{Inclusive: true, IDs: [][]byte{unknown, make([]byte, 9)}}, nil},
		{"74: both roles", ace.CredsFilter{Inclusive: true, Roles: []ace.Role{both}}, sids(two)},
		{"either role", ace.CredsFilter{Inclusive: true, Roles: []ace.Role{ace.RoleRequester, ace.RoleResponder}}, sids(req, resp, two)},
		{"role or id", ace.CredsFilter{Inclusive: true, Roles: []ace.Role{both}, IDs: [][]byte{req.m.SenderID}}, sids(req, two)},
		{"not these", ace.CredsFilter{IDs: [][]byte{req.m.SenderID}}, sids(resp, two)},
		{"role but not these", ace.CredsFilter{Roles: []ace.Role{ace.RoleResponder}, IDs: [][]byte{two.m.SenderID}}, sids(resp)},
	} {
		if got := ids(fetch(tt.filter)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %x, want %x", tt.what, got, tt.want)
		}
	}
	if got := ids(w.call(req.gm, coap.GET, "/ace-group/hall/creds", -1, nil)); !slices.Equal(got, sids(req, resp, two)) {
		t.Errorf("GET: %x", got)
	}
	verifier := w.applicant("ver", ace.RoleVerifier)
	if got := ids(w.call(verifier.gm, coap.GET, "/ace-group/hall/creds", -1, nil)); len(got) != 3 {
		t.Errorf("a verifier got %x", got)
	}
}
