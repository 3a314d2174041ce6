package sim

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"lamplighter/internal/coap"
)

// The share that is lost and the mean length of bursts are those that were asked for.
func TestGilbert(t *testing.T) {
	for _, c := range []struct{ loss, burst, mean float64 }{
		{0, 5, 0}, {0.05, 0, 1 / 0.95}, {0.05, 1, 1 / 0.95}, {0.05, 5, 5}, {0.2, 20, 20}, {0.3, 0, 1 / 0.7}, {1, 5, 0},
	} {
		g := NewGilbert(1, c.loss, c.burst)
		const n = 400_000
		lost, bursts, before := 0, 0, false
		for range n {
			now := g.Lost()
			if now {
				lost++
				if !before {
					bursts++
				}
			}
			before = now
		}
		if share := float64(lost) / n; math.Abs(share-c.loss) > 0.01 {
			t.Errorf("%+v: %.3f were lost", c, share)
		}
		if mean := float64(lost) / float64(bursts); c.mean > 0 && math.Abs(mean/c.mean-1) > 0.05 {
			t.Errorf("%+v: bursts of %.2f", c, mean)
		}
	}
	g := NewGilbert(1, 1, 0)
	if g.Set(0, 0); g.Lost() {
		t.Error("it goes on losing")
	}
}

// fleet attaches n counters as members of the group.
func fleet(net *Network, n int) []*counter {
	list := make([]*counter, n)
	for i := range list {
		list[i] = &counter{}
		net.Attach(addr(i), list[i])
		net.JoinGroup(group, addr(i))
	}
	return list
}

func TestLinks(t *testing.T) {
	n := NewNetwork(5)
	list := fleet(n, 3)
	n.SetLink(addr(1), Link{Loss: 0.3})
	n.SetLink(addr(2), Link{Loss: 1})
	for range 1000 {
		if err := n.From(addr(200)).Multicast(context.Background(), group, coap.NewRequest(coap.GET, "/a", nil), 0, func(*coap.Message, netip.AddrPort) {}); err != nil {
			t.Fatal(err)
		}
	}
	if list[0].calls != 1000 || list[1].calls < 650 || list[1].calls > 750 || list[2].calls != 0 {
		t.Errorf("%d, %d, %d arrived", list[0].calls, list[1].calls, list[2].calls)
	}
	c := n.Counters()
	if c.Group.Datagrams != 1000 || c.Response.Datagrams != list[0].calls+list[1].calls || c.Request.Datagrams != 0 {
		t.Errorf("%+v", c)
	}
	n.SetLink(addr(2), Link{})
	if _, err := ask(n, addr(2)); err != nil {
		t.Error(err)
	}
	if d := n.Counters().Since(c); d.Request.Datagrams != 1 || d.Response.Datagrams != 1 || d.Group.Datagrams != 0 || d.Bytes() != d.Request.Bytes+d.Response.Bytes {
		t.Errorf("%+v", d)
	}
}

// Time passes with each datagram, with a retransmission, and with waiting.
func TestClock(t *testing.T) {
	n := NewNetwork(6)
	start := time.Unix(1000, 0)
	clock := NewClock(start)
	ticks := 0
	clock.OnAdvance(func(time.Time) { ticks++ })
	n.SetClock(clock, 8000)
	fleet(n, 2)
	if _, err := ask(n, addr(0)); err != nil {
		t.Fatal(err)
	}
	if got, want := clock.Now().Sub(start), time.Duration(n.Counters().Bytes())*time.Millisecond; got != want || ticks != 2 {
		t.Errorf("%v passed in %d ticks, want %v", got, ticks, want)
	}
	n.Down(addr(1), true)
	before := clock.Now()
	if _, err := ask(n, addr(1)); !errors.Is(err, coap.ErrTimeout) {
		t.Fatal(err)
	}
	if got := clock.Now().Sub(before); got != 31*ackTimeout {
		t.Errorf("a timeout took %v", got)
	}
	multicast := func(ctx context.Context) time.Duration {
		before := clock.Now()
		_ = n.From(addr(200)).Multicast(ctx, group, coap.NewRequest(coap.GET, "/a", nil), time.Minute, func(*coap.Message, netip.AddrPort) {})
		return clock.Now().Sub(before)
	}
	if got := multicast(context.Background()); got != time.Minute {
		t.Errorf("a group request took %v", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if got := multicast(ctx); got > time.Second {
		t.Errorf("a group request that nobody waits for took %v", got)
	}
	if err := clock.Sleep(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	before = clock.Now()
	if err := clock.Sleep(context.Background(), time.Hour); err != nil || clock.Now().Sub(before) != time.Hour {
		t.Error(err)
	}
	if clock.To(before); clock.Now().Equal(before) {
		t.Error("time goes back")
	}
}

// Served in parallel, a group answers as it does one by one.
func TestParallel(t *testing.T) {
	run := func(parallel int) (got [][]netip.AddrPort) {
		n := NewNetwork(7)
		n.Parallel = parallel
		list := fleet(n, 50)
		for i := range list {
			n.SetLink(addr(i), Link{Loss: 0.2, Burst: 3})
		}
		n.Down(addr(9), true)
		var mu sync.Mutex
		for range 50 {
			var from []netip.AddrPort
			_ = n.From(addr(200)).Multicast(context.Background(), group, coap.NewRequest(coap.GET, "/a", nil), 0, func(_ *coap.Message, a netip.AddrPort) {
				mu.Lock()
				defer mu.Unlock()
				from = append(from, a)
			})
			got = append(got, from)
		}
		return got
	}
	one, many := run(1), run(8)
	for i := range one {
		if !slices.Equal(one[i], many[i]) {
			t.Fatalf("request %d: %v one by one, %v in parallel", i, one[i], many[i])
		}
	}
}

// With a clock a burst does not outlive a second of silence, in which nothing is drawn.
func TestBurstsEnd(t *testing.T) {
	after := func(pause time.Duration) float64 {
		n := NewNetwork(8)
		clock := NewClock(time.Unix(1000, 0))
		n.SetClock(clock, 0)
		n.SetLink(addr(1), Link{Loss: 0.2, Burst: 50})
		lost, pairs := 0, 0
		for range 5000 {
			before := n.lost(addr(1), Request)
			clock.Advance(pause)
			if now := n.lost(addr(1), Request); before {
				pairs++
				if now {
					lost++
				}
			}
			clock.Advance(5 * time.Second)
		}
		return float64(lost) / float64(pairs)
	}
	if got := after(100 * time.Millisecond); got < 0.95 {
		t.Errorf("within a burst %.2f of the next datagrams are lost", got)
	}
	if got := after(2 * time.Second); got > 0.25 {
		t.Errorf("after a pause %.2f are lost", got)
	}
}
