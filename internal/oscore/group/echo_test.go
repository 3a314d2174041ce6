package group

import (
	"crypto/rand"
	"errors"
	"fmt"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// challenged expects a challenge and returns it.
func challenged(t *testing.T, server *Context, m *coap.Message) *coap.Message {
	t.Helper()
	req, b, err := server.UnprotectRequest(over(t, m))
	e, ok := errors.AsType[*EchoError](err)
	if req != nil || b != nil || !ok {
		t.Fatalf("no challenge: %v, %v", req, err)
	}
	if optionOf(t, e.Challenge).PIV == nil || e.Error() == "" || len(e.From.Cred) == 0 {
		t.Fatalf("challenge %v from %+v", e.Challenge, e.From)
	}
	return over(t, e.Challenge)
}

// RFC 10021, Section 9.
func TestEcho(t *testing.T) {
	w := newWorld(t, 3)
	client := w.members[0]
	server := w.member(1, func(p *Params) { p.EchoFirst, p.Sequence = true, oscore.NewSequence(128, nil) })
	old, _, err := client.ProtectRequest(get("/old"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req := get("/a")
	outer, cb, err := client.ProtectRequest(req, nil)
	if err != nil {
		t.Fatal(err)
	}
	challenged(t, server, old)
	challenged(t, server, old)
	resp, from, mode, err := client.UnprotectResponse(challenged(t, server, outer), cb)
	if err != nil || mode != Pairwise || from.KID[0] != 1 {
		t.Fatalf("%v, %v", mode, err)
	}
	if !oscore.IsChallenge(resp) || len(resp.Options) != 1 || len(resp.Payload) > 0 {
		t.Fatalf("challenge %v", resp)
	}
	again := oscore.WithEcho(req, resp)
	inGroup, _, err := client.ProtectRequest(again, nil)
	if err != nil {
		t.Fatal(err)
	}
	challenged(t, server, inGroup) // a group request could be redirected
	wrong := get("/a")
	coap.AddOption(wrong, coap.OptionEcho, []byte("12345678"))
	outer, _, err = client.ProtectRequest(wrong, []byte{1})
	if err != nil {
		t.Fatal(err)
	}
	challenged(t, server, outer)
	if w := server.Windows(); len(w) != 0 {
		t.Errorf("windows %v", w)
	}
	outer, _, err = client.ProtectRequest(again, []byte{1})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.UnprotectRequest(over(t, outer)); err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]*coap.Message{"old": old, "the same": outer, "in group mode": inGroup} {
		if _, _, err := server.UnprotectRequest(over(t, m)); !errors.Is(err, oscore.ErrReplay) {
			t.Errorf("%s: %v", name, err)
		}
	}
	outer, _, err = client.ProtectRequest(get("/b"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.UnprotectRequest(outer); err != nil {
		t.Error(err)
	}
	// Another member is another peer.
	outer, _, err = w.members[2].ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	challenged(t, server, outer)
}

// Without pairwise mode the group mode must do.
func TestEchoInGroupMode(t *testing.T) {
	w := newWorld(t, 2)
	algs := Algorithms{GroupEnc: cose.AESCCM16_64_128, Sign: cose.EdDSA, HKDF: cose.HMAC256}
	client := w.member(0, func(p *Params) { p.Algs = algs })
	server := w.member(1, func(p *Params) { p.Algs, p.EchoFirst = algs, true })
	outer, cb, err := client.ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, _, mode, err := client.UnprotectResponse(challenged(t, server, outer), cb)
	if err != nil || mode != Group {
		t.Fatalf("%v, %v", mode, err)
	}
	outer, _, err = client.ProtectRequest(oscore.WithEcho(get("/a"), resp), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.UnprotectRequest(outer); err != nil {
		t.Error(err)
	}
}

// Windows come through a restart; who has none stored is challenged.
func TestWindowsRestored(t *testing.T) {
	w := newWorld(t, 3)
	server := w.members[1]
	first, _, err := w.members[0].ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.UnprotectRequest(first); err != nil {
		t.Fatal(err)
	}
	stored := server.Windows()
	if len(stored) != 1 || stored["\x00"] != server.Window([]byte{0}) || stored["\x00"].Next != 1 {
		t.Fatalf("stored %v", stored)
	}
	restart := func(p *Params) {
		p.EchoFirst, p.Windows, p.Sequence = true, stored, oscore.NewSequence(128, nil)
	}
	server = w.member(1, restart)
	if _, _, err := server.UnprotectRequest(first); !errors.Is(err, oscore.ErrReplay) {
		t.Errorf("replayed: %v", err)
	}
	second, _, err := w.members[0].ProtectRequest(get("/b"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.UnprotectRequest(second); err != nil {
		t.Error(err)
	}
	other, _, err := w.members[2].ProtectRequest(get("/c"), nil)
	if err != nil {
		t.Fatal(err)
	}
	challenged(t, server, other)
	if len(stored) != 1 {
		t.Error("the caller's map was changed")
	}
	// Before peers are there, the windows to store are those that were restored.
	p := w.params(1)
	restart(&p)
	empty, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	if got := empty.Windows(); fmt.Sprint(got) != fmt.Sprint(stored) {
		t.Errorf("windows %v", got)
	}
	empty.RemovePeer([]byte{0})
	if len(empty.Windows()) != 0 {
		t.Error("a removed peer keeps its window")
	}
	if w := empty.Window([]byte{0}); w != (oscore.WindowState{}) {
		t.Errorf("window %v", w)
	}
}

// A peer that was removed and comes back could be replayed: its window, and all
// later ones, are invalid. RFC 10021, Section 2.6.1.2.
func TestDeletedRecipientContext(t *testing.T) {
	w := newWorld(t, 3)
	server := w.members[1]
	first, _, err := w.members[0].ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.UnprotectRequest(first); err != nil {
		t.Fatal(err)
	}
	server.RemovePeer([]byte{0})
	server.RemovePeer([]byte{0})
	key, cred := newCred(t, "late")
	w.keys, w.creds = append(w.keys, key), append(w.creds, cred)
	for kid, cred := range map[byte][]byte{0: w.creds[0], 3: cred} {
		if err := server.SetPeer(Peer{KID: []byte{kid}, Cred: cred}); err != nil {
			t.Fatal(err)
		}
	}
	challenged(t, server, first)
	late := w.member(3)
	outer, _, err := late.ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	challenged(t, server, outer)
	outer, _, err = w.members[2].ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.UnprotectRequest(outer); err != nil {
		t.Errorf("a peer that stayed: %v", err)
	}
	// A Sender ID with another credential.
	if err := server.SetPeer(Peer{KID: []byte{2}, Cred: w.creds[3]}); err != nil {
		t.Fatal(err)
	}
	if w := server.Window([]byte{2}); w.Next != 0 {
		t.Errorf("window %v", w)
	}
}

func TestEchoNeedsRandomness(t *testing.T) {
	w := newWorld(t, 2)
	server := w.member(1, func(p *Params) { p.EchoFirst, p.Rand = true, nil })
	outer, _, err := w.members[0].ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.UnprotectRequest(outer); err == nil || errors.As(err, new(*EchoError)) {
		t.Errorf("got %v", err)
	}
	server.rand = rand.Reader
	server.Sequence().Stop()
	if _, _, err := server.UnprotectRequest(outer); !errors.Is(err, oscore.ErrSpent) {
		t.Errorf("got %v", err)
	}
}

// What asks for no answer is not challenged, and not accepted either; the next request
// is. RFC 7967, Section 2.1.
func TestEchoNotToNoResponse(t *testing.T) {
	w := newWorld(t, 3)
	client := w.members[0]
	server := w.member(1, func(p *Params) { p.EchoFirst, p.Sequence = true, oscore.NewSequence(256, nil) })
	for _, c := range []struct {
		classes    uint32
		challenged bool
	}{{coap.NoResponses, false}, {8, false}, {2 | 16, true}, {0, true}} {
		req := get("/a")
		coap.AddUint(req, coap.OptionNoResponse, c.classes)
		outer, _, err := client.ProtectRequest(req, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.challenged {
			challenged(t, server, outer)
			continue
		}
		before := server.Sequence().Peek()
		got, _, err := server.UnprotectRequest(over(t, outer))
		if _, ok := errors.AsType[*EchoError](err); ok || !errors.Is(err, oscore.ErrReplay) || got != nil {
			t.Errorf("No-Response %d: %v, %v", c.classes, got, err)
		}
		if server.Sequence().Peek() != before {
			t.Error("it cost a sequence number")
		}
	}
}
