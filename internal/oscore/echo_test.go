package oscore

import (
	"crypto/rand"
	"errors"
	"testing"

	"lamplighter/internal/coap"
)

// reboot makes the server's context again, from what is durable: the mark of
// the sequence, not the window.
func reboot(t *testing.T, p Params, mark uint64) *Context {
	t.Helper()
	p.EchoFirst = true
	p.Sequence = NewSequence(mark, nil)
	c, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// RFC 8613, Appendix B.1.2.
func TestEchoAfterReboot(t *testing.T) {
	var params Params
	client, server := newPair(t, func(_, s *Params) { params = *s })
	old, _, err := client.ProtectRequest(coap.NewRequest(coap.PUT, "/light", []byte("on")))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.UnprotectRequest(old); err != nil {
		t.Fatal(err)
	}
	server = reboot(t, params, 128)

	challenge := func(m *coap.Message) *coap.Message {
		t.Helper()
		req, b, err := server.UnprotectRequest(over(t, m))
		e, ok := errors.AsType[*EchoError](err)
		if req != nil || b != nil || !ok {
			t.Fatalf("no challenge: %v, %v", req, err)
		}
		if piv(t, e.Challenge) == nil {
			t.Fatal("the challenge has no Partial IV of its own")
		}
		return e.Challenge
	}
	challenge(old)
	challenge(old)
	fresh, cb, err := client.ProtectRequest(get("/a"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.UnprotectResponse(over(t, challenge(fresh)), cb)
	if err != nil {
		t.Fatal(err)
	}
	if !IsChallenge(resp) || len(resp.Options) != 1 || len(resp.Payload) != 0 {
		t.Fatalf("challenge: %v", resp)
	}
	wrong := get("/a")
	coap.AddOption(wrong, coap.OptionEcho, []byte("12345678"))
	outer, _, err := client.ProtectRequest(wrong)
	if err != nil {
		t.Fatal(err)
	}
	challenge(outer)
	late, _, err := client.ProtectRequest(get("/late"))
	if err != nil {
		t.Fatal(err)
	}
	outer, _, err = client.ProtectRequest(WithEcho(get("/a"), resp))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.UnprotectRequest(over(t, outer)); err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]*coap.Message{"old": old, "just before": late, "the same": outer} {
		if _, _, err := server.UnprotectRequest(over(t, m)); !errors.Is(err, ErrReplay) {
			t.Errorf("%s: %v", name, err)
		}
	}
	exchange(t, client, server, get("/b"), content("b"))
}

func TestEchoNeedsRandomness(t *testing.T) {
	client, server := newPair(t, func(_, s *Params) { s.EchoFirst, s.Rand = true, nil })
	outer, _, err := client.ProtectRequest(get("/a"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.UnprotectRequest(outer); err == nil || errors.As(err, new(*EchoError)) {
		t.Errorf("got %v", err)
	}
	server.rand = failing{}
	if _, _, err := server.UnprotectRequest(outer); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
	server.rand = rand.Reader
	server.sequence.Stop()
	if _, _, err := server.UnprotectRequest(outer); !errors.Is(err, ErrSpent) {
		t.Errorf("without numbers: %v", err)
	}
}

// A request that cannot be read is not challenged, and one that is forged proves
// nothing.
func TestEchoIsForRequests(t *testing.T) {
	client, server := newPair(t, func(_, s *Params) { s.EchoFirst = true })
	if _, _, err := server.UnprotectRequest(client.sealRaw(t, []byte{0})); !errors.Is(err, ErrDecode) {
		t.Errorf("nonsense inside: %v", err)
	}
	outer, cb, err := client.ProtectRequest(get("/a"))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = server.UnprotectRequest(outer)
	asked, ok := errors.AsType[*EchoError](err)
	if !ok {
		t.Fatal(err)
	}
	challenge, err := client.UnprotectResponse(asked.Challenge, cb)
	if err != nil {
		t.Fatal(err)
	}
	forged := coap.Clone(outer)
	coap.AddOption(forged, coap.OptionEcho, coap.GetOption(challenge, coap.OptionEcho)) // outside
	if _, _, err := server.UnprotectRequest(forged); !errors.As(err, new(*EchoError)) {
		t.Errorf("Echo outside: %v", err)
	}
	outer, _, err = client.ProtectRequest(WithEcho(get("/a"), challenge))
	if err != nil {
		t.Fatal(err)
	}
	forged = over(t, outer)
	forged.Payload[0] ^= 1
	if _, _, err := server.UnprotectRequest(forged); !errors.Is(err, ErrVerify) || !server.lost {
		t.Errorf("forged: %v", err)
	}
	if _, b, err := server.UnprotectRequest(outer); err != nil || server.lost {
		t.Error(err)
	} else if resp, err := server.ProtectResponse(content("b"), b); err != nil || piv(t, resp) != nil {
		t.Errorf("the response to a fresh request: %v, %v", resp, err)
	}
}

var errBroken = errors.New("broken")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }
