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
