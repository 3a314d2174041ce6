package gm

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"lamplighter/internal/cbor"
	"lamplighter/internal/store"
)

const (
	// How many associations one token may have at a time. Posting a token is not
	// protected, so who replays it must not end what its owner uses: a new
	// association replaces older ones only when it is used.
	maxPerToken = 4
	// How many associations one subject may have at a time.
	maxPerSubject = 64

	recipientIDLen = 3
)

// eachAssociation calls fn for every stored association until it returns false.
func eachAssociation(tx store.Tx, fn func(*associationRecord) bool) error {
	var failed error
	err := tx.Scan("a/", func(_ string, data []byte) bool {
		a := new(associationRecord)
		if failed = cbor.Unmarshal(data, a); failed != nil {
			return false
		}
		return fn(a)
	})
	if failed != nil {
		return fmt.Errorf("reading a stored association: %w", failed)
	}
	return err
}

var errNumbered = errors.New("another context of the association has taken sequence numbers")

// reserver makes the Sender Sequence Numbers of one association durable. Answers
// take the request's number: what the Group Manager numbers itself are Echo
// challenges, notifications and its own requests.
type reserver struct {
	s    *Server
	id   string
	mark uint64 // what is durable as far as this context knows; under the sequence's lock
}

// Reserve implements [oscore.Reserver]. It holds only when the durable mark is the
// one that this context left there: two contexts of one association would give out
// the same numbers.
func (r *reserver) Reserve(mark uint64) error {
	err := r.s.cfg.Store.Update(context.Background(), func(tx store.Tx) error {
		a, err := tx.Get(associationKey(r.id))
		if err != nil {
			return err
		}
		if a == nil {
			return errExpired // nothing is left to number
		}
		old, err := loadCounter(tx, sequenceKey(r.id))
		if err != nil {
			return err
		}
		if old != r.mark {
			return errNumbered
		}
		return saveCounter(tx, sequenceKey(r.id), mark)
	})
	if err == nil {
		r.mark = mark
	}
	return err
}

// Ahead implements [oscore.Reserver]. It leaves the work to Reserve: 128 numbers
// last a Group Manager for long, and of two reservations at a time one would fail.
func (r *reserver) Ahead(uint64) {}

// delete takes an association and its marks off the store.
func (a *associationRecord) delete(tx store.Tx) error {
	for _, key := range append(a.indexes(), associationKey(a.ID), sequenceKey(a.ID)) {
		if err := tx.Delete(key); err != nil {
			return err
		}
	}
	return nil
}

// save writes an association whose token is the same as before.
func (a *associationRecord) save(tx store.Tx) error { return save(tx, associationKey(a.ID), a) }

// replace writes an association and its indexes, in the place of what it was with
// another token; old is nil for a new one.
func (a *associationRecord) replace(tx store.Tx, old *associationRecord) error {
	if old != nil {
		for _, key := range old.indexes() {
			if err := tx.Delete(key); err != nil {
				return err
			}
		}
	}
	for _, key := range a.indexes() {
		if err := tx.Put(key, nil); err != nil {
			return err
		}
	}
	return a.save(tx)
}

// siblings loads the associations of a's token, oldest first. An Authorization
// Server that lost its state may number input material anew: the same id with
// another secret is another token.
func (a *associationRecord) siblings(tx store.Tx) ([]*associationRecord, error) {
	all, err := indexed(tx, tokenKey(a.Token, ""))
	return slices.DeleteFunc(all, func(o *associationRecord) bool {
		return subtle.ConstantTimeCompare(o.MasterSecret, a.MasterSecret) != 1
	}), err
}

// indexed loads the associations that an index lists, oldest first.
func indexed(tx store.Tx, prefix string) ([]*associationRecord, error) {
	var ids []string
	if err := tx.Scan(prefix, func(key string, _ []byte) bool {
		ids = append(ids, strings.TrimPrefix(key, prefix))
		return true
	}); err != nil {
		return nil, err
	}
	var all []*associationRecord
	for _, id := range ids {
		a, err := load[associationRecord](tx, associationKey(id))
		if err != nil {
			return nil, err
		}
		if a != nil {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, func(a, b *associationRecord) int { return cmp.Compare(a.Serial, b.Serial) })
	return all, nil
}

// insert gives an OSCORE association its Recipient ID and stores it.
// It makes room by dropping what its owner is least likely to use; the oldest
// association of a token may be the one in use and stays. It returns what it
// dropped.
func (s *Server) insert(tx store.Tx, a *associationRecord) (dropped []*associationRecord, err error) {
	if a.RecipientID, err = s.newRecipientID(tx, a.SenderID); err != nil {
		return nil, err
	}
	a.ID = hex.EncodeToString(a.RecipientID)
	return s.enter(tx, a)
}

// enter gives an association its serial number, makes room for it and stores it.
func (s *Server) enter(tx store.Tx, a *associationRecord) (dropped []*associationRecord, err error) {
	serial, err := loadCounter(tx, serialKey)
	if err != nil {
		return nil, err
	}
	a.Serial = serial + 1
	if err := saveCounter(tx, serialKey, a.Serial); err != nil {
		return nil, err
	}
	siblings, err := a.siblings(tx)
	if err != nil {
		return nil, err
	}
	if len(siblings) >= maxPerToken {
		dropped = append(dropped, siblings[1:len(siblings)-maxPerToken+2]...)
	}
	owned, err := indexed(tx, ownerKey(a.Subject, ""))
	if err != nil {
		return nil, err
	}
	if len(owned) >= maxPerSubject {
		dropped = append(dropped, owned[:len(owned)-maxPerSubject+1]...)
	}
	for _, d := range dropped {
		if err := d.delete(tx); err != nil {
			return nil, err
		}
	}
	a.Origin = a.Actor
	return dropped, a.replace(tx, nil)
}

// newRecipientID draws ID2: nobody else's here and not the client's ID1. RFC
// 9203, Section 4.2.
func (s *Server) newRecipientID(tx store.Tx, id1 []byte) ([]byte, error) {
	for range 16 {
		id, err := s.random(recipientIDLen)
		if err != nil {
			return nil, err
		}
		taken, err := tx.Get(associationKey(hex.EncodeToString(id)))
		if err != nil {
			return nil, err
		}
		if taken == nil && string(id) != string(id1) {
			return id, nil
		}
	}
	return nil, errors.New("no Recipient ID is free")
}
