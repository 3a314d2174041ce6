package device

import (
	"cmp"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/label"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
)

// Keys in the store. Sequence marks are kept for ever, through leave and
// release: whoever hands in the same keys again finds them where they were.
const (
	keySeed  = "key"
	keyClaim = "claim"
	keyLight = "light"

	keyCommissioners = "commissioners"

	prefixOffer  = "offer/"  // + group
	prefixGroup  = "group/"  // + group
	prefixWindow = "window/" // + group "/" hex(Gid) "/" hex(Sender ID)
	prefixMark   = "mark/"   // see markKey
	prefixHeard  = "heard/"  // + association: the replay window for the Group Manager's requests
	prefixGone   = "gone/"   // + group: why the device is no member any more
)

// identityRecord is the device's own key.
type identityRecord struct {
	Seed cose.Secret `cbor:"1,keyasint"`
	Cred []byte      `cbor:"2,keyasint"`
}

// claimRecord is who owns the device.
type claimRecord struct {
	SiteCred      []byte      `cbor:"1,keyasint"`
	Name          string      `cbor:"2,keyasint"`
	Site          string      `cbor:"3,keyasint"`
	AS            server      `cbor:"4,keyasint"`
	GM            server      `cbor:"5,keyasint"`
	Commissioners [][]byte    `cbor:"6,keyasint"`
	OwnerKey      cose.Secret `cbor:"7,keyasint"`
	Confirmed     bool        `cbor:"8,keyasint"` // the owner key was used: the label opens nothing
}

// offerRecord is what the device offered for one group and has not used up.
type offerRecord struct {
	Offer join.Offer `cbor:"1,keyasint"`
	ID1   []byte     `cbor:"2,keyasint"`
	Roles ace.Role   `cbor:"3,keyasint"`
	Made  int64      `cbor:"4,keyasint"` // seconds since 1970
}

// memberRecord is one membership.
type memberRecord struct {
	Membership  join.Membership  `cbor:"1,keyasint"`
	Association join.Association `cbor:"2,keyasint"`
	Roles       ace.Role         `cbor:"3,keyasint"`
	Multicast   string           `cbor:"4,keyasint"`
	Handover    []byte           `cbor:"5,keyasint"` // SHA-256 of the payload that brought it
	Known       uint64           `cbor:"6,keyasint"` // the newest version of the keys that the Group Manager told of
	Paused      bool             `cbor:"7,keyasint"` // the group is not active
}

// goneRecord is why a membership ended without the owner's doing.
type goneRecord struct {
	Why GroupEnd `cbor:"1,keyasint"`
	At  int64    `cbor:"2,keyasint"` // seconds since 1970
	Num uint64   `cbor:"3,keyasint"` // of the last keys
}

// load reads everything, or makes the identity on the first start.
func (d *Device) load() error {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(d.cfg.Rand, seed); err != nil {
		return fmt.Errorf("drawing a key: %w", err)
	}
	fresh := identityRecord{Seed: seed}
	pub := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	fresh.Cred = cose.NewCCS(label.FormatID(d.cfg.ID), pub)

	var own identityRecord
	d.light = Light{Level: 100}
	err := d.cfg.Store.Update(d.life, func(tx store.Tx) error {
		own = fresh
		found, err := get(tx, keySeed, &own)
		if err != nil || found {
			return err
		}
		return put(tx, keySeed, own)
	})
	if err != nil {
		return err
	}
	d.key, d.cred = ed25519.NewKeyFromSeed(own.Seed), own.Cred
	return d.cfg.Store.View(d.life, d.loadState)
}

// loadState reads what changes.
func (d *Device) loadState(tx store.Tx) error {
	if _, err := get(tx, keyLight, &d.light); err != nil {
		return err
	}
	var before Light
	if held, err := get(tx, keyHeld, &before); err != nil {
		return err
	} else if held {
		d.before = &before
	}
	if err := d.loadEmergency(tx); err != nil {
		return err
	}
	var claim claimRecord
	if found, err := get(tx, keyClaim, &claim); err != nil {
		return err
	} else if found {
		d.claim = &claim
	}
	if err := d.loadCommissioners(tx); err != nil {
		return err
	}
	var failed error
	err := tx.Scan(prefixGroup, func(key string, value []byte) bool {
		var rec memberRecord
		if failed = cbor.Unmarshal(value, &rec); failed != nil {
			return false
		}
		name := strings.TrimPrefix(key, prefixGroup)
		d.members[name], failed = d.restoreMember(tx, name, rec)
		return failed == nil
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	err = tx.Scan(prefixGone, func(key string, value []byte) bool {
		var rec goneRecord
		failed = cbor.Unmarshal(value, &rec)
		d.gone[strings.TrimPrefix(key, prefixGone)] = rec
		return failed == nil
	})
	return errors.Join(err, failed)
}

// get decodes the value of key into v, when there is one.
func get(tx store.Tx, key string, v any) (found bool, err error) {
	b, err := tx.Get(key)
	if err != nil || b == nil {
		return false, err
	}
	return true, cbor.Unmarshal(b, v)
}

func put(tx store.Tx, key string, v any) error {
	b, err := cbor.Marshal(v)
	if err != nil {
		return err
	}
	return tx.Put(key, b)
}

// deleteAll deletes every key with a prefix.
func deleteAll(tx store.Tx, prefix string) error {
	var keys []string
	if err := tx.Scan(prefix, func(key string, _ []byte) bool { keys = append(keys, key); return true }); err != nil {
		return err
	}
	for _, k := range keys {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// windowPrefix is where the replay windows of one Security Context are.
func windowPrefix(group string, gid []byte) string {
	return prefixWindow + group + "/" + hex.EncodeToString(gid) + "/"
}

// loadWindows reads the replay windows of one Security Context, by Sender ID.
func loadWindows(tx store.Tx, group string, gid []byte) (map[string]oscore.WindowState, error) {
	windows := map[string]oscore.WindowState{}
	prefix := windowPrefix(group, gid)
	var failed error
	err := tx.Scan(prefix, func(key string, value []byte) bool {
		kid, err := hex.DecodeString(strings.TrimPrefix(key, prefix))
		var w oscore.WindowState
		if failed = errors.Join(err, cbor.Unmarshal(value, &w)); failed != nil {
			return false
		}
		windows[string(kid)] = w
		return true
	})
	return windows, errors.Join(err, failed)
}

// dropWindows deletes the replay windows of all Security Contexts but one.
func dropWindows(tx store.Tx, group string, keep []byte) error {
	var old []string
	err := tx.Scan(prefixWindow+group+"/", func(key string, _ []byte) bool {
		if !strings.HasPrefix(key, windowPrefix(group, keep)) {
			old = append(old, key)
		}
		return true
	})
	for _, key := range old {
		err = cmp.Or(err, tx.Delete(key))
	}
	return err
}

// forgetGroup deletes a membership. Its sequence marks stay.
func forgetGroup(tx store.Tx, name string) error {
	return cmp.Or(
		tx.Delete(prefixGroup+name), tx.Delete(prefixOffer+name), tx.Delete(prefixGone+name),
		deleteAll(tx, prefixWindow+name+"/"),
	)
}
