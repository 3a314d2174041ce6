package gm

import (
	"context"
	"maps"
	"slices"

	"lamplighter/internal/store"
)

// noteHeard makes durable which members were given keys because they asked.
func (s *Server) noteHeard(ctx context.Context) error {
	s.jobs.mu.Lock()
	heard := maps.Clone(s.jobs.heard)
	s.jobs.mu.Unlock()
	if len(heard) == 0 {
		return nil
	}
	err := s.commit(ctx, "rekeying progress", func(tx store.Tx) error {
		for h, num := range heard {
			m, err := tx.Get(memberKey(h.group, h.node))
			if err != nil {
				return err
			}
			if m == nil {
				continue
			}
			if err := (&groupRecord{Name: h.group}).has(tx, h.node, num); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var groups []string
	s.jobs.mu.Lock()
	for h, num := range heard {
		if s.jobs.heard[h] == num {
			delete(s.jobs.heard, h)
		}
		if !slices.Contains(groups, h.group) {
			groups = append(groups, h.group)
		}
	}
	s.jobs.mu.Unlock()
	for _, name := range groups {
		s.announce(name)
	}
	return nil
}

// hasAsked notes that a member was given the keys of a version because it asked.
func (s *Server) hasAsked(group, node string, num uint64) {
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	if len(s.jobs.heard) < maxHeard {
		s.jobs.heard[heard{group, node}] = num
	}
}

const maxHeard = 1 << 16 // what is not noted is told once more, and ignored there

type heard struct{ group, node string }
