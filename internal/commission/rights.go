package commission

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/admin"
	"lamplighter/internal/coap"
)

// learnScope keeps in mind what the own token grants, and adds the groups that it
// names.
func (s *site) learnScope(scope ace.Scope) {
	s.mu.Lock()
	s.scope = scope
	known := slices.Collect(maps.Keys(s.groups))
	s.mu.Unlock()
	s.learnGroups(scope.Users)
	s.touchSite()
	for _, name := range known {
		s.touchGroup(name)
	}
}

// wantedScope is what the next token is to be for: nil for the Authorization
// Server's default; once it has told what that is, all groups that became known
// besides, too.
func (s *site) wantedScope() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.scope.Empty() {
		return nil
	}
	wanted := ace.Scope{Admins: s.scope.Admins}
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		if s.groups[name].rec.Ended == EndDeleted || len(wanted.Users) == maxScopeGroups {
			continue
		}
		wanted.Users = append(wanted.Users, ace.ScopeEntry{Group: name, Roles: ace.RoleRequester})
	}
	return wanted.Encode()
}

// maxScopeGroups leaves room for admin entries in a scope.
const maxScopeGroups = 200

// covers reports whether the own token speaks of a group.
func (s *site) covers(group string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.coversLocked(group)
}

func (s *site) coversLocked(group string) bool {
	return slices.ContainsFunc(s.scope.Users, func(e ace.ScopeEntry) bool { return e.Group == group })
}

// permits is what the own token allows on a group's configuration; s.mu is held. A
// pattern is not looked into here: the Group Manager decides.
func (s *site) permits(group string) (perm ace.Perm) {
	for _, e := range s.scope.Admins {
		if e.Groups.Kind != ace.PatternName || e.Groups.Text == group {
			perm |= e.Perm
		}
	}
	return perm
}

// manage names what may be done with a group's configuration; s.mu is held.
func (s *site) manage(group string) []string {
	perm, words := s.permits(group), []string{}
	for _, p := range []struct {
		perm ace.Perm
		word string
	}{{ace.PermRead, "read"}, {ace.PermWrite, "write"}, {ace.PermDelete, "delete"}} {
		if perm.Has(p.perm) {
			words = append(words, p.word)
		}
	}
	return words
}

// rights are those of the person at this browser; s.mu is held.
func (s *site) rights() Rights {
	create := slices.ContainsFunc(s.scope.Admins, func(e ace.AdminEntry) bool { return e.Perm.Has(ace.PermCreate) })
	return Rights{Create: create, People: s.managesPeople}
}

// findRights asks whether this person manages people, and which groups there are
// to administer.
func (s *site) findRights(ctx context.Context) {
	people, err := s.people(ctx)
	if err != nil && !errors.Is(err, errNotAdmin) {
		s.e.logProblem("", "asking for the rights", err)
	}
	if err := s.dropGone(ctx, people); err != nil {
		s.e.logProblem("", "taking people off the devices' lists", err)
	}
	s.mu.Lock()
	administers := len(s.scope.Admins) > 0
	s.mu.Unlock()
	client, err := s.administrator()
	if !administers || err != nil {
		return
	}
	list, err := client.List(ctx)
	if err != nil {
		s.e.logProblem("", "asking which groups there are", adminProblem("listing groups", err))
		return
	}
	for _, name := range list.Names {
		if err := s.addGroup(ctx, name); err != nil {
			s.e.logProblem("", "saving the groups", err)
			return
		}
	}
}

// addGroup makes a group known, durably. One that was deleted begins anew.
func (s *site) addGroup(ctx context.Context, name string) error {
	s.mu.Lock()
	g := s.group(name)
	known := s.coversLocked(name) && g.rec.Ended != EndDeleted
	s.mu.Unlock()
	if known {
		return nil
	}
	return s.saveGroup(ctx, g, func(r *groupRecord) {
		if r.Ended == EndDeleted {
			*r = groupRecord{Title: r.Title}
		}
	}, nil)
}

// dropGroup notes that a group was deleted: nobody is in it any more.
func (s *site) dropGroup(ctx context.Context, name string) error {
	s.mu.Lock()
	g := s.groups[name]
	var inside []*device
	for _, d := range s.devices {
		if d.rec.in(name) != nil {
			inside = append(inside, d)
		}
	}
	s.mu.Unlock()
	for _, d := range inside {
		if err := s.updateDevice(ctx, d, func(r *deviceRecord) { r.Groups = r.withoutPlace(name) }); err != nil {
			return err
		}
	}
	if g == nil {
		return nil
	}
	if err := s.endMembership(ctx, g, s.term(g), EndDeleted); err != nil {
		return err
	}
	s.updateGroup(g, func(r *groupRecord) { r.Ended = EndDeleted }) // also of a browser that was no member
	s.touchGroup(name)
	return nil
}

// follow tells how far the rekeyings of a group are, from now on. What cannot be
// observed is asked for from time to time.
func (s *site) follow(g *group) {
	s.mu.Lock()
	begun := g.followed
	g.followed = true
	s.mu.Unlock()
	if begun {
		return
	}
	s.background(func(ctx context.Context) {
		for try := 1; ctx.Err() == nil; try++ {
			err := s.followRound(ctx, g)
			switch {
			case errors.Is(err, errGroupGone), errors.Is(err, errGMDenied):
				s.mu.Lock()
				g.followed = false
				s.mu.Unlock()
				return
			case err == nil:
				try = 0
				continue
			}
			if up, back := s.e.linkUp(); !up {
				select {
				case <-back:
				case <-ctx.Done():
				}
			}
			sleep(ctx, s.backoff(try))
		}
	})
}

// followRound observes until that breaks or it is time to register anew.
func (s *site) followRound(ctx context.Context, g *group) error {
	over, err := s.gm.open(ctx, nil)
	if err != nil {
		return err
	}
	addr, err := s.gmAddress()
	if err != nil {
		return err
	}
	client := admin.New(over, addr.String())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	end := func(err error) {
		select {
		case ended <- err:
		default:
		}
	}
	watch, err := client.WatchProgress(ctx, g.name, func(p *ace.RekeyProgress, last bool, err error) {
		if err == nil {
			s.setRekeying(g, p)
		}
		if err != nil {
			end(adminProblem("following a rekeying", err))
		} else if last {
			end(coap.ErrUnobserved)
		}
	})
	if err != nil {
		return adminProblem("following a rekeying", err)
	}
	defer watch.Close()
	again := time.NewTimer(s.e.cfg.Tuning.Renew)
	defer again.Stop()
	select {
	case err := <-ended:
		return err
	case <-again.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// setRekeying keeps and tells how far a rekeying is.
func (s *site) setRekeying(g *group, p *ace.RekeyProgress) {
	if p.Started == 0 {
		return
	}
	v := &Rekeying{
		Reason: p.Reason, Epoch: int(p.Num), Started: int64(p.Started), Ended: int64(p.Ended), Total: int(p.Total),
		Told: int(p.Told), Confirmed: int(p.Confirmed), Failed: s.nodeNames(g.name, p.Failed), Barred: int(p.Barred), Asking: int(p.Asking),
	}
	s.mu.Lock()
	g.rekeying = v
	s.mu.Unlock()
	s.touchGroup(g.name)
}
