//go:build !js

package gm

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
)

// loopback is the interface on which the test's multicast stays.
func loopback(t *testing.T) string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 {
			return i.Name
		}
	}
	t.Skip("no loopback interface")
	return ""
}

// freePort is a port that nobody has right now.
func freePort(t *testing.T) uint16 {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

// A rekeying over sockets: one message by real multicast reaches the members, who
// was evicted hears of it by itself, and the next rekeying, of a new tree, comes to
// each by a request of its own.
func TestRekeyingOverUDP(t *testing.T) {
	group := netip.AddrPortFrom(netip.AddrFrom4([4]byte{224, 0, 1, 187}), freePort(t))
	lo := loopback(t)
	cfg := toMany
	cfg.ControlGroupURI = fmt.Sprintf("coap://%v/ace-group/%s", group, testGroup)
	f := newFleet(t, cfg)
	udp, err := endpoint.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"), f.s.Handler(), endpoint.UDPOptions{Interface: lo})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close() })
	for i := range 4 {
		l := f.add(lampKind{})
		sock, err := endpoint.ListenUDP(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 2, 0, byte(i + 1)}), 0), coap.HandlerFunc(l.serve),
			endpoint.UDPOptions{Multicast: group, Interface: lo})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { sock.Close() })
		l.addr = sock.Addr()
		l.join(controlled)
	}
	f.s.cfg.Exchange = udp
	f.evict("n1")
	done := make(chan struct{})
	go func() { defer close(done); f.settle() }()
	f.soon("the members have the new keys", func() bool { return f.behindOf(1) == 0 })
	<-done
	for i, l := range f.lamps {
		if i == 1 {
			f.behind(l)
			if l.hasEnded() != "DELETE" {
				t.Errorf("the evicted member heard %q", l.hasEnded())
			}
		} else if f.inStep(l); l.told("many") != 1 || l.told("post") != 0 {
			t.Errorf("%s was told %v", l.subject, l.ways)
		}
	}
	if err := f.s.changeGroup(t.Context(), "test", testGroup, f.renewed); err != nil {
		t.Fatal(err)
	}
	f.settle()
	for i, l := range f.lamps {
		if i != 1 {
			if f.inStep(l); l.told("post") != 1 {
				t.Errorf("%s was told %v", l.subject, l.ways)
			}
		}
	}
}

// told counts what came in a way.
func (l *lamp) told(how string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ways[how]
}

func (l *lamp) hasEnded() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// soon waits for what sockets bring.
func (f *fleet) soon(what string, ok func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatal("not within half a minute: " + what)
		}
	}
}
