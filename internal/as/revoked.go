package as

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/store"
)

// The token revocation list is kept by hash. For each of those who may ask there
// is a bounded collection of the updates that concern them (RFC 9770, Section
// 6.2): the resource servers, the administrators together, and each person.

// Bounds of an update collection. They are told in docs/servers.md. RFC 9770,
// Section 9.
const (
	MaxN         = 32        // updates that are kept: MAX_N
	MaxDiffBatch = 8         // updates in one answer: MAX_DIFF_BATCH
	MaxIndex     = 1<<32 - 1 // of an update: MAX_INDEX
)

// revokedRecord is a revoked token that has not expired.
type revokedRecord struct {
	Subject   string `cbor:"1,keyasint"`
	Installer string `cbor:"2,keyasint"` // who asked for it
	Audience  string `cbor:"3,keyasint"`
	Expires   uint64 `cbor:"4,keyasint"` // seconds since 1970
}

// updatesRecord is an update collection. Next is the index of the next update and
// Count how many there were, ever, as far as that matters.
type updatesRecord struct {
	Next    uint64   `cbor:"1,keyasint"`
	Wrapped bool     `cbor:"2,keyasint,omitempty"` // Next began anew
	Updates []update `cbor:"3,keyasint"`           // oldest first
}

type update struct {
	Index   uint64   `cbor:"1,keyasint"`
	Removed [][]byte `cbor:"2,keyasint"`
	Added   [][]byte `cbor:"3,keyasint"`
}

// requesters of the list.
const (
	requesterAdmin  = "admin"
	requesterRS     = "rs/"     // audience
	requesterPerson = "person/" // id
)

// told names those whom a revoked token concerns. RFC 9770, Section 2: a token
// pertains to its client and to its resource server.
func (r *revokedRecord) told() []string {
	return []string{requesterAdmin, requesterRS + r.Audience, requesterPerson + r.Installer}
}

func (r *revokedRecord) concerns(requester string) bool { return slices.Contains(r.told(), requester) }

// change is an update of the list under way.
type change struct {
	removed, added map[string]*revokedRecord // by hash
}

// revokeTokens puts the tokens of a subject on the list that which accepts.
func revokeTokens(tx store.Tx, subject string, now time.Time, c *change) error {
	all, err := scan[ownerRecord](tx, ownerPrefix(subject))
	if err != nil {
		return err
	}
	for _, o := range all {
		if expired(o.Expires, now) {
			continue
		}
		id := hex.EncodeToString(o.Hash)
		r := &revokedRecord{Subject: subject, Installer: o.Installer, Audience: o.Audience, Expires: o.Expires}
		known, err := tx.Get(prefixRevoked + id)
		if err != nil {
			return err
		}
		if known == nil {
			c.add(o.Hash, r)
			if err := save(tx, prefixRevoked+id, r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *change) add(hash []byte, r *revokedRecord) {
	if c.added == nil {
		c.added = make(map[string]*revokedRecord)
	}
	c.added[string(hash)] = r
}

// endRevoked takes the tokens off the list that have expired. RFC 9770, Section
// 5.1.
func endRevoked(tx store.Tx, now time.Time, c *change) error {
	all, err := scan[revokedRecord](tx, prefixRevoked)
	if err != nil {
		return err
	}
	for id, r := range all {
		if !expired(r.Expires, now) {
			continue
		}
		hash, err := hex.DecodeString(id)
		if err != nil {
			return err
		}
		if c.removed == nil {
			c.removed = make(map[string]*revokedRecord)
		}
		c.removed[string(hash)] = r
		if err := tx.Delete(prefixRevoked + id); err != nil {
			return err
		}
	}
	return nil
}

// save adds the update to the collections of those whom it concerns, and returns
// their names. RFC 9770, Section 6.2.
func (c *change) save(tx store.Tx) (told []string, err error) {
	parts := make(map[string]*update)
	sort := func(hashes map[string]*revokedRecord, put func(*update, []byte)) {
		for hash, r := range hashes {
			for _, who := range r.told() {
				if parts[who] == nil {
					parts[who] = &update{Removed: [][]byte{}, Added: [][]byte{}}
				}
				put(parts[who], []byte(hash))
			}
		}
	}
	sort(c.removed, func(u *update, hash []byte) { u.Removed = append(u.Removed, hash) })
	sort(c.added, func(u *update, hash []byte) { u.Added = append(u.Added, hash) })
	for who, u := range parts {
		slices.SortFunc(u.Removed, slices.Compare[[]byte])
		slices.SortFunc(u.Added, slices.Compare[[]byte])
		list, err := loadUpdates(tx, who)
		if err != nil {
			return nil, err
		}
		list.append(*u)
		if err := save(tx, prefixUpdates+who, list); err != nil {
			return nil, err
		}
		told = append(told, who)
	}
	return told, nil
}

func loadUpdates(tx store.Tx, who string) (*updatesRecord, error) {
	list, err := load[updatesRecord](tx, prefixUpdates+who)
	if err == nil && list == nil {
		list = &updatesRecord{}
	}
	return list, err
}

// append adds the newest update and drops the oldest one when there are too many.
func (l *updatesRecord) append(u update) {
	u.Index = l.Next
	if l.Next++; l.Next > MaxIndex {
		l.Next, l.Wrapped = 0, true
	}
	if l.Updates = append(l.Updates, u); len(l.Updates) > MaxN {
		l.Updates = slices.Delete(l.Updates, 0, len(l.Updates)-MaxN)
	}
}

// sweepRevoked takes expired tokens off the list and tells the observers.
func (s *Server) sweepRevoked(ctx context.Context) error {
	now, due := s.cfg.Now(), false
	err := s.cfg.Store.View(ctx, func(tx store.Tx) error {
		due = false
		return tx.Scan(prefixRevoked, func(_ string, value []byte) bool {
			var r revokedRecord
			due = cbor.Unmarshal(value, &r) == nil && expired(r.Expires, now)
			return !due
		})
	})
	if err != nil || !due {
		return err
	}
	return s.changeList(ctx, "end revoked", func(tx store.Tx, c *change) error { return endRevoked(tx, now, c) })
}

// fullSet returns the hashes on the list that concern a requester. RFC 9770,
// Section 7.
func fullSet(tx store.Tx, requester string, now time.Time) ([][]byte, error) {
	all, err := scan[revokedRecord](tx, prefixRevoked)
	set := [][]byte{}
	for id, r := range all {
		hash, bad := hex.DecodeString(id)
		err = errors.Join(err, bad)
		if r.concerns(requester) && !expired(r.Expires, now) {
			set = append(set, hash)
		}
	}
	slices.SortFunc(set, slices.Compare[[]byte])
	return set, err
}

// isRevoked reports whether a token is on the list.
func (s *Server) isRevoked(ctx context.Context, token []byte) (revoked bool, err error) {
	key := prefixRevoked + hex.EncodeToString(ace.TokenHash(token))
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		value, err := tx.Get(key)
		revoked = value != nil
		return err
	})
	return revoked, err
}

// revokedPeople returns the ids of the people whose access was revoked.
func revokedPeople(tx store.Tx) ([]string, error) {
	all, err := scan[installerRecord](tx, prefixInstaller)
	ids := []string{}
	for id, i := range all {
		if i.Revoked != 0 {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, strings.Compare)
	return ids, err
}
