package gm

import (
	"context"
	"slices"
	"strings"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// People who obtained associations for devices know the keys of these. When such a
// person is revoked, the associations are barred: no keys of groups go out over
// them, for good, and the devices stay members and are kept waiting until somebody
// else obtains new ones for them.

func barKey(actor string) string { return "b/" + hexString(actor) }

// isBarred says whether an association was obtained by somebody who was revoked.
func isBarred(tx store.Tx, a *associationRecord) (bool, error) {
	if a.Origin == "" {
		return false, nil
	}
	v, err := tx.Get(barKey(a.Origin))
	return v != nil, err
}

// isOut says whether a subject is a person who was revoked. The token revocation list
// says so too of the tokens, but not of those that an Authorization Server with a wrong
// clock took for expired.
func isOut(tx store.Tx, subject string) (bool, error) {
	person := ace.PersonOf(subject)
	if person == "" {
		return false, nil
	}
	v, err := tx.Get(barKey(person))
	return v != nil, err
}

// barredActors lists who is revoked.
func barredActors(tx store.Tx) (map[string]bool, error) {
	actors := map[string]bool{}
	err := tx.Scan("b/", func(_ string, value []byte) bool { actors[string(value)] = true; return true })
	return actors, err
}

// Bar takes the full set of the people who are revoked. Groups with members for
// whom one of them obtained an association, who was not in the set before, are
// rekeyed at once: that person may have the keys.
func (s *Server) Bar(ctx context.Context, actors []string) error {
	return s.commit(ctx, "bar", func(tx store.Tx) error {
		old, err := barredActors(tx)
		if err != nil {
			return err
		}
		fresh := map[string]bool{}
		for _, actor := range actors {
			if actor != "" && !old[actor] {
				fresh[actor] = true
				if err := tx.Put(barKey(actor), []byte(actor)); err != nil {
					return err
				}
				s.logAfter(tx, "barred what a revoked person obtained", "actor", actor)
			}
		}
		lifted := false
		for actor := range old {
			if !slices.Contains(actors, actor) {
				lifted = true
				if err := tx.Delete(barKey(actor)); err != nil {
					return err
				}
			}
		}
		if lifted {
			if err := s.resume(tx); err != nil {
				return err
			}
		}
		return s.lockOut(tx, fresh)
	})
}

// lockOut rekeys the groups with members whose associations were obtained by one of
// these people. Leaves of theirs are known to that person too.
func (s *Server) lockOut(tx store.Tx, fresh map[string]bool) error {
	if len(fresh) == 0 {
		return nil
	}
	subjects := map[string]bool{}
	groups := map[string]bool{}
	if err := eachAssociation(tx, func(a *associationRecord) bool {
		if fresh[a.Origin] {
			subjects[a.Subject] = true
			for _, name := range a.groups() {
				groups[name] = true
			}
		}
		return true
	}); err != nil {
		return err
	}
	for name := range groups {
		if err := s.lockOutOf(tx, name, subjects); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) lockOutOf(tx store.Tx, name string, subjects map[string]bool) error {
	g, err := load[groupRecord](tx, groupKey(name))
	if err != nil || g == nil {
		return err
	}
	var known []*memberRecord
	for subject := range subjects {
		m, err := loadMember(tx, name, subject)
		if err != nil {
			return err
		}
		if m != nil {
			known = append(known, m)
		}
	}
	if len(known) == 0 {
		return nil
	}
	for _, m := range known {
		l, err := g.leafOf(tx, m.Node)
		if err != nil {
			return err
		}
		if l != nil {
			if err := g.burnLeaf(tx, m.Node); err != nil {
				return err
			}
		}
	}
	if err := s.rekey(tx, g, cause{reason: ReasonBarred}); err != nil {
		return err
	}
	for _, m := range known {
		if err := s.tellOutdated(tx, g, m); err != nil {
			return err
		}
	}
	for _, m := range known { // told by itself, over an association of others
		if l, err := g.leafOf(tx, m.Node); err != nil {
			return err
		} else if l == nil && g.Tree != nil {
			if _, err := g.giveLeaf(tx, m.Node); err != nil {
				return err
			}
		}
	}
	return save(tx, groupKey(name), g)
}

// tellOutdated tells a member that gets no keys that there are newer ones: who was
// revoked may have those that it has, and it is not to obey them until somebody else
// renews its association. The message has no secrets: it is the configuration with
// its version.
func (s *Server) tellOutdated(tx store.Tx, g *groupRecord, m *memberRecord) error {
	if m.ControlURI == "" || s.cfg.Exchange == nil || m.Assoc == "" {
		return nil
	}
	live, barred, err := s.links(tx, g.Name, m, nil)
	if err != nil || !barred || len(live) > 0 {
		return err
	}
	n := &notice{Kind: noticeOutdated, Assoc: m.Assoc, URI: m.ControlURI, Payload: ace.Encode(g.configNotice())}
	return s.putNotice(tx, g.Name, m.Subject, n)
}

// barredLeaves are the leaves of the members who get no keys. Most of the time
// nobody is revoked, and nothing is looked at.
func (s *Server) barredLeaves(tx store.Tx, g *groupRecord) ([]uint32, error) {
	actors, err := barredActors(tx)
	if err != nil || len(actors) == 0 || g.Tree == nil {
		return nil, err
	}
	members, err := everyMember(tx, g.Name)
	if err != nil {
		return nil, err
	}
	var leaves []uint32
	for _, m := range members {
		live, barred, err := s.links(tx, g.Name, m, nil)
		if err != nil {
			return nil, err
		}
		if !barred || len(live) > 0 {
			continue
		}
		l, err := g.leafOf(tx, m.Node)
		if err != nil {
			return nil, err
		}
		if l != nil {
			leaves = append(leaves, l.Leaf)
		}
	}
	return leaves, nil
}

// resume has the members of all groups told who were kept waiting.
func (s *Server) resume(tx store.Tx) error {
	var names []string
	if err := tx.Scan(jobKey(""), func(key string, _ []byte) bool {
		names = append(names, strings.TrimPrefix(key, jobKey("")))
		return true
	}); err != nil {
		return err
	}
	for _, name := range names {
		if err := s.reopen(tx, name); err != nil {
			return err
		}
	}
	return nil
}

// reopen has a group's job look at its members again.
func (s *Server) reopen(tx store.Tx, name string) error {
	job, err := load[rekeyJob](tx, jobKey(name))
	if err != nil || job == nil {
		return err
	}
	afterwards(tx, func() { s.jobs.add(name) })
	if job.Ended == 0 {
		return nil
	}
	job.Ended = 0
	return save(tx, jobKey(name), job)
}

// barredDetail is the sentence for who asks for keys over such an association.
const barredDetail = "This association was obtained by a person who was revoked; somebody else has to renew it."

// trusts says whether a resource brings keys or changes something: it is closed to
// barred associations, over which the person who was revoked may be asking.
func (r *resource) trusts() bool {
	return r.path == "GROUP" || r.path == "GROUP/nodes/NODE" || r.change != ""
}

// refuseBarred refuses what a barred association must not be used for: anything, when
// the device has one by now that somebody else obtained.
func (x *exchange) refuseBarred(r *resource) (*coap.Message, error) {
	renewed := x.me != nil && x.me.Assoc != x.assoc.ID
	if !r.trusts() && !renewed {
		return nil, nil
	}
	barred, err := isBarred(x.tx, x.assoc)
	if err != nil || !barred {
		return nil, err
	}
	return coap.Problem(coap.Forbidden, barredDetail), nil
}
