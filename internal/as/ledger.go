package as

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/store"
)

// maxSwept is how many expired tokens one request forgets.
const maxSwept = 16

// record gives a token its number, which is also the id of new input material,
// and puts it on record; it forgets some that expired.
func (s *Server) record(ctx context.Context, g *grant, now time.Time, expires uint64) (cti, material []byte, err error) {
	err = s.commit(ctx, "token", func(tx store.Tx) error {
		if err := sweepTokens(tx, now); err != nil {
			return err
		}
		if cti, err = nextNumber(tx); err != nil {
			return err
		}
		material = cti
		if g.update != nil {
			material = g.update
			if err := retire(tx, g, now); err != nil {
				return err
			}
		}
		id := hex.EncodeToString(material)
		return errors.Join(
			save(tx, prefixToken+id, tokenRecord{g.installer, g.subject, g.audience, expires}),
			tx.Put(expiryKey(expires, id), nil))
	})
	if err != nil {
		return nil, nil, err
	}
	return cti, material, nil
}

// retire checks that a client may have the rights of its input material changed,
// and takes the record out that the new one replaces. RFC 9203, Section 3.1.
func retire(tx store.Tx, g *grant, now time.Time) error {
	id := hex.EncodeToString(g.update)
	old, err := load[tokenRecord](tx, prefixToken+id)
	switch {
	case err != nil:
		return err
	case old == nil || expired(old.Expires, now),
		old.Installer != g.installer, old.Subject != g.subject, old.Audience != g.audience:
		return deny(ace.ErrorInvalidRequest, "req_cnf names no input material of this client and audience")
	}
	return tx.Delete(expiryKey(old.Expires, id))
}

// nextNumber counts tokens: no number is given out twice.
func nextNumber(tx store.Tx) ([]byte, error) {
	data, err := tx.Get(keyTokens)
	if err != nil {
		return nil, err
	}
	var n uint64
	if data != nil {
		if err := cbor.Unmarshal(data, &n); err != nil {
			return nil, errors.New("reading the number of tokens: malformed")
		}
	}
	n++
	number := binary.BigEndian.AppendUint64(nil, n)
	for len(number) > 1 && number[0] == 0 {
		number = number[1:]
	}
	return number, tx.Put(keyTokens, cbor.MustMarshal(n))
}

// sweepTokens forgets the tokens that expired longest ago, a bounded number.
func sweepTokens(tx store.Tx, now time.Time) error {
	var gone []string
	err := tx.Scan(prefixExpiry, func(key string, _ []byte) bool {
		if key >= expiryKey(seconds(now)+1, "") || len(gone) == maxSwept {
			return false
		}
		gone = append(gone, key)
		return true
	})
	for _, key := range gone {
		id := key[len(expiryKey(0, "")):]
		err = errors.Join(err, tx.Delete(key), tx.Delete(prefixToken+id))
	}
	return err
}
