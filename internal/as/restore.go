package as

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lamplighter/internal/store"
	"lamplighter/internal/store/schema"
)

// The numbers of tokens go on beyond all that can have been given out since a
// backup: a start that covers bursts and wrong clocks, and more for each second.
const (
	restoreSkip    = 1 << 20
	tokensASecond  = 1 << 10
	maxTokenNumber = 1 << 62
)

// ErrClock says that the clock stands before the backup.
var ErrClock = errors.New("the clock of this machine stands before the time of the backup: set it right first")

// Restored makes the records of a backup, which was made at created, fit to go on
// with; the store is used by nobody yet. No number of a token is given out twice.
// Open invitations end: they work once, and may have been used since. Who was
// revoked since is known again, as the backup cannot tell.
func Restored(ctx context.Context, s store.Store, created, now time.Time) error {
	since := now.Unix() - created.Unix()
	if since < 0 {
		return ErrClock
	}
	if err := schema.Upgrade(ctx, s, upgrades...); err != nil {
		return err
	}
	return s.Update(ctx, func(tx store.Tx) error {
		skip := restoreSkip + tokensASecond*uint64(since)
		first, err := takeNumbers(tx, skip)
		if err != nil {
			return err
		}
		if first+skip > maxTokenNumber {
			return fmt.Errorf("no numbers are left for tokens after %d", first)
		}
		if err := skipUpdates(tx, restoreSkip+uint64(since)); err != nil {
			return err
		}
		all, err := scan[invitationRecord](tx, prefixInvitation)
		for id, inv := range all {
			if inv.Cred == nil {
				err = errors.Join(err, tx.Delete(prefixInvitation+id))
			}
		}
		return err
	})
}

// skipUpdates moves the indexes of the revocation list's updates on, so that whoever
// knows of updates since the backup is told to ask for the whole list. RFC 9770,
// Section 8.
func skipUpdates(tx store.Tx, skip uint64) error {
	all, err := scan[updatesRecord](tx, prefixUpdates)
	for who, u := range all {
		u.Next, u.Updates = u.Next+skip, nil
		if u.Next > MaxIndex {
			u.Next, u.Wrapped = u.Next%(MaxIndex+1), true
		}
		err = errors.Join(err, save(tx, prefixUpdates+who, u))
	}
	return err
}
