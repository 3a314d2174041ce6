package group

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

func TestUnknownPeer(t *testing.T) {
	w := newWorld(t, 3)
	client, server := w.members[0], w.members[1]
	outer, cb, err := client.ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	server.RemovePeer([]byte{0})
	_, _, err = server.UnprotectRequest(over(t, outer))
	unknown, ok := errors.AsType[*UnknownPeerError](err)
	if !ok || !bytes.Equal(unknown.KID, []byte{0}) || !bytes.Equal(unknown.GID, w.gid) || errors.Is(err, coap.ErrNoContext) || err.Error() == "" {
		t.Fatalf("got %v", err)
	}
	client.RemovePeer([]byte{2})
	third := w.members[2]
	_, sb, err := third.UnprotectRequest(over(t, outer))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := third.ProtectResponse(content("x"), sb, Pairwise)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := client.UnprotectResponse(over(t, resp), cb); !errors.As(err, &unknown) {
		t.Fatalf("got %v", err)
	}
	if err := client.SetPeer(Peer{KID: []byte{2}, Cred: w.creds[2]}); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := client.UnprotectResponse(over(t, resp), cb); err != nil {
		t.Errorf("with the credential: %v", err)
	}
	if _, _, err := client.ProtectRequest(get("/a"), []byte{9}); !errors.As(err, &unknown) {
		t.Errorf("to a stranger: %v", err)
	}
	if _, _, err := client.ProtectRequest(get("/a"), []byte{0}); !errors.Is(err, ErrOwn) {
		t.Errorf("to itself: %v", err)
	}
}

func TestPeers(t *testing.T) {
	w := newWorld(t, 3)
	c := w.members[1]
	if p := c.Peers(); len(p) != 2 || p[0].KID[0] != 0 || p[1].KID[0] != 2 || p[1].Roles != 2 || !bytes.Equal(p[1].Cred, w.creds[2]) {
		t.Errorf("%+v", p)
	}
	if _, ok := c.Peer([]byte{1}); ok {
		t.Error("it is its own peer")
	}
	if err := c.SetPeer(Peer{KID: []byte{2}, Cred: w.creds[2], Roles: 9}); err != nil {
		t.Fatal(err)
	}
	if p, ok := c.Peer([]byte{2}); !ok || p.Roles != 9 {
		t.Errorf("%+v", p)
	}
	for name, p := range map[string]Peer{
		"no credential":    {KID: []byte{5}},
		"broken":           {KID: []byte{5}, Cred: w.creds[2][:9]},
		"small order":      {KID: []byte{5}, Cred: cose.NewCCS("x", append([]byte{1}, make([]byte, 31)...))},
		"a long Sender ID": {KID: make([]byte, 8), Cred: w.creds[2]},
	} {
		if err := c.SetPeer(p); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := c.SetPeer(Peer{KID: []byte{2}}); err == nil || len(c.Peers()) != 2 {
		t.Error("a broken credential replaced a good one")
	}
	if c.Name() != "hall" || !bytes.Equal(c.GID(), w.gid) || !bytes.Equal(c.SenderID(), []byte{1}) || !bytes.Equal(c.Cred(), w.creds[1]) || c.Algorithms() != DefaultAlgorithms {
		t.Errorf("%v", c)
	}
}

func TestMatchGID(t *testing.T) {
	w := newWorld(t, 2)
	outer, _, err := w.members[0].ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	kid, ok := KID(outer)
	if !ok || !bytes.Equal(kid, []byte{0}) || !w.members[1].MatchGID(outer) {
		t.Errorf("kid %x", kid)
	}
	if newWorldContext := w.member(1, func(p *Params) { p.GID = []byte{1} }); newWorldContext.MatchGID(outer) {
		t.Error("another Gid matches")
	}
	plain := get("/a")
	if _, ok := KID(plain); ok || w.members[0].MatchGID(plain) {
		t.Error("a plain message matches")
	}
	if _, ok := KIDContext(plain); ok {
		t.Error("a plain message has a kid context")
	}
	if _, ok := ModeOf(plain); ok {
		t.Error("a plain message has a mode")
	}
}

func TestNewRefuses(t *testing.T) {
	w := newWorld(t, 2)
	algs := func(edit func(*Algorithms)) func(*Params) {
		return func(p *Params) {
			p.Algs = DefaultAlgorithms
			edit(&p.Algs)
		}
	}
	for name, edit := range map[string]func(*Params){
		"AEAD without tag":  algs(func(a *Algorithms) { a.AEAD = cose.A128CTR }),
		"unbuilt AEAD":      algs(func(a *Algorithms) { a.AEAD = 14 }),
		"A128CBC":           algs(func(a *Algorithms) { a.GroupEnc = -65531 }),
		"A192CBC":           algs(func(a *Algorithms) { a.GroupEnc = -65530 }),
		"A256CBC":           algs(func(a *Algorithms) { a.GroupEnc = -65529 }),
		"signature":         algs(func(a *Algorithms) { a.Sign = -35 }),
		"ES256, Ed25519":    algs(func(a *Algorithms) { a.Sign = cose.ES256 }),
		"-28 with SHA-256":  algs(func(a *Algorithms) { a.Pairwise = cose.ECDHSSHKDF512 }),
		"-27 with SHA-512":  algs(func(a *Algorithms) { a.HKDF = cose.HMAC512 }),
		"agreement":         algs(func(a *Algorithms) { a.Pairwise = cose.EdDSA }),
		"no HKDF":           algs(func(a *Algorithms) { a.HKDF = cose.Null }),
		"HKDF":              func(p *Params) { p.Algs = DefaultAlgorithms; p.Algs.HKDF = cose.EdDSA },
		"no mode":           func(p *Params) { p.Algs = Algorithms{AEAD: 10, Sign: cose.EdDSA, HKDF: 5} },
		"Gid":               func(p *Params) { p.GID = make([]byte, 256) },
		"Sender ID":         func(p *Params) { p.SenderID = make([]byte, 8) },
		"no key":            func(p *Params) { p.Key = nil },
		"another's key":     func(p *Params) { p.Key = cose.NewEd25519(w.keys[1]) },
		"no credential":     func(p *Params) { p.Cred = nil },
		"broken credential": func(p *Params) { p.Cred = p.Cred[1:] },
		"no Master Secret":  func(p *Params) { p.MasterSecret = nil },
		"window size":       func(p *Params) { p.WindowSize = 65 },
	} {
		p := w.params(0)
		edit(&p)
		if _, err := New(p); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Nothing secret is printed.
func TestRedacted(t *testing.T) {
	w := newWorld(t, 2)
	p := w.params(0)
	p.MasterSecret = cose.Secret("0123456789abcdef")
	c, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%s", "%q"} {
		text := fmt.Sprintf(verb, c) + fmt.Sprintf(verb, p.MasterSecret)
		if strings.Contains(text, "0123456789") || strings.Contains(text, "48 49 50") {
			t.Errorf("%s: %s", verb, text)
		}
	}
}

// A verifier from outside is asked, and its word counts.
func TestVerifier(t *testing.T) {
	w := newWorld(t, 2)
	asked, answer := 0, true
	server := w.member(1, func(p *Params) {
		p.Verify = func(public cose.PublicKey, message, sig []byte) bool {
			asked++
			return answer && public.Verify(message, sig)
		}
	})
	for _, answer = range []bool{true, false} {
		outer, _, err := w.members[0].ProtectRequest(get("/a"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := server.UnprotectRequest(outer); (err == nil) != answer {
			t.Errorf("verifier says %v: %v", answer, err)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
}

// A context that was made for a message which is refused then can go without
// harm; one that received something cannot. RFC 10021, Section 2.6.1.2.
func TestDiscard(t *testing.T) {
	w := newWorld(t, 3)
	server := w.members[1]
	outer, _, err := w.members[0].ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	forged := over(t, outer)
	forged.Payload[0] ^= 1
	if _, _, err := server.UnprotectRequest(forged); !errors.Is(err, oscore.ErrVerify) {
		t.Fatal(err)
	}
	if !server.Discard([]byte{0}) || server.Discard([]byte{0}) || len(server.Peers()) != 1 {
		t.Errorf("peers %+v", server.Peers())
	}
	if err := server.SetPeer(Peer{KID: []byte{0}, Cred: w.creds[0]}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.UnprotectRequest(over(t, outer)); err != nil {
		t.Errorf("the new window is not valid: %v", err)
	}
	if server.Discard([]byte{0}) || len(server.Peers()) != 2 {
		t.Error("a peer was discarded of whom a message verified")
	}
	if _, _, err := server.UnprotectRequest(over(t, outer)); !errors.Is(err, oscore.ErrReplay) {
		t.Errorf("replayed: %v", err)
	}
}

// Whatever is wrong with what is encrypted and signed, the error is the same, and
// the signature was looked at first.
func TestErrorsTellNothing(t *testing.T) {
	w := newWorld(t, 3)
	asked := 0
	server := w.member(1, func(p *Params) {
		p.Verify = func(key cose.PublicKey, message, sig []byte) bool { asked++; return key.Verify(message, sig) }
	})
	client := w.members[0]
	outer, _, err := client.ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	pairwise, _, err := client.ProtectRequest(get("/a"), []byte{1})
	if err != nil {
		t.Fatal(err)
	}
	// Another key encrypts, the right one signs: only the tag is wrong.
	aead, err := cose.NewAEAD(client.algs.GroupEnc, randomBytes(16))
	if err != nil {
		t.Fatal(err)
	}
	client.sender = aead
	wrongTag, _, err := client.ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		m      *coap.Message
		change func(b []byte) []byte
		asked  int
	}{
		"signature":       {outer, func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, 1},
		"ciphertext":      {outer, func(b []byte) []byte { b[0] ^= 1; return b }, 1},
		"tag":             {wrongTag, func(b []byte) []byte { return b }, 1},
		"short":           {outer, func(b []byte) []byte { return b[:20] }, 0},
		"long":            {outer, func(b []byte) []byte { return append(b, b...) }, 1},
		"nothing":         {outer, func([]byte) []byte { return nil }, 0},
		"pairwise, tag":   {pairwise, func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, 0},
		"pairwise, short": {pairwise, func(b []byte) []byte { return b[:7] }, 0},
	} {
		m := over(t, x.m)
		m.Payload = x.change(m.Payload)
		asked = 0
		if _, _, err := server.UnprotectRequest(m); err != oscore.ErrVerify {
			t.Errorf("%s: %v", name, err)
		}
		if asked != x.asked {
			t.Errorf("%s: %d signatures were verified", name, asked)
		}
	}
}

// A window that was restored, of a peer whose credential is not there yet, is not
// lost with a new Sender ID.
func TestInheritRestored(t *testing.T) {
	w := newWorld(t, 3)
	outer, _, err := w.members[0].ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.members[1].UnprotectRequest(over(t, outer)); err != nil {
		t.Fatal(err)
	}
	for kid, late := range map[byte]bool{8: false, 9: true} {
		p := w.params(1)
		p.Windows = w.members[1].Windows()
		restored, err := New(p)
		if err != nil {
			t.Fatal(err)
		}
		p = w.params(1)
		p.SenderID = []byte{kid}
		next, err := New(p)
		if err != nil {
			t.Fatal(err)
		}
		m := NewMember(restored)
		if late {
			m.Rekey(next)
		}
		if err := next.SetPeer(Peer{KID: []byte{0}, Cred: w.creds[0]}); err != nil {
			t.Fatal(err)
		}
		if !late {
			m.Rekey(next)
		}
		if _, _, err := m.UnprotectRequest(over(t, outer)); !errors.Is(err, oscore.ErrReplay) {
			t.Errorf("replayed: %v", err)
		}
		if fmt.Sprint(next.Windows()) != fmt.Sprint(w.members[1].Windows()) {
			t.Errorf("windows %v", next.Windows())
		}
	}
}

// What a member sent before it got another Sender ID is not sent back to it as
// somebody else's.
func TestReflected(t *testing.T) {
	w := newWorld(t, 2)
	outer, _, err := w.members[0].ProtectRequest(get("/a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	renewed := w.member(0, func(p *Params) { p.SenderID = []byte{9} }) // 0 is among its peers
	for _, c := range []*Context{w.members[0], renewed} {
		if _, _, err := c.UnprotectRequest(over(t, outer)); !errors.Is(err, ErrOwn) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// A Replay Window of n numbers takes a request that is up to n-1 numbers late,
// once, in any order.
func TestWindowSize(t *testing.T) {
	for size, want := range map[int]int{0: oscore.DefaultWindowSize, 1: 1, 8: 8, 64: 64} {
		w := newWorld(t, 2)
		server := w.member(1, func(p *Params) { p.WindowSize = size })
		var sent []*coap.Message
		for range 70 {
			outer, _, err := w.members[0].ProtectRequest(get("/a"), nil)
			if err != nil {
				t.Fatal(err)
			}
			sent = append(sent, outer)
		}
		for late := range sent {
			_, _, err := server.UnprotectRequest(sent[len(sent)-1-late])
			if fresh := late < want; fresh != (err == nil) || !fresh && !errors.Is(err, oscore.ErrReplay) {
				t.Errorf("a window of %d, %d late: %v", size, late, err)
			}
		}
	}
}
