package join

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore/group"
)

func TestAccept(t *testing.T) {
	m := goodMembership(t)
	if !bytes.Equal(m.SenderID, []byte{5}) || m.Num != 3 || m.CheckInterval != 60 || m.Expires != 1000 || m.ExpiresIn != 10 ||
		m.Algs != group.DefaultAlgorithms || string(kids(m.Peers)) != "\x0a\x0b" || m.Peers[1].Roles != 6 {
		t.Errorf("%+v", m)
	}
}

// KGO, Section 6.4: what the answer may leave out.
func TestAcceptDefaults(t *testing.T) {
	r := goodResponse()
	r.Key.HKDF, r.Key.Salt, r.Policies, r.Creds, r.PeerRoles, r.PeerIDs = 0, nil, ace.GroupPolicies{}, nil, nil, nil
	m, err := Accept(ace.Encode(r), testNC, credOf("gm"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Algs.HKDF != cose.HMAC256 || m.MasterSalt == nil || len(m.MasterSalt) != 0 || m.CheckInterval != 3600 || len(m.Peers) != 0 {
		t.Errorf("%+v", m)
	}
}

func TestAcceptRefuses(t *testing.T) {
	for _, tt := range []struct {
		what string
		edit func(*ace.JoinResponse)
		want error
	}{
		{"64: proof flipped", func(r *ace.JoinResponse) { r.KDCCredVerify[0] ^= 1 }, ErrVerify},
		{"64: proof missing", func(r *ace.JoinResponse) { r.KDCCredVerify = nil }, ErrVerify},
		{"64: nonce missing", func(r *ace.JoinResponse) { r.KDCNonce = nil }, ErrDecode},
		{"64: another nonce", func(r *ace.JoinResponse) { r.KDCNonce[0] ^= 1 }, ErrVerify},
		{"another credential", func(r *ace.JoinResponse) {
			r.KDCCred = credOf("evil")
			r.KDCCredVerify = ed25519.Sign(newKey("evil"), ace.KDCPoPInput(testNC, r.KDCNonce))
		}, ErrVerify},
		{"no credential", func(r *ace.JoinResponse) { r.KDCCred = nil }, ErrVerify},
		{"another key type", func(r *ace.JoinResponse) { r.GKTY = 2 }, ErrDecode},
		{"another profile", func(r *ace.JoinResponse) { r.Profile = 0 }, ErrDecode},
		{"short secret", func(r *ace.JoinResponse) { r.Key.MasterSecret = make([]byte, 15) }, ErrDecode},
		{"long salt", func(r *ace.JoinResponse) { r.Key.Salt = make([]byte, 65) }, ErrDecode},
		{"no Gid", func(r *ace.JoinResponse) { r.Key.GID = []byte{} }, ErrDecode},
		{"no Sender ID", func(r *ace.JoinResponse) { r.Key.SenderID = nil }, ErrDecode},
		{"65: long Sender ID", func(r *ace.JoinResponse) { r.Key.SenderID = make([]byte, 8) }, ErrDecode},
		{"half a group mode", func(r *ace.JoinResponse) { r.Key.GpEncAlg = 0 }, ErrDecode},
		{"half a pairwise mode", func(r *ace.JoinResponse) { r.Key.ECDHAlg = 0 }, ErrDecode},
		{"no mode", func(r *ace.JoinResponse) { r.Key = bareKey(r.Key) }, ErrAlgorithm},
		{"another cipher", func(r *ace.JoinResponse) { r.Key.GpEncAlg = -1 }, ErrAlgorithm},
		{"no tag in pairwise mode", func(r *ace.JoinResponse) { r.Key.Alg = cose.A128CTR }, ErrAlgorithm},
		{"another HKDF than the agreement's", func(r *ace.JoinResponse) { r.Key.HKDF = cose.HMAC512 }, ErrAlgorithm},
		{"a curve apart from the signatures'", func(r *ace.JoinResponse) { r.Key.ECDHParams = [][]int{{2}, {2, 1}} }, ErrAlgorithm},
		{"another signature", func(r *ace.JoinResponse) { r.Key.SignAlg = cose.ES256 }, ErrAlgorithm},
		{"another curve", func(r *ace.JoinResponse) { r.Key.SignParams = [][]int{{1}, {1, 7}} }, ErrAlgorithm},
		{"another format", func(r *ace.JoinResponse) { r.Key.CredFmt = 34 }, ErrAlgorithm},
		{"a credential without a role", func(r *ace.JoinResponse) { r.PeerRoles = nil }, ErrDecode},
		{"a credential without an id", func(r *ace.JoinResponse) { r.PeerIDs = r.PeerIDs[:1] }, ErrDecode},
	} {
		r := goodResponse()
		tt.edit(r)
		if m, err := Accept(ace.Encode(r), testNC, credOf("gm")); !errors.Is(err, tt.want) || m != nil {
			t.Errorf("%s: %v, want %v", tt.what, err, tt.want)
		}
	}
	good := ace.Encode(goodResponse())
	for what, err := range map[string]error{
		"another N_C":        second(Accept(good, []byte("12345679"), credOf("gm"))),
		"no N_C":             second(Accept(good, nil, credOf("gm"))),
		"nobody trusted":     second(Accept(good, testNC, nil)),
		"truncated":          second(Accept(good[:len(good)-1], testNC, credOf("gm"))),
		"nothing":            second(Accept(nil, testNC, credOf("gm"))),
		"trust says no":      second(AcceptWith(good, AcceptParams{NC: testNC, Trust: func([]byte) bool { return false }})),
		"a byte behind":      second(Accept(append(good, 0), testNC, credOf("gm"))),
		"one entry two keys": second(Accept([]byte{0xa2, 0x09, 0x01, 0x09, 0x02}, testNC, credOf("gm"))),
	} {
		if err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
}

// bareKey has what a group without modes would have.
func bareKey(k ace.KeyMaterial) ace.KeyMaterial {
	return ace.KeyMaterial{MasterSecret: k.MasterSecret, GID: k.GID, SenderID: k.SenderID, CredFmt: k.CredFmt}
}

func second(_ *Membership, err error) error { return err }

// A credential that no member can use costs the others nothing.
func TestAcceptBadPeer(t *testing.T) {
	r := goodResponse()
	r.Creds = append(r.Creds, []byte("x509"), credOf("me"))
	r.PeerRoles = append(r.PeerRoles, 2, 2)
	r.PeerIDs = append(r.PeerIDs, []byte{0xc}, []byte{5})
	m, err := Accept(ace.Encode(r), testNC, credOf("gm"))
	if err != nil || string(kids(m.Peers)) != "\x0a\x0b" {
		t.Errorf("%v %v", m, err)
	}
}

func TestMembershipEncoding(t *testing.T) {
	m := goodMembership(t)
	data, err := cbor.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var back Membership
	if err := cbor.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(m, &back) {
		t.Errorf("%+v became %+v", m, back)
	}
}

// The bytes of docs/device.md.
func TestAssociationEncoding(t *testing.T) {
	a := Association{
		MasterSecret: []byte{1}, MasterSalt: []byte{2}, SenderID: []byte{4}, RecipientID: []byte{}, NextSSN: 6, Expires: 7,
		NS: []byte("not encoded"),
	}
	const want = "a60141010241020441040540060607" + "07"
	if got := fmt.Sprintf("%x", cbor.MustMarshal(a)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	a.IDContext = []byte{3}
	var back Association
	if err := cbor.Unmarshal(cbor.MustMarshal(a), &back); err != nil {
		t.Fatal(err)
	}
	a.NS = nil
	if !reflect.DeepEqual(a, back) {
		t.Errorf("%+v became %+v", a, back)
	}
}

func TestSecretsPrintRedacted(t *testing.T) {
	m := goodMembership(t)
	m.MasterSecret = []byte("terrible secret!")
	a := Association{MasterSecret: []byte("terrible secret!")}
	for _, s := range []string{fmt.Sprintf("%v", m), fmt.Sprintf("%+v", a), fmt.Sprintf("%#v", a), fmt.Sprintf("%x", m.MasterSecret)} {
		if strings.Contains(s, "terrible") || strings.Contains(s, fmt.Sprintf("%x", "terrible")) || strings.Contains(s, "0x74, 0x65") || strings.Contains(s, "[116 101") {
			t.Errorf("a secret prints: %s", s)
		}
	}
}

func FuzzAccept(f *testing.F) {
	f.Add(ace.Encode(goodResponse()))
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := Accept(raw, testNC, credOf("gm"))
		if err != nil {
			return
		}
		if len(m.SenderID) > maxIDLen || len(m.MasterSecret) < minSecretLen || m.Algs.Check() != nil || len(m.SenderID) > m.Algs.MaxSenderID() {
			t.Errorf("accepted %+v", m)
		}
	})
}

func FuzzMaterial(f *testing.F) {
	f.Add(ace.Encode(ace.AuthzInfoResponse{Nonce2: testNC, ID2: []byte{1}}), ace.Encode(ace.OSCOREMaterial{ID: []byte{1}, MasterSecret: make([]byte, 16)}))
	f.Fuzz(func(t *testing.T, answer, material []byte) {
		r, err1 := ace.Decode[ace.AuthzInfoResponse](answer)
		m, err2 := ace.Decode[ace.OSCOREMaterial](material)
		if err1 != nil || err2 != nil {
			return
		}
		if m, err1 = materialOf(&ace.TokenResponse{Cnf: &ace.Confirmation{OSCORE: m}}); err1 != nil {
			return
		}
		a, err := derive(m, testNC, []byte{9}, r)
		if err != nil {
			return
		}
		if a.Check() != nil {
			t.Errorf("derived what cannot be used: %v", a.Check())
		}
	})
}

// An ID Context that is there and empty is another one than none.
func TestEmptyIDContext(t *testing.T) {
	a := Association{MasterSecret: make([]byte, 16), SenderID: []byte{1}, RecipientID: []byte{2}, IDContext: []byte{}}
	var b Association
	if err := cbor.Unmarshal(cbor.MustMarshal(a), &b); err != nil || b.IDContext == nil {
		t.Errorf("%v, %v", b.IDContext, err)
	}
}
