package proxy

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
)

// fleet starts n devices in a group.
func fleet(t testing.TB, n int, group netip.AddrPort, leisure time.Duration, h coap.HandlerFunc) map[netip.AddrPort]bool {
	t.Helper()
	addrs := make(map[netip.AddrPort]bool)
	for i := range n {
		ip := netip.AddrFrom4([4]byte{127, 1, 1, byte(i + 1)})
		addrs[device(t, endpoint.UDPOptions{Multicast: group, Interface: "lo", Leisure: leisure}, netip.AddrPortFrom(ip, 0).String(), h)] = true
	}
	return addrs
}

func TestGroupRequest(t *testing.T) {
	group := freeGroup(t)
	s := newSite(t, func(c *Config) { c.MulticastGroups = []netip.AddrPort{group} })
	addrs := fleet(t, 100, group, 0, echo)
	ws := s.client(t)
	got := map[netip.AddrPort]int{}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	started := time.Now()
	err := ws.Multicast(ctx, group, coap.NewRequest(coap.GET, "/", []byte("roll")), 5*time.Second, func(m *coap.Message, from netip.AddrPort) {
		if got[from]++; !addrs[from] || string(m.Payload) != "roll" || coap.HasOption(m, coap.OptionReplyFrom) {
			t.Errorf("%v answers %v", from, m)
		}
		if len(got) == len(addrs) {
			cancel()
		}
	})
	if err != nil || len(got) != len(addrs) {
		t.Fatalf("%d of %d answered, %v", len(got), len(addrs), err)
	}
	t.Logf("100 answers in %v", time.Since(started))
	if _, ok := addrs[first(got)]; !ok {
		t.Fatal("no address")
	}
	// Each can be asked alone by the address it answered from.
	if m, err := ws.Exchange(context.Background(), first(got), coap.NewRequest(coap.GET, "/", []byte("you"))); err != nil || string(m.Payload) != "you" {
		t.Error(m, err)
	}
	var re *coap.ResponseError
	other := netip.AddrPortFrom(group.Addr(), group.Port()^1)
	if err := ws.Multicast(context.Background(), other, coap.NewRequest(coap.GET, "/", nil), time.Second, nil); !errors.As(err, &re) || re.Code != coap.Unauthorized {
		t.Errorf("another group: %v", err)
	}
}

func first(m map[netip.AddrPort]int) netip.AddrPort {
	for a := range m {
		return a
	}
	return netip.AddrPort{}
}

// groupOf asks a group, by hand.
func groupOf(group netip.AddrPort, token string, seconds uint32) *coap.Message {
	m := to(group, coap.GET, "/", token)
	coap.AddUint(m, coap.OptionMulticastTimeout, seconds)
	return m
}

func TestEarlyStopAndTimeout(t *testing.T) {
	group := freeGroup(t)
	var handled atomic.Int32
	s := newSite(t, func(c *Config) {
		c.MulticastGroups = []netip.AddrPort{group}
		c.MaxMulticastTimeout = time.Second
	})
	fleet(t, 5, group, 0, func(ctx context.Context, req *coap.Request) *coap.Message {
		handled.Add(1)
		time.Sleep(300 * time.Millisecond)
		return echo(ctx, req)
	})
	c := s.raw(t)

	c.send(groupOf(group, "a", 10))
	time.Sleep(50 * time.Millisecond)
	stop := &coap.Message{Code: coap.GET, Token: coap.Token("a")}
	coap.AddUint(stop, coap.OptionMulticastTimeout, 0)
	c.send(stop)
	if m := c.next(500 * time.Millisecond); m != nil {
		t.Fatal("after the early stop came", m)
	}
	if handled.Load() != 5 {
		t.Error("handled", handled.Load())
	}

	c = s.raw(t)
	c.send(groupOf(group, "b", 0)) // wants no answers
	c.send(groupOf(group, "c", 99999))
	for range 5 {
		if m := c.receive(); string(m.Token) != "c" {
			t.Fatal("an answer that nobody wanted", m)
		}
	}
	if m := c.next(1200 * time.Millisecond); m != nil {
		t.Error("more than one answer a device:", m)
	}
	if n := s.openExchanges(); n != 0 {
		t.Errorf("%d exchanges stay open after the capped timeout", n)
	}
}

func (s *site) openExchanges() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		n += c.open()
	}
	return n
}

// Notifications of a group outlive the timeout; plain answers do not.
func TestGroupObserve(t *testing.T) {
	group := freeGroup(t)
	s := newSite(t, func(c *Config) { c.MulticastGroups = []netip.AddrPort{group} })
	tokens := make(chan *coap.Request, 1)
	fleet(t, 1, group, 0, func(_ context.Context, req *coap.Request) *coap.Message {
		tokens <- req
		return nil
	})
	lamp := newRawDevice(t)
	c := s.raw(t)
	req := groupOf(group, "g", 1)
	coap.AddUint(req, coap.OptionObserve, 0)
	c.send(req)
	heard := <-tokens
	notify(lamp, heard.From, heard.Token, coap.NonConfirmable, 1, 1, "one")
	got := c.receive()
	from, err := coap.ParseReplyFrom(coap.GetOption(got, coap.OptionReplyFrom))
	if err != nil || from != lamp.addr() || string(got.Payload) != "one" {
		t.Fatal(got, from, err)
	}
	time.Sleep(1200 * time.Millisecond)
	plain := coap.Respond(coap.Content, coap.NoFormat, []byte("late and plain"))
	plain.Type, plain.MessageID, plain.Token = coap.NonConfirmable, 2, heard.Token
	lamp.send(heard.From, plain)
	notify(lamp, heard.From, heard.Token, coap.NonConfirmable, 3, 2, "two")
	if got := c.receive(); string(got.Payload) != "two" || string(got.Token) != "g" {
		t.Fatal(got)
	}
	stop := &coap.Message{Code: coap.GET, Token: coap.Token("g")}
	coap.AddUint(stop, coap.OptionMulticastTimeout, 0)
	c.send(stop)
	if m := c.next(50 * time.Millisecond); m != nil {
		t.Fatal(m)
	}
	notify(lamp, heard.From, heard.Token, coap.Confirmable, 4, 3, "three")
	if rst, _ := lamp.receive(); rst.Type != coap.Reset {
		t.Error("after the stop a notification gets", rst)
	}
}
