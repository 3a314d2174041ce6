package gm

import (
	"cmp"
	"slices"
	"time"

	"lamplighter/internal/store"
)

// plan is what is to be done for a group's latest rekeying at one moment.
type plan struct {
	g       *groupRecord
	job     *rekeyJob
	targets []*target // all members
	next    time.Time // when those are due that are not yet
}

func (s *Server) planIn(tx store.Tx, name string) (*plan, error) {
	g, err := load[groupRecord](tx, groupKey(name))
	if err != nil || g == nil {
		return nil, err
	}
	job, err := load[rekeyJob](tx, jobKey(name))
	if err != nil || job == nil || job.Ended != 0 || job.Num != g.Num {
		return nil, err
	}
	p := &plan{g: g, job: job}
	p.targets, err = s.targets(tx, g, job)
	return p, err
}

// targets says of every member where it stands.
func (s *Server) targets(tx store.Tx, g *groupRecord, job *rekeyJob) ([]*target, error) {
	members, err := everyMember(tx, g.Name)
	if err != nil {
		return nil, err
	}
	all := make([]*target, len(members))
	for i, m := range members {
		var err error
		if all[i], err = s.target(tx, g, job, m); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// by lists the members who are to be told in a way, now.
func (p *plan) by(w passage, now time.Time) (due []*target) {
	for _, t := range p.targets {
		if t.way == w && t.state == statePending && !isLater(t.p.Next, now) {
			due = append(due, t)
		}
	}
	// Who did not answer before waits for those who may, not the other way round.
	slices.SortStableFunc(due, func(a, b *target) int { return cmp.Compare(a.p.Tries, b.p.Tries) })
	return due
}
