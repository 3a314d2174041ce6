// Package schema brings the records of a store to the format that the program
// knows. Formats are numbered from 1, which is what stores without a number have;
// each step leads from one to the next, so that a store of any age is brought up.
package schema

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"lamplighter/internal/store"
)

// ErrNewer says that a newer program has written the store.
var ErrNewer = errors.New("the store was written by a newer program")

// Key holds the number of the format.
const Key = "format"

// Step changes all records of one format into the next one.
type Step func(store.Tx) error

// Upgrade runs the steps that a store still needs, each with its new number in one
// change: steps[0] leads from format 1 to 2. A new store gets the newest format
// without any. It fails with [ErrNewer] for a format that steps do not reach.
func Upgrade(ctx context.Context, s store.Store, steps ...Step) error {
	newest := len(steps) + 1
	for {
		done := false
		err := s.View(ctx, func(tx store.Tx) error {
			format, err := current(tx)
			done = format == newest
			return err
		})
		if err != nil || done {
			return err
		}
		if err := s.Update(ctx, func(tx store.Tx) error { return step(tx, newest, steps) }); err != nil {
			return err
		}
	}
}

// step does one step, if one is left.
func step(tx store.Tx, newest int, steps []Step) error {
	format, err := current(tx)
	switch {
	case err != nil:
		return err
	case format > newest:
		return fmt.Errorf("%w: it has format %d and this program knows %d at most; start the newer program, or restore a backup that is older", ErrNewer, format, newest)
	case format == newest:
		return nil
	case format == empty:
		format = newest
	default:
		if err := steps[format-1](tx); err != nil {
			return fmt.Errorf("bringing the store to format %d: %w", format+1, err)
		}
		format++
	}
	return tx.Put(Key, strconv.AppendInt(nil, int64(format), 10))
}

// empty is the format of a store without any record.
const empty = 0

func current(tx store.Tx) (int, error) {
	number, err := tx.Get(Key)
	if err != nil {
		return 0, err
	}
	if number != nil {
		format, err := strconv.Atoi(string(number))
		if err != nil || format < 1 {
			return 0, fmt.Errorf("the store's format %q is no number", number)
		}
		return format, nil
	}
	format := empty
	err = tx.Scan("", func(string, []byte) bool { format = 1; return false })
	return format, err
}
