//go:build linux

package gm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/join"
	"lamplighter/internal/store"
	"lamplighter/internal/store/storetest"
)

// failed asks for the end of a request on a full disk: 5.xx and nothing else.
func wantServerError(t *testing.T, what string, err error) {
	t.Helper()
	var refused *join.GMError
	if !errors.As(err, &refused) || coap.Class(refused.Code) != 5 {
		t.Errorf("%s on a full disk: %v", what, err)
	}
}

// On a full disk changes are answered with 5.xx and logged, reading goes on,
// nothing is corrupted or given out; when there is space again the service is
// back, also for who starts anew.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gm.db")
	db := openDisk(t, path)
	defer db.Close()
	var log bytes.Buffer
	l := newLine(t, func(c *Config) { c.Store, c.Logger = db, textLogger(&log) })
	l.store = db
	a := l.joinOver("a")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	lift := storetest.LimitFiles(t, info.Size())
	full := false
	for i := range 2000 {
		n := l.node(fmt.Sprint("late", i))
		tok := l.seal(l.claims(n.subject, scope(testGroup, both)))
		assoc, err := join.Transfer(t.Context(), l.net.From(clientAddr), gmAddr, tok, []byte{1}, l.rand)
		if err != nil {
			wantServerError(t, "a token", err)
			full = true
			break
		}
		if _, _, err := join.Self(t.Context(), l.client(assoc), l.self(n, both, assoc.NS)); err != nil {
			wantServerError(t, "a join", err)
			full = true
			break
		}
	}
	if !full {
		t.Fatal("the disk was never full")
	}
	if !strings.Contains(log.String(), "cannot serve a request") {
		t.Error("nothing was logged")
	}
	before := l.members()
	big := func(tx store.Tx) error { return tx.Put("filler", make([]byte, 1<<20)) } // no page is left that could be used again
	if err := db.Update(t.Context(), big); err == nil {
		t.Fatal("the disk is not full")
	}
	if _, err := a.client.Num(t.Context()); err != nil {
		t.Errorf("reading on a full disk: %v", err)
	}
	lift()
	if _, err := a.client.Renew(t.Context()); err != nil {
		t.Errorf("with space again: %v", err)
	}
	l.joinOver("after")
	after := l.members()
	if len(after) != len(before)+1 {
		t.Errorf("%d members, then %d", len(before), len(after))
	}
	seen := map[string]bool{}
	for _, m := range after {
		if seen[string(m.SenderID)] {
			t.Errorf("Sender ID %x twice", m.SenderID)
		}
		seen[string(m.SenderID)] = true
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	again := openDisk(t, path)
	defer again.Close()
	l.store, l.cfg.Store = again, again
	l.reboot()
	if len(l.members()) != len(after) {
		t.Error("members are lost")
	}
}

// broke is a store that can be made to fail as a disk does: at the commit, when
// the change has run.
type broke struct {
	store.Store
	err error // of the next commits; nil: they work
}

// Update implements [store.Store].
func (b *broke) Update(ctx context.Context, fn func(store.Tx) error) error {
	return b.Store.Update(ctx, func(tx store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return b.err
	})
}

// Whatever a request would change, an error of the disk is answered with 5.xx, has
// no effect, and is over when the disk is well. A restart meanwhile does no harm.
func TestErrorsOfTheDisk(t *testing.T) {
	for _, fault := range []error{syscall.ENOSPC, syscall.EIO} {
		b := &broke{Store: store.NewMemory()}
		l := newLine(t, func(c *Config) { c.Store = b })
		l.store = b
		a := l.joinOver("a")
		before := l.group()
		b.err = fault
		_, err := a.client.Renew(t.Context())
		wantServerError(t, "renewing", err)
		wantServerError(t, "leaving", a.client.Leave(t.Context()))
		_, err = join.Transfer(t.Context(), l.net.From(clientAddr), gmAddr, l.seal(l.claims("b", scope(testGroup, both))), []byte{1}, l.rand)
		wantServerError(t, "a token", err)
		if err := l.s.Rekey(t.Context(), testGroup, ""); !errors.Is(err, fault) {
			t.Errorf("rekeying: %v", err)
		}
		if g := l.group(); g.Num != before.Num || !bytes.Equal(g.MasterSecret, before.MasterSecret) {
			t.Error("the keys have changed")
		}
		l.reboot() // the challenge to the first request needs a number that is durable
		if _, err := a.client.Num(t.Context()); err == nil {
			t.Error("challenged with a number that is not durable")
		}
		b.err = nil
		if _, err := a.client.Renew(t.Context()); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	}
}
