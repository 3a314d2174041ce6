package commission

import (
	"context"
	"fmt"

	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
)

// mark keeps the Sender Sequence Numbers of the browser in one group: every
// number below the stored mark may have been used. It serves all memberships of
// the group, one after the other, and never falls; so a number is not used twice
// whatever becomes of keys, Sender IDs and answers. DESIGN S1.
type mark struct {
	ctx context.Context
	db  store.Store
	key string
}

// Reserve implements [oscore.Reserver].
func (m *mark) Reserve(upTo uint64) error {
	err := m.db.Update(m.ctx, func(tx store.Tx) error {
		old, err := get[uint64](tx, m.key)
		if err != nil || old != nil && *old >= upTo {
			return err
		}
		return apply(tx, []write{{m.key, upTo}})
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	return nil
}

// Ahead implements [oscore.Reserver]. The sequence waits in Reserve if this is
// not done in time.
func (m *mark) Ahead(upTo uint64) { go m.Reserve(upTo) }

// sequence makes the browser's sequence of a group. It begins at the mark; where
// there is none, fresh says whether that is right because no membership is stored
// either.
func (s *site) sequence(ctx context.Context, group string, fresh bool) (*oscore.Sequence, error) {
	m := &mark{ctx: s.ctx, db: s.db, key: preMark + group}
	var next uint64
	err := s.db.View(ctx, func(tx store.Tx) error {
		stored, err := get[uint64](tx, m.key)
		if stored != nil {
			next = *stored
		} else if !fresh {
			err = errNoMark
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return oscore.NewSequence(next, m), nil
}
