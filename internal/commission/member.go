package commission

import (
	"context"
	"errors"
	"fmt"

	"lamplighter/internal/ace"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
	oscoregroup "lamplighter/internal/oscore/group"
)

// errNoMark says that the sequence numbers of a stored membership are lost: the
// membership is of no more use.
var errNoMark = errors.New("the sequence numbers of the membership are lost")

// ensureMember makes the browser a member of the group: from what is stored, or
// by joining.
func (s *site) ensureMember(ctx context.Context, g *group) error {
	g.entering.Lock()
	defer g.entering.Unlock()
	if g.ready() {
		return nil
	}
	s.mu.Lock()
	ended := g.rec.Ended
	s.mu.Unlock()
	if ended != "" {
		return ended.problem(g.name)
	}
	defer s.watch(g)
	if m := s.membership(g); m != nil && !s.expired(m) {
		err := s.setUp(ctx, g, m, false)
		if !errors.Is(err, errNoMark) {
			return err
		}
		s.e.warn("", "the browser's place in "+g.name+" was lost; joining again")
	}
	return s.selfJoin(ctx, g)
}

func (g *group) ready() bool {
	g.using.Lock()
	defer g.using.Unlock()
	return g.keys != nil
}

func (s *site) membership(g *group) *join.Membership {
	s.mu.Lock()
	defer s.mu.Unlock()
	return g.member
}

// expired reports whether the keys of a membership are over.
func (s *site) expired(m *join.Membership) bool {
	return m.Expires != 0 && uint64(s.e.cfg.Now().Unix()) >= m.Expires
}

// selfJoin joins the browser as a requester, with the site credential. It asks
// for no credentials: those of its own devices it has, others it fetches when an
// answer names them. g.entering is held.
func (s *site) selfJoin(ctx context.Context, g *group) error {
	if !s.covers(g.name) {
		s.gm.renew() // for a token that speaks of this group, too
	}
	if _, err := s.gm.open(ctx, nil); err != nil {
		return err
	}
	r := s.record()
	ns, info := s.gm.challenge()
	m, answer, err := join.Self(ctx, &s.gm, join.SelfParams{
		Group: g.name, Roles: ace.RoleRequester, Cred: r.Cred, Key: cose.NewEd25519(s.key()),
		GMCred: r.GMCred, NS: ns, Info: info, Rand: s.e.cfg.Rand,
	})
	if err != nil {
		return with(atGM, "joining the browser", err)
	}
	m.Group, m.NodePath = g.name, answer.NodePath
	if err := s.setUp(ctx, g, m, true); err != nil {
		return err
	}
	s.e.info("", fmt.Sprintf("the browser is a member of %s, id %x", g.name, m.SenderID))
	return nil
}

// setUp makes the Group OSCORE context of a membership. A fresh one is durable
// before it is used. g.entering is held.
func (s *site) setUp(ctx context.Context, g *group, m *join.Membership, fresh bool) error {
	seq := g.sequence()
	if seq == nil {
		var err error
		if seq, err = s.sequence(ctx, g.name, fresh); err != nil {
			return err
		}
	}
	octx, err := m.Context(s.record().Cred, cose.NewEd25519(s.key()), seq, s.e.cfg.Rand)
	if err != nil {
		return with(atGM, "using the group's keys", err)
	}
	for _, p := range s.ownPeers(g.name) {
		if err := octx.SetPeer(p); err != nil {
			s.e.cfg.Logger.Warn("a device's credential is of no use", "kid", p.KID, "err", err)
		}
	}
	if fresh {
		if err := s.saveMembership(ctx, g, m); err != nil {
			return err
		}
	}
	g.using.Lock()
	if g.seq = seq; g.keys == nil {
		g.keys = oscoregroup.NewMember(octx)
	} else {
		g.keys.Rekey(octx)
	}
	if fresh { // what was stored may be older than the Group Manager's
		g.asked = s.e.cfg.Now()
	}
	g.using.Unlock()
	return nil
}

func (g *group) sequence() *oscore.Sequence {
	g.using.Lock()
	defer g.using.Unlock()
	return g.seq
}

// retire ends the use of the group's sequence numbers here.
func (g *group) retire() {
	g.using.Lock()
	defer g.using.Unlock()
	g.retired = true
	if g.seq != nil {
		g.seq.Stop()
	}
}

func (s *site) saveMembership(ctx context.Context, g *group, m *join.Membership) error {
	change := func(r *groupRecord) { r.KeysFrom = s.e.now() }
	return s.saveGroup(ctx, g, change, func() { g.member = m }, write{preMember + g.name, memberRecord{m}})
}

// ownPeers are the devices of this site in a group: their credentials are known
// from their claims, their Sender IDs from their join answers.
func (s *site) ownPeers(group string) []oscoregroup.Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	var peers []oscoregroup.Peer
	for _, d := range s.devices {
		if p := d.rec.in(group); p != nil && len(p.SenderID) > 0 && len(d.rec.Cred) > 0 {
			peers = append(peers, responder(p.SenderID, d.rec.Cred))
		}
	}
	return peers
}

func responder(kid, cred []byte) oscoregroup.Peer {
	return oscoregroup.Peer{KID: kid, Cred: cred, Roles: uint(ace.RoleResponder)}
}

// addPeers makes peers known to the group's context, if there is one.
func (s *site) addPeers(g *group, peers ...oscoregroup.Peer) {
	g.using.Lock()
	defer g.using.Unlock()
	if g.keys == nil {
		return
	}
	for _, p := range peers {
		if err := g.keys.Current().SetPeer(p); err != nil {
			s.e.cfg.Logger.Warn("a member's credential is of no use", "kid", p.KID, "err", err)
		}
	}
}

// client is the member's client at the Group Manager.
func (s *site) client(g *group) (*join.Member, *join.Membership, error) {
	m := s.membership(g)
	if m == nil {
		s.mu.Lock()
		ended := g.rec.Ended
		s.mu.Unlock()
		if ended != "" {
			return nil, nil, ended.problem(g.name)
		}
		return nil, nil, errNoGroup
	}
	return join.NewMember(&s.gm, g.name, m.NodePath), m, nil
}
