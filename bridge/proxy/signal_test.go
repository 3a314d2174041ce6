package proxy

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
)

func TestSignals(t *testing.T) {
	s := newSite(t, nil)
	c := s.raw(t)
	ping := &coap.Message{Code: coap.Ping, Token: coap.Token("p")}
	coap.AddOption(ping, coap.PingCustody, nil)
	c.send(&coap.Message{Code: coap.Empty})
	c.send(coap.Respond(coap.Content, coap.NoFormat, nil)) // a response to nothing
	c.send(&coap.Message{Code: coap.Pong})
	c.send(coap.NewCSM(2000))
	c.send(ping)
	if m := c.receive(); m.Code != coap.Pong || string(m.Token) != "p" || !coap.HasOption(m, coap.PingCustody) {
		t.Error(m)
	}
	c.send(&coap.Message{Code: coap.Release})
	if !c.closed() {
		t.Error("a released connection stays open")
	}
}

func TestAborts(t *testing.T) {
	s := newSite(t, func(c *Config) { c.MaxMessage = 4096 })
	badCSM := coap.NewCSM(1152)
	coap.AddUint(badCSM, 77, 1)
	badPing := &coap.Message{Code: coap.Ping}
	coap.AddUint(badPing, 1, 1)
	for _, tc := range []struct {
		name  string
		csm   bool
		say   func(c *rawClient)
		abort bool
	}{
		{"request first", false, func(c *rawClient) { c.send(coap.NewRequest(coap.GET, "/", nil)) }, true},
		{"garbage first", false, func(c *rawClient) { c.frame(2, []byte{0xff, 1, 2}) }, true},
		{"bad CSM option", false, func(c *rawClient) { c.send(badCSM) }, true},
		{"bad ping option", true, func(c *rawClient) { c.send(badPing) }, true},
		{"empty frame", true, func(c *rawClient) { c.frame(2, nil) }, true},
		{"malformed", true, func(c *rawClient) { c.frame(2, []byte{0, 1, 0xb5}) }, true},
		{"text frame", true, func(c *rawClient) { c.frame(1, []byte("hello")) }, true},
		{"too large", true, func(c *rawClient) { c.frame(2, make([]byte, 5000)) }, false},
		{"abort", true, func(c *rawClient) { c.send(coap.NewAbort(0, "bye")) }, false},
		{"reserved opcode", true, func(c *rawClient) { c.frame(5, []byte("x")) }, false},
	} {
		c := s.rawSilent(t)
		if m := c.receive(); m.Code != coap.CSM {
			t.Fatal("the first message is", m)
		}
		if tc.csm {
			c.send(coap.NewCSM(1152))
		}
		tc.say(c)
		if tc.abort {
			m := c.receive()
			if m.Code != coap.Abort || len(m.Payload) == 0 {
				t.Errorf("%s: %v", tc.name, m)
			}
			if bad, _ := coap.OptionUint(m, coap.AbortBadCSMOption); tc.name == "bad CSM option" && bad != 77 {
				t.Errorf("%s: option %d is blamed", tc.name, bad)
			}
		}
		if !c.closed() {
			t.Errorf("%s: the connection stays open", tc.name)
		}
	}
}

// Whatever bytes come, the bridge lives and serves the next.
func TestRandomFrames(t *testing.T) {
	s := newSite(t, nil)
	rng := rand.New(rand.NewPCG(7, 7))
	lamp := device(t, endpoint.UDPOptions{}, "127.1.0.1:0", echo)
	for range 60 {
		c := s.raw(t)
		for range 20 {
			b := make([]byte, rng.IntN(60))
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			if len(b) > 1 && rng.IntN(2) == 0 {
				b[0], b[1] = byte(rng.IntN(9)), byte(rng.IntN(8)) // a request, most likely
			}
			c.frame(2, b)
		}
		if rng.IntN(2) == 0 {
			_, _ = c.conn.Write([]byte{0x82, 0xff, 0xff, 0xff}) // and half a frame
		}
		_ = c.conn.Close()
	}
	ws := s.client(t)
	if m, err := ws.Exchange(context.Background(), lamp, coap.NewRequest(coap.POST, "/", []byte("alive"))); err != nil || string(m.Payload) != "alive" {
		t.Fatal(m, err)
	}
}

func TestShutdownReleases(t *testing.T) {
	s := newSite(t, nil)
	lamp := device(t, endpoint.UDPOptions{}, "127.1.0.1:0", func(ctx context.Context, req *coap.Request) *coap.Message {
		time.Sleep(100 * time.Millisecond)
		return echo(ctx, req)
	})
	ws := s.client(t)
	answered := make(chan error, 1)
	go func() {
		_, err := ws.Exchange(context.Background(), lamp, coap.NewRequest(coap.GET, "/", nil))
		answered <- err
	}()
	time.Sleep(30 * time.Millisecond)
	closing := make(chan struct{})
	go func() { _ = s.Close(); close(closing) }()
	if err := <-answered; err != nil {
		t.Error("what was under way failed:", err)
	}
	select {
	case <-ws.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the client is still connected")
	}
	<-closing
	if !errors.Is(ws.Err(), coap.ErrLink) {
		t.Error(ws.Err())
	}
	if _, err := ws.Exchange(context.Background(), lamp, coap.NewRequest(coap.GET, "/", nil)); !errors.Is(err, coap.ErrLink) {
		t.Error(err)
	}
}

func TestLimits(t *testing.T) {
	group := freeGroup(t)
	s := newSite(t, func(c *Config) {
		c.RequestRate, c.MulticastRate, c.MaxExchanges, c.MaxConns = 20, 1, 3, 2
		c.MulticastGroups = []netip.AddrPort{group}
	})
	lamp := newRawDevice(t)
	c := s.raw(t)
	busy := func(n int, request func(i int) *coap.Message) int {
		for i := range n {
			c.send(request(i))
		}
		c.send(&coap.Message{Code: coap.Ping})
		refused := 0
		for m := c.receive(); m.Code != coap.Pong; m = c.receive() {
			if m.Code == coap.TooManyRequests {
				refused++
			}
		}
		return refused
	}
	if n := busy(4, func(i int) *coap.Message { return groupOf(group, "g", 1) }); n != 2 {
		t.Errorf("%d of 4 group requests refused", n)
	}
	if n := busy(5, func(i int) *coap.Message { return to(lamp.addr(), coap.GET, "/", string(rune('a'+i))) }); n != 3 {
		t.Errorf("%d of 5 refused with 3 open exchanges allowed, one of them the group's", n)
	}
	if n := busy(60, func(i int) *coap.Message { return to(lamp.addr(), coap.GET, "/", "same") }); n < 20 {
		t.Errorf("%d of 60 requests refused", n)
	}
	s.raw(t)
	if _, err := endpoint.DialWS(context.Background(), s.web.URL+coap.WSPath, endpoint.WSOptions{Token: s.token(t)}); !errors.Is(err, coap.ErrLink) {
		t.Errorf("a third connection: %v", err)
	}
}

func FuzzRoute(f *testing.F) {
	add := func(m *coap.Message) {
		b, err := coap.MarshalWS(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	add(to(netip.MustParseAddrPort("127.0.0.1:5683"), coap.GET, "/a?b", "t"))
	add(to(netip.MustParseAddrPort("[::1]:5683"), coap.GET, "/a?b", "t"))
	for _, u := range []string{"coap://[::1]:5/a/b?c&d", "coap://a.b/%41", "coap://", "coap://[::1/", "coap://x:0/"} {
		m := &coap.Message{Code: coap.GET}
		coap.AddOption(m, coap.OptionProxyURI, []byte(u))
		add(m)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := coap.UnmarshalWS(b)
		if err != nil || !coap.IsRequest(m.Code) {
			return
		}
		dest, out, problem := route(m)
		if problem != nil {
			return
		}
		if dest.host == "" || dest.port == 0 || coap.HasOption(out, coap.OptionProxyURI) || coap.HasOption(out, coap.OptionProxyScheme) || coap.HasOption(out, coap.OptionURIPort) {
			t.Fatalf("%+v %v", dest, optionString(out))
		}
		out.Type, out.MessageID = coap.Confirmable, 1
		if _, err := coap.MarshalUDP(out); err != nil {
			t.Fatal(err)
		}
	})
}

// A client that has fallen silent is asked for a sign of life and then freed; a
// device that acknowledged and then says nothing ends in 5.04.
func TestSilence(t *testing.T) {
	s := newSite(t, nil)
	lamp := newRawDevice(t)
	c := s.raw(t)
	var own *conn
	s.mu.Lock()
	for x := range s.conns {
		own = x
	}
	s.mu.Unlock()

	c.send(to(lamp.addr(), coap.GET, "/", "slow"))
	m, from := lamp.receive()
	lamp.send(from, &coap.Message{Type: coap.Acknowledgement, MessageID: m.MessageID})
	time.Sleep(s.config.LayerParams.MaxTransmitWait() + 50*time.Millisecond)
	own.tick()
	if got := c.receive(); got.Code != coap.GatewayTimeout || string(got.Token) != "slow" {
		t.Error(got)
	}

	own.heard.Store(time.Now().Add(-pingAfter - time.Second).UnixNano())
	own.tick()
	if got := c.receive(); got.Code != coap.Ping {
		t.Error(got)
	}
	own.heard.Store(time.Now().Add(-deadAfter - time.Second).UnixNano())
	own.tick()
	if !c.closed() {
		t.Error("a dead client is kept")
	}
}
