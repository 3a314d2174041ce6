package group

import (
	"errors"
	"testing"

	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

func silence(p *Params) { p.SenderID, p.Cred, p.Key = nil, nil, nil }

// A silent server verifies what comes in group mode and sends nothing. RFC
// 10021, Sections 1.1 and 2.
func TestSilentServer(t *testing.T) {
	w := newWorld(t, 2)
	client, server := w.members[0], w.member(1, silence)
	outer, _, err := client.ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := server.UnprotectRequest(over(t, outer))
	if err != nil || sb.From.KID[0] != 0 {
		t.Fatal(err)
	}
	if _, _, err := server.UnprotectRequest(over(t, outer)); !errors.Is(err, oscore.ErrReplay) {
		t.Errorf("replayed: %v", err)
	}
	for _, mode := range []Mode{Group, Pairwise} {
		if _, err := server.ProtectResponse(content("x"), sb, mode); !errors.Is(err, ErrSilent) {
			t.Errorf("a response in %v: %v", mode, err)
		}
	}
	if _, _, err := server.ProtectRequest(get("/a"), nil); !errors.Is(err, ErrSilent) {
		t.Errorf("a request: %v", err)
	}
	pairwise, _, err := client.ProtectRequest(get("/a"), []byte{1})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.UnprotectRequest(pairwise); !errors.Is(err, ErrMode) {
		t.Errorf("in pairwise mode: %v", err)
	}
	if server.SenderID() != nil || server.Cred() != nil || server.Sequence() != nil || server.String() == "" {
		t.Errorf("%v has a Sender Context", server)
	}
}

// It knows no Sender ID as its own, the empty one neither.
func TestSilentServerOwnsNoKID(t *testing.T) {
	w := newWorld(t, 2)
	client := w.member(0, func(p *Params) { p.SenderID = []byte{} })
	server := w.member(1, silence)
	if err := server.SetPeer(Peer{KID: []byte{}, Cred: w.creds[0]}); err != nil {
		t.Fatal(err)
	}
	outer, _, err := client.ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.UnprotectRequest(outer); err != nil {
		t.Error(err)
	}
}

// It cannot challenge, so a window that is invalid lets nothing through. RFC
// 10021, Sections 2.6.1.2 and 13.
func TestSilentServerWithoutWindow(t *testing.T) {
	w := newWorld(t, 2)
	server := w.member(1, silence, func(p *Params) { p.EchoFirst = true })
	outer, _, err := w.members[0].ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if req, _, err := server.UnprotectRequest(outer); req != nil || !errors.Is(err, oscore.ErrReplay) {
			t.Errorf("%v, %v", req, err)
		}
	}
	if len(server.Windows()) != 0 {
		t.Errorf("windows %v", server.Windows())
	}
}

func TestSilentServerRefused(t *testing.T) {
	w := newWorld(t, 2)
	for name, edit := range map[string]func(*Params){
		"with a credential": func(p *Params) { p.SenderID, p.Key = nil, nil },
		"with a Sender ID":  func(p *Params) { p.Cred, p.Key = nil, nil },
		"without group mode": func(p *Params) {
			silence(p)
			p.Algs = Algorithms{AEAD: cose.A128GCM, Pairwise: cose.ECDHSSHKDF256, HKDF: cose.HMAC256}
		},
	} {
		p := w.params(0)
		edit(&p)
		if _, err := New(p); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
