package commission

import (
	"context"
	"sync"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
	oscoregroup "lamplighter/internal/oscore/group"
)

// group is a group at run time.
type group struct {
	name string

	entering sync.Mutex // held while the browser joins or gets new keys
	saving   sync.Mutex // held while rec is replaced and stored; after entering

	// Guarded by site.mu.
	rec      *groupRecord
	member   *join.Membership // of the browser; nil: none. Never changed, only replaced
	told     bool             // the Group Manager tells of new keys
	watching bool             // somebody listens, or tries to
	terms    uint64           // how many memberships have ended

	followed bool              // somebody listens how far rekeyings are
	rekeying *Rekeying         // the latest that was told
	nodes    map[string]string // how members are called, by their names at the Group Manager

	current *campaign // the latest, also when it has ended; nil: none since the start
	command *campaign // the latest command
	alarm   *campaign // the latest command of an emergency

	// Guarded by using, which is taken for moments only: contexts are not safe
	// for concurrent use.
	using sync.Mutex
	keys  *oscoregroup.Member // also earlier ones, while answers under them are on their way; nil: not set up yet
	seq   *oscore.Sequence
	asked time.Time // when the Group Manager last told the version of the keys

	retired bool // the site was left: no sequence numbers are taken here any more
}

// group returns a group's state, made if needed; for loading. s.mu is held, or
// nobody else knows s yet.
func (s *site) group(name string) *group {
	g := s.groups[name]
	if g == nil {
		g = &group{name: name, rec: &groupRecord{}}
		s.groups[name] = g
	}
	return g
}

// knownGroup finds a group.
func (s *site) knownGroup(name string) (*group, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.groups[name]; g != nil {
		return g, nil
	}
	return nil, errNoGroup
}

// refreshGroups asks the Authorization Server which groups there are for this
// installer: the default scope of a token.
func (s *site) refreshGroups(ctx context.Context) error {
	_, err := s.gm.open(ctx, nil)
	return err
}

// learnGroups adds the groups of a scope.
func (s *site) learnGroups(scope []ace.ScopeEntry) {
	var writes []write
	s.mu.Lock()
	for _, entry := range scope {
		if s.groups[entry.Group] == nil && ace.ValidGroupName(entry.Group) {
			writes = append(writes, write{preGroup + entry.Group, s.group(entry.Group).rec})
		}
	}
	s.mu.Unlock()
	if len(writes) == 0 {
		return
	}
	if err := s.commit(s.ctx, writes...); err != nil {
		s.e.logProblem("", "saving the groups", err) // they are asked for again
	}
	for _, entry := range scope {
		s.touchGroup(entry.Group)
	}
}

// updateGroup changes what a group shows.
func (s *site) updateGroup(g *group, change func(*groupRecord)) {
	g.saving.Lock()
	defer g.saving.Unlock()
	s.mu.Lock()
	rec := *g.rec
	change(&rec)
	g.rec = &rec
	s.mu.Unlock()
	if err := s.commit(s.ctx, write{preGroup + g.name, rec}); err != nil {
		s.e.logProblem("", "saving the group's state", err) // it is only a view
	}
	s.touchGroup(g.name)
}

// saveGroup changes a group's record, durably and together with more before it
// counts; then, which may be nil, goes with it and has s.mu.
func (s *site) saveGroup(ctx context.Context, g *group, change func(*groupRecord), then func(), more ...write) error {
	g.saving.Lock()
	defer g.saving.Unlock()
	s.mu.Lock()
	rec := *g.rec
	s.mu.Unlock()
	change(&rec)
	if err := s.commit(ctx, append(more, write{preGroup + g.name, rec})...); err != nil {
		return err
	}
	s.mu.Lock()
	g.rec = &rec
	if then != nil {
		then()
	}
	s.mu.Unlock()
	s.touchGroup(g.name)
	return nil
}

// memberships lists the groups that the browser is in.
func (s *site) memberships() []*group {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*group
	for _, g := range s.groups {
		if g.member != nil {
			list = append(list, g)
		}
	}
	return list
}
