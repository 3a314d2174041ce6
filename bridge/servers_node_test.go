package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
)

// stand is what was acknowledged about a node's membership.
type stand struct {
	group  *killGroup
	member bool
	open   bool   // a request since then had no answer
	node   string // NODENAME
	sid    []byte
}

// killNode joins, renews and leaves, and hears of new keys. It is a device, which has
// a control_uri, or a person's own membership, which observes the group.
type killNode struct {
	s       *killSite
	rng     *mathrand.Rand
	subject string
	self    *killPerson // whose own membership it is; nil: a device's
	roles   ace.Role
	key     ed25519.PrivateKey
	cred    []byte
	udp     *endpoint.UDP
	link    *oscore.Server

	now atomic.Pointer[stand]

	turn   sync.Mutex // one operation at a time
	by     *killPerson
	gm     coap.Caller      // nil: it has no association
	watch  coap.Observation // of its group's keys; nil: none
	ns     []byte
	info   join.Info
	client *join.Member // nil: it is in no group
	next   uint64       // Sender Sequence Number of its next context

	mu     sync.Mutex // what the Group Manager changes on its own
	m      *join.Membership
	behind bool   // it was told of keys that it has to ask for
	ended  string // how it heard that it is no member any more
}

func (s *killSite) newNode(number int, self *killPerson) *killNode {
	n := &killNode{s: s, self: self, rng: s.rand(100 + number), link: oscore.NewServer(rand.Reader)}
	if self != nil {
		n.subject, n.key, n.cred, n.roles, n.by = "installer/"+self.id, self.key, self.cred, ace.RoleRequester, self
	} else {
		n.subject = fmt.Sprintf("000b57fffe00%04x", number)
		n.key, n.roles = ed25519.NewKeyFromSeed(random(ed25519.SeedSize)), ace.RoleRequester|ace.RoleResponder
		n.cred = cose.NewCCS(n.subject, n.key.Public().(ed25519.PublicKey))
	}
	n.now.Store(&stand{})
	var err error
	n.udp, err = endpoint.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"), coap.HandlerFunc(n.serve),
		endpoint.UDPOptions{Multicast: s.multicast, Interface: "lo", Params: hasty()})
	if err != nil {
		s.t.Error(err)
		return nil
	}
	return n
}

// hasty are parameters for clients whose server comes back in a moment.
func hasty() *coap.LayerParams {
	p := coap.DefaultLayerParams()
	p.AckTimeout = 150 * time.Millisecond
	return &p
}

// outside makes the node one that is in no group.
func (n *killNode) outside() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.m, n.client, n.ended, n.behind = nil, nil, "", false
}

// connect gets a token for a group and an association for it.
func (n *killNode) connect(ctx context.Context, g *killGroup) error {
	device := ""
	if n.self == nil {
		device, n.by = n.subject, n.s.people.one(n.rng)
		if err := n.by.register(ctx, n.subject, n.cred); err != nil {
			return err
		}
	}
	scope := ace.EncodeScope([]ace.ScopeEntry{{Group: g.name, Roles: n.roles}})
	tok, err := n.by.token(ctx, n.s, device, scope)
	if err != nil {
		return err
	}
	if n.self != nil {
		return n.connectWatching(ctx, tok)
	}
	assoc, err := join.Transfer(ctx, n.udp, n.s.gmAt, tok, random(4), rand.Reader)
	if err != nil {
		return err
	}
	security, err := assoc.Context(oscore.NewSequence(assoc.NextSSN, nil))
	if err != nil {
		return err
	}
	name := hex.EncodeToString(assoc.RecipientID)
	n.link.Add(name, nil, security)
	n.gm, n.ns, n.info = n.link.Caller(name, n.udp, n.s.gmAt), assoc.NS, assoc.Info()
	return nil
}

// open says that something is asked for whose answer may be lost, and returns what
// stood before.
func (n *killNode) open() *stand {
	before := n.now.Load()
	next := *before
	next.open = true
	n.now.Store(&next)
	return before
}

// gaveUp notes that a Sender ID became stale, or may have.
func (n *killNode) gaveUp(before *stand, s surrender) {
	if before.group == nil || before.sid == nil {
		return
	}
	s.sid, s.maybe = string(before.sid), s.maybe || before.open
	before.group.gaveUp(s)
}

// join joins a group, or joins again in the one that it is in.
func (n *killNode) join(ctx context.Context, g *killGroup) error {
	if n.gm == nil || n.client == nil {
		if err := n.connect(ctx, g); err != nil {
			return err
		}
	}
	p := join.SelfParams{
		Group: g.name, Roles: n.roles, Cred: n.cred, Key: cose.NewEd25519(n.key), GMCred: n.s.gmCred, GetCreds: true,
		NS: n.ns, Info: n.info, Rand: rand.Reader,
	}
	if n.self == nil {
		p.ControlURI = fmt.Sprintf("coap://%s/ace-group/%s/node", n.udp.Addr(), g.name)
	}
	n.ns = nil
	asked := g.num.Load()
	before := n.open()
	if before.group != g {
		n.now.Store(&stand{group: g, open: true})
		before = &stand{}
	}
	m, _, err := join.Self(ctx, n.gm, p)
	if err != nil {
		n.gaveUp(before, surrender{least: asked, most: noNum, maybe: true})
		return n.refused(err)
	}
	g.saw(n.s.ledger, asked, m.Num)
	n.gaveUp(before, surrender{least: asked, most: m.Num})
	n.assigned(g, before, m)
	n.client = join.NewMember(n.gm, g.name, m.NodePath)
	n.s.ledger.count("joined")
	n.observe(g)
	return nil
}

// assigned notes an acknowledged Sender ID.
func (n *killNode) assigned(g *killGroup, before *stand, m *join.Membership) {
	if before.member && before.sid != nil && !bytes.Equal(before.sid, m.SenderID) {
		n.s.ledger.gaveBack(m.GID, before.sid)
	}
	n.s.ledger.holds(n.subject, m.GID, m.SenderID)
	n.mu.Lock()
	if n.m != nil && n.m.NodePath == m.NodePath && n.m.Num > m.Num { // it was told of newer keys meanwhile
		newer := *n.m
		newer.SenderID = m.SenderID
		m = &newer
	}
	n.install(m)
	n.ended = ""
	n.mu.Unlock()
	n.now.Store(&stand{group: g, member: true, node: m.NodePath[strings.LastIndexByte(m.NodePath, '/')+1:], sid: m.SenderID})
}

// renew gets another Sender ID.
func (n *killNode) renew(ctx context.Context) error {
	m, _, _ := n.membership()
	asked := n.now.Load().group.num.Load()
	before := n.open()
	sid, err := n.client.Renew(ctx)
	if err != nil {
		n.gaveUp(before, surrender{least: asked, most: noNum, maybe: true})
		return n.refused(err)
	}
	n.mu.Lock()
	renewed := *n.m
	renewed.SenderID = sid
	n.m = &renewed
	n.mu.Unlock()
	n.now.Store(&stand{group: before.group, member: true, node: before.node, sid: sid})
	n.s.ledger.gaveBack(m.GID, before.sid)
	n.s.ledger.count("renewed")
	cur, err := n.keys(ctx)
	if err != nil {
		n.gaveUp(before, surrender{least: asked, most: noNum})
		return n.refused(err)
	}
	n.gaveUp(before, surrender{least: asked, most: cur.Num})
	return nil
}

// keys asks for the keys without taking them over: what was acknowledged is so.
func (n *killNode) keys(ctx context.Context) (*join.Membership, error) {
	m, _, _ := n.membership()
	st := n.now.Load()
	asked := st.group.num.Load()
	cur, err := n.client.Keys(ctx, m)
	if err != nil {
		return nil, err
	}
	st.group.saw(n.s.ledger, asked, cur.Num)
	n.s.ledger.keys(cur.GID, cur.MasterSecret)
	if st.member && !st.open && !bytes.Equal(cur.SenderID, st.sid) {
		n.s.ledger.fail("%s in %s was told Sender ID %x and has %x", n.subject, st.group.name, st.sid, cur.SenderID)
	}
	if !st.open {
		n.s.ledger.holds(n.subject, cur.GID, cur.SenderID)
	}
	return cur, nil
}

// leave leaves the group.
func (n *killNode) leave(ctx context.Context) error {
	asked := n.now.Load().group.num.Load()
	before := n.open()
	if err := n.client.Leave(ctx); err != nil {
		n.gaveUp(before, surrender{least: asked, most: noNum, maybe: true})
		return n.refused(err)
	}
	n.gaveUp(before, surrender{least: asked, most: noNum})
	n.now.Store(&stand{group: before.group})
	n.outside()
	n.s.ledger.count("left")
	return nil
}

// refused draws the conclusions from what went wrong.
func (n *killNode) refused(err error) error {
	var no *join.GMError
	st := n.now.Load()
	switch {
	case errors.Is(err, join.ErrNotMember), errors.As(err, &no) && no.Code == coap.NotFound:
		if st.member && !st.open && st.group.state() == groupThere && !n.goes() {
			n.s.ledger.fail("%s was acknowledged in %s and is no member: %v", n.subject, st.group.name, err)
		}
		n.outside()
	case errors.Is(err, join.ErrNoToken), errors.As(err, &no) && no.Code == coap.Forbidden:
		n.gm = nil // revoked, or barred: somebody else gets another token
	}
	return err
}

// goes says whether the node is somebody's own who is being revoked.
func (n *killNode) goes() bool { return n.self != nil && n.self.leaving.Load() }
