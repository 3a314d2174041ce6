package join_test

import (
	"crypto/ed25519"
	"errors"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore/group"
)

// What a member makes of a message about its keys. KGO, Sections 11.1 to 11.3;
// draft-ietf-ace-oscore-gm-admin-17, Sections 6.6.2 and 6.8.1.
func TestHear(t *testing.T) {
	cred := func(name string) []byte { return cose.NewCCS(name, keyOf(name).Public().(ed25519.PublicKey)) }
	have := &join.Membership{
		Group: "hall", GID: []byte{1, 5}, MasterSecret: []byte("0123456789abcdef"), Num: 5, SenderID: []byte{9}, Algs: group.DefaultAlgorithms,
		Peers: []group.Peer{{KID: []byte{1}, Cred: cred("a"), Roles: 2}, {KID: []byte{2}, Cred: cred("b"), Roles: 2}},
	}
	keys := func(num uint64, edits ...func(*ace.RekeyingMessage)) *ace.RekeyingMessage {
		m := &ace.RekeyingMessage{
			GKTY: 1, Profile: 1, Num: num, EXP: 99, Key: ace.KeyMaterial{MasterSecret: []byte("fedcba9876543210"), GID: []byte{1, byte(num)}},
			StaleIDs: [][]byte{{1}},
		}
		for _, edit := range edits {
			edit(m)
		}
		return m
	}
	algs := func(num uint64, alg cose.Algorithm, edits ...func(*ace.ConfigMaterial)) *ace.ConfigNotice {
		m := &ace.ConfigNotice{GKTY: 1, Profile: 1, Num: num, EXP: 99, Key: ace.ConfigMaterial{
			HKDF: 5, CredFmt: 14, GpEncAlg: 10, SignAlg: -8, SignParams: [][]int{{1}, {1, 6}}, Alg: alg, ECDHAlg: -27, ECDHParams: [][]int{{1}, {1, 4}},
		}}
		for _, edit := range edits {
			edit(&m.Key)
		}
		return m
	}
	joined := func(m *ace.RekeyingMessage) {
		m.Creds, m.PeerRoles, m.PeerIDs = [][]byte{cred("c"), cred("d")}, []ace.Role{2, 2}, [][]byte{{3}, {2}}
	}
	for name, c := range map[string]struct {
		msg   any
		news  join.News
		err   error
		peers string
	}{
		"next":             {keys(6), join.NewKeys, nil, "2"},
		"next, joined":     {keys(6, joined), join.NewKeys, nil, "32"},
		"gap":              {keys(8), join.MissedKeys, nil, "2"},
		"same":             {keys(5), join.NothingNew, nil, ""},
		"older":            {keys(4), join.NothingNew, nil, ""},
		"deleted":          {cbor.RawMessage(ace.GroupDeleted()), join.GroupDeleted, nil, ""},
		"no Gid":           {keys(6, func(m *ace.RekeyingMessage) { m.Key.GID = nil }), 0, join.ErrDecode, ""},
		"the Gid again":    {keys(6, func(m *ace.RekeyingMessage) { m.Key.GID = have.GID }), 0, join.ErrDecode, ""},
		"half of the peer": {keys(6, func(m *ace.RekeyingMessage) { m.Creds, m.PeerIDs = [][]byte{cred("c")}, [][]byte{{3}} }), 0, join.ErrDecode, ""},
		"another profile":  {keys(6, func(m *ace.RekeyingMessage) { m.Profile = 2 }), 0, join.ErrDecode, ""},
		"same algorithms":  {algs(5, 10), join.NothingNew, nil, ""},
		"old algorithms":   {algs(4, 24), join.NothingNew, nil, ""},
		"later algorithms": {algs(6, 10), join.MissedKeys, nil, ""},
		"new algorithms":   {algs(5, 24), join.NewAlgorithms, nil, ""},
		"unknown":          {algs(5, -999), join.NewAlgorithms, join.ErrAlgorithm, ""},
		"other signatures": {algs(5, 10, func(k *ace.ConfigMaterial) { k.SignAlg, k.SignParams = -7, [][]int{{2}, {2, 1}} }), join.NewAlgorithms, join.ErrAlgorithm, ""},
		"other format":     {algs(5, 10, func(k *ace.ConfigMaterial) { k.CredFmt = 33 }), join.NewAlgorithms, join.ErrAlgorithm, ""},
	} {
		t.Run(name, func(t *testing.T) {
			control, err := join.ReadControl(coap.Respond(coap.Changed, ace.FormatACEGroupcomm, ace.Encode(c.msg)))
			if err != nil {
				if !errors.Is(err, c.err) {
					t.Fatal(err)
				}
				return
			}
			next, _, news, err := have.Hear(control)
			if news != c.news || !errors.Is(err, c.err) {
				t.Fatalf("news %d, %v", news, err)
			}
			if name == "new algorithms" && (next.Algs.AEAD != 24 || next.Num != 5 || string(next.MasterSecret) != string(have.MasterSecret)) {
				t.Errorf("%+v", next.Algs)
			}
			if c.peers == "" {
				return
			}
			msg := c.msg.(*ace.RekeyingMessage)
			got := map[string]bool{}
			for _, p := range next.Peers {
				got[string('0'+rune(p.KID[0]))+string(p.Cred)] = true
			}
			want := map[string]bool{}
			for _, id := range c.peers {
				who := map[rune]string{'2': "b", '3': "c"}[id]
				if id == '2' && len(c.peers) == 2 {
					who = "d" // the Sender ID is another member's now
				}
				want[string(id)+string(cred(who))] = true
			}
			for p := range want {
				if !got[p] || len(got) != len(want) {
					t.Errorf("%d peers, %d wanted", len(got), len(want))
				}
			}
			if next.Num != msg.Num || string(next.GID) != string(msg.Key.GID) || string(next.SenderID) != "\x09" || next.Expires != 99 {
				t.Errorf("%+v", next)
			}
		})
	}
	if have.Num != 5 || len(have.Peers) != 2 {
		t.Error("what it had was changed")
	}
	if _, err := join.ReadControl(coap.Respond(coap.Changed, ace.FormatCBOR, ace.Encode(keys(6)))); !errors.Is(err, join.ErrDecode) {
		t.Errorf("another Content-Format: %v", err)
	}
}
