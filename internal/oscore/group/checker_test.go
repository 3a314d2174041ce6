package group

import (
	"errors"
	"testing"

	"lamplighter/internal/oscore"
)

func (w *world) checker() *Checker {
	w.t.Helper()
	c, err := NewChecker(CheckerParams{
		GID: w.gid, GMCred: w.gmCred, SignatureEncryptionKey: w.members[0].SignatureEncryptionKey(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for i, cred := range w.creds {
		if err := c.SetPeer(Peer{KID: []byte{byte(i)}, Cred: cred}); err != nil {
			w.t.Fatal(err)
		}
	}
	return c
}

func TestChecker(t *testing.T) {
	w := newWorld(t, 2)
	c := w.checker()
	outer, _, err := w.members[0].ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	checked, err := c.CheckRequest(over(t, outer))
	if err != nil || string(checked.From.Cred) != string(w.creds[0]) {
		t.Fatalf("%+v, %v", checked.From, err)
	}
	_, sb, err := w.members[1].UnprotectRequest(outer)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // without Partial IV and with one
		resp, err := w.members[1].ProtectResponse(content("x"), sb, Group)
		if err != nil {
			t.Fatal(err)
		}
		if from, err := c.CheckResponse(over(t, resp), checked); err != nil || from.KID[0] != 1 {
			t.Errorf("%+v, %v", from, err)
		}
		resp.Payload[0] ^= 1
		if _, err := c.CheckResponse(over(t, resp), checked); !errors.Is(err, oscore.ErrVerify) {
			t.Errorf("got %v", err)
		}
	}
}
