package gm

import (
	"bytes"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

// A token with a role that has to prove a key brings a challenge of at least eight
// bytes, new each time; one for monitors and verifiers alone need not. RFC 9594,
// Section 3.3; KGO, Section 5.3.
func TestStatement038_Challenge(t *testing.T) {
	w := newWorld(t)
	seen := map[string]bool{}
	for _, tt := range []struct {
		scope []ace.ScopeEntry
		want  bool
	}{
		{[]ace.ScopeEntry{scope("hall", ace.RoleRequester)}, true},
		{[]ace.ScopeEntry{scope("hall", ace.RoleResponder)}, true},
		{[]ace.ScopeEntry{scope("hall", both)}, true},
		{[]ace.ScopeEntry{scope("hall", both|ace.RoleMonitor|ace.RoleVerifier)}, true},
		{[]ace.ScopeEntry{scope("hall", ace.RoleMonitor), scope("stairs", ace.RoleResponder)}, true},
		{[]ace.ScopeEntry{scope("hall", ace.RoleMonitor)}, false},
		{[]ace.ScopeEntry{scope("hall", ace.RoleVerifier)}, false},
		{[]ace.ScopeEntry{scope("hall", ace.RoleMonitor|ace.RoleVerifier), scope("stairs", ace.RoleMonitor)}, false},
	} {
		resp := w.upload(w.claims("dev", tt.scope...))
		wantCode(t, "transfer", resp, coap.Created)
		r, err := ace.Decode[ace.AuthzInfoResponse](resp.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(r.KDCChallenge) >= 8; got != tt.want || seen[string(r.KDCChallenge)] {
			t.Errorf("%v: kdcchallenge %x", tt.scope, r.KDCChallenge)
		}
		if tt.want {
			seen[string(r.KDCChallenge)] = true
		}
	}
}

// transferInfo is what a token transfer says about groups.
func (w *world) transferInfo(ask ace.AuthzInfoRequest, names ...string) *ace.AuthzInfoResponse {
	w.t.Helper()
	var entries []ace.ScopeEntry
	for _, name := range names {
		entries = append(entries, scope(name, both))
	}
	ask.AccessToken, ask.Nonce1, ask.ID1 = w.seal(w.claims("dev", entries...)).AccessToken, draw(w.rand, 8), []byte{1}
	resp := w.post(ace.Encode(ask))
	wantCode(w.t, "transfer", resp, coap.Created)
	r, err := ace.Decode[ace.AuthzInfoResponse](resp.Payload)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// newTown has a group of every kind, "g0" and on, and a second one of the first.
func newTown(t *testing.T) *world {
	t.Helper()
	w := newEmptyWorld(t, withP256)
	for i, k := range append(groupKinds, groupKinds[0]) {
		if err := w.s.CreateGroup(t.Context(), k.config(string([]byte{'g', '0' + byte(i)}))); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// Who asks for sign_info hears of the groups that use the group mode, one entry a
// kind, and of no other group. RFC 9594, Section 3.3.1; KGO, Section 5.3.
func TestStatement039_SignInfo(t *testing.T) {
	w := newTown(t)
	ask := ace.AuthzInfoRequest{SignInfo: true}
	r := w.transferInfo(ask, "g0", "g1", "g3", "g5", "g6", "g7", "unborn")
	want := []ace.SignInfo{
		{Groups: ace.GroupNames{"g0", "g7"}, Alg: -8, Params: []int{1}, KeyParams: []int{1, 6}, CredFmt: 14},
		{Groups: ace.GroupNames{"g1"}, Alg: -7, Params: []int{2}, KeyParams: []int{2, 1}, CredFmt: 14},
		{Groups: ace.GroupNames{"g3"}, Alg: -8, Params: []int{1}, KeyParams: []int{1, 6}, CredFmt: 14},
	}
	if !bytes.Equal(ace.Encode(r.SignInfo), ace.Encode(want)) {
		t.Errorf("sign_info %+v, want %+v", r.SignInfo, want)
	}
	if r.ECDHInfo != nil || r.KDCDHCreds != nil {
		t.Errorf("what was not asked for: %+v", r)
	}
	if r := w.transferInfo(ask, "g5", "g6"); r.SignInfo != nil {
		t.Errorf("sign_info of pairwise-only groups: %+v", r.SignInfo)
	}
	if r := w.transferInfo(ace.AuthzInfoRequest{}, "g0", "g5"); r.SignInfo != nil || r.ECDHInfo != nil || r.KDCDHCreds != nil {
		t.Errorf("what was not asked for: %+v", r)
	}
}

// ecdh_info is about groups that use the pairwise mode and absent when all are
// signature-only; kdc_dh_creds is about pairwise-only groups, with the Group
// Manager's credential, and absent when there is none. KGO, Section 5.3.
func TestStatement040_ECDHInfoAndDHCreds(t *testing.T) {
	w := newTown(t)
	ask := ace.AuthzInfoRequest{ECDHInfo: true, KDCDHCreds: true}
	r := w.transferInfo(ask, "g0", "g1", "g2", "g3", "g4", "g5", "g6", "g7")
	x, p := []int{1, 4}, []int{2, 1}
	want := []ace.ECDHInfo{
		{Groups: ace.GroupNames{"g0", "g7"}, Alg: -27, Params: x[:1], KeyParams: x, CredFmt: 14},
		{Groups: ace.GroupNames{"g1"}, Alg: -27, Params: p[:1], KeyParams: p, CredFmt: 14},
		{Groups: ace.GroupNames{"g2"}, Alg: -28, Params: x[:1], KeyParams: x, CredFmt: 14},
		{Groups: ace.GroupNames{"g5"}, Alg: -27, Params: x[:1], KeyParams: x, CredFmt: 14},
		{Groups: ace.GroupNames{"g6"}, Alg: -27, Params: p[:1], KeyParams: p, CredFmt: 14},
	}
	if !bytes.Equal(ace.Encode(r.ECDHInfo), ace.Encode(want)) {
		t.Errorf("ecdh_info %+v, want %+v", r.ECDHInfo, want)
	}
	creds := []ace.KDCDHCred{
		{Groups: ace.GroupNames{"g5"}, CredFmt: 14, Cred: w.cfg.Credential},
		{Groups: ace.GroupNames{"g6"}, CredFmt: 14, Cred: w.cfg.Identities[0].Cred},
	}
	if !bytes.Equal(ace.Encode(r.KDCDHCreds), ace.Encode(creds)) {
		t.Errorf("kdc_dh_creds %+v, want %+v", r.KDCDHCreds, creds)
	}
	if r.SignInfo != nil {
		t.Errorf("what was not asked for: %+v", r.SignInfo)
	}
	if r := w.transferInfo(ask, "g3", "g4"); r.ECDHInfo != nil || r.KDCDHCreds != nil {
		t.Errorf("of signature-only groups: %+v", r)
	}
	if r := w.transferInfo(ask, "g0", "g1", "g3"); len(r.ECDHInfo) != 2 || r.KDCDHCreds != nil {
		t.Errorf("kdc_dh_creds without pairwise-only groups: %+v", r)
	}
}

// A request without a token is answered 4.01, with where to get one. RFC 9594,
// Section 4.1.2; RFC 9200, Section 5.3.
func TestStatement042_WithoutToken(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.AS = "coap://as.example" })
	for _, path := range []string{"/ace-group", "/ace-group/hall", "/ace-group/hall/num", "/ace-group/nowhere", "/x"} {
		for _, method := range []coap.Code{coap.GET, coap.POST, coap.FETCH, coap.DELETE} {
			resp := w.s.serve(t.Context(), &coap.Request{Message: request(method, path, -1, nil)})
			wantCode(t, path, resp, coap.Unauthorized)
			hints, err := ace.Decode[ace.ASHints](resp.Payload)
			if err != nil || hints.AS != "coap://as.example" || hints.Audience != "gm" {
				t.Errorf("%s: hints %+v %v", path, hints, err)
			}
		}
	}
	wantCode(t, "unknown association", w.call(&direct{w, "ffffff"}, coap.GET, "/ace-group/hall", -1, nil), coap.Unauthorized)
	silent := newWorld(t)
	resp := silent.s.serve(t.Context(), &coap.Request{Message: request(coap.GET, "/ace-group/hall", -1, nil)})
	wantCode(t, "without hints", resp, coap.Unauthorized)
	req := &coap.Request{Message: request(coap.POST, "/authz-info", ace.FormatACE, nil), Multicast: true}
	if resp := w.s.serve(t.Context(), req); resp != nil {
		t.Errorf("a multicast request was answered: %v", resp)
	}
}
