package holder

import (
	"context"
	"fmt"

	"lamplighter/internal/cbor"
	"lamplighter/internal/settings"
	"lamplighter/internal/store"
)

// key is where the record is in the store.
const key = "settings"

// maxSteps is how many steps of staging a candidate remembers.
const maxSteps = 8

// record is all that is durable. It is written whole.
type record struct {
	Values settings.Map   `cbor:"1,keyasint"` // what runs
	State  settings.State `cbor:"2,keyasint"`
	Txn    []byte         `cbor:"3,keyasint"` // under way

	Candidate settings.Map `cbor:"4,keyasint,omitzero"` // Staged, Scheduled
	Before    settings.Map `cbor:"5,keyasint,omitzero"` // Trial: what ran before it
	Steps     [][]byte     `cbor:"6,keyasint"`          // of what made the candidate, so that repetitions are known

	At       uint64 `cbor:"7,keyasint"`  // Scheduled: seconds since 1970; 0: not by the clock
	Ahead    uint64 `cbor:"8,keyasint"`  // how many seconds away that was
	Within   uint   `cbor:"9,keyasint"`  // seconds to confirm in
	Switched int64  `cbor:"10,keyasint"` // milliseconds since 1970 of the latest switch or way back; 0: none, or no clock
	Boots    uint   `cbor:"11,keyasint"` // restarts in this trial

	Used []byte          `cbor:"12,keyasint"` // the nonce that the latest step used up
	Last []byte          `cbor:"13,keyasint"` // the latest transaction that ended
	End  settings.Result `cbor:"14,keyasint"` // and how
}

// ended is r without its transaction.
func (r record) ended(how settings.Result) record {
	return record{Values: r.Values, Switched: r.Switched, Used: r.Used, Last: r.Txn, End: how}
}

// load reads the record; found is false in a new device.
func load(s store.Store) (r record, found bool, err error) {
	err = s.View(context.Background(), func(tx store.Tx) error {
		b, err := tx.Get(key)
		if err != nil || b == nil {
			return err
		}
		found = true
		return cbor.Unmarshal(b, &r)
	})
	if err != nil {
		return record{}, false, fmt.Errorf("reading the settings: %w", err)
	}
	return r, found, nil
}

// commit makes a step durable and then takes it.
func (h *Holder) commit(next record) error {
	b := cbor.MustMarshal(next)
	err := h.cfg.Store.Update(context.Background(), func(tx store.Tx) error { return tx.Put(key, b) })
	if err != nil {
		h.log.Error("settings could not be stored", "err", err)
		return fmt.Errorf("storing settings: %w", err)
	}
	h.adopt(next)
	return nil
}

// adopt makes a record the present one, and has a change of what runs applied.
func (h *Holder) adopt(next record) {
	old := h.rec.Values
	if (h.rec.State == settings.Trial) != (next.State == settings.Trial) {
		h.nonce = nonce{}
	}
	h.rec = next
	values := next.Values
	h.running.Store(&values)
	if old == nil || old.Digest() == values.Digest() {
		return
	}
	if h.cfg.Apply != nil {
		h.cfg.Apply(old, values)
	}
}
