package gm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"lamplighter/internal/cose"
	"lamplighter/internal/store"
	"lamplighter/internal/store/schema"
)

// A backup does not know what the Group Manager did after it was made. What must
// not happen twice goes on beyond all that can have happened: a start that covers
// bursts and wrong clocks, and more for each second since. So also a second restore
// of one backup begins above what the first has used.
const (
	restoreSkip      = 1 << 20
	versionsASecond  = 1       // rekeyings of one group
	sequenceASecond  = 1 << 12 // numbers of one association
	sequenceCapacity = 1<<40 - 1<<30
)

// ErrClock says that the clock stands before the backup.
var ErrClock = errors.New("the clock of this machine stands before the time of the backup: set it right first")

// Restored makes the records of a backup, which was made at created, fit to go on
// with; the store is used by nobody yet. Every group gets keys and a Gid that were
// never issued. All members are taken off: who has left or renewed its Sender ID
// since is not known, and two members with one Sender ID would share a nonce. They
// join again over their associations, whose sequence numbers go on above all that
// can have been used.
func Restored(ctx context.Context, s store.Store, created, now time.Time, rand io.Reader) error {
	since := now.Unix() - created.Unix()
	if since < 0 {
		return ErrClock
	}
	if err := schema.Upgrade(ctx, s, upgrades...); err != nil {
		return err
	}
	server := &Server{rand: cose.SharedRandom(rand)}
	return s.Update(ctx, func(tx store.Tx) error {
		for _, prefix := range []string{"m/", "s/", "k/", "r/", "e/"} { // members, and what is about them
			if err := deleteAll(tx, prefix); err != nil {
				return err
			}
		}
		if err := eachGroup(tx, func(g *groupRecord) error {
			return server.renumber(tx, g, restoreSkip+versionsASecond*uint64(since), now)
		}); err != nil {
			return fmt.Errorf("rekeying the groups of the backup: %w", err)
		}
		return skipSequences(tx, restoreSkip+sequenceASecond*uint64(since))
	})
}

// renumber gives a group a version, a Gid and NODENAMEs that nobody had.
func (s *Server) renumber(tx store.Tx, g *groupRecord, skip uint64, now time.Time) (err error) {
	if err := tx.Delete(gidKey(g.GID)); err != nil {
		return err
	}
	if g.Prefix, err = s.newPrefix(tx, g.Name); err != nil {
		return err
	}
	g.Num, g.NextNode, g.NextSID = g.Num+skip, g.NextNode+skip, 0
	g.Stale = []staleSet{{Num: g.Num}}
	g.Tree = nil
	if err := g.newMaterial(s.rand, now); err != nil {
		return err
	}
	if err := tx.Put(gidKey(g.GID), []byte(g.Name)); err != nil {
		return err
	}
	return save(tx, groupKey(g.Name), g)
}

// skipSequences moves all associations past the Sender Sequence Numbers that may
// have been used. One that has no more numbers ends.
func skipSequences(tx store.Tx, skip uint64) error {
	var all []*associationRecord
	if err := eachAssociation(tx, func(a *associationRecord) bool { all = append(all, a); return true }); err != nil {
		return err
	}
	for _, a := range all {
		next, err := loadCounter(tx, sequenceKey(a.ID))
		if err != nil {
			return err
		}
		if next+skip >= sequenceCapacity {
			err = a.delete(tx)
		} else {
			err = saveCounter(tx, sequenceKey(a.ID), next+skip)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func deleteAll(tx store.Tx, prefix string) error {
	var keys []string
	if err := tx.Scan(prefix, func(key string, _ []byte) bool { keys = append(keys, key); return true }); err != nil {
		return err
	}
	for _, key := range keys {
		if err := tx.Delete(key); err != nil {
			return err
		}
	}
	return nil
}
