package commission

import (
	"context"
)

// setPaused notes whether a group rests. KGO, Section 9.9.
func (s *site) setPaused(g *group, paused bool) {
	s.mu.Lock()
	changed := g.rec.Paused != paused
	s.mu.Unlock()
	if !changed {
		return
	}
	s.updateGroup(g, func(r *groupRecord) { r.Paused = paused })
	if paused {
		s.e.warn("", g.name+" is paused: its members send and obey nothing until it goes on")
	} else {
		s.e.info("", g.name+" goes on")
	}
}

// rests reports whether a group is paused. One that was is asked about once more:
// nobody may have told that it goes on.
func (s *site) rests(ctx context.Context, g *group) bool {
	s.mu.Lock()
	paused, told := g.rec.Paused, g.told
	s.mu.Unlock()
	client, _, err := s.client(g)
	if !paused || told || err != nil {
		return paused
	}
	ctx, cancel := context.WithTimeout(ctx, askBriefly)
	defer cancel()
	if active, err := client.Active(ctx); err == nil {
		s.setPaused(g, !active)
		return !active
	}
	return paused
}

// term numbers the browser's memberships in a group, one after the other.
func (s *site) term(g *group) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return g.terms
}

// endMembership ends the browser's membership, durably, and says why. What was said
// of an earlier one may come when the browser is a member again.
func (s *site) endMembership(ctx context.Context, g *group, term uint64, why MembershipEnd) error {
	g.entering.Lock()
	defer g.entering.Unlock()
	if s.term(g) != term {
		return nil
	}
	return s.end(ctx, g, why)
}

// end is [site.endMembership] while g.entering is held.
func (s *site) end(ctx context.Context, g *group, why MembershipEnd) error {
	if s.membership(g) == nil {
		return nil
	}
	change := func(r *groupRecord) { r.Ended, r.Paused = why, false }
	none := func() { g.member, g.terms = nil, g.terms+1 }
	if err := s.saveGroup(ctx, g, change, none, write{preMember + g.name, nil}); err != nil {
		return err
	}
	g.using.Lock()
	g.keys = nil
	g.using.Unlock()
	s.e.warn("", why.problem(g.name).Text)
	s.touchGroup(g.name)
	return nil
}

// problem is why commands to a group are refused.
func (why MembershipEnd) problem(group string) *Error {
	switch why {
	case EndDeleted:
		return problem("group-deleted", "The group "+group+" was deleted.", "Join its devices to another group.")
	case EndAlgorithms:
		return problem("gm-algorithms", "The group "+group+" uses algorithms that this version does not have.", "Update this program.")
	}
	return problem("removed-from-group", "This browser was removed from the group "+group+".", "If you still have rights in it, enter it again; if not, ask for them.")
}

// Enter makes this browser a member of a group, also again after it was removed.
func (e *Engine) Enter(ctx context.Context, name string) error {
	s, err := e.site()
	if err != nil {
		return err
	}
	g, err := s.knownGroup(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	ended := g.rec.Ended != ""
	s.mu.Unlock()
	if ended {
		s.updateGroup(g, func(r *groupRecord) { r.Ended = "" })
		s.gm.renew() // who was evicted needs a token that was issued since
	}
	return asError(s.ensureMember(ctx, g))
}
