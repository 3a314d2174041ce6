package device

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync"

	"lamplighter/internal/cbor"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
)

// markKey names the Sender Sequence Number of one Sender Key: everything that
// the key is derived from, hashed.
func markKey(masterSecret, masterSalt, idContext, senderID []byte) string {
	sum := sha256.Sum256(cbor.MustMarshal([][]byte{masterSecret, masterSalt, idContext, senderID}))
	return prefixMark + hex.EncodeToString(sum[:16])
}

func associationMark(a *join.Association) string {
	return markKey(a.MasterSecret, a.MasterSalt, a.IDContext, a.SenderID)
}

func groupMark(m *join.Membership) string {
	return markKey(m.MasterSecret, m.MasterSalt, m.GID, m.SenderID)
}

// epochMark tells that the device had a Master Secret and Gid before.
func epochMark(m *join.Membership) string {
	return markKey(m.MasterSecret, m.MasterSalt, m.GID, []byte("epoch"))
}

// raiseMark makes the mark at least n: numbers below it may have been used. A
// mark never sinks.
func raiseMark(tx store.Tx, key string, n uint64) error {
	old, known, err := readMark(tx, key)
	if err != nil || known && old >= n {
		return err
	}
	return tx.Put(key, binary.BigEndian.AppendUint64(nil, n))
}

func readMark(tx store.Tx, key string) (n uint64, known bool, err error) {
	b, err := tx.Get(key)
	switch {
	case err != nil || b == nil:
		return 0, false, err
	case len(b) != 8:
		return 0, false, fmt.Errorf("a sequence mark has %d bytes", len(b))
	}
	return binary.BigEndian.Uint64(b), true, nil
}

// reserver makes the reservations of one Sender Sequence Number durable.
type reserver struct {
	ctx   context.Context
	store store.Store
	key   string

	mu      sync.Mutex // also: one reservation at a time
	durable uint64     // what is durable at least
}

// Reserve implements [oscore.Reserver].
func (r *reserver) Reserve(mark uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.durable >= mark {
		return nil
	}
	if err := r.store.Update(r.ctx, func(tx store.Tx) error { return raiseMark(tx, r.key, mark) }); err != nil {
		return err
	}
	r.durable = mark
	return nil
}

// Ahead implements [oscore.Reserver]. What fails here fails again in Reserve.
func (r *reserver) Ahead(mark uint64) { go func() { _ = r.Reserve(mark) }() }

// sequenceFrom is [Device.sequence] for keys that somebody else used up to first.
// d.mu is held.
func (d *Device) sequenceFrom(key string, mark, first uint64) *oscore.Sequence {
	first = max(first, mark)
	if s := d.sequences[key]; s != nil {
		if s.Peek() >= first {
			return s
		}
		first = max(first, s.Stop())
		delete(d.sequences, key)
	}
	return d.sequence(key, first)
}

// sequence returns the one live sequence of a mark key, beginning at mark when
// it is new. d.mu is held.
func (d *Device) sequence(key string, mark uint64) *oscore.Sequence {
	if s := d.sequences[key]; s != nil {
		return s
	}
	s := oscore.NewSequence(mark, &reserver{ctx: d.life, store: d.cfg.Store, key: key})
	d.sequences[key] = s
	return s
}
