package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"sync"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/cose/p256"
	"lamplighter/internal/oscore"
	"lamplighter/internal/oscore/group"
)

// member is one of the two members of a group.
type member struct {
	id   []byte
	seed []byte // Ed25519: seed; P-256: scalar
	key  cose.PrivateKey
	cred []byte
}

// newMember draws a member with a key for signatures of alg.
func newMember(id []byte, subject string, alg cose.Algorithm) (m member, err error) {
	m.id = id
	if alg == cose.ES256 {
		if m.seed, err = p256.Generate(rand.Reader); err != nil {
			return m, err
		}
		m.key, err = p256.NewKey(m.seed)
	} else {
		m.seed = random(ed25519.SeedSize)
		m.key = cose.NewEd25519(ed25519.NewKeyFromSeed(m.seed))
	}
	if err != nil {
		return m, err
	}
	m.cred = m.key.Public().CCS(subject)
	return m, nil
}

// party is a group of us and a peer.
type party struct {
	algs                      group.Algorithms
	gid, secret, salt, gmCred []byte
	ours, theirs              member
}

// newParty draws a group for a case, as aiocoap's group contexts start at number
// 0 in each process and cannot be shared. The members' credentials differ in
// form: with a subject and without.
func newParty(algs group.Algorithms) (p party, err error) {
	p = party{algs: algs, gid: random(3), secret: random(16), salt: random(8)}
	manager, err := newMember(nil, "gm", algs.Sign)
	if err != nil {
		return p, err
	}
	p.gmCred = manager.cred
	if p.ours, err = newMember([]byte{0x01}, "installer", algs.Sign); err != nil {
		return p, err
	}
	their := []byte{0x2b, 0x07}
	if cose.NonceSize(algs.GroupEnc) == 7 { // which has room for one byte
		their = their[:1]
	}
	p.theirs, err = newMember(their, "", algs.Sign)
	return p, err
}

// context derives our context.
func (p party) context(echoFirst bool) (*group.Context, error) {
	c, err := group.New(group.Params{
		Name: "interop", GID: p.gid, MasterSecret: p.secret, MasterSalt: p.salt,
		Algs: p.algs, GMCred: p.gmCred,
		SenderID: p.ours.id, Cred: p.ours.cred, Key: p.ours.key,
		Rand: rand.Reader, EchoFirst: echoFirst,
	})
	if err != nil {
		return nil, err
	}
	return c, c.SetPeer(group.Peer{KID: p.theirs.id, Cred: p.theirs.cred})
}

// groupConfig configures a peer's context; bytes are in hex.
type groupConfig struct {
	AEAD     cose.Algorithm    `json:"aead"`
	GroupEnc cose.Algorithm    `json:"group_enc"`
	Sign     cose.Algorithm    `json:"sign"`
	Pairwise cose.Algorithm    `json:"pairwise"`
	Hash     string            `json:"hash"`
	GID      string            `json:"gid"`
	Secret   string            `json:"secret"`
	Salt     string            `json:"salt"`
	GMCred   string            `json:"gm_cred"`
	ID       string            `json:"id"`
	Key      string            `json:"key"` // Ed25519: seed; P-256: scalar
	Cred     string            `json:"cred"`
	Peers    map[string]string `json:"peers"`            // credentials by Sender ID
	Answer   string            `json:"answer,omitempty"` // server: mode of its answers
	OwnPIV   bool              `json:"own_piv,omitempty"`
	To       string            `json:"to,omitempty"` // client: Sender ID to ask in pairwise mode
}

// config is the peer's half of p.
func (p party) config() *groupConfig {
	h := hex.EncodeToString
	return &groupConfig{
		AEAD: p.algs.AEAD, GroupEnc: p.algs.GroupEnc, Sign: p.algs.Sign,
		Pairwise: p.algs.Pairwise, Hash: hashes[p.algs.HKDF],
		GID: h(p.gid), Secret: h(p.secret), Salt: h(p.salt), GMCred: h(p.gmCred),
		ID: h(p.theirs.id), Key: h(p.theirs.seed), Cred: h(p.theirs.cred),
		Peers: map[string]string{h(p.ours.id): h(p.ours.cred)},
	}
}

// encounter is how a client meets a server in a group.
type encounter struct {
	algs            group.Algorithms
	request, answer group.Mode
	ownPIV          bool   // answers have Partial IVs of their own
	proxy           string // the peer's client: URI of a forward proxy to go through; "": none
	echoFirst       bool   // our server has lost its Replay Windows
	wrongSecret     bool   // the peer's client has another Master Secret

	overseer *overseer // checks signatures; nil: nobody does
}

// groupClient: our member asks the peer's lamp in one mode and is answered in
// another. aiocoap answers in pairwise mode and has no setting for the other;
// peers/contexts.py (GroupAnswering) makes it. Requests in either mode go to one
// address, as the transport that binds to loopback has no multicast.
func groupClient(e encounter) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		udp, err := l.newUDP()
		if err != nil {
			return err
		}
		m, err := l.newAsking(ctx, e)
		if err != nil {
			return err
		}
		return walk(ctx, m.asker(udp), e.answer.String())
	}
}

// newAsking starts the peer's server as a member of a new group and makes our
// member.
func (l *lab) newAsking(ctx context.Context, e encounter) (*asking, error) {
	party, err := newParty(e.algs)
	if err != nil {
		return nil, err
	}
	config := party.config()
	config.Answer, config.OwnPIV = e.answer.String(), e.ownPIV
	server, err := l.start(ctx, "server", peerConfig{Group: config})
	if err != nil {
		return nil, err
	}
	own, err := party.context(false)
	if err != nil {
		return nil, err
	}
	if err := e.overseer.join(party, own); err != nil {
		return nil, err
	}
	m := &asking{own: own, server: server, at: address(server.UDP)}
	if e.request == group.Pairwise {
		m.to = party.theirs.id
	}
	return m, nil
}

// asking is our member as a client of one server.
type asking struct {
	server *peer
	at     netip.AddrPort
	to     []byte // Sender ID for pairwise mode; nil: group mode

	mu  sync.Mutex
	own *group.Context
}

// protect protects a request.
func (m *asking) protect(req *coap.Message) (*coap.Message, *group.Binding, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.own.ProtectRequest(req, m.to)
}

// exchange protects req and takes the protection off the response.
func (m *asking) exchange(ctx context.Context, ex coap.Exchanger, req *coap.Message) (resp *coap.Message, mode group.Mode, err error) {
	outer, binding, err := m.protect(req)
	if err != nil {
		return nil, 0, err
	}
	got, err := ex.Exchange(ctx, m.at, outer)
	if err != nil {
		return nil, 0, err
	}
	return m.open(got, binding)
}

// open takes the protection off a response.
func (m *asking) open(outer *coap.Message, binding *group.Binding) (resp *coap.Message, mode group.Mode, err error) {
	if !oscore.IsProtected(outer) {
		return nil, 0, &oscore.UnprotectedError{Response: outer}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	resp, _, mode, err = m.own.UnprotectResponse(outer, binding)
	return resp, mode, err
}

// asker asks over ex.
func (m *asking) asker(ex coap.Exchanger) asker {
	return func(ctx context.Context, s step) (reply, error) {
		resp, mode, err := m.exchange(ctx, ex, coap.NewRequest(s.method, s.path, []byte(s.payload)))
		if err != nil {
			return reply{}, err
		}
		return reply{resp.Code, resp.Payload, mode.String()}, nil
	}
}
