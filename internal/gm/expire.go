package gm

import (
	"context"
	"strings"

	"lamplighter/internal/store"
)

// Sweep evicts members whose last token is about to expire, and deletes the
// associations of those that have. KGO, Section 10.
func (s *Server) Sweep(ctx context.Context) error { return s.expire(ctx) }

// expire ends what expires by now.
func (s *Server) expire(ctx context.Context) error {
	for {
		ids, err := s.expiring(ctx)
		if err != nil || len(ids) == 0 {
			return err
		}
		n, err := s.expireSome(ctx, ids)
		if err != nil || n == 0 {
			return err
		}
	}
}

// expireSome evicts the members whose last associations are among these, and
// deletes those that have expired: their number is the result.
func (s *Server) expireSome(ctx context.Context, ids []string) (int, error) {
	var dead []*associationRecord
	err := s.commit(ctx, "expire", func(tx store.Tx) error {
		dead = nil
		var dying []*associationRecord
		without := map[string]bool{}
		for _, id := range ids {
			a, err := load[associationRecord](tx, associationKey(id))
			if err != nil {
				return err
			}
			if a == nil {
				continue
			}
			without[id] = true
			dying = append(dying, a)
			if s.expired(a) {
				dead = append(dead, a)
			}
		}
		if err := s.endMemberships(tx, dying, without, ReasonExpired); err != nil {
			return err
		}
		return s.buryAll(tx, dead)
	})
	if err == nil {
		s.drop(dead)
	}
	return len(dead), err
}

// buryAll deletes associations that have expired; who observes over them hears of
// it. RFC 9200, Section 5.10.3.
func (s *Server) buryAll(tx store.Tx, dead []*associationRecord) error {
	for _, a := range dead {
		if err := a.delete(tx); err != nil {
			return err
		}
		id, names := a.ID, a.groups()
		afterwards(tx, func() { s.endObservations(id, names) })
	}
	return nil
}

// expiring lists the associations that expire by now, or so soon that members who
// have no other are to be told.
func (s *Server) expiring(ctx context.Context) (ids []string, err error) {
	until := expiryKey(uint64(s.cfg.Now().Add(evictAhead).Unix())+1, "")
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		ids = nil
		return tx.Scan("x/e/", func(key string, _ []byte) bool {
			if key >= until {
				return false
			}
			ids = append(ids, key[strings.LastIndexByte(key, '/')+1:])
			return len(ids) < maxExpiring
		})
	})
	return ids, err
}

const maxExpiring = 1024 // in one transaction
