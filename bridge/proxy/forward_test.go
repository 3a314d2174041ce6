package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
)

func echo(_ context.Context, req *coap.Request) *coap.Message {
	return coap.Respond(coap.Content, coap.FormatText, req.Payload)
}

func TestExchangeThroughTheBridge(t *testing.T) {
	s := newSite(t, nil)
	lamp := device(t, endpoint.UDPOptions{}, "127.1.0.1:0", echo)
	ws := s.client(t)
	m, err := ws.Exchange(context.Background(), lamp, coap.NewRequest(coap.POST, "/light", []byte("on")))
	if err != nil || m.Code != coap.Content || string(m.Payload) != "on" {
		t.Fatal(m, err)
	}
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			want := fmt.Append(nil, i)
			m, err := ws.Exchange(context.Background(), lamp, coap.NewRequest(coap.POST, "/", want))
			if err != nil || !bytes.Equal(m.Payload, want) {
				t.Error(i, m, err)
			}
		})
	}
	wg.Wait()
	if rtt, err := ws.Ping(context.Background()); err != nil || rtt <= 0 {
		t.Error(rtt, err)
	}
}

// What the bridge does not need, it does not touch.
func TestOptionsPassUntouched(t *testing.T) {
	s := newSite(t, nil)
	lamp := newRawDevice(t)
	c := s.raw(t)

	req := to(lamp.addr(), coap.FETCH, "/a/b?q=1", "tk")
	for _, o := range []struct {
		id coap.OptionID
		v  string
	}{{coap.OptionOSCORE, "\x09\x01k"}, {coap.OptionObserve, ""}, {coap.OptionBlock1, "\x0a"}, {coap.OptionBlock2, "\x02"}, {coap.OptionSize1, "\x40"},
		{coap.OptionETag, "123456789"}, {coap.OptionIfMatch, "x"}, {coap.OptionEcho, "e"}, {coap.OptionNoResponse, "\x02"}, {65001, "critical, safe"}} {
		coap.AddOption(req, o.id, []byte(o.v))
	}
	req.Payload = []byte{0, 1, 2, 0xff}
	c.send(req)
	got, from := lamp.receive()
	want := coap.Clone(req)
	for _, id := range []coap.OptionID{coap.OptionProxyScheme, coap.OptionURIHost, coap.OptionURIPort} {
		coap.RemoveOption(want, id)
	}
	if got.Type != coap.Confirmable || got.Code != coap.FETCH || optionString(got) != optionString(want) || !bytes.Equal(got.Payload, req.Payload) {
		t.Errorf("the device sees %v %s", got, optionString(got))
	}
	if string(got.Token) == "tk" {
		t.Error("the client's token is used towards the device")
	}
	resp := coap.Respond(coap.Changed, coap.FormatCBOR, []byte("answer"))
	resp.Type, resp.MessageID, resp.Token = coap.Acknowledgement, got.MessageID, got.Token
	coap.AddOption(resp, coap.OptionOSCORE, nil)
	coap.AddOption(resp, coap.OptionBlock2, []byte{0x0a})
	coap.AddOption(resp, coap.OptionMaxAge, []byte{60})
	lamp.send(from, resp)
	back := c.receive()
	if back.Code != coap.Changed || string(back.Token) != "tk" || optionString(back) != optionString(resp) || string(back.Payload) != "answer" {
		t.Errorf("the client sees %v %s", back, optionString(back))
	}
}

func TestProxyURI(t *testing.T) {
	s := newSite(t, nil)
	lamp := newRawDevice(t)
	c := s.raw(t)
	m := &coap.Message{Code: coap.GET, Token: coap.Token("t")}
	coap.AddOption(m, coap.OptionProxyURI, fmt.Appendf(nil, "coap://%v/a%%2Fb/c?x=%%26y&z", lamp.addr()))
	coap.AddOption(m, coap.OptionURIPath, []byte("ignored"))
	c.send(m)
	got, _ := lamp.receive()
	if s := optionString(got); s != "URIPath=a/b;URIPath=c;URIQuery=x=&y;URIQuery=z;" {
		t.Error(s)
	}
}

func TestNamesAreResolvedAndChecked(t *testing.T) {
	s := newSite(t, nil)
	lamp := newRawDevice(t)
	c := s.raw(t)
	m := to(lamp.addr(), coap.GET, "/", "t")
	coap.SetOption(m, coap.OptionURIHost, []byte("LocalHost"))
	c.send(m)
	got, _ := lamp.receive()
	if string(coap.GetOption(got, coap.OptionURIHost)) != "LocalHost" {
		t.Error("the name does not reach the server:", optionString(got))
	}
	other := newSite(t, func(c *Config) { c.Targets = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	c = other.raw(t)
	c.send(m)
	if got := c.receive(); got.Code != coap.Forbidden {
		t.Error("a name outside the networks:", got)
	}
}

func TestRefusals(t *testing.T) {
	group := freeGroup(t)
	s := newSite(t, func(c *Config) { c.MulticastGroups = []netip.AddrPort{group}; c.Ports = [][2]uint16{{5000, 5999}} })
	c := s.raw(t)
	host := netip.MustParseAddrPort("127.0.0.1:5683")
	with := func(m *coap.Message, id coap.OptionID, v string) *coap.Message {
		coap.SetOption(m, id, []byte(v))
		return m
	}
	without := func(m *coap.Message, id coap.OptionID) *coap.Message {
		coap.RemoveOption(m, id)
		return m
	}
	proxyURI := func(uri string) *coap.Message {
		return with(&coap.Message{Code: coap.GET}, coap.OptionProxyURI, uri)
	}
	for _, tc := range []struct {
		name string
		m    *coap.Message
		want coap.Code
	}{
		{"no proxy options", coap.NewRequest(coap.GET, "/x", nil), coap.NotFound},
		{"another network", to(netip.MustParseAddrPort("192.0.2.1:5683"), coap.GET, "/", ""), coap.Forbidden},
		{"another port", to(netip.MustParseAddrPort("127.0.0.1:22"), coap.GET, "/", ""), coap.Forbidden},
		{"mapped address of another network", with(to(host, coap.GET, "/", ""), coap.OptionURIHost, "[::ffff:192.0.2.1]"), coap.Forbidden},
		{"zone", with(to(host, coap.GET, "/", ""), coap.OptionURIHost, "[fe80::1%lo]"), coap.Forbidden},
		{"unspecified", with(to(host, coap.GET, "/", ""), coap.OptionURIHost, "0.0.0.0"), coap.Forbidden},
		{"broadcast", with(to(host, coap.GET, "/", ""), coap.OptionURIHost, "255.255.255.255"), coap.Forbidden},
		{"another group", to(netip.AddrPortFrom(netip.MustParseAddr("224.0.1.188"), group.Port()), coap.GET, "/", ""), coap.Unauthorized},
		{"another scheme", with(to(host, coap.GET, "/", ""), coap.OptionProxyScheme, "http"), coap.ProxyingNotSupported},
		{"no host", without(to(host, coap.GET, "/", ""), coap.OptionURIHost), coap.BadRequest},
		{"bad host", with(to(host, coap.GET, "/", ""), coap.OptionURIHost, "a b"), coap.BadRequest},
		{"bad port", with(to(host, coap.GET, "/", ""), coap.OptionURIPort, "\x01\x00\x00"), coap.BadRequest},
		{"unknown name", with(to(host, coap.GET, "/", ""), coap.OptionURIHost, "nowhere.invalid"), coap.BadGateway},
		{"unsafe option", with(to(host, coap.GET, "/", ""), 65002, "x"), coap.BadOption},
		{"hop limit used up", with(to(host, coap.GET, "/", ""), coap.OptionHopLimit, "\x01"), coap.HopLimitReached},
		{"hop limit nonsense", with(to(host, coap.GET, "/", ""), coap.OptionHopLimit, ""), coap.BadRequest},
		{"relative Proxy-Uri", proxyURI("/a"), coap.BadRequest},
		{"Proxy-Uri of http", proxyURI("http://127.0.0.1/"), coap.ProxyingNotSupported},
		{"Proxy-Uri with user", proxyURI("coap://me@127.0.0.1/"), coap.BadRequest},
		{"Proxy-Uri badly encoded", proxyURI("coap://127.0.0.1/%zz"), coap.BadRequest},
		{"Proxy-Uri elsewhere", proxyURI("coap://192.0.2.1/"), coap.Forbidden},
	} {
		tc.m.Token = coap.Token("r")
		c.send(tc.m)
		if got := c.receive(); got.Code != tc.want || string(got.Token) != "r" {
			t.Errorf("%s: %v %s", tc.name, coap.CodeString(got.Code), got.Payload)
		}
	}
	missing := to(group, coap.GET, "/", "m")
	c.send(missing)
	got := c.receive()
	if v := coap.GetOption(got, coap.OptionMulticastTimeout); got.Code != coap.BadRequest || v == nil || len(v) != 0 {
		t.Errorf("without Multicast-Timeout: %v %s", got, optionString(got))
	}
}

func TestNoAnswerAndReset(t *testing.T) {
	s := newSite(t, nil)
	lamp := newRawDevice(t)
	ws := s.client(t)
	_, err := ws.Exchange(context.Background(), lamp.addr(), coap.NewRequest(coap.GET, "/", nil))
	if !errors.Is(err, coap.ErrTimeout) {
		t.Errorf("5.04: %v", err)
	}
	copies := 0
	for m, _ := lamp.tryReceive(10 * time.Millisecond); m != nil; m, _ = lamp.tryReceive(10 * time.Millisecond) {
		copies++
	}
	if copies != 1+quick().MaxRetransmit {
		t.Errorf("the request was sent %d times", copies)
	}
	go func() {
		m, from := lamp.receive()
		lamp.send(from, &coap.Message{Type: coap.Reset, MessageID: m.MessageID})
	}()
	if _, err := ws.Exchange(context.Background(), lamp.addr(), coap.NewRequest(coap.GET, "/", nil)); !errors.Is(err, coap.ErrReset) {
		t.Errorf("5.02: %v", err)
	}
	big := coap.NewRequest(coap.POST, "/", make([]byte, 65520))
	var re *coap.ResponseError
	if m, err := ws.Exchange(context.Background(), lamp.addr(), big); err == nil && m.Code != coap.RequestEntityTooLarge || err != nil && !errors.As(err, &re) && !errors.Is(err, endpoint.ErrTooLarge) {
		t.Errorf("larger than a datagram: %v %v", m, err)
	}
}

// A lost datagram is sent again, and an answer that comes twice goes on once.
func TestRetransmissionAndDeduplication(t *testing.T) {
	s := newSite(t, nil)
	lamp := newRawDevice(t)
	c := s.raw(t)
	c.send(to(lamp.addr(), coap.GET, "/", "a"))
	first, _ := lamp.receive()
	again, from := lamp.receive()
	if first.MessageID != again.MessageID || string(first.Token) != string(again.Token) {
		t.Fatal("the retransmission differs")
	}
	lamp.send(from, &coap.Message{Type: coap.Acknowledgement, MessageID: again.MessageID})
	resp := coap.Respond(coap.Content, coap.NoFormat, []byte("separate"))
	resp.Type, resp.MessageID, resp.Token = coap.Confirmable, 4242, again.Token
	lamp.send(from, resp)
	lamp.send(from, resp)
	for range 2 {
		if ack, _ := lamp.receive(); ack.Type != coap.Acknowledgement || ack.MessageID != 4242 {
			t.Fatal("the separate response was not acknowledged:", ack)
		}
	}
	if got := c.receive(); string(got.Payload) != "separate" || string(got.Token) != "a" {
		t.Fatal(got)
	}
	c.send(&coap.Message{Code: coap.Ping, Token: coap.Token("p")})
	if got := c.receive(); got.Code != coap.Pong {
		t.Error("the answer was forwarded twice:", got)
	}
}

func notify(d *rawDevice, to netip.AddrPort, token coap.Token, typ coap.MessageType, mid int32, n uint32, payload string) {
	m := coap.Respond(coap.Content, coap.NoFormat, []byte(payload))
	m.Type, m.MessageID, m.Token = typ, mid, token
	coap.AddUint(m, coap.OptionObserve, n)
	d.send(to, m)
}

func TestObserve(t *testing.T) {
	s := newSite(t, nil)
	lamp := newRawDevice(t)
	c := s.raw(t)
	req := to(lamp.addr(), coap.GET, "/light", "obs")
	coap.AddUint(req, coap.OptionObserve, 0)
	c.send(req)
	m, from := lamp.receive()
	notify(lamp, from, m.Token, coap.Acknowledgement, m.MessageID, 1, "one")
	if got := c.receive(); string(got.Payload) != "one" || string(got.Token) != "obs" || !coap.HasOption(got, coap.OptionObserve) {
		t.Fatal(got)
	}
	notify(lamp, from, m.Token, coap.Confirmable, 77, 2, "two")
	if ack, _ := lamp.receive(); ack.Type != coap.Acknowledgement || ack.MessageID != 77 {
		t.Fatal(ack)
	}
	notify(lamp, from, m.Token, coap.NonConfirmable, 78, 3, "three")
	for _, want := range []string{"two", "three"} {
		if got := c.receive(); string(got.Payload) != want || string(got.Token) != "obs" {
			t.Fatal(want, got)
		}
	}
	// The end comes under the same token, on both sides.
	cancel := to(lamp.addr(), coap.GET, "/light", "obs")
	coap.AddUint(cancel, coap.OptionObserve, 1)
	c.send(cancel)
	m2, _ := lamp.receive()
	if string(m2.Token) != string(m.Token) {
		t.Error("the end of the observation has another token")
	}
	last := coap.Respond(coap.Content, coap.NoFormat, []byte("last"))
	last.Type, last.MessageID, last.Token = coap.Acknowledgement, m2.MessageID, m2.Token
	lamp.send(from, last)
	if got := c.receive(); string(got.Payload) != "last" {
		t.Fatal(got)
	}
	notify(lamp, from, m.Token, coap.Confirmable, 79, 4, "late")
	if rst, _ := lamp.receive(); rst.Type != coap.Reset || rst.MessageID != 79 {
		t.Error("a notification that nobody wants got", rst)
	}
	// A disconnected client frees its observations.
	c.send(req)
	m, from = lamp.receive()
	notify(lamp, from, m.Token, coap.Acknowledgement, m.MessageID, 5, "five")
	c.receive()
	_ = c.conn.Close()
	time.Sleep(50 * time.Millisecond)
	if s.connections(t) != 0 {
		t.Error("the connection stays")
	}
}

// connections counts connections.
func (s *site) connections(t testing.TB) int {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func TestOversizedAnswer(t *testing.T) {
	s := newSite(t, nil)
	lamp := device(t, endpoint.UDPOptions{}, "127.1.0.1:0", func(context.Context, *coap.Request) *coap.Message {
		return coap.Respond(coap.Content, coap.NoFormat, make([]byte, 2000))
	})
	c := s.rawSilent(t)
	c.send(coap.NewCSM(1152))
	c.receive()
	c.send(to(lamp, coap.GET, "/", "t"))
	if got := c.receive(); got.Code != coap.BadGateway {
		t.Error(got.Code)
	}
}

func TestRecord(t *testing.T) {
	var mu sync.Mutex
	var seen []Direction
	s := newSite(t, func(c *Config) {
		c.Record = func(d Direction, peer netip.AddrPort, b []byte) {
			mu.Lock()
			defer mu.Unlock()
			if len(b) == 0 || !peer.IsValid() {
				t.Error("nothing recorded of", d)
			}
			seen = append(seen, d)
		}
	})
	lamp := device(t, endpoint.UDPOptions{}, "127.1.0.1:0", echo)
	ws := s.client(t)
	if _, err := ws.Exchange(context.Background(), lamp, coap.NewRequest(coap.POST, "/", []byte("x"))); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	count := map[Direction]int{}
	for _, d := range seen {
		count[d]++
	}
	if count[SignIn] != 1 || count[FromClient] != 2 || count[ToDevice] != 1 || count[FromDevice] != 1 || count[ToClient] != 2 {
		t.Error(count)
	}
}

func BenchmarkBridge(b *testing.B) {
	s := newSite(b, func(c *Config) { c.LayerParams = nil; c.RequestRate = 1e9 })
	lamp := device(b, endpoint.UDPOptions{}, "127.1.0.1:0", echo)
	ws := s.client(b)
	req := coap.NewRequest(coap.POST, "/light", make([]byte, 64))
	for b.Loop() {
		if _, err := ws.Exchange(context.Background(), lamp, req); err != nil {
			b.Fatal(err)
		}
	}
}
