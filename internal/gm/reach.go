package gm

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// passage is how a member is told of new keys: each by exactly one.
type passage uint8

const (
	wayNone      passage = iota // it will have to ask
	wayControl                  // POST to its control_uri
	wayObserve                  // a notification: it observes the group
	wayMulticast                // one message for many
)

// target is a member in a rekeying.
type target struct {
	m     *memberRecord
	p     memberProgress
	leaf  *leafRecord // nil: none in this tree
	state state
	way   passage
	assoc string // the association that leads to it
	ids   []string

	observes observable // what it is told by, if by a notification
}

// links are the live associations of a member that grant its roles in the group,
// best first, without those whose keys somebody has who is revoked. barred says
// whether there are such. Those with an id in without do not count.
func (s *Server) links(tx store.Tx, name string, m *memberRecord, without map[string]bool) (live []*associationRecord, barred bool, err error) {
	all, err := indexed(tx, ownerKey(m.Subject, ""))
	if err != nil {
		return nil, false, err
	}
	evicted, err := loadEviction(tx, name, m.Subject)
	if err != nil {
		return nil, false, err
	}
	now := uint64(s.cfg.Now().Unix())
	for _, a := range all {
		if now >= a.Expires || a.Revoked || without[a.ID] || !a.grants(name, m) || evicted.covers(a) {
			continue
		}
		out, err := isBarred(tx, a)
		if err != nil {
			return nil, false, err
		}
		if out {
			barred = true
			continue
		}
		live = append(live, a)
	}
	rank := func(a *associationRecord) int {
		switch {
		case a.ID == m.Assoc:
			return 0
		case s.contexts.proven(a.ID), s.sessions.get(a.ID) != nil:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(live, func(a, b *associationRecord) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.Serial, a.Serial))
	})
	return live, barred, nil
}

// grants says whether a token lets a member have the roles that it has.
func (a *associationRecord) grants(name string, m *memberRecord) bool {
	entry, ok := a.entry(name)
	return ok && entry.Roles.Has(m.Roles)
}

// proven says whether a request over an association was verified since it was
// loaded. It waits for nobody.
func (c *contexts) proven(id string) bool {
	_, ok := c.verified.Load(id)
	return ok
}

// target says where a member stands in a rekeying and how it is reached.
func (s *Server) target(tx store.Tx, g *groupRecord, job *rekeyJob, m *memberRecord) (*target, error) {
	p, err := loadProgress(tx, g.Name, m.Node)
	if err != nil {
		return nil, err
	}
	t := &target{m: m, p: p}
	if p.Has > job.Num {
		t.state = stateConfirmed
		return t, nil
	}
	if p.Job != job.Num {
		t.p = memberProgress{Has: p.Has, Job: job.Num}
	}
	live, barred, err := s.links(tx, g.Name, m, nil)
	if err != nil {
		return nil, err
	}
	if len(live) == 0 {
		t.state = stateAsks
		if barred {
			t.state = stateBarred
		}
		return t, nil
	}
	for _, a := range live {
		t.ids = append(t.ids, a.ID)
	}
	t.assoc = t.ids[0]
	if t.leaf, err = g.leafOf(tx, m.Node); err != nil {
		return nil, err
	}
	t.state = t.p.State
	t.way = s.wayTo(g, job, t)
	if t.way == wayNone {
		t.state = stateAsks
	}
	return t, nil
}

// wayTo chooses how a member is told. Who observes the group needs no server of its
// own; the others get the message for many if it is for them, and one of their own if
// not; who observes but its own resource, what that has become.
func (s *Server) wayTo(g *groupRecord, job *rekeyJob, t *target) passage {
	switch {
	case s.observed.any(observedGroup, g.Name, t.ids):
		t.observes = observedGroup
		return wayObserve
	case job.toMany() && t.leaf != nil && !t.needsMaterial() && t.p.Has > g.ConfigNum && g.ControlGroupURI != "" && s.cfg.Exchange != nil:
		return wayMulticast
	case t.m.ControlURI != "" && s.cfg.Exchange != nil:
		return wayControl
	case s.observed.any(observedNode, g.Name, t.ids):
		t.observes = observedNode
		return wayObserve
	}
	return wayNone
}

// needsMaterial says whether a member lacks the keys of its leaf.
func (t *target) needsMaterial() bool { return t.leaf != nil && t.p.Has <= t.leaf.Num }

// endpointOf reads the URI of a resource at a member or a group address. A member
// with a DTLS session has a coaps URI: of that only the path matters, as the session
// is the member's.
func endpointOf(uri string) (to netip.AddrPort, path string, err error) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "coap" && u.Scheme != "coaps" || u.RawQuery != "" || u.User != nil {
		return to, "", errors.New("not the URI of a coap resource")
	}
	host := u.Host
	if u.Port() == "" {
		host = fmt.Sprintf("%s:%d", strings.TrimSuffix(host, ":"), coap.DefaultPort)
	}
	if to, err = netip.ParseAddrPort(host); err != nil {
		return to, "", errors.New("not the URI of an address")
	}
	return to, u.Path, nil
}
