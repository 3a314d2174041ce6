package proxy

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
)

// counted is a device that counts the blocks that it hears.
type counted struct {
	mu   sync.Mutex
	seen map[uint32]int
}

func newCounted(t *testing.T, group netip.AddrPort) *counted {
	t.Helper()
	d := &counted{seen: map[uint32]int{}}
	device(t, endpoint.UDPOptions{Multicast: group, Interface: "lo"}, "127.1.2.1:0", func(_ context.Context, req *coap.Request) *coap.Message {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.seen[binary.BigEndian.Uint32(req.Payload)]++
		return nil
	})
	return d
}

func (d *counted) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.seen)
}

// await waits until n different blocks were heard, or too long.
func (d *counted) await(n int) int {
	for range 500 {
		if d.count() >= n {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return d.count()
}

// block is a KiB with a number.
func block(i int) *coap.Message {
	body := make([]byte, 1024)
	binary.BigEndian.PutUint32(body, uint32(i))
	return coap.NewRequest(coap.PUT, "/fw/b", body)
}

// A sender that drains in time loses nothing, neither to buffers nor to a rate.
func TestDrainLosesNothing(t *testing.T) {
	const blocks, bits = 1000, 20e6
	group := freeGroup(t)
	s := newSite(t, func(c *Config) { c.MulticastGroups, c.MulticastBits = []netip.AddrPort{group}, bits })
	lamp := newCounted(t, group)
	ws := s.client(t)
	started := time.Now()
	for i := range blocks {
		if err := ws.Multicast(t.Context(), group, block(i), 0, nil); err != nil {
			t.Fatal(err)
		}
		if i%32 == 31 || i == blocks-1 {
			if err := coap.Drain(t.Context(), ws); err != nil {
				t.Fatal(i, err)
			}
			if n := s.Counts(); n.Queued != 0 || n.Multicasts != uint64(i+1) {
				t.Fatalf("drained after %d: %+v", i+1, n)
			}
		}
	}
	took := time.Since(started)
	if n := lamp.await(blocks); n != blocks {
		t.Errorf("%d of %d blocks came", n, blocks)
	}
	n := s.Counts()
	if n.Refused != 0 || n.Silent != blocks || s.openExchanges() != 0 {
		t.Errorf("%+v, %d exchanges open", n, s.openExchanges())
	}
	if least := time.Duration(float64(n.Bytes) * 8 / bits * float64(time.Second)); took < least-2*paceBurst {
		t.Errorf("%d bytes took %v, the rate allows %v", n.Bytes, took, least)
	}
}

// A sender that does not drain is told to, at the latest when it does; nobody else
// waits for it.
func TestWithoutDrainRefused(t *testing.T) {
	const blocks = 600
	group := freeGroup(t)
	s := newSite(t, func(c *Config) { c.MulticastGroups, c.MulticastBits = []netip.AddrPort{group}, 1e6 })
	lamp := newCounted(t, group)
	ws, other := s.client(t), s.client(t)
	for i := range blocks {
		if err := ws.Multicast(t.Context(), group, block(i), 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	started := time.Now()
	if err := other.Multicast(t.Context(), group, block(9999), 0, nil); err != nil {
		t.Fatal(err)
	}
	if err := other.Drain(t.Context()); err != nil {
		t.Error("another connection:", err)
	}
	if waited := time.Since(started); waited > 300*time.Millisecond {
		t.Errorf("another connection waited %v: it stood behind all that the first had queued", waited)
	}
	err := ws.Drain(t.Context())
	if !errors.Is(err, coap.ErrBusy) {
		t.Fatal("a sender that was refused hears", err)
	}
	t.Log(err)
	if err := ws.Drain(t.Context()); err != nil {
		t.Error("it was told already:", err)
	}
	n := s.Counts()
	if n.Refused == 0 || n.Queued != 0 || n.Multicasts+n.Refused != blocks+1 {
		t.Errorf("%+v", n)
	}
	if got := lamp.await(int(n.Multicasts)); got != int(n.Multicasts) {
		t.Errorf("%d came of %d that were not refused", got, n.Multicasts)
	}
}

// The Pong waits for what is queued; an early stop takes a request out of the
// queue; a Ping without Custody waits for nothing.
func TestCustody(t *testing.T) {
	group := freeGroup(t)
	s := newSite(t, func(c *Config) { c.MulticastGroups, c.MulticastBits = []netip.AddrPort{group}, 400e3 })
	lamp := newCounted(t, group)
	c := s.raw(t)
	put := func(i int, token string) {
		m := to(group, coap.PUT, "/fw/b", token)
		m.Payload = block(i).Payload
		coap.AddUint(m, coap.OptionMulticastTimeout, 0)
		c.send(m)
	}
	for i := range 10 { // 20 ms each
		put(i, "a")
	}
	put(10, "b")
	stop := &coap.Message{Code: coap.GET, Token: coap.Token("b")}
	coap.AddUint(stop, coap.OptionMulticastTimeout, 0)
	c.send(stop)
	custody := &coap.Message{Code: coap.Ping, Token: coap.Token("c")}
	coap.AddOption(custody, coap.PingCustody, nil)
	c.send(custody)
	c.send(&coap.Message{Code: coap.Ping, Token: coap.Token("p")})
	if m := c.receive(); string(m.Token) != "p" || coap.HasOption(m, coap.PingCustody) || s.Counts().Queued == 0 {
		t.Fatalf("first came %v, %+v", m, s.Counts())
	}
	if m := c.receive(); string(m.Token) != "c" || !coap.HasOption(m, coap.PingCustody) {
		t.Fatal(m)
	}
	if n := s.Counts(); n.Queued != 0 || n.Multicasts != 10 {
		t.Errorf("at the Pong: %+v", n)
	}
	if n := lamp.await(10); n != 10 {
		t.Errorf("%d of 10 came", n)
	}

	// A host that is being looked up is before the Ping, too.
	var order []string
	l := &lane{pacer: &pacer{}, stats: &stats{}, over: make(chan struct{})}
	done := l.resolves()
	l.custody(time.Now(), func() { order = append(order, "pong") })
	l.put(time.Now(), laneItem{size: 1, send: func() { order = append(order, "request") }})
	done()
	if len(order) != 2 || order[1] != "pong" {
		t.Error(order)
	}
}

// What waits when a connection ends is forgotten, and a flood of Pings ends one.
func TestLaneEnds(t *testing.T) {
	group := freeGroup(t)
	s := newSite(t, func(c *Config) { c.MulticastGroups, c.MulticastBits = []netip.AddrPort{group}, 10e3 })
	ws := s.client(t)
	for i := range 20 {
		if err := ws.Multicast(t.Context(), group, block(i), 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := ws.Drain(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if s.Counts().Queued == 0 {
		t.Error("nothing waits")
	}
	_ = ws.Close()
	for range 100 {
		if s.Counts().Queued == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := s.Counts(); n.Queued != 0 {
		t.Errorf("%+v", n)
	}

	c := s.raw(t)
	for i := range 3 {
		m := to(group, coap.PUT, "/fw/b", "a")
		m.Payload = block(i).Payload
		coap.AddUint(m, coap.OptionMulticastTimeout, 0)
		c.send(m)
	}
	custody := &coap.Message{Code: coap.Ping}
	coap.AddOption(custody, coap.PingCustody, nil)
	for range 2*laneItems + 10 {
		c.send(custody)
	}
	if !c.closed() {
		t.Error("a connection with thousands of Pings stays open")
	}
}
