package main

import (
	"context"
	"crypto/rand"
	"errors"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
)

// serve takes what comes to the node's socket.
func (n *killNode) serve(ctx context.Context, req *coap.Request) *coap.Message {
	if req.Multicast {
		n.hearMany(req.Payload)
		return nil
	}
	return coap.Secure(coap.HandlerFunc(n.control), n.link).Serve(ctx, req)
}

// control is the resource that control_uri names.
func (n *killNode) control(_ context.Context, req *coap.Request) *coap.Message {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.m == nil || req.Peer.Kind != coap.PeerACE || coap.Path(req.Message) != "/ace-group/"+n.m.Group+"/node" {
		return coap.Problem(coap.NotFound, "")
	}
	if req.Code == coap.DELETE {
		n.ended = "told"
		n.s.ledger.count("told of its eviction")
		return coap.Respond(coap.Deleted, coap.NoFormat, nil)
	}
	c, err := join.ReadControl(req.Message)
	if err == nil {
		err = n.hear(c, "told by POST")
	}
	if err != nil {
		n.s.ledger.fail("%s: %v", n.subject, err)
		return coap.Problem(coap.BadRequest, "")
	}
	return coap.Respond(coap.Changed, coap.NoFormat, nil)
}

// hearMany takes a message that went to many.
func (n *killNode) hearMany(payload []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.m == nil || n.m.Tree == nil || n.ended != "" {
		return
	}
	c, err := n.m.OpenMany(payload, join.Trusts(n.s.gmCred))
	switch {
	case err == nil:
		if err := n.hear(c, "told by multicast"); err != nil {
			n.s.ledger.fail("%s: %v", n.subject, err)
		}
	case errors.Is(err, ace.ErrStale):
	default: // for another group, or under keys that it lacks: it will ask
		n.behind = n.behind || errors.Is(err, ace.ErrGeneration)
	}
}

// hear acts on news; n.mu is held.
func (n *killNode) hear(c *ace.Control, how string) error {
	next, _, news, err := n.m.Hear(c)
	if err != nil {
		return err
	}
	switch news {
	case join.NewKeys, join.NewAlgorithms:
		n.install(next)
		n.s.ledger.count(how)
	case join.MissedKeys:
		n.behind = true
	case join.GroupDeleted:
		n.ended = "deleted"
	}
	return nil
}

// install takes over a membership; n.mu is held.
func (n *killNode) install(m *join.Membership) {
	if n.m != nil && n.m.Group == m.Group && n.m.NodePath == m.NodePath && n.m.Num > m.Num {
		return
	}
	n.m, n.behind = m, false
	n.s.ledger.keys(m.GID, m.MasterSecret)
}

func (n *killNode) membership() (m *join.Membership, behind bool, ended string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.m, n.behind, n.ended
}

// connectWatching makes an association in which a person can observe.
func (n *killNode) connectWatching(ctx context.Context, tok *ace.TokenResponse) error {
	profile := join.OSCORE{
		Exchange: n.udp, GM: n.s.gmAt, RecipientID: random(4), Sequence: oscore.NewSequence(0, nil), Rand: rand.Reader,
	}
	c, err := profile.Transfer(ctx, tok)
	if err != nil {
		return err
	}
	n.gm, n.ns, n.info = c, c.NS, c.Info
	return nil
}

// observe has a person's own membership told of new keys. The Group Manager forgets
// who observes when it starts again.
func (n *killNode) observe(g *killGroup) {
	gm, can := n.gm.(coap.Watcher)
	if !can {
		return
	}
	if n.watch != nil {
		n.watch.Close()
	}
	req := coap.NewRequest(coap.GET, "/ace-group/"+g.name, nil)
	coap.AddUint(req, coap.OptionObserve, coap.ObserveRegister)
	var err error
	n.watch, err = gm.Observe(n.s.ctx, req, func(m *coap.Message, err error) {
		if err == nil && join.Refusal(m) == nil {
			n.heed(g, m)
		}
	})
	if err != nil {
		n.watch = nil
	}
}

// heed takes a notification, or the answer to the registration.
func (n *killNode) heed(g *killGroup, m *coap.Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.m == nil || n.m.Group != g.name {
		return
	}
	c, err := join.ReadControl(m)
	if err == nil {
		if err := n.hear(c, "told by a notification"); err != nil {
			n.s.ledger.fail("%s: %v", n.subject, err)
		}
	} else if num, err := join.ReadNum(m); err == nil && num > n.m.Num {
		n.behind = true
	}
}
