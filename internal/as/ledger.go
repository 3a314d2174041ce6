package as

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/store"
)

const (
	maxSwept = 16   // expired tokens that one request forgets
	maxLive  = 4096 // about as many tokens of one subject may have not expired

	// countEvery is how seldom they are counted, at random: nobody chooses when.
	countEvery = 32

	// numbersAtOnce is how many numbers of tokens are taken from the store at a time.
	numbersAtOnce = 256
)

var errTooMany = errors.New("too many tokens of one subject are in use")

// record gives a token its number, which is also the id of a new key, seals it and
// puts it on record; it forgets some that expired. What takes long is done before
// the store is held.
func (s *Server) record(ctx context.Context, d *draft) (err error) {
	if d.cti, err = s.number(ctx); err != nil {
		return err
	}
	next, err := s.next(ctx, d)
	if err != nil {
		return err
	}
	d.profile = next.profile()
	if err := s.seal(d); err != nil {
		return err
	}
	next.Expires, next.Hash = d.expires, ace.TokenHash(d.token)
	token := cbor.MustMarshal(next)
	owner := cbor.MustMarshal(ownerRecord{d.installer, d.audience, d.expires, next.Hash})
	expiry := cbor.MustMarshal(expiryRecord{d.key, d.subject, next.Hash})
	number := hex.EncodeToString(d.cti)
	return s.commit(ctx, "token", func(tx store.Tx) error {
		if err := sweepTokens(tx, d.now); err != nil {
			return err
		}
		if err := d.stillGood(tx); err != nil {
			return err
		}
		if d.secrets[0]%countEvery == 0 {
			if n, err := live(tx, d.subject); err != nil || n >= maxLive {
				return errors.Join(err, tooMany(n))
			}
		}
		if d.update != nil {
			if err := next.replaces(tx, d); err != nil { // again, as it may have changed meanwhile
				return err
			}
			token = cbor.MustMarshal(next) // a key keeps its profile: the sealed token stays right
		}
		return errors.Join(
			tx.Put(prefixToken+hex.EncodeToString(d.key), token),
			tx.Put(ownerKey(d.subject, number), owner),
			tx.Put(expiryKey(d.expires, number), expiry))
	})
}

// next begins the record of a token: of a new key, or of the key whose rights change.
func (s *Server) next(ctx context.Context, d *draft) (*tokenRecord, error) {
	next := &tokenRecord{Installer: d.installer, Subject: d.subject, Audience: d.audience, Profile: d.grant.profile, Scope: d.scope}
	if d.update == nil {
		d.key = d.cti
		next.Refresh = refreshHash(d.refreshToken())
		return next, nil
	}
	d.key = d.update
	return next, s.cfg.Store.View(ctx, func(tx store.Tx) error { return next.replaces(tx, d) })
}

// stillGood checks that nobody was revoked and no device forgotten since the request
// was considered: the revocation list would not have this token.
func (d *draft) stillGood(tx store.Tx) error {
	i, err := load[installerRecord](tx, prefixInstaller+d.installer)
	if err != nil {
		return err
	}
	if i == nil || i.Revoked != 0 {
		return deny(ace.ErrorInvalidClient, "revoked meanwhile")
	}
	if d.actor == "" {
		return nil
	}
	device, err := load[deviceRecord](tx, prefixDevice+d.subject)
	if err != nil {
		return err
	}
	if device == nil || device.Site != i.site(d.installer) || !bytes.Equal(device.Thumbprint, d.thumb) {
		return deny(ace.ErrorInvalidRequest, "device %s was forgotten meanwhile", d.subject)
	}
	return nil
}

// live counts the tokens of a subject.
func live(tx store.Tx, subject string) (n int, err error) {
	err = tx.Scan(ownerPrefix(subject), func(string, []byte) bool { n++; return n < maxLive })
	return n, err
}

func tooMany(n int) error {
	if n >= maxLive {
		return errTooMany
	}
	return nil
}

// replaces checks that a client may have the rights of its key changed, and takes
// over what stays. The token before remains one of the client's until it expires.
// RFC 9203, Section 3.1; RFC 9202, Section 4.
func (next *tokenRecord) replaces(tx store.Tx, d *draft) error {
	old, err := load[tokenRecord](tx, prefixToken+hex.EncodeToString(d.update))
	switch {
	case err != nil:
		return err
	case old == nil || expired(old.Expires, d.now),
		old.Installer != d.installer, old.Subject != d.subject, old.Audience != d.audience,
		d.grant.profile != 0 && old.profile() != d.grant.profile:
		return deny(ace.ErrorInvalidRequest, "req_cnf names no key of this client, audience and profile")
	}
	next.Profile, next.Refresh = old.Profile, old.Refresh
	if d.refreshed { // which never leads beyond what was granted with the key
		next.Scope = old.Scope
	}
	return nil
}

// number gives out the number of a token: none twice. They are taken from the store
// many at a time; what a stopped server had left is never used.
func (s *Server) number(ctx context.Context) ([]byte, error) {
	s.numbers.Lock()
	defer s.numbers.Unlock()
	if s.nextNumber == s.endNumber {
		var first uint64
		if err := s.commit(ctx, "numbers", func(tx store.Tx) (err error) {
			first, err = takeNumbers(tx, numbersAtOnce)
			return err
		}); err != nil {
			return nil, err
		}
		s.nextNumber, s.endNumber = first, first+numbersAtOnce
	}
	n := s.nextNumber
	s.nextNumber++
	return bytes.TrimLeft(binary.BigEndian.AppendUint64(nil, n), "\x00"), nil
}

// takeNumbers takes some numbers that nobody has had, and returns the first.
func takeNumbers(tx store.Tx, count uint64) (first uint64, err error) {
	data, err := tx.Get(keyTokens)
	if err != nil {
		return 0, err
	}
	var last uint64
	if data != nil {
		if err := cbor.Unmarshal(data, &last); err != nil {
			return 0, errors.New("reading the number of tokens: malformed")
		}
	}
	return last + 1, tx.Put(keyTokens, cbor.MustMarshal(last+count))
}

// sweepTokens forgets the tokens that expired longest ago, a bounded number.
func sweepTokens(tx store.Tx, now time.Time) error {
	gone := make(map[string][]byte)
	err := tx.Scan(prefixExpiry, func(key string, value []byte) bool {
		if key >= expiryKey(seconds(now)+1, "") || len(gone) == maxSwept {
			return false
		}
		gone[key] = value
		return true
	})
	for key, value := range gone {
		err = errors.Join(err, tx.Delete(key), forget(tx, key, value))
	}
	return err
}

// forget deletes what is known of an expired token. A key whose token was replaced
// by a newer one stays.
func forget(tx store.Tx, key string, value []byte) error {
	id := key[len(expiryKey(0, "")):]
	if len(value) == 0 { // of a version that kept no more than the id of the key
		return tx.Delete(prefixToken + id)
	}
	var r expiryRecord
	if err := cbor.Unmarshal(value, &r); err != nil {
		return errors.New("reading the expiry of a token: malformed")
	}
	at := prefixToken + hex.EncodeToString(r.Key)
	current, err := load[tokenRecord](tx, at)
	if err == nil && current != nil && string(current.Hash) == string(r.Hash) {
		err = tx.Delete(at)
	}
	return errors.Join(err, tx.Delete(ownerKey(r.Subject, id)))
}
