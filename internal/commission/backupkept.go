package commission

import (
	"context"
	"encoding/json"
	"strings"

	"lamplighter/internal/store"
)

// keptRecord is of what a backup has of settings, as the store has it: what they mean,
// what devices have confirmed, templates, and the log of emergency lights.
type keptRecord struct {
	Key   string `cbor:"1,keyasint"`
	Value []byte `cbor:"2,keyasint"`
}

var keptPrefixes = []string{preSchema, preSettings, preTemplate, preTest}

// keptRecords reads what a backup has of settings.
func (s *site) keptRecords(ctx context.Context) (list []keptRecord, err error) {
	err = s.db.View(ctx, func(tx store.Tx) error {
		for _, prefix := range keptPrefixes {
			if err := tx.Scan(prefix, func(key string, value []byte) bool {
				list = append(list, keptRecord{key, append([]byte(nil), value...)})
				return true
			}); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

// restorable says whether a record of a backup is to be written where the store has
// have, which may be nil: what is newer stays, and what cannot be read does not come.
func (r *keptRecord) restorable(have []byte) bool {
	when := r.age(r.Value)
	return when >= 0 && (have == nil || when > r.age(have))
}

// age is when a value of the record's key was written, 0 where that does not count, -1
// where it cannot be read.
func (r *keptRecord) age(value []byte) int64 {
	prefix, name, _ := strings.Cut(r.Key, "/")
	if name == "" {
		return -1
	}
	switch prefix + "/" {
	case preSettings:
		if rec, err := decode[settingsRecord](r.Key, value); err == nil {
			return rec.At
		}
	case preTemplate:
		var t SettingsTemplate
		if text, err := decode[[]byte](r.Key, value); err == nil && json.Unmarshal(*text, &t) == nil {
			return t.At
		}
	case preSchema:
		if _, err := decode[schemaRecord](r.Key, value); err == nil {
			return 0
		}
	case preTest:
		if _, err := decode[testRecord](r.Key, value); err == nil {
			return 0
		}
	}
	return -1
}
