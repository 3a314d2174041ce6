package gm

import (
	"context"
	"errors"
	"sync"
	"time"

	"lamplighter/internal/store"
)

// Progress says how far the latest rekeying of a group is.
type Progress struct {
	Group     string
	Reason    Reason
	Num       uint64    // the version of the keys that it brings
	Started   time.Time // zero: the group was never rekeyed
	Ended     time.Time // zero: it goes on
	Total     int       // members
	Told      int       // were told and have not confirmed it
	Confirmed int       // have the keys
	Failed    []string  // NODENAMEs of who could not be told
	Barred    int       // get no keys over the associations that they have
	Asking    int       // nothing leads to them: they find out and ask
}

// Progress says how far the latest rekeying of a group is.
func (s *Server) Progress(ctx context.Context, name string) (p Progress, err error) {
	if err := s.noteHeard(ctx); err != nil {
		return p, err
	}
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		p, err = s.progressIn(tx, name)
		return err
	})
	return p, err
}

func (s *Server) progressIn(tx store.Tx, name string) (Progress, error) {
	g, err := load[groupRecord](tx, groupKey(name))
	if err != nil || g == nil {
		return Progress{}, errors.Join(err, ErrNoGroup)
	}
	job, err := load[rekeyJob](tx, jobKey(name))
	if err != nil {
		return Progress{}, err
	}
	p := Progress{Group: name, Num: g.Num}
	if job == nil {
		job = &rekeyJob{Num: g.Num}
	} else {
		p.Reason, p.Num, p.Started = job.Reason, job.Num, time.UnixMilli(job.Started)
	}
	if job.Ended != 0 {
		p.Ended = time.UnixMilli(job.Ended)
	}
	targets, err := s.targets(tx, g, job)
	for _, t := range targets {
		p.count(job, t)
	}
	return p, err
}

func (p *Progress) count(job *rekeyJob, t *target) {
	p.Total++
	switch {
	case t.state == stateConfirmed:
		p.Confirmed++
	case t.state == stateBarred:
		p.Barred++
	case t.state == stateFailed:
		p.Failed = append(p.Failed, t.m.Node)
	case t.state == stateTold, t.way == wayMulticast && job.Sent > 0:
		p.Told++
	case t.state == stateAsks:
		p.Asking++
	}
}

// watching keeps who wants to hear of rekeyings. Its zero value is ready.
type watching struct {
	mu   sync.Mutex
	list map[*func(Progress)]struct{}
}

// WatchProgress calls fn with how far a rekeying is each time that something has
// changed, until ctx ends. Calls may overlap.
func (s *Server) WatchProgress(ctx context.Context, fn func(Progress)) {
	s.watching.mu.Lock()
	defer s.watching.mu.Unlock()
	if s.watching.list == nil {
		s.watching.list = map[*func(Progress)]struct{}{}
	}
	key := &fn
	s.watching.list[key] = struct{}{}
	context.AfterFunc(ctx, func() {
		s.watching.mu.Lock()
		defer s.watching.mu.Unlock()
		delete(s.watching.list, key)
	})
}

// announce tells who watches how far a group's rekeying is.
func (s *Server) announce(name string) {
	s.watched.notify(s, name, "rekey")
	s.watching.mu.Lock()
	fns := make([]func(Progress), 0, len(s.watching.list))
	for fn := range s.watching.list {
		fns = append(fns, *fn)
	}
	s.watching.mu.Unlock()
	if len(fns) == 0 {
		return
	}
	var p Progress
	err := s.cfg.Store.View(context.Background(), func(tx store.Tx) (err error) {
		p, err = s.progressIn(tx, name)
		return err
	})
	if err != nil {
		return
	}
	for _, fn := range fns {
		fn(p)
	}
}
