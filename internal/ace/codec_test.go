package ace

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ptr[T any](v T) *T { return &v }

// Samples of every message, with every field set.
var (
	sampleMaterial = OSCOREMaterial{ID: []byte{1}, Version: 1, MasterSecret: cose.Secret("0123456789abcdef"),
		HKDF: cose.HMAC256, Alg: cose.AESCCM16_64_128, Salt: []byte{}, ContextID: []byte("ctx")}
	sampleSign  = SignInfo{Groups: GroupNames{"hall"}, Alg: -8, Params: []int{1}, KeyParams: []int{1, 6}, CredFmt: 14}
	sampleECDH  = ECDHInfo{Groups: GroupNames{"hall", "attic"}, Alg: -27, Params: []int{1}, KeyParams: []int{1, 4}, CredFmt: 14}
	sampleDH    = KDCDHCred{Groups: GroupNames{"hall"}, CredFmt: 14, Cred: []byte("cred")}
	sampleScope = EncodeScope([]ScopeEntry{{Group: "hall", Roles: RoleRequester}})
	sampleKey   = KeyMaterial{MasterSecret: cose.Secret("0123456789abcdef"), HKDF: 5, Alg: 10, Salt: []byte("salt"), GID: []byte{0},
		SenderID: []byte{}, CredFmt: 14, GpEncAlg: 10, SignAlg: -8, SignParams: [][]int{{1}, {1, 6}}, ECDHAlg: -27, ECDHParams: [][]int{{1}, {1, 4}}}
	sampleFilter = CredsFilter{Inclusive: true, Roles: []Role{6}, IDs: [][]byte{{1}}}

	sampleTokenRequest = TokenRequest{ReqCnf: &Confirmation{KID: []byte{1}}, Audience: "gm", Scope: sampleScope, ClientID: "000b57fffe401ac2",
		GrantType: ptr(uint(2)), Refresh: []byte("refresh"), Profile: ProfileParam{Asked: true}, CNonce: []byte("nonce")}
	sampleTokenResponse = TokenResponse{AccessToken: []byte("token"), ExpiresIn: 3600, Cnf: &Confirmation{OSCORE: &sampleMaterial},
		Scope: sampleScope, TokenType: TokenPoP, Refresh: cose.Secret("refresh"), Profile: ProfileOSCORE,
		RSCnf: &Confirmation{COSEKey: &COSEKey{KTY: 1}}}
	sampleClaims = CWTClaims{ISS: "as", SUB: "000b57fffe401ac2", AUD: "gm", EXP: 2000, NBF: 1000, IAT: 1000, CTI: []byte{1},
		CNF: &Confirmation{OSCORE: &sampleMaterial}, Scope: ScopeClaim{Scope: sampleScope, Extended: true}, Profile: 2, CNonce: []byte("n"),
		EXI: 60, CredThumbprint: bytes.Repeat([]byte{7}, ThumbprintSize), Actor: "installer"}
	sampleHints         = ASHints{AS: "coap://as/token", KID: []byte{}, Audience: "gm", Scope: sampleScope, CNonce: []byte("n")}
	sampleAuthzRequest  = AuthzInfoRequest{AccessToken: []byte("token"), Nonce1: []byte("nonce1!!"), ID1: []byte{}, SignInfo: true, ECDHInfo: true, KDCDHCreds: true}
	sampleAuthzResponse = AuthzInfoResponse{Nonce2: []byte("nonce2!!"), ID2: []byte{1}, SignInfo: []SignInfo{sampleSign}, KDCChallenge: []byte("challeng"),
		ECDHInfo: []ECDHInfo{sampleECDH}, KDCDHCreds: []KDCDHCred{sampleDH}}
	sampleJoinRequest = JoinRequest{Scope: EncodeJoinScope(ScopeEntry{Group: "hall", Roles: 6}), GetCreds: GetCreds{Relevant: true}, ClientCred: []byte{},
		CNonce: []byte("cnonce"), ClientCredVerify: []byte("sig"), CredsRepo: "repo", ControlURI: "coap://127.0.0.1/ace-group/hall/node"}
	sampleJoinResponse = JoinResponse{GKTY: 1, Key: sampleKey, Num: 0, Profile: 1, EXP: 2000, EXI: 1000, Creds: [][]byte{[]byte("c")}, PeerRoles: []Role{4},
		PeerIDs: [][]byte{{2}}, Policies: GroupPolicies{3600, 5}, KDCCred: []byte("kdc"), KDCNonce: []byte("n"), KDCCredVerify: []byte("sig"),
		RekeyingScheme: 1, MgtKeyMaterial: []byte("m"), ControlGroupURI: "coap://224.0.1.187/x"}
	sampleJoinHints = JoinHints{SignInfo: []SignInfo{sampleSign}, KDCChallenge: []byte("challeng"), ECDHInfo: []ECDHInfo{sampleECDH}, KDCDHCreds: []KDCDHCred{sampleDH}}
	sampleKeys      = KeyResponse{GKTY: 1, Key: sampleKey, Num: 3, Profile: 1, EXP: 2000, EXI: 1000, RekeyingScheme: -65537, MgtKeyMaterial: []byte("m")}
	sampleRekeying  = RekeyingMessage{GKTY: 1, Key: sampleKey, Num: 3, Profile: 1, EXP: 2000, EXI: 1000, Creds: [][]byte{[]byte("c")},
		PeerRoles: []Role{2}, PeerIDs: [][]byte{{1}}, StaleIDs: [][]byte{{9}, {}}, MgtKeyMaterial: []byte("m")}
	sampleRenewal       = RenewalResponse{SenderID: []byte{4}}
	sampleCredsRequest  = CredsRequest{GetCreds: GetCreds{Filter: &sampleFilter}}
	sampleCredsResponse = CredsResponse{Num: 1, Creds: [][]byte{[]byte("c")}, PeerRoles: []Role{6}, PeerIDs: [][]byte{{1}}}
	sampleUpload        = CredUpload{ClientCred: []byte("c"), CNonce: []byte("n"), ClientCredVerify: []byte{}}
	sampleKDCRequest    = KDCCredRequest{CNonce: []byte("n")}
	sampleKDCResponse   = KDCCredResponse{KDCCred: []byte("c"), KDCNonce: []byte("n"), KDCCredVerify: []byte("s")}
	samplePolicies      = PoliciesResponse{Policies: GroupPolicies{CheckInterval: 60}}
	sampleGroupsRequest = GroupsRequest{GIDs: [][]byte{{1}}}
	sampleGroups        = GroupsResponse{GIDs: [][]byte{{1}}, Names: []string{"hall"}, URIs: []string{"coap://gm/ace-group/hall"}}
	sampleASError       = ASErrorBody{Code: ErrorInvalidScope, Description: "why", URI: "https://example.org"}
)

// roundTrip checks that v encodes to bytes that decode to v, and that no byte
// of them is dispensable or may follow.
func roundTrip[T any](t *testing.T, v T) {
	t.Helper()
	data := Encode(v)
	got, err := Decode[T](data)
	if err != nil || !reflect.DeepEqual(*got, v) {
		t.Errorf("%T: got %+v (%v), want %+v", v, got, err, v)
	}
	for n := range data {
		if _, err := Decode[T](data[:n]); !errors.Is(err, ErrDecode) {
			t.Errorf("%T: %d of %d bytes were accepted (%v)", v, n, len(data), err)
		}
	}
	if _, err := Decode[T](append(bytes.Clone(data), 0)); !errors.Is(err, ErrDecode) {
		t.Errorf("%T: a trailing byte was accepted", v)
	}
}

func TestRoundTrip(t *testing.T) {
	roundTrip(t, sampleTokenRequest)
	roundTrip(t, sampleTokenResponse)
	roundTrip(t, sampleClaims)
	roundTrip(t, sampleHints)
	roundTrip(t, sampleAuthzRequest)
	roundTrip(t, sampleAuthzResponse)
	roundTrip(t, sampleJoinRequest)
	roundTrip(t, sampleJoinResponse)
	roundTrip(t, sampleJoinHints)
	roundTrip(t, sampleKeys)
	roundTrip(t, sampleRekeying)
	roundTrip(t, sampleRenewal)
	roundTrip(t, sampleCredsRequest)
	roundTrip(t, sampleCredsResponse)
	roundTrip(t, sampleUpload)
	roundTrip(t, sampleKDCRequest)
	roundTrip(t, sampleKDCResponse)
	roundTrip(t, samplePolicies)
	roundTrip(t, sampleGroupsRequest)
	roundTrip(t, sampleGroups)
	roundTrip(t, sampleASError)
}

// TestZeroIsAbsent holds that the zero value of a message with optional fields
// only is the empty map.
func TestZeroIsAbsent(t *testing.T) {
	for _, v := range []any{TokenRequest{}, CWTClaims{}, ASHints{}, AuthzInfoRequest{}, AuthzInfoResponse{}, JoinRequest{},
		JoinHints{}, CredsRequest{}, CredUpload{}, KDCCredRequest{}, GroupsRequest{}, Confirmation{}} {
		if got := Encode(v); !bytes.Equal(got, []byte{0xa0}) {
			t.Errorf("%T: %x, want the empty map", v, got)
		}
	}
}

// TestLabels holds the tags of the structs against the registries.
func TestLabels(t *testing.T) {
	for _, tt := range []struct {
		v      any
		labels []int64
	}{
		{sampleTokenRequest, []int64{ParamReqCnf, ParamAudience, ParamScope, ParamClientID, ParamGrantType, ParamRefreshToken,
			ParamACEProfile, ParamCNonce}},
		{sampleTokenResponse, []int64{ParamAccessToken, ParamExpiresIn, ParamCnf, ParamScope, ParamTokenType, ParamRefreshToken,
			ParamACEProfile, ParamRSCnf}},
		{sampleClaims, []int64{ClaimISS, ClaimSUB, ClaimAUD, ClaimEXP, ClaimNBF, ClaimIAT, ClaimCTI, ClaimCNF, ClaimScope, ClaimACEProfile,
			ClaimCNonce, ClaimEXI, ClaimCredThumbprint, ClaimActor}},
		{sampleAuthzRequest, []int64{ParamAccessToken, ParamNonce1, ParamACEClientRecipientID, ParamSignInfo, ParamECDHInfo, ParamKDCDHCreds}},
		{sampleAuthzResponse, []int64{ParamNonce2, ParamACEServerRecipientID, ParamSignInfo, ParamKDCChallenge, ParamECDHInfo, ParamKDCDHCreds}},
		{sampleMaterial, []int64{OSCID, OSCVersion, OSCMS, OSCHKDF, OSCAlg, OSCSalt, OSCContextID}},
		{sampleKey, []int64{OSCMS, OSCHKDF, OSCAlg, OSCSalt, OSCContextID, GroupOSCSenderID, GroupOSCCredFmt, GroupOSCGpEncAlg,
			GroupOSCSignAlg, GroupOSCSignParams, GroupOSCECDHAlg, GroupOSCECDHParams}},
		{sampleJoinRequest, []int64{GroupcommScope, GroupcommGetCreds, GroupcommClientCred, GroupcommCNonce, GroupcommClientCredVerify,
			GroupcommCredsRepo, GroupcommControlURI}},
		{sampleJoinResponse, []int64{GroupcommGKTY, GroupcommKey, GroupcommNum, GroupcommProfile, GroupcommEXP, GroupcommEXI, GroupcommCreds,
			GroupcommPeerRoles, GroupcommPeerIdentifiers, GroupcommGroupPolicies, GroupcommKDCCred, GroupcommKDCNonce,
			GroupcommKDCCredVerify, GroupcommRekeyingScheme, GroupcommMgtKeyMaterial, GroupcommControlGroupURI}},
		{sampleJoinHints, []int64{GroupcommSignInfo, GroupcommKDCChallenge, GroupcommECDHInfo, GroupcommKDCDHCreds}},
		{sampleRekeying, []int64{GroupcommGKTY, GroupcommKey, GroupcommNum, GroupcommProfile, GroupcommEXP, GroupcommEXI, GroupcommCreds,
			GroupcommPeerRoles, GroupcommPeerIdentifiers, GroupcommMgtKeyMaterial, GroupcommStaleNodeIDs}},
		{sampleKeys, []int64{GroupcommGKTY, GroupcommKey, GroupcommNum, GroupcommProfile, GroupcommEXP, GroupcommEXI,
			GroupcommRekeyingScheme, GroupcommMgtKeyMaterial}},
		{sampleRenewal, []int64{GroupcommGroupSenderID}},
		{sampleGroups, []int64{GroupcommGID, GroupcommGName, GroupcommGURI}},
	} {
		var m map[int64]cbor.RawMessage
		if err := cbor.Unmarshal(Encode(tt.v), &m); err != nil {
			t.Fatalf("%T: %v", tt.v, err)
		}
		for _, label := range tt.labels {
			if _, ok := m[label]; !ok {
				t.Errorf("%T: no label %d", tt.v, label)
			}
		}
		if len(m) != len(tt.labels) {
			t.Errorf("%T: %d labels, want %d", tt.v, len(m), len(tt.labels))
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := map[string]struct {
		data   string
		decode func([]byte) error
	}{
		"a key twice":                 {"a2 05 61 61 05 61 62", decoder[TokenRequest]},
		"an indefinite map":           {"bf 05 61 61 ff", decoder[TokenRequest]},
		"an indefinite string":        {"a1 05 7f 61 61 ff", decoder[TokenRequest]},
		"no map":                      {"80", decoder[TokenRequest]},
		"nothing":                     {"", decoder[TokenRequest]},
		"invalid UTF-8":               {"a1 05 61 ff", decoder[TokenRequest]},
		"a float as grant type":       {"a1 18 21 f9 4000", decoder[TokenRequest]},
		"a negative grant type":       {"a1 18 21 20", decoder[TokenRequest]},
		"profile 0":                   {"a1 18 26 00", decoder[TokenRequest]},
		"a text scope":                {"a1 09 64 68616c6c", decoder[TokenRequest]},
		"a null scope":                {"a1 09 f6", decoder[TokenRequest]},
		"a response without token":    {"a1 02 19 0e10", decoder[TokenResponse]},
		"sign_info not null":          {"a1 18 2d 80", decoder[AuthzInfoRequest]},
		"a short sign_info_entry":     {"a1 18 2d 81 84 61 61 27 80 80", decoder[AuthzInfoResponse]},
		"sign_info without a group":   {"a1 18 2d 81 85 80 27 80 80 0e", decoder[AuthzInfoResponse]},
		"get_creds of two elements":   {"a1 04 82 f5 80", decoder[JoinRequest]},
		"get_creds with null":         {"a1 04 83 f5 80 f6", decoder[JoinRequest]},
		"a credential without peer":   {"a5 07 01 08 a1 06 40 09 00 0a 01 0d 81 41 00", decoder[JoinResponse]},
		"a role too few":              {"a4 09 00 0d 82 40 40 0e 81 02 0f 82 40 40", decoder[CredsResponse]},
		"a thumbprint of 31 bytes":    {"a1 3a 00010000 58 1f" + strings.Repeat("07", 31), decoder[CWTClaims]},
		"osc with an unknown field":   {"a1 08 a1 04 a3 00 41 01 02 41 01 07 41 01", decoder[CWTClaims]},
		"osc with a text field":       {"a1 08 a1 04 a3 00 41 01 02 41 01 61 61 41 01", decoder[CWTClaims]},
		"osc without id":              {"a1 08 a1 04 a1 02 41 01", decoder[CWTClaims]},
		"osc without ms":              {"a1 08 a1 04 a1 00 41 01", decoder[CWTClaims]},
		"osc of another version":      {"a1 08 a1 04 a3 00 41 01 01 02 02 41 01", decoder[CWTClaims]},
		"osc with null":               {"a1 08 a1 04 a3 00 41 01 02 41 01 05 f6", decoder[CWTClaims]},
		"scope claim of another tag":  {"a1 09 c6 41 80", decoder[CWTClaims]},
		"scope claim, tag without bs": {"a1 09 da 63740229 80", decoder[CWTClaims]},
		"an error without a code":     {"a0", decoder[ASErrorBody]},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := tt.decode(unhex(t, tt.data))
			if !errors.Is(err, ErrDecode) {
				t.Errorf("got %v, want ErrDecode", err)
			}
			if got, want := errors.Is(err, ErrScope), strings.Contains(name, "scope"); got != want {
				t.Errorf("%v: is ErrScope: %v, want %v", err, got, want)
			}
		})
	}
}

func decoder[T any](data []byte) error {
	_, err := Decode[T](data)
	return err
}

// An unknown key of a Join Request is ignored. RFC 9594, Section 4.1.2.
func TestStatement066_UnknownKeysIgnored(t *testing.T) {
	req, err := Decode[JoinRequest](unhex(t, "a4 03 41 00 06 41 01 19 1234 f5 62 6869 82 01 02"))
	if err != nil || !bytes.Equal(req.Scope, []byte{0}) || !bytes.Equal(req.CNonce, []byte{1}) {
		t.Errorf("got %+v, %v", req, err)
	}
}

func TestNullAndFilterOfGetCreds(t *testing.T) {
	for data, want := range map[string]GetCreds{
		"a0":                           {},
		"a1 04 f6":                     {Relevant: true},
		"a1 04 83 f5 81 02 80":         {Filter: &CredsFilter{Inclusive: true, Roles: []Role{2}, IDs: [][]byte{}}},
		"a1 04 83 f4 80 82 40 41 01":   {Filter: &CredsFilter{Roles: []Role{}, IDs: [][]byte{{}, {1}}}},
		"a1 04 83 f5 82 02 04 81 4101": {Filter: &CredsFilter{Inclusive: true, Roles: []Role{2, 4}, IDs: [][]byte{{1}}}},
	} {
		raw := unhex(t, data)
		got, err := Decode[CredsRequest](raw)
		if err != nil || !reflect.DeepEqual(got.GetCreds, want) || !bytes.Equal(Encode(got), raw) {
			t.Errorf("%s: got %+v, %v", data, got, err)
		}
	}
}

// A role of several bits matches only who holds them all. RFC 9594, Section 4.4.1.
func TestStatement074_RoleFilter(t *testing.T) {
	type member struct {
		id    []byte
		roles Role
	}
	req, resp, both, monitor := member{[]byte{1}, 2}, member{[]byte{2}, 4}, member{[]byte{3}, 6}, member{nil, 8}
	tests := []struct {
		filter CredsFilter
		want   []member
	}{
		{CredsFilter{Inclusive: true, Roles: []Role{6}}, []member{both}},
		{CredsFilter{Inclusive: true, Roles: []Role{2, 4}}, []member{req, resp, both}},
		{CredsFilter{Inclusive: true, Roles: []Role{6}, IDs: [][]byte{{1}, {9}}}, []member{req, both}},
		{CredsFilter{Inclusive: true, IDs: [][]byte{{2}}}, []member{resp}},
		{CredsFilter{Inclusive: false, IDs: [][]byte{{2}}}, []member{req, both, monitor}},
		{CredsFilter{Inclusive: false, Roles: []Role{2}, IDs: [][]byte{{3}}}, []member{req}},
		{CredsFilter{Inclusive: true, IDs: [][]byte{{}}}, nil},
	}
	for i, tt := range tests {
		var got []member
		for _, m := range []member{req, resp, both, monitor} {
			if tt.filter.Match(m.id, m.roles) {
				got = append(got, m)
			}
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%d: got %v, want %v", i, got, tt.want)
		}
	}
}

// TestRedacted prints messages with secrets in every way that logs do.
func TestRedacted(t *testing.T) {
	secret := string(sampleMaterial.MasterSecret)
	for _, v := range []any{sampleMaterial, &sampleMaterial, *sampleTokenResponse.Cnf, sampleKey, &sampleJoinResponse, TokenKey{Key: cose.Secret(secret)},
		SymmetricKey(nil, cose.Secret(secret)), *SymmetricKey(nil, cose.Secret(secret)), Confirmation{COSEKey: SymmetricKey(nil, cose.Secret(secret))},
		sampleIntrospection, sampleTokenResponse, sampleClaims, sampleKeys, sampleRekeying, struct{ P *JoinResponse }{&sampleJoinResponse}, []*KeyMaterial{&sampleKey},
		struct{ Q *TokenResponse }{&sampleTokenResponse}, map[string]*CWTClaims{"c": &sampleClaims}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
			out := fmt.Sprintf(verb, v)
			if strings.Contains(out, secret) || strings.Contains(out, hex.EncodeToString([]byte(secret))) ||
				strings.Contains(out, "48 49 50 51") || strings.Contains(out, "0x30, 0x31") {
				t.Errorf("%s of %T shows the secret: %s", verb, v, out)
			}
		}
	}
	// Errors of decoding do not quote what they could not use.
	bad := sampleMaterial
	bad.Version = 7
	if _, err := Decode[CWTClaims](Encode(CWTClaims{CNF: &Confirmation{OSCORE: &bad}})); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v", err)
	}
}

// TestPoPInput is the example of RFC 9594, Section 4.3.1.
func TestPoPInput(t *testing.T) {
	scope, ns, nc := unhex(t, "826667726f7570316673656e646572"), unhex(t, "018a278f7faab55a"), unhex(t, "25a8991cd700ac01")
	want := unhex(t, "4f826667726f7570316673656e646572 48018a278f7faab55a 4825a8991cd700ac01")
	if got := PoPInput(scope, ns, nc); !bytes.Equal(got, want) {
		t.Errorf("got %x", got)
	}
	want = unhex(t, "4825a8991cd700ac01 48cef04b2aa791bc6d")
	if got := KDCPoPInput(nc, unhex(t, "cef04b2aa791bc6d")); !bytes.Equal(got, want) {
		t.Errorf("got %x", got)
	}
}

// The Master Salt holds the CBOR heads of its three byte strings, and an absent salt
// counts as the empty one. The first vector is the example of RFC 9203, Section 4.3.
func TestStatement035_MasterSalt(t *testing.T) {
	n1, n2 := unhex(t, "018a278f7faab55a"), unhex(t, "25a8991cd700ac01")
	tail := unhex(t, "48018a278f7faab55a 4825a8991cd700ac01")
	salt := unhex(t, "f9af838368e353e78888e1426bd94e6f")
	if got := MasterSalt(salt, n1, n2); !bytes.Equal(got, append(unhex(t, "50f9af838368e353e78888e1426bd94e6f"), tail...)) {
		t.Errorf("got %x", got)
	}
	for name, empty := range map[string][]byte{"absent": nil, "empty": {}} {
		if got := MasterSalt(empty, n1, n2); !bytes.Equal(got, append([]byte{0x40}, tail...)) {
			t.Errorf("%s salt: got %x", name, got)
		}
	}
}

func TestErrors(t *testing.T) {
	m := ASError(coap.BadRequest, ErrorInvalidScope, "")
	if !bytes.Equal(m.Payload, unhex(t, "a1 18 1e 06")) || m.Code != coap.BadRequest {
		t.Errorf("an AS error is %v %x", m.Code, m.Payload)
	}
	if body, ok := ParseASError(m); !ok || body.Code != ErrorInvalidScope {
		t.Errorf("got %+v, %v", body, ok)
	}
	p := Problem(coap.Forbidden, ErrorMembersOnly, "")
	if !bytes.Equal(p.Payload, unhex(t, "a1 00 a1 00 00")) || p.Code != coap.Forbidden {
		t.Errorf("a problem is %v %x", p.Code, p.Payload)
	}
	p = Problem(coap.BadRequest, ErrorPoP, "Sign again.")
	if id, detail, ok := ParseProblem(p); !ok || id != ErrorPoP || detail != "Sign again." {
		t.Errorf("got %v %q %v", id, detail, ok)
	}
	// A title, a private entry: what RFC 9290 allows besides.
	p.Payload = unhex(t, "a4 20 61 74 21 61 64 00 a1 00 02 19 0400 a0")
	if id, detail, ok := ParseProblem(p); !ok || id != ErrorCredential || detail != "d" {
		t.Errorf("got %v %q %v", id, detail, ok)
	}
	for name, payload := range map[string]string{"no entry": "a1 21 61 64", "no id": "a1 00 a0", "no map": "00"} {
		p.Payload = unhex(t, payload)
		if _, _, ok := ParseProblem(p); ok {
			t.Errorf("%s: taken for a problem of a Group Manager", name)
		}
	}
	if _, ok := ParseASError(p); ok {
		t.Error("a problem was taken for an AS error")
	}
	q := ASProblem(coap.BadRequest, ErrorInvalidScope, "why")
	if !bytes.Equal(q.Payload, unhex(t, "a2 02 a1 00 06 21 63 776879")) || q.Code != coap.BadRequest {
		t.Errorf("an AS error as a problem is %v %x", q.Code, q.Payload)
	}
	if body, ok := ParseASError(q); !ok || body.Code != ErrorInvalidScope || body.Description != "why" {
		t.Errorf("got %+v, %v", body, ok)
	}
	if _, _, ok := ParseProblem(q); ok {
		t.Error("an AS error was taken for a problem of a Group Manager")
	}
	if _, _, ok := ParseProblem(m); ok {
		t.Error("an AS error was taken for a problem")
	}
	if ErrorInvalidScope.String() != "invalid_scope" || ASErrorCode(99).String() != "error 99" ||
		ErrorNotActive.String() != "Group currently not active" || ErrorID(99).String() != "error 99" {
		t.Error("names of errors")
	}
}
