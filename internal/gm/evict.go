package gm

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"

	"lamplighter/internal/ace"
	"lamplighter/internal/store"
)

// expel ends the membership of somebody who did not ask for it, and has it told.
// The caller rekeys the group and saves it, in the same transaction. KGO, Section
// 10.
func (s *Server) expel(tx store.Tx, g *groupRecord, m *memberRecord, why Reason) error {
	if err := s.tellEvicted(tx, g.Name, m, why); err != nil {
		return err
	}
	if err := g.forget(tx, m); err != nil {
		return err
	}
	if why == ReasonEvicted {
		if err := s.lapse(tx, g.Name, m.Subject); err != nil {
			return err
		}
	}
	name, num, node, sid, subject := g.Name, g.Num, m.Node, hex.EncodeToString(m.SenderID), m.Subject
	afterwards(tx, func() {
		s.count(EventEvict)
		s.log.Info("evicted a member", "group", name, "num", num, "node", node, "sid", sid, "subject", subject, "reason", string(why))
	})
	return nil
}

// removeAll evicts members and rekeys the group once.
func (s *Server) removeAll(tx store.Tx, name string, gone []*memberRecord, why Reason) error {
	if len(gone) == 0 {
		return nil
	}
	g, err := load[groupRecord](tx, groupKey(name))
	if err != nil {
		return err
	}
	if g == nil {
		return ErrNoGroup
	}
	for _, m := range gone {
		if err := s.expel(tx, g, m, why); err != nil {
			return err
		}
	}
	if err := s.tellAll(tx, g); err != nil {
		return err
	}
	if err := s.rekey(tx, g, cause{reason: why}); err != nil {
		return err
	}
	return save(tx, groupKey(name), g)
}

// tellAll sends a DELETE to the group address when nobody is left who could be
// there for another reason. KGO, Section 10 wants it; as nothing protects it,
// members of this project believe only what each is told by itself.
func (s *Server) tellAll(tx store.Tx, g *groupRecord) error {
	if g.ControlGroupURI == "" || s.cfg.Exchange == nil || occupied(tx, g.Name) {
		return nil
	}
	return s.putNotice(tx, g.Name, "", &notice{Kind: noticeAll, URI: g.ControlGroupURI})
}

// Evict removes members by their NODENAMEs, gives the others new keys and tells
// both: one rekeying, however many they are. It fails with [ErrNoMember] and
// changes nothing when one is no member. KGO, Section 10.
func (s *Server) Evict(ctx context.Context, name string, nodes ...string) error {
	return s.commit(ctx, "evict", func(tx store.Tx) error {
		if g, err := tx.Get(groupKey(name)); err != nil || g == nil {
			return errors.Join(err, ErrNoGroup)
		}
		gone, err := membersOf(tx, name, nodes)
		if err != nil {
			return err
		}
		return s.removeAll(tx, name, gone, ReasonEvicted)
	})
}

// membersOf loads members by their NODENAMEs, each once.
func membersOf(tx store.Tx, name string, nodes []string) ([]*memberRecord, error) {
	var found []*memberRecord
	for i, node := range nodes {
		if slices.Contains(nodes[:i], node) {
			continue
		}
		m, err := load[memberRecord](tx, memberKey(name, node))
		if err != nil {
			return nil, err
		}
		if m == nil {
			return nil, ErrNoMember
		}
		found = append(found, m)
	}
	return found, nil
}

// Preview says what a rekeying will do before it is done.
type Preview struct {
	Evicted    []string // NODENAMEs
	Stale      [][]byte // Sender IDs that become stale
	Keys       []string // NODENAMEs of who gets new keys
	Barred     []string // NODENAMEs of who gets none
	Asking     []string // NODENAMEs of who is told by nobody and will have to ask
	ToMany     bool     // whether one message goes to many
	Posts      int      // messages to members' own resources
	Notices    int      // notifications to members that observe the group
	Multicasts int      // messages to the group address, with their repetitions
}

// Messages counts all messages, without what is lost and repeated.
func (p *Preview) Messages() int { return p.Posts + p.Notices + p.Multicasts }

// Preview says what evicting members would do; without any, what a rekeying would.
// It fails as [Server.Evict] does.
func (s *Server) Preview(ctx context.Context, name string, nodes ...string) (p Preview, err error) {
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		p, err = s.previewIn(tx, name, nodes)
		return err
	})
	return p, err
}

func (s *Server) previewIn(tx store.Tx, name string, nodes []string) (p Preview, err error) {
	g, err := load[groupRecord](tx, groupKey(name))
	if err != nil || g == nil {
		return p, errors.Join(err, ErrNoGroup)
	}
	gone, err := membersOf(tx, name, nodes)
	if err != nil {
		return p, err
	}
	for _, m := range gone {
		p.Evicted = append(p.Evicted, m.Node)
		if m.SenderID != nil {
			p.Stale = append(p.Stale, m.SenderID)
		}
		if m.ControlURI != "" && s.cfg.Exchange != nil {
			p.Posts++ // the notice
		}
	}
	p.Stale = append(p.Stale, g.current().SIDs...)
	return p, s.foresee(tx, g, gone, &p)
}

// foresee fills in how the members that stay would be told.
func (s *Server) foresee(tx store.Tx, g *groupRecord, gone []*memberRecord, p *Preview) error {
	job, err := s.foreseeJob(tx, g, gone)
	if err != nil {
		return err
	}
	targets, err := s.targets(tx, g, job)
	if err != nil {
		return err
	}
	for _, t := range targets {
		if slices.Contains(p.Evicted, t.m.Node) {
			continue
		}
		if t.state == stateBarred {
			p.Barred = append(p.Barred, t.m.Node)
			continue
		}
		p.Keys = append(p.Keys, t.m.Node)
		switch t.way {
		case wayControl:
			p.Posts++
		case wayObserve:
			p.Notices++
		case wayMulticast:
			p.ToMany = true
		default:
			p.Asking = append(p.Asking, t.m.Node)
		}
	}
	if p.ToMany {
		p.Multicasts = maxSent * ace.OneToManyParts(len(job.Cover))
	}
	return nil
}

// foreseeJob is the job that a rekeying would make.
func (s *Server) foreseeJob(tx store.Tx, g *groupRecord, gone []*memberRecord) (*rekeyJob, error) {
	job := &rekeyJob{Num: g.Num + 1}
	if g.Scheme != ace.RekeyingCompleteSubtree || g.Tree == nil {
		return job, nil
	}
	without, err := s.barredLeaves(tx, g)
	if err != nil {
		return nil, err
	}
	for _, m := range gone {
		l, err := g.leafOf(tx, m.Node)
		if err != nil {
			return nil, err
		}
		if l != nil {
			without = append(without, l.Leaf)
		}
	}
	if cover := g.Tree.cover(without); len(cover) <= maxCover {
		job.Cover = cover
	}
	return job, nil
}
