package gm

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/store"
)

// Keys of what is kept about tokens:
//
//	x/r/HASH      a revoked token; the value is when it expires, "" when it was never seen
//	x/t/HASH/ID   an association made with the token HASH
//	x/e/EXP/ID    an association by when its token expires
func revokedKey(hash []byte) string              { return "x/r/" + hex.EncodeToString(hash) }
func hashKey(hash []byte, id string) string      { return "x/t/" + hex.EncodeToString(hash) + "/" + id }
func expiryKey(expires uint64, id string) string { return fmt.Sprintf("x/e/%016x/%s", expires, id) }

const (
	// Members are evicted so long before the last of their tokens expires, as they
	// cannot be told afterwards. RFC 9203, Section 4.3 against KGO, Section 10.
	evictAhead = 10 * time.Second

	// An association whose token was revoked goes on so long, for the notice alone.
	noticeTime = 2 * time.Minute
)

// indexes are the keys under which an association is found again.
func (a *associationRecord) indexes() []string {
	keys := []string{tokenKey(a.Token, a.ID), ownerKey(a.Subject, a.ID), expiryKey(a.Expires, a.ID)}
	if a.Hash != nil {
		keys = append(keys, hashKey(a.Hash, a.ID))
	}
	return keys
}

// isRevoked says whether a token is on the revocation list, and notes when it
// expires: until then the hash is kept whatever the list says. RFC 9770, Section
// 11.1.
func (s *Server) isRevoked(ctx context.Context, hash []byte, expires uint64) (revoked bool, err error) {
	known := false
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		revoked, known = false, false
		return tx.Scan(revokedKey(hash), func(_ string, value []byte) bool {
			revoked, known = true, len(value) > 0
			return false
		})
	})
	if err != nil || !revoked || known {
		return revoked, err
	}
	return true, s.commit(ctx, "revoked token", func(tx store.Tx) error {
		return tx.Put(revokedKey(hash), strconv.AppendUint(nil, expires, 10))
	})
}

// Revoked takes the full token revocation list. Associations made with tokens on it
// end, and members who have none left for a group are evicted from it. RFC 9770,
// Section 11.1; RFC 9594, Section 5; KGO, Section 10.
func (s *Server) Revoked(ctx context.Context, hashes [][]byte) error {
	for _, h := range hashes {
		if len(h) != ace.TokenHashSize {
			return fmt.Errorf("%w: a token hash of %d bytes", ace.ErrDecode, len(h))
		}
	}
	return s.commit(ctx, "revoked", func(tx store.Tx) error {
		fresh, err := s.storeRevoked(tx, hashes)
		if err != nil {
			return err
		}
		var dying []*associationRecord
		for _, h := range fresh {
			found, err := indexed(tx, hashKey(h, ""))
			if err != nil {
				return err
			}
			dying = append(dying, found...)
		}
		return s.endAuthorizations(tx, dying, ReasonRevoked)
	})
}

// storeRevoked makes the stored list the given one and returns what is new on it.
// What is no longer on it is forgotten when it is known to have expired.
func (s *Server) storeRevoked(tx store.Tx, hashes [][]byte) (fresh [][]byte, err error) {
	old := map[string][]byte{}
	if err := tx.Scan("x/r/", func(key string, value []byte) bool { old[key] = value; return true }); err != nil {
		return nil, err
	}
	for _, h := range hashes {
		key := revokedKey(h)
		if _, known := old[key]; known {
			delete(old, key)
			continue
		}
		fresh = append(fresh, h)
		value, err := s.expiryOf(tx, h)
		if err != nil {
			return nil, err
		}
		if err := tx.Put(key, value); err != nil {
			return nil, err
		}
	}
	now := uint64(s.cfg.Now().Unix())
	for key, value := range old {
		if expires, err := strconv.ParseUint(string(value), 10, 64); err != nil || now < expires {
			continue
		}
		if err := tx.Delete(key); err != nil {
			return nil, err
		}
	}
	return fresh, nil
}

// expiryOf is when the token of a hash expires, as far as it is known.
func (s *Server) expiryOf(tx store.Tx, hash []byte) ([]byte, error) {
	found, err := indexed(tx, hashKey(hash, ""))
	if err != nil || len(found) == 0 {
		return []byte{}, err
	}
	return strconv.AppendUint(nil, found[0].Expires, 10), nil
}

// endAuthorizations ends associations whose tokens were revoked, and the
// memberships that rested on them alone.
func (s *Server) endAuthorizations(tx store.Tx, dying []*associationRecord, why Reason) error {
	for _, a := range dying {
		if err := s.retire(tx, a); err != nil {
			return err
		}
	}
	return s.endMemberships(tx, dying, nil, why)
}

// endMemberships evicts the subjects of some associations from the groups of these
// for which they have no other; those with an id in without do not count.
func (s *Server) endMemberships(tx store.Tx, dying []*associationRecord, without map[string]bool, why Reason) error {
	lost := map[string][]*memberRecord{}
	seen := map[string]bool{}
	for _, a := range dying {
		for _, name := range a.groups() {
			if key := name + "/" + a.Subject; seen[key] {
				continue
			} else {
				seen[key] = true
			}
			m, err := s.unauthorizedIn(tx, name, a.Subject, without)
			if err != nil {
				return err
			}
			if m != nil {
				lost[name] = append(lost[name], m)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(lost)) {
		if err := s.removeAll(tx, name, lost[name], why); err != nil {
			return err
		}
	}
	return nil
}

// retire lets an association serve nothing but the notice of an eviction for a
// while. Its observers hear that their token is good no longer. RFC 9200, Section
// 5.10.3.
func (s *Server) retire(tx store.Tx, a *associationRecord) error {
	old := *a
	a.Revoked = true
	a.Expires = min(a.Expires, uint64(s.cfg.Now().Add(noticeTime).Unix()))
	if err := tx.Delete(expiryKey(old.Expires, a.ID)); err != nil {
		return err
	}
	if err := a.save(tx); err != nil {
		return err
	}
	id, names := a.ID, a.groups()
	afterwards(tx, func() { s.endObservations(id, names) })
	s.logAfter(tx, "an association has ended", "association", a.ID, "subject", a.Subject)
	return nil
}

// endObservations ends the observations over an association whose token is good no
// longer.
func (s *Server) endObservations(id string, names []string) {
	for _, name := range names {
		for _, kind := range []observable{observedGroup, observedActive} {
			s.tellOver(kind, name, []string{id}, s.unauthorized())
		}
	}
	s.watched.end(s, id)
}

// unauthorizedIn returns the member of a group that a subject is, if no token of it
// grants that any more.
func (s *Server) unauthorizedIn(tx store.Tx, name, subject string, without map[string]bool) (*memberRecord, error) {
	m, err := loadMember(tx, name, subject)
	if err != nil || m == nil {
		return nil, err
	}
	live, barred, err := s.links(tx, name, m, without)
	if err != nil || len(live) > 0 || barred {
		return nil, err
	}
	return m, nil
}

// revised writes an association whose token was replaced, and evicts its subject
// from groups for which the new one grants less.
func (s *Server) revised(tx store.Tx, a, old *associationRecord) error {
	if err := a.replace(tx, old); err != nil {
		return err
	}
	return s.endMemberships(tx, []*associationRecord{old}, nil, ReasonReduced)
}

// logAfter logs an event once it is durable.
func (s *Server) logAfter(tx store.Tx, what string, args ...any) {
	afterwards(tx, func() { s.log.Info(what, args...) })
}
