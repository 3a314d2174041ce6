package as_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/cose"
	"lamplighter/internal/store"
	"lamplighter/internal/store/storetest"
)

// Who knows of updates of the revocation list since the backup is not told of others
// under the same indexes.
func TestRestoredUpdates(t *testing.T) {
	s := newSite(t)
	anna := s.enrolled("anna", as.Policy{})
	revoke := func() {
		t.Helper()
		anna.token(ace.TokenRequest{})
		p := s.enrolled("somebody", as.Policy{})
		p.token(ace.TokenRequest{})
		sum := cose.Thumbprint(p.cred)
		if err := s.as.Revoke(t.Context(), hex.EncodeToString(sum[:16])); err != nil {
			t.Fatal(err)
		}
	}
	revoke()
	made, backup := s.clock.Now(), storetest.Copy(t, s.store)
	s.clock.advance(time.Minute)
	before, err := as.NextUpdates(t.Context(), s.store)
	if err != nil || len(before) == 0 {
		t.Fatal("nothing was revoked", err)
	}
	if err := as.Restored(t.Context(), backup, made, s.clock.Now()); err != nil {
		t.Fatal(err)
	}
	after, err := as.NextUpdates(t.Context(), backup)
	if err != nil {
		t.Fatal(err)
	}
	for who, next := range before {
		if after[who] < next+1<<20 {
			t.Errorf("%s: update %d after %d", who, after[who], next)
		}
	}
}

func number(cti []byte) uint64 {
	return binary.BigEndian.Uint64(append(make([]byte, 8-len(cti)), cti...))
}

// After a restore, and a second one from the same backup, tokens have numbers that
// nobody had; open invitations are over; installers are still known.
func TestRestored(t *testing.T) {
	s := newSite(t)
	anna := s.enrolled("anna", as.Policy{})
	anna.token(ace.TokenRequest{})
	open := s.invited("bert", as.Policy{})
	made := s.clock.Now()
	backups := []store.Store{storetest.Copy(t, s.store), storetest.Copy(t, s.store)}
	var top uint64
	next := func(what string) {
		t.Helper()
		_, claims := anna.token(ace.TokenRequest{})
		if n := number(claims.CTI); n <= top {
			t.Errorf("%s: number %d after %d", what, n, top)
		} else {
			top = n
		}
	}
	for range 50 {
		next("after the backup")
	}
	for _, backup := range backups {
		s.clock.advance(time.Minute)
		if err := as.Restored(t.Context(), backup, made, s.clock.Now()); err != nil {
			t.Fatal(err)
		}
		s.cfg.Store = backup
		s.start()
		for range 50 {
			next("after a restore")
		}
		if resp, err := open.try(open.guest, 2, "/enroll", ace.FormatCBOR, map[int]any{1: open.cred}); err == nil {
			t.Errorf("an invitation of before works: %v", resp)
		}
	}
	if err := as.Restored(t.Context(), backups[0], s.clock.Now().Add(time.Hour), s.clock.Now()); !errors.Is(err, as.ErrClock) {
		t.Errorf("with a wrong clock: %v", err)
	}
}
