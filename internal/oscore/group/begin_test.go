package group

import (
	"errors"
	"fmt"
	"testing"

	"lamplighter/internal/oscore"
)

// Several responses are taken up, verified by somebody else, and finished.
func TestBeginFinish(t *testing.T) {
	w := newWorld(t, 4)
	client := w.members[0]
	outer, cb, err := client.ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var pending []*Unverified
	for i, server := range w.members[1:] {
		_, sb, err := server.UnprotectRequest(outer)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := server.ProtectResponse(content(fmt.Sprint(i)), sb, Mode(i%2))
		if err != nil {
			t.Fatal(err)
		}
		u, err := client.BeginResponse(over(t, resp), cb)
		if err != nil {
			t.Fatal(err)
		}
		if (u.Sig == nil) != (i%2 == int(Pairwise)) {
			t.Errorf("signature %x", u.Sig)
		}
		pending = append(pending, u)
	}
	for i, u := range pending {
		verified := u.Sig != nil && u.Public.Verify(u.Message, u.Sig)
		if verified != (u.Sig != nil) {
			t.Error("the signature is none")
		}
		if u.Sig != nil {
			if _, _, _, err := client.FinishResponse(u, false); !errors.Is(err, oscore.ErrVerify) {
				t.Errorf("refused by the verifier: %v", err)
			}
		}
		resp, from, mode, err := client.FinishResponse(u, verified)
		if err != nil || string(resp.Payload) != fmt.Sprint(i) || from.KID[0] != byte(i+1) || mode != Mode(i%2) {
			t.Errorf("%v from %+v in %v: %v", resp, from, mode, err)
		}
		if _, _, _, err := client.FinishResponse(u, verified); !errors.Is(err, oscore.ErrReplay) {
			t.Errorf("finished twice: %v", err)
		}
	}
	if _, err := client.BeginResponse(get("/a"), cb); !errors.Is(err, oscore.ErrDecode) {
		t.Errorf("got %v", err)
	}
}

// Between the two steps others are accepted, peers go, and somebody else's
// context is not the same.
func TestFinishLooksAgain(t *testing.T) {
	w := newWorld(t, 3)
	client := w.members[0]
	outer, cb, err := client.ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := w.members[1].UnprotectRequest(outer)
	if err != nil {
		t.Fatal(err)
	}
	var begun []*Unverified
	for range 4 {
		resp, err := w.members[1].ProtectResponse(content("x"), sb, Group)
		if err != nil {
			t.Fatal(err)
		}
		u, err := client.BeginResponse(resp, cb)
		if err != nil {
			t.Fatal(err)
		}
		begun = append(begun, u)
	}
	finish := func(c *Context, i int, verified bool, want error) {
		t.Helper()
		resp, from, mode, err := c.FinishResponse(begun[i], verified)
		if !errors.Is(err, want) || (err == nil) != (resp != nil && from.Cred != nil) || mode != Group {
			t.Errorf("%v from %+v in %v: %v", resp, from, mode, err)
		}
	}
	finish(client, 1, false, oscore.ErrVerify)
	finish(w.members[2], 1, true, oscore.ErrVerify)
	finish(client, 1, true, nil)
	finish(client, 0, true, oscore.ErrReplay)
	finish(client, 2, true, nil)
	client.RemovePeer([]byte{1})
	if _, _, _, err := client.FinishResponse(begun[3], true); !errors.As(err, new(*UnknownPeerError)) {
		t.Errorf("from one who is gone: %v", err)
	}
	if err := client.SetPeer(Peer{KID: []byte{1}, Cred: w.creds[1]}); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := client.FinishResponse(begun[3], true); !errors.As(err, new(*UnknownPeerError)) {
		t.Errorf("from one who was gone: %v", err)
	}
}

// What nobody signed is not made readable by saying that it was: the tag counts.
func TestFinishWithLies(t *testing.T) {
	w := newWorld(t, 2)
	client := w.members[0]
	outer, cb, err := client.ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := w.members[1].UnprotectRequest(outer)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.members[1].ProtectResponse(content("x"), sb, Group)
	if err != nil {
		t.Fatal(err)
	}
	resp.Payload[0] ^= 1
	u, err := client.BeginResponse(resp, cb)
	if err != nil || u.Public.Verify(u.Message, u.Sig) {
		t.Fatalf("%v", err)
	}
	if _, _, _, err := client.FinishResponse(u, true); err != oscore.ErrVerify {
		t.Errorf("got %v", err)
	}
	resp.Payload = resp.Payload[:64]
	if _, err := client.BeginResponse(resp, cb); err != oscore.ErrVerify {
		t.Errorf("too short: %v", err)
	}
}
