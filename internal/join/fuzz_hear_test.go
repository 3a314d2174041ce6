package join_test

import (
	"bytes"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore/group"
)

// FuzzHear: whatever is said, a member installs only newer keys that are complete,
// and what it had stays as it was.
func FuzzHear(f *testing.F) {
	f.Add(ace.GroupDeleted())
	f.Add(ace.Encode(ace.RekeyingMessage{
		GKTY: 1, Profile: 1, Num: 6, Key: ace.KeyMaterial{MasterSecret: []byte("fedcba9876543210"), GID: []byte{2}}, StaleIDs: [][]byte{{1}},
	}))
	f.Add(ace.Encode(ace.ConfigNotice{GKTY: 1, Profile: 1, Num: 5, Key: ace.ConfigMaterial{
		HKDF: 5, CredFmt: 14, GpEncAlg: 30, SignAlg: -8, SignParams: [][]int{{1}, {1, 6}}, Alg: 30, ECDHAlg: -27, ECDHParams: [][]int{{1}, {1, 4}},
	}}))
	f.Fuzz(func(t *testing.T, payload []byte) {
		have := &join.Membership{
			Group: "hall", GID: []byte{1}, MasterSecret: []byte("0123456789abcdef"), Num: 5, SenderID: []byte{9}, Algs: group.DefaultAlgorithms,
			Peers: []group.Peer{{KID: []byte{1}}, {KID: []byte{2}}},
		}
		control, err := join.ReadControl(coap.Respond(coap.Changed, ace.FormatACEGroupcomm, payload))
		if err != nil {
			return
		}
		next, purged, news, err := have.Hear(control)
		if have.Num != 5 || len(have.Peers) != 2 || !bytes.Equal(have.GID, []byte{1}) || have.Algs != group.DefaultAlgorithms {
			t.Fatal("what it had was changed")
		}
		if err != nil || next == nil {
			return
		}
		if next.Algs.Check() != nil || !bytes.Equal(next.SenderID, have.SenderID) {
			t.Errorf("%+v", next)
		}
		switch news {
		case join.NewKeys, join.MissedKeys:
			if next.Num <= have.Num || (next.Num == have.Num+1) != (news == join.NewKeys) || len(next.MasterSecret) < 16 || bytes.Equal(next.GID, have.GID) {
				t.Errorf("news %d: %+v", news, next)
			}
			joined := control.Rekeying.PeerIDs
			for _, p := range next.Peers {
				came := false
				for _, id := range joined {
					came = came || bytes.Equal(id, p.KID)
				}
				if purged.Has(p.KID) && !came {
					t.Errorf("%x is stale and stays", p.KID)
				}
			}
		case join.NewAlgorithms:
			if next.Num != have.Num || !bytes.Equal(next.MasterSecret, have.MasterSecret) {
				t.Errorf("%+v", next)
			}
		default:
			t.Errorf("news %d brings %+v", news, next)
		}
	})
}
