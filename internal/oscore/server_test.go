package oscore

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"testing"

	"lamplighter/internal/coap"
)

var peerAddr = netip.MustParseAddrPort("127.1.0.1:5683")

// called makes a request and checks its answer.
func called(t *testing.T, c coap.Caller, payload string) {
	t.Helper()
	resp, err := c.Call(t.Context(), coap.NewRequest(coap.POST, "/x", []byte(payload)))
	if err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	if resp.Code != coap.Content || string(resp.Payload) != "re "+payload {
		t.Fatalf("%s: %v %q", payload, resp.Code, resp.Payload)
	}
}

func TestClientServer(t *testing.T) {
	s := NewServer(rand.Reader)
	h := &echoHandler{}
	l := &link{t: t, handler: coap.Secure(h, s)}
	var accepted []string
	s.OnAccept = func(name string, w WindowState) error {
		accepted = append(accepted, name)
		if w.Next == 0 {
			t.Error("the window does not hold the request")
		}
		return nil
	}
	// Three associations, two of them with the same kid, one with an ID Context.
	a, as := newPair(t)
	b, bs := newPair(t)
	c, cs := newPair(t, func(c, s *Params) { c.IDContext, s.IDContext = []byte("c"), []byte("c") })
	s.Add("a", 1, as)
	s.Add("b", 2, bs)
	s.Add("c", 3, cs)
	clients := map[string]*Client{"a": NewClient(a, l, peerAddr), "b": NewClient(b, l, peerAddr), "c": NewClient(c, l, peerAddr)}
	for round := range 3 {
		for i, name := range []string{"a", "b", "c"} {
			called(t, clients[name], name)
			p := h.peers[len(h.peers)-1]
			if p.Kind != coap.PeerACE || p.Name != name || p.Data != i+1 || string(p.KID) != "\x01" {
				t.Errorf("round %d: %s is %+v", round, name, p)
			}
		}
	}
	if len(accepted) != 9 {
		t.Errorf("%d windows were to be stored", len(accepted))
	}
	if l.to[0] != peerAddr {
		t.Errorf("sent to %v", l.to[0])
	}

	s.Remove("a")
	s.Remove("a")
	_, err := clients["a"].Call(t.Context(), get("/x"))
	if bare, ok := errors.AsType[*UnprotectedError](err); !ok || bare.Response.Code != coap.BadRequest {
		t.Errorf("removed, another with its kid there: %v", err)
	}
	s.Remove("b")
	s.Remove("c")
	if _, err := clients["b"].Call(t.Context(), get("/x")); !errors.Is(err, coap.ErrNoContext) {
		t.Errorf("removed: %v", err)
	}
	if h.served() != 9 {
		t.Errorf("%d requests were acted on", h.served())
	}
}

func TestServerReplaces(t *testing.T) {
	s := NewServer(rand.Reader)
	l := &link{t: t, handler: coap.Secure(&echoHandler{}, s)}
	_, old := newPair(t)
	s.Add("a", nil, old)
	client, server := newPair(t)
	s.Add("a", nil, server)
	called(t, NewClient(client, l, peerAddr), "x")
}

func TestServerRefuses(t *testing.T) {
	s := NewServer(rand.Reader)
	client, server := newPair(t)
	s.Add("a", nil, server)
	outer, _, err := client.ProtectRequest(get("/x"))
	if err != nil {
		t.Fatal(err)
	}
	open := func(m *coap.Message, multicast bool) (*coap.Message, error) {
		opened, reply, err := s.Open(t.Context(), &coap.Request{Message: m, Multicast: multicast})
		if err == nil || opened != nil {
			t.Fatal("accepted")
		}
		return reply, err
	}
	if reply, err := open(over(t, outer), true); !errors.Is(err, coap.ErrNoContext) || reply != nil {
		t.Errorf("to a group address: %v, %v", reply, err)
	}
	group := over(t, outer)
	coap.SetOption(group, coap.OptionOSCORE, []byte{0x29, 0, 1})
	if reply, err := open(group, false); !errors.Is(err, coap.ErrNoContext) || reply != nil {
		t.Errorf("group mode: %v, %v", reply, err)
	}
	broken := over(t, outer)
	coap.SetOption(broken, coap.OptionOSCORE, []byte{0x80})
	if reply, err := open(broken, false); !errors.Is(err, ErrDecode) || reply.Code != coap.BadOption {
		t.Errorf("malformed: %v, %v", reply, err)
	}
	full := errors.New("disk full")
	s.OnAccept = func(string, WindowState) error { return full }
	if reply, err := open(over(t, outer), false); !errors.Is(err, full) || reply.Code != coap.ServiceUnavailable {
		t.Errorf("store fails: %v, %v", reply, err)
	}
	if reply, err := open(over(t, outer), false); !errors.Is(err, ErrReplay) || reply.Code != coap.Unauthorized {
		t.Errorf("replayed: %v, %v", reply, err)
	}
}

// The client answers the challenge by itself, once.
func TestClientAnswersEcho(t *testing.T) {
	s := NewServer(rand.Reader)
	h := &echoHandler{}
	l := &link{t: t, handler: coap.Secure(h, s)}
	client, server := newPair(t, func(c, s *Params) { s.EchoFirst, s.Rand = true, nil })
	s.Add("a", nil, server)
	c := NewClient(client, l, peerAddr)
	called(t, c, "x")
	called(t, c, "y")
	if h.served() != 2 || l.requests() != 3 {
		t.Errorf("%d requests, %d acted on", l.requests(), h.served())
	}
	stubborn := coap.HandlerFunc(func(context.Context, *coap.Request) *coap.Message {
		m := &coap.Message{Code: coap.Unauthorized}
		coap.AddOption(m, coap.OptionEcho, []byte("again"))
		return m
	})
	l.handler = coap.Secure(stubborn, s)
	if resp, err := c.Call(t.Context(), get("/x")); err != nil || !IsChallenge(resp) || l.requests() != 5 {
		t.Errorf("%v, %v after %d requests", resp, err, l.requests())
	}
}

func TestClientRefusesPlainAnswers(t *testing.T) {
	client, _ := newPair(t)
	l := &link{t: t, handler: &echoHandler{}}
	_, err := NewClient(client, l, peerAddr).Call(t.Context(), get("/x"))
	bare, ok := errors.AsType[*UnprotectedError](err)
	if !ok || errors.Is(err, coap.ErrNoContext) || bare.Error() != "answered without protection (Content)" {
		t.Errorf("a plain 2.05: %v", err)
	}
	l.handler = coap.HandlerFunc(func(context.Context, *coap.Request) *coap.Message {
		return coap.Problem(coap.Unauthorized, "who are you")
	})
	_, err = NewClient(client, l, peerAddr).Call(t.Context(), get("/x"))
	if code, ok := errors.AsType[*coap.ResponseError](err); !ok || code.Code != coap.Unauthorized || !errors.Is(err, coap.ErrNoContext) {
		t.Errorf("a plain 4.01: %v", err)
	}
	l.before = func(int, *coap.Message) *coap.Message { return nil }
	if _, err := NewClient(client, l, peerAddr).Call(t.Context(), get("/x")); !errors.Is(err, coap.ErrTimeout) {
		t.Errorf("silence: %v", err)
	}
	if _, err := NewClient(client, l, peerAddr).Call(t.Context(), content("x")); err == nil {
		t.Error("a response was sent as a request")
	}
}
