package join

import (
	"context"
	"crypto/ed25519"
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore/group"
)

var gmAddr = netip.MustParseAddrPort("127.0.0.1:5691")

// answers is a peer that gives canned answers and keeps what it was asked.
type answers struct {
	t    testing.TB
	list []*coap.Message
	got  []*coap.Message
}

// Call implements [coap.Caller].
func (a *answers) Call(_ context.Context, req *coap.Message) (*coap.Message, error) {
	a.t.Helper()
	if len(a.list) == 0 {
		a.t.Fatalf("one request too many: %v %s", req.Code, coap.Path(req))
	}
	a.got = append(a.got, req)
	m := a.list[0]
	a.list = a.list[1:]
	return m, nil
}

// Exchange implements [coap.Exchanger].
func (a *answers) Exchange(ctx context.Context, _ netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	return a.Call(ctx, req)
}

// Multicast implements [coap.Exchanger].
func (a *answers) Multicast(context.Context, netip.AddrPort, *coap.Message, time.Duration, func(*coap.Message, netip.AddrPort)) error {
	panic("no multicast here")
}

func give(t testing.TB, list ...*coap.Message) *answers { return &answers{t: t, list: list} }

// asked lists the requests as "GET /path".
func (a *answers) asked() (list []string) {
	for _, m := range a.got {
		list = append(list, m.Code.String()+" "+coap.Path(m))
	}
	return list
}

func seeded(name string) io.Reader { return rand.NewChaCha8(cose.Thumbprint([]byte(name))) }

func newKey(name string) ed25519.PrivateKey {
	seed := cose.Thumbprint([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func credOf(name string) []byte {
	return cose.NewCCS(name, newKey(name).Public().(ed25519.PublicKey))
}

var testNC = []byte("12345678")

// goodResponse is a Join Response that nothing is wrong with.
func goodResponse() *ace.JoinResponse {
	nonce := []byte("87654321")
	return &ace.JoinResponse{
		GKTY: ace.GKTYGroupOSCORE, Num: 3, Profile: ace.ProfileCoAPGroupOSCOREApp, EXP: 1000, EXI: 10,
		Key:     goodKey([]byte{5}),
		KDCCred: credOf("gm"), KDCNonce: nonce, KDCCredVerify: ed25519.Sign(newKey("gm"), ace.KDCPoPInput(testNC, nonce)),
		Creds: [][]byte{credOf("a"), credOf("b")}, PeerRoles: []ace.Role{2, 6}, PeerIDs: [][]byte{{0xa}, {0xb}},
		Policies: ace.GroupPolicies{CheckInterval: 60},
	}
}

func goodKey(sid []byte) ace.KeyMaterial {
	return ace.KeyMaterial{
		MasterSecret: make([]byte, 16), Salt: make([]byte, 8), GID: []byte{1, 2, 3, 4}, SenderID: sid,
		CredFmt: ace.CredFormatCCS, Alg: cose.AESCCM16_64_128, GpEncAlg: cose.AESCCM16_64_128,
		SignAlg: cose.EdDSA, SignParams: [][]int{{1}, {1, 6}},
		ECDHAlg: cose.ECDHSSHKDF256, ECDHParams: [][]int{{1}, {1, 4}},
	}
}

func goodMembership(t testing.TB) *Membership {
	t.Helper()
	m, err := Accept(ace.Encode(goodResponse()), testNC, credOf("gm"))
	if err != nil {
		t.Fatal(err)
	}
	m.Group, m.NodePath = "hall", "/ace-group/hall/nodes/n1"
	return m
}

// keys is the answer to GET nodes/n1.
func keys(num uint64, gid byte, sid byte) *coap.Message {
	return keysWith(num, gid, sid, func(*ace.KeyMaterial) {})
}

func keysWith(num uint64, gid byte, sid byte, edit func(*ace.KeyMaterial)) *coap.Message {
	k := ace.KeyResponse{
		GKTY: ace.GKTYGroupOSCORE, Profile: ace.ProfileCoAPGroupOSCOREApp, Num: num, EXP: 2000, EXI: 20, Key: goodKey([]byte{sid}),
	}
	k.Key.GID = []byte{1, 2, 3, gid}
	edit(&k.Key)
	return coap.Respond(coap.Content, ace.FormatACEGroupcomm, ace.Encode(k))
}

func kids(peers []group.Peer) (list []byte) {
	for _, p := range peers {
		list = append(list, p.KID...)
	}
	return list
}
