package join

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

func goodToken() *ace.TokenResponse {
	return &ace.TokenResponse{
		AccessToken: []byte{1, 2}, ExpiresIn: 60, Profile: ace.ProfileOSCORE,
		Cnf: &ace.Confirmation{OSCORE: &ace.OSCOREMaterial{ID: []byte{1}, MasterSecret: make([]byte, 16), Salt: []byte{7}}},
	}
}

func aceMessage(code coap.Code, v any) *coap.Message {
	return coap.Respond(code, ace.FormatACE, ace.Encode(v))
}

func TestToken(t *testing.T) {
	as := give(t, aceMessage(coap.Created, goodToken()))
	tok, err := Token(t.Context(), as, ace.TokenRequest{Audience: "gm"})
	if err != nil || tok.ExpiresIn != 60 || as.asked()[0] != "POST /token" {
		t.Errorf("%+v %v %v", tok, err, as.asked())
	}
	_, err = Token(t.Context(), give(t, ace.ASError(coap.BadRequest, ace.ErrorInvalidScope, "no such group")), ace.TokenRequest{})
	var e *ASError
	if !errors.As(err, &e) || e.Number != ace.ErrorInvalidScope || !errors.Is(err, ErrRefused) {
		t.Errorf("%v", err)
	}
	if got := err.Error(); got != "asking for a token: the Authorization Server refused: invalid_scope (no such group)" {
		t.Errorf("%q", got)
	}
	bad := goodToken()
	bad.ExpiresIn = 0
	for what, m := range map[string]*coap.Message{
		"without a lifetime": aceMessage(coap.Created, bad),
		"another format":     coap.Respond(coap.Created, ace.FormatCBOR, ace.Encode(goodToken())),
		"garbage":            coap.Respond(coap.Created, ace.FormatACE, []byte{0xff}),
	} {
		if _, err := Token(t.Context(), give(t, m), ace.TokenRequest{}); !errors.Is(err, ErrDecode) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// The client stops when the Group Manager's identifier is its own: both directions
// would have one key. RFC 9203, Sections 4.2 and 4.3.
func TestStatement034_EqualIdentifiers(t *testing.T) {
	for _, id1 := range [][]byte{{}, {1}, {1, 2, 3}} {
		for _, id2 := range [][]byte{{}, {1}, {1, 2, 3}, {2}} {
			gm := give(t, aceMessage(coap.Created, ace.AuthzInfoResponse{Nonce2: []byte("n2n2n2n2"), ID2: id2, KDCChallenge: testNC}))
			a, err := Transfer(t.Context(), gm, gmAddr, goodToken(), id1, bytes.NewReader([]byte("n1n1n1n1")))
			if equal := bytes.Equal(id1, id2); equal != errors.Is(err, ErrVerify) || equal != (a == nil) {
				t.Errorf("ID1 %x, ID2 %x: %+v, %v", id1, id2, a, err)
			}
		}
	}
}

func TestTransfer(t *testing.T) {
	good := ace.AuthzInfoResponse{Nonce2: []byte("n2n2n2n2"), ID2: []byte{2}, KDCChallenge: testNC}
	transfer := func(m *coap.Message, tok *ace.TokenResponse) (*Association, error, *answers) {
		gm := give(t, m)
		a, err := Transfer(t.Context(), gm, gmAddr, tok, []byte{1}, bytes.NewReader([]byte("n1n1n1n1")))
		return a, err, gm
	}
	a, err, gm := transfer(aceMessage(coap.Created, good), goodToken())
	if err != nil {
		t.Fatal(err)
	}
	// 35: the CBOR heads of the three byte strings are part of the Master Salt.
	if want := "\x41\x07\x48n1n1n1n1\x48n2n2n2n2"; string(a.MasterSalt) != want {
		t.Errorf("Master Salt %x, want %x", a.MasterSalt, want)
	}
	if !bytes.Equal(a.SenderID, []byte{2}) || !bytes.Equal(a.RecipientID, []byte{1}) || !bytes.Equal(a.NS, testNC) {
		t.Errorf("%+v", a)
	}
	body, err := ace.Decode[ace.AuthzInfoRequest](gm.got[0].Payload)
	if err != nil || !bool(body.SignInfo) || !bool(body.ECDHInfo) || string(body.Nonce1) != "n1n1n1n1" || !bytes.Equal(body.ID1, []byte{1}) {
		t.Errorf("request %+v %v", body, err)
	}
	noSalt := goodToken()
	noSalt.Cnf.OSCORE.Salt = nil
	if a, err, _ := transfer(aceMessage(coap.Created, good), noSalt); err != nil || a.MasterSalt[0] != 0x40 {
		t.Errorf("35: absent salt: %x %v", a.MasterSalt, err)
	}

	same, noID, noNonce, longID := good, good, good, good
	same.ID2, noID.ID2, noNonce.Nonce2, longID.ID2 = []byte{1}, nil, nil, make([]byte, 8)
	noMaterial, otherAlg := goodToken(), goodToken()
	noMaterial.Cnf = nil
	otherAlg.Cnf.OSCORE.Alg = 1
	for _, tt := range []struct {
		what string
		m    *coap.Message
		tok  *ace.TokenResponse
		want error
	}{
		{"34: the same identifier", aceMessage(coap.Created, same), goodToken(), ErrVerify},
		{"no identifier", aceMessage(coap.Created, noID), goodToken(), ErrDecode},
		{"no nonce", aceMessage(coap.Created, noNonce), goodToken(), ErrDecode},
		{"long identifier", aceMessage(coap.Created, longID), goodToken(), ErrDecode},
		{"refused", coap.Problem(coap.Unauthorized, "expired"), goodToken(), ErrNoToken},
		{"another format", coap.Respond(coap.Created, ace.FormatCBOR, ace.Encode(good)), goodToken(), ErrDecode},
		{"no material", nil, noMaterial, ErrDecode},
		{"another algorithm", nil, otherAlg, ErrAlgorithm},
	} {
		if _, err, _ := transfer(tt.m, tt.tok); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.what, err, tt.want)
		}
	}
}

func TestJoinAnswers(t *testing.T) {
	answer := func(code coap.Code, path ...string) *coap.Message {
		m := coap.Respond(code, ace.FormatACEGroupcomm, ace.Encode(goodResponse()))
		for _, s := range path {
			coap.AddOption(m, coap.OptionLocationPath, []byte(s))
		}
		return m
	}
	a, err := Join(t.Context(), give(t, answer(coap.Changed, "ace-group", "hall", "nodes", "n1")), "hall", ace.JoinRequest{})
	if err != nil || !a.Rejoined || a.NodePath != "/ace-group/hall/nodes/n1" {
		t.Errorf("%+v %v", a, err)
	}
	for what, m := range map[string]*coap.Message{
		"no path":                answer(coap.Created),
		"another group's":        answer(coap.Created, "ace-group", "stairs", "nodes", "n1"),
		"a path that leads away": answer(coap.Created, "ace-group", "hall", "nodes", ".."),
		"too long":               answer(coap.Created, "ace-group", "hall", "nodes", "n1", "cred"),
		"2.05":                   answer(coap.Content, "ace-group", "hall", "nodes", "n1"),
	} {
		if _, err := Join(t.Context(), give(t, m), "hall", ace.JoinRequest{}); !errors.Is(err, ErrDecode) {
			t.Errorf("%s: %v", what, err)
		}
	}
	hints := coap.Respond(coap.BadRequest, ace.FormatACEGroupcomm, ace.Encode(ace.JoinHints{KDCChallenge: testNC}))
	var c *ChallengeError
	if _, err := Join(t.Context(), give(t, hints), "hall", ace.JoinRequest{}); !errors.As(err, &c) || !bytes.Equal(c.NS, testNC) {
		t.Errorf("%v", err)
	}
	var e *GMError
	_, err = Join(t.Context(), give(t, ace.Problem(coap.BadRequest, ace.ErrorPoP, "")), "hall", ace.JoinRequest{})
	if !errors.As(err, &e) || !e.HasID || e.ID != ace.ErrorPoP {
		t.Errorf("%v", err)
	}
	if _, err := Join(t.Context(), give(t), "no/name", ace.JoinRequest{}); err == nil {
		t.Error("a name with a slash was sent")
	}
}

func bare(v any) *coap.Message {
	return coap.Respond(coap.Content, ace.FormatCBOR, cbor.MustMarshal(v))
}

func TestUpdate(t *testing.T) {
	renewed := coap.Respond(coap.Content, ace.FormatACEGroupcomm, ace.Encode(ace.RenewalResponse{SenderID: []byte{9}}))
	const get, fetch, post = "GET /ace-group/hall/nodes/n1", "FETCH /ace-group/hall/stale-sids", "POST /ace-group/hall/nodes/n1"
	for _, tt := range []struct {
		what    string
		answers []*coap.Message
		asked   []string
		changed bool
		num     uint64
		sid     byte
		peers   string
	}{
		{"nothing new", []*coap.Message{keys(3, 4, 5)}, []string{get}, false, 3, 5, "\x0a\x0b"},
		{"next version", []*coap.Message{keys(4, 5, 5), bare([][]byte{{0xa}, {0xcc}})}, []string{get, fetch}, true, 4, 5, "\x0b"},
		{"none stale", []*coap.Message{keys(4, 5, 5), bare([][]byte{})}, []string{get, fetch}, true, 4, 5, "\x0a\x0b"},
		{"long gap", []*coap.Message{keys(9, 5, 5), coap.Respond(coap.Content, coap.NoFormat, nil)}, []string{get, fetch}, true, 9, 5, ""},
		{"other algorithms", []*coap.Message{keysWith(3, 4, 5, func(k *ace.KeyMaterial) { k.GpEncAlg = cose.A128GCM })}, []string{get}, true, 3, 5, "\x0a\x0b"},
		{"a Sender ID that it did not get", []*coap.Message{keys(3, 4, 6), renewed}, []string{get, post}, true, 3, 9, "\x0a\x0b"},
		{"both", []*coap.Message{keys(4, 5, 6), bare([][]byte{{0xb}}), renewed}, []string{get, fetch, post}, true, 4, 9, "\x0a"},
	} {
		gm := give(t, tt.answers...)
		old := goodMembership(t)
		cur, _, changed, err := NewMember(gm, "hall", old.NodePath).Update(t.Context(), old)
		if err != nil {
			t.Errorf("%s: %v", tt.what, err)
			continue
		}
		if changed != tt.changed || cur.Num != tt.num || cur.SenderID[0] != tt.sid || string(kids(cur.Peers)) != tt.peers {
			t.Errorf("%s: changed %v, num %d, Sender ID %x, peers %x", tt.what, changed, cur.Num, cur.SenderID, kids(cur.Peers))
		}
		if !slices.Equal(gm.asked(), tt.asked) {
			t.Errorf("%s: asked %q", tt.what, gm.asked())
		}
		if old.Num != 3 || string(kids(old.Peers)) != "\x0a\x0b" {
			t.Errorf("%s: the old membership changed", tt.what)
		}
	}
}

func TestUpdateRefuses(t *testing.T) {
	for _, tt := range []struct {
		what   string
		answer *coap.Message
		want   error
	}{
		{"92: older keys", keys(2, 4, 5), ErrStale},
		{"another Gid under the same version", keys(3, 9, 5), ErrDecode},
		{"no longer a member", ace.Problem(coap.Forbidden, ace.ErrorMembersOnly, ""), ErrNotMember},
		{"evicted", ace.Problem(coap.NotFound, ace.ErrorTerminated, ""), ErrNotMember},
		{"no token", coap.Problem(coap.Unauthorized, ""), ErrNoToken},
		{"garbage", coap.Respond(coap.Content, ace.FormatACEGroupcomm, []byte{0xff}), ErrDecode},
		{"another format", bare(1), ErrDecode},
	} {
		old := goodMembership(t)
		if _, _, _, err := NewMember(give(t, tt.answer), "hall", old.NodePath).Update(t.Context(), old); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.what, err, tt.want)
		}
	}
}

func TestCredsInBatches(t *testing.T) {
	page := func(sids ...byte) *coap.Message {
		r := ace.CredsResponse{Num: 3, Creds: [][]byte{}, PeerRoles: []ace.Role{}, PeerIDs: [][]byte{}}
		for _, sid := range sids {
			r.Creds, r.PeerRoles, r.PeerIDs = append(r.Creds, credOf("x")), append(r.PeerRoles, 4), append(r.PeerIDs, []byte{sid})
		}
		return coap.Respond(coap.Content, ace.FormatACEGroupcomm, ace.Encode(r))
	}
	var want [][]byte
	for i := range 10 {
		want = append(want, []byte{byte(i)})
	}
	gm := give(t, page(0, 1, 2, 99), bare([]byte{}))
	peers, num, err := NewMember(gm, "hall", "").Creds(t.Context(), want)
	if err != nil || num != 3 || string(kids(peers)) != "\x00\x01\x02" {
		t.Errorf("%x %d %v: what was not asked for must not be taken", kids(peers), num, err)
	}
	if len(gm.got) != 2 {
		t.Errorf("asked %q", gm.asked())
	}
	first, err := ace.Decode[ace.CredsRequest](gm.got[0].Payload)
	if err != nil || len(first.GetCreds.Filter.IDs) != 8 {
		t.Errorf("the first request %+v %v", first, err)
	}
}

func TestLeaveTwice(t *testing.T) {
	for _, m := range []*coap.Message{
		coap.Respond(coap.Deleted, coap.NoFormat, nil), ace.Problem(coap.Forbidden, ace.ErrorMembersOnly, ""), coap.Problem(coap.NotFound, ""),
	} {
		if err := NewMember(give(t, m), "hall", "/ace-group/hall/nodes/n1").Leave(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := NewMember(give(t, coap.Problem(coap.Forbidden, "another's")), "hall", "/x").Leave(t.Context()); err == nil {
		t.Error("a refusal passed for having left")
	}
}

func TestAssociationContext(t *testing.T) {
	a := Association{MasterSecret: make([]byte, 16), MasterSalt: []byte{1}, SenderID: []byte{1}, RecipientID: []byte{2}}
	if _, err := a.Context(oscore.NewSequence(0, nil)); err != nil {
		t.Error(err)
	}
	for what, edit := range map[string]func(*Association){
		"one identifier for both": func(a *Association) { a.RecipientID = a.SenderID },
		"short secret":            func(a *Association) { a.MasterSecret = a.MasterSecret[:8] },
		"long identifier":         func(a *Association) { a.SenderID = make([]byte, 8) },
	} {
		bad := a
		edit(&bad)
		if _, err := bad.Context(nil); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

// Whatever the Group Manager answers, the member's client gives an error or
// something well-formed.
func FuzzMember(f *testing.F) {
	f.Add(uint8(0x45), uint16(ace.FormatACEGroupcomm), keys(4, 5, 5).Payload)
	f.Add(uint8(0x45), uint16(ace.FormatCBOR), []byte{0x81, 0x41, 0x0a})
	f.Add(uint8(0x45), uint16(0), []byte{})
	f.Add(uint8(0x80), uint16(ace.FormatACEGroupcomm), ace.Encode(ace.JoinHints{KDCChallenge: testNC}))
	f.Add(uint8(0x45), uint16(ace.FormatACEGroupcomm), ace.Encode(ace.VerifDataResponse{
		GKTY: 1, Profile: 1, SignEncKey: make([]byte, 16),
		Key: ace.KeyMaterial{HKDF: 5, GID: []byte{1}, CredFmt: 14, GpEncAlg: 10, SignAlg: -8, SignParams: [][]int{{1}, {1, 6}}},
	}))
	f.Add(uint8(0x80), uint16(ace.FormatACEGroupcomm), ace.Encode(ace.JoinHints{
		KDCChallenge: testNC, ECDHInfo: []ace.ECDHInfo{{Groups: ace.GroupNames{"hall"}, Alg: -27, Params: []int{1}, KeyParams: []int{1, 4}}},
		KDCDHCreds: []ace.KDCDHCred{{Groups: ace.GroupNames{"hall"}, CredFmt: 14, Cred: credOf("gm")}},
	}))
	f.Add(uint8(0x83), uint16(ace.FormatProblem), ace.Problem(coap.Forbidden, 0, "x").Payload)
	old := goodMembership(f)
	f.Fuzz(func(t *testing.T, code uint8, format uint16, payload []byte) {
		m := coap.Respond(coap.Code(code), int(format), payload)
		gm := NewMember(give(t, m, m, m), "hall", old.NodePath)
		if cur, _, _, err := gm.Update(t.Context(), old); err == nil && (cur.Num < old.Num || cur.SenderID == nil) {
			t.Errorf("accepted %+v", cur)
		}
		_, _, _ = NewMember(give(t, m), "hall", old.NodePath).AllCreds(t.Context())
		_, _ = NewMember(give(t, m), "hall", old.NodePath).Active(t.Context())
		_, _ = NewMember(give(t, m), "hall", old.NodePath).Policies(t.Context())
		if d, err := NewVerifier(give(t, m), "hall").Data(t.Context()); err == nil && (!d.Algs.HasGroupMode() || len(d.SignEncKey) == 0) {
			t.Errorf("accepted %+v", d)
		}
		d := &SignatureData{Algs: old.Algs}
		if _, err := NewVerifier(give(t, m), "hall").GMCred(t.Context(), d, Trusts(credOf("gm")), seeded("fuzz")); err == nil {
			t.Error("a proof over a nonce that nobody had seen")
		}
		_, _ = Names(t.Context(), give(t, m), [][]byte{{1}})
		if c, err := Challenge(t.Context(), give(t, m), "hall"); err == nil {
			_, _ = c.Info().Check("hall", cose.NewEd25519(newKey("dev")).Public()), c.Info().DHCred("hall")
		}
		_, _ = NewMember(give(t, m), "hall", old.NodePath).Num(t.Context())
		_, _ = Join(t.Context(), give(t, m), "hall", ace.JoinRequest{})
		_, _ = Transfer(t.Context(), give(t, m), gmAddr, goodToken(), []byte{1}, seeded("fuzz"))
	})
}
