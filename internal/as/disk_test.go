//go:build linux

package as_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/coap"
	"lamplighter/internal/store"
	"lamplighter/internal/store/bolt"
	"lamplighter/internal/store/sealed"
	"lamplighter/internal/store/storetest"
)

// On a full disk tokens are refused with 5.xx and logged, reading goes on, and no
// number is given out twice when there is space again, also after a restart.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "as.db")
	open := func() store.Store {
		raw, err := bolt.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		db, err := sealed.Open(t.Context(), raw, make([]byte, sealed.KeySize), "as", rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	db := open()
	s := newSite(t, func(c *as.Config) { c.Store = db })
	anna := s.enrolled("anna", as.Policy{})
	anna.expect(anna.register(hallLamp, 7, "lamp"), coap.Created)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	lift := storetest.LimitFiles(t, info.Size())
	seen := map[string]bool{}
	note := func() {
		t.Helper()
		_, claims := anna.token(ace.TokenRequest{})
		if seen[string(claims.CTI)] {
			t.Errorf("number %x twice", claims.CTI)
		}
		seen[string(claims.CTI)] = true
	}
	filler := 0
	for size := 1 << 20; size > 0; size /= 4 { // until not even the smallest change has room
		for {
			filler++
			key := fmt.Sprint("filler", filler)
			if err := db.Update(t.Context(), func(tx store.Tx) error { return tx.Put(key, make([]byte, size)) }); err != nil {
				break
			}
		}
	}
	resp := anna.do(anna.call, coap.POST, "/token", ace.FormatACE, ace.TokenRequest{})
	if coap.Class(resp.Code) != 5 || !strings.Contains(s.log.String(), "cannot serve a request") {
		t.Errorf("a token on a full disk: %s, or nothing was logged", coap.CodeString(resp.Code))
	}
	anna.expect(anna.do(anna.call, coap.GET, "/devices/"+hallLamp, -1, nil), coap.Content)
	lift()
	for range 3 {
		note()
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s.cfg.Store = open()
	s.start()
	anna.open()
	note()
}
