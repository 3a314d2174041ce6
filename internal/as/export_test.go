package as

import (
	"context"

	"lamplighter/internal/cose"
	"lamplighter/internal/store"
)

// InstallerKey reads the key that an installer enrolled with, for tests that go on
// with an older store.
func InstallerKey(ctx context.Context, s store.Store, id string) (key cose.Secret, err error) {
	err = s.View(ctx, func(tx store.Tx) error {
		i, err := load[installerRecord](tx, prefixInstaller+id)
		if i != nil {
			key = i.Key
		}
		return err
	})
	return key, err
}

// NextUpdates reads the index of the next update of the revocation list, by who is
// told.
func NextUpdates(ctx context.Context, s store.Store) (next map[string]uint64, err error) {
	next = map[string]uint64{}
	err = s.View(ctx, func(tx store.Tx) error {
		all, err := scan[updatesRecord](tx, prefixUpdates)
		for who, u := range all {
			next[who] = u.Next
		}
		return err
	})
	return next, err
}

// OwnerPrefix is where the tokens of a subject are in the store.
func OwnerPrefix(subject string) string { return ownerPrefix(subject) }
