package as_test

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"testing"

	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
	"lamplighter/internal/store/schema"
	"lamplighter/internal/store/storetest"
)

// format1 is a store as the first version left it: the installer "anna" has
// enrolled, registered a lamp and got two tokens; "bert" is invited.
//
//go:embed testdata/format1.txt
var format1 []byte

// A store of the first format is brought up and goes on: the installer is still
// known, and gets tokens for the lamp, with numbers that were not given out.
func TestUpgradeFromFormat1(t *testing.T) {
	old := store.NewMemory()
	storetest.Fill(t, old, format1)
	var anna as.Installer
	s := newSite(t, func(c *as.Config) { c.Store = old })
	all, err := s.as.Installers(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%d installers, %v", len(all), err)
	}
	for _, anna = range all {
	}
	if anna.Name != "anna" {
		t.Errorf("the installer is %q", anna.Name)
	}
	p := s.party("anna")
	p.resume(old)
	p.expect(p.do(p.call, coap.GET, "/devices/"+hallLamp, -1, nil), coap.Content)
	_, claims := p.token(ace.TokenRequest{ClientID: hallLamp})
	if claims.SUB != hallLamp || bytes.Equal(claims.CTI, []byte{1}) || bytes.Equal(claims.CTI, []byte{2}) {
		t.Errorf("sub %q, cti %x", claims.SUB, claims.CTI)
	}
}

// A store of a newer program is left alone.
func TestNewerStoreIsRefused(t *testing.T) {
	s := newSite(t)
	if err := s.store.Update(t.Context(), func(tx store.Tx) error { return tx.Put(schema.Key, []byte("99")) }); err != nil {
		t.Fatal(err)
	}
	if _, err := as.New(s.cfg); !errors.Is(err, schema.ErrNewer) {
		t.Errorf("%v", err)
	}
}

// resume opens the session of an installer who enrolled with an older version.
func (p *party) resume(s store.Store) {
	p.t.Helper()
	sum := cose.Thumbprint(p.cred)
	key, err := as.InstallerKey(p.t.Context(), s, hex.EncodeToString(sum[:16]))
	if err != nil || key == nil {
		p.t.Fatal("no such installer", err)
	}
	p.call = oscore.NewPSKClient(oscore.NewPSK(p.cred, key, oscore.SaltInstaller), p.wire, asAddr, rand.Reader)
}
