package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"

	"lamplighter/internal/ace"
	"lamplighter/internal/admin"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
	"lamplighter/internal/oscore/group"
)

// check holds everything against what was acknowledged while nothing is under way.
func (s *killSite) check(ctx context.Context) {
	s.gate.Lock()
	defer s.gate.Unlock()
	s.people.check(ctx)
	for _, g := range s.admin.list() {
		s.checkGroup(ctx, g)
	}
	var names *admin.Listing
	if s.asAdmin(ctx, func(ctx context.Context, c *admin.Client) (err error) { names, err = c.List(ctx); return err }) {
		s.checkNames(names.Names)
	}
	s.ledger.count("checks")
}

// asAdmin makes an administrator's request until it is answered.
func (s *killSite) asAdmin(ctx context.Context, fn func(context.Context, *admin.Client) error) bool {
	ok := s.insistLocked(ctx, func(ctx context.Context) error {
		if err := s.admin.connect(ctx); err != nil {
			return err
		}
		return s.admin.failed(fn(ctx, s.admin.client))
	})
	if !ok {
		s.stuck("the Group Manager does not answer an administrator")
	}
	return ok
}

func (s *killSite) checkNames(names []string) {
	for _, g := range s.admin.list() {
		listed := slices.Contains(names, g.name)
		if g.state() == groupThere && !listed || g.state() == groupGone && listed {
			s.ledger.fail("group %s: acknowledged is %d, listed is %v", g.name, g.state(), listed)
		}
	}
}

// checkGroup holds one group's configuration, members and keys against what was
// acknowledged.
func (s *killSite) checkGroup(ctx context.Context, g *killGroup) {
	var conf *admin.Group
	absent := false
	if !s.asAdmin(ctx, func(ctx context.Context, c *admin.Client) (err error) {
		conf, err = c.Read(ctx, g.name)
		if absent = errors.Is(err, admin.ErrNotFound); absent {
			err = nil
		}
		return err
	}) {
		return
	}
	switch {
	case absent && g.state() == groupThere:
		s.ledger.fail("group %s was acknowledged and is lost", g.name)
	case !absent && g.state() == groupGone:
		s.ledger.fail("group %s was deleted and is back", g.name)
	}
	if absent {
		g.is.Store(int32(groupGone))
		return
	}
	g.is.Store(int32(groupThere))
	s.checkConfiguration(g, conf)
	var members []ace.MemberInfo
	if !s.asAdmin(ctx, func(ctx context.Context, c *admin.Client) (err error) {
		members, err = c.Members(ctx, g.name)
		return err
	}) {
		return
	}
	s.checkMembers(g, members)
	if conf.Configuration.Active.Value {
		s.checkKeys(ctx, g, members)
	}
}

func (s *killSite) checkConfiguration(g *killGroup, conf *admin.Group) {
	now := conf.Configuration.Only(watchedParameters)
	if !slices.ContainsFunc(g.may, now.Equal) {
		s.ledger.fail("group %s: its configuration %+v is none of %d that were acknowledged", g.name, now, len(g.may))
	}
	g.may = []ace.Configuration{now}
	whole := string(ace.Encode(conf.Configuration))
	name := g.name + "/" + string(conf.ETag)
	if old, known := s.admin.etags[name]; known && old != whole {
		s.ledger.fail("group %s: one ETag for two configurations", g.name)
	}
	s.admin.etags[name] = whole
}

// checkMembers holds the list of members against what they were told.
func (s *killSite) checkMembers(g *killGroup, members []ace.MemberInfo) {
	listed := map[string]ace.MemberInfo{}
	held := map[string]bool{}
	for _, m := range members {
		if _, twice := listed[m.Subject]; twice || held[string(m.SenderID)] {
			s.ledger.fail("group %s: %s is a member twice, or somebody has Sender ID %x too", g.name, m.Subject, m.SenderID)
		}
		listed[m.Subject], held[string(m.SenderID)] = m, true
	}
	for _, n := range s.everybody() {
		st := n.now.Load()
		m, is := listed[n.subject]
		if n.goes() && st.group == g && st.sid != nil {
			g.ends(string(st.sid), is)
		}
		switch {
		case st.group != g || st.open || n.goes():
		case st.member != is:
			s.ledger.fail("group %s: %s was told that it is a member: %v; it is: %v", g.name, n.subject, st.member, is)
		case is && (!bytes.Equal(m.SenderID, st.sid) || m.Node != st.node):
			s.ledger.fail("group %s: %s was told Sender ID %x as %s and has %x as %s", g.name, n.subject, st.sid, st.node, m.SenderID, m.Node)
		}
	}
}

// checkKeys has a member send to the group: every other opens it, or knows that its
// keys are old and can open it when it has asked.
func (s *killSite) checkKeys(ctx context.Context, g *killGroup, members []ace.MemberInfo) {
	held := map[string]bool{}
	for _, m := range members {
		held[string(m.SenderID)] = true
	}
	var in []*killNode
	for _, n := range s.everybody() {
		if n.goes() {
			delete(held, string(n.now.Load().sid)) // it may be stale the next moment
		}
		st := n.now.Load()
		if m, _, ended := n.membership(); st.group == g && st.member && !st.open && m != nil && ended == "" && n.gm != nil && !n.goes() {
			in = append(in, n)
		}
	}
	s.checkStaleOf(ctx, g, in, held)
	for try := 0; len(in) > 0; try++ {
		wrong, num := s.roundOf(ctx, g, in)
		if len(wrong) == 0 {
			s.ledger.count("groups in which all can decrypt")
			return
		}
		// A person whom the Group Manager only now learns to be revoked has the keys
		// changed under our hands.
		if now, err := in[0].client.Num(ctx); err == nil && now == num || try == 3 {
			s.ledger.fail("group %s: %s", g.name, strings.Join(wrong, "; "))
			return
		}
	}
}

// checkStaleOf has every member ask what became stale since the version that it has,
// and one of them since all that may be asked for, and one more.
func (s *killSite) checkStaleOf(ctx context.Context, g *killGroup, in []*killNode, held map[string]bool) {
	for i, n := range in {
		asked := g.num.Load()
		var num uint64
		if !s.insistLocked(ctx, func(ctx context.Context) (err error) { num, err = n.client.Num(ctx); return err }) {
			s.stuck(n.subject + " is not served in " + g.name)
		}
		g.saw(s.ledger, asked, num)
		g.settle(num)
		m, _, _ := n.membership()
		versions := []uint64{m.Num}
		for back := uint64(1); i == 0 && back <= min(keptStaleSets, num); back++ {
			versions = append(versions, num-back)
		}
		for _, v := range versions {
			if v < num {
				s.checkStaleSince(ctx, g, n, v, num, held)
			}
		}
	}
}

// checkStaleSince holds what one member is told to have become stale since version v
// against what happened.
func (s *killSite) checkStaleSince(ctx context.Context, g *killGroup, n *killNode, v, num uint64, held map[string]bool) {
	purge, err := n.client.StaleSIDs(ctx, v)
	if again, failed := n.client.Num(ctx); err != nil || failed != nil || again != num {
		return // the keys were changed under our hands
	}
	if few := num-v+1 > keptStaleSets; few != purge.All {
		s.ledger.fail("group %s: at version %d, %s asks for what is stale since %d: too old is %v", g.name, num, n.subject, v, purge.All)
	}
	if !purge.All {
		g.checkStale(s.ledger, n.subject, v, purge.SIDs, held)
		s.ledger.count("stale sets")
	}
}

// roundOf sends one request from one member to the others, and says whom it does not
// reach and why. num is the version of the keys that it is protected with.
func (s *killSite) roundOf(ctx context.Context, g *killGroup, in []*killNode) (wrong []string, num uint64) {
	from := in[s.rng.IntN(len(in))]
	if err := from.recovered(ctx); err != nil {
		return []string{from.subject + " cannot recover: " + err.Error()}, g.num.Load()
	}
	m, _, _ := from.membership()
	outer, err := from.request()
	if err != nil {
		return []string{from.subject + ": " + err.Error()}, m.Num
	}
	for _, n := range in {
		if n == from {
			continue
		}
		own, _, _ := n.membership()
		err := n.opens(ctx, outer, m.SenderID)
		if err != nil && own.Num >= m.Num {
			wrong = append(wrong, n.subject+" has the keys and cannot decrypt: "+err.Error())
			continue
		}
		if err == nil {
			s.ledger.count("decrypted")
			continue
		}
		if err := n.recovered(ctx); err != nil {
			wrong = append(wrong, n.subject+" cannot recover: "+err.Error())
		} else if err := n.opens(ctx, outer, m.SenderID); err != nil {
			wrong = append(wrong, n.subject+" has recovered and cannot decrypt: "+err.Error())
		} else {
			s.ledger.count("decrypted after recovery")
		}
	}
	return wrong, m.Num
}

// recovered brings a member up to date; one whose association leads to no keys any
// more gets another.
func (n *killNode) recovered(ctx context.Context) (err error) {
	ok := n.s.insistLocked(ctx, func(ctx context.Context) error {
		if n.gm == nil {
			err = n.reassure(ctx)
		} else {
			err = n.recover(ctx)
		}
		return err
	})
	if ok {
		return nil
	}
	return err
}

// context is the member's Group OSCORE context.
func (n *killNode) context(m *join.Membership) (*group.Context, error) {
	n.next += 1 << 10
	return m.Context(n.cred, cose.NewEd25519(n.key), oscore.NewSequence(n.next, nil), rand.Reader)
}

// request makes a group request.
func (n *killNode) request() (*coap.Message, error) {
	m, _, _ := n.membership()
	c, err := n.context(m)
	if err != nil {
		return nil, err
	}
	outer, _, err := c.ProtectRequest(coap.NewRequest(coap.PUT, "/light", []byte{0xa1, 1, 0xf5}), nil)
	return outer, err
}

// opens says why a member cannot open a request of the one with a Sender ID. It asks
// for a credential that it does not have.
func (n *killNode) opens(ctx context.Context, outer *coap.Message, kid []byte) error {
	m, _, _ := n.membership()
	c, err := n.context(m)
	if err != nil {
		return err
	}
	_, known := c.Peer(kid)
	if !known && c.MatchGID(outer) {
		peers, _, err := n.client.Creds(ctx, [][]byte{kid})
		if err != nil {
			return err
		}
		for _, p := range peers {
			if err := c.SetPeer(p); err != nil {
				return err
			}
		}
	}
	_, _, err = c.UnprotectRequest(outer)
	return err
}
