package sim

import (
	"context"
	"net/netip"
	"time"
)

// Link is how the link between the network and one endpoint loses datagrams, each
// way by a process of its own and beside the network's [Faults].
type Link struct {
	Loss  float64 // share of the datagrams, 0 to 1
	Burst float64 // mean length of a burst of losses, in datagrams; 0: independent losses
}

// link is a Link at work.
type link struct {
	to, from *Gilbert
	used     time.Time // when it carried something last
}

// quiet is how long nothing is carried until a burst is over for certain.
const quiet = time.Second

// SetLink changes the link of the endpoint at addr from now on. Losses depend only on
// the network's seed, the address and how many datagrams the link carried.
func (n *Network) SetLink(addr netip.AddrPort, l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at := n.links[addr]; at != nil {
		at.to.Set(l.Loss, l.Burst)
		at.from.Set(l.Loss, l.Burst)
		return
	}
	seed := n.seed
	for _, b := range addr.Addr().AsSlice() {
		seed = (seed ^ uint64(b)) * 1099511628211
	}
	seed = (seed ^ uint64(addr.Port())) * 1099511628211
	n.links[addr] = &link{to: NewGilbert(seed, l.Loss, l.Burst), from: NewGilbert(^seed, l.Loss, l.Burst)}
}

// Traffic counts datagrams and their bytes, UDP payloads.
type Traffic struct{ Datagrams, Bytes int }

func (t *Traffic) add(n int) { t.Datagrams, t.Bytes = t.Datagrams+1, t.Bytes+n }

func (t Traffic) minus(o Traffic) Traffic {
	return Traffic{t.Datagrams - o.Datagrams, t.Bytes - o.Bytes}
}

// Counters count what was sent, lost or not. A datagram to a group counts once,
// however many receive it.
type Counters struct {
	Group    Traffic // requests to a group
	Request  Traffic // requests to one endpoint
	Response Traffic // responses and notifications
}

// Bytes is the sum of all.
func (c Counters) Bytes() int { return c.Group.Bytes + c.Request.Bytes + c.Response.Bytes }

// Since is what was sent after earlier was read.
func (c Counters) Since(earlier Counters) Counters {
	return Counters{c.Group.minus(earlier.Group), c.Request.minus(earlier.Request), c.Response.minus(earlier.Response)}
}

// Counters are the counters since the network was made.
func (n *Network) Counters() Counters {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.counters
}

// SetClock gives the network a time: each datagram takes its bits at rate (bit/s, 0:
// none), one after the other; a retransmission waits for RFC 7252's timeout, and a
// group request for all of the time that it is given, unless its context ends. Then a
// burst of losses on a link does not outlive a second in which the link is idle.
func (n *Network) SetClock(c Time, rate float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.clock, n.rate = c, rate
}

// carry counts a datagram and waits until it is over the air.
func (n *Network) carry(size int, kind func(*Counters) *Traffic) {
	n.mu.Lock()
	kind(&n.counters).add(size)
	clock := n.clock
	if clock == nil || n.rate <= 0 {
		n.mu.Unlock()
		return
	}
	now := clock.Now()
	if n.busy.Before(now) {
		n.busy = now
	}
	n.busy = n.busy.Add(time.Duration(float64(size) * 8 / n.rate * float64(time.Second)))
	wait := n.busy.Sub(now)
	n.mu.Unlock()
	_ = clock.Sleep(context.Background(), wait)
}

func toGroup(c *Counters) *Traffic  { return &c.Group }
func toOne(c *Counters) *Traffic    { return &c.Request }
func response(c *Counters) *Traffic { return &c.Response }

// lost draws whether the link of an endpoint loses a datagram, to it or from it.
func (n *Network) lost(end netip.AddrPort, kind Kind) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := n.links[end]
	if at == nil {
		return false
	}
	if n.clock != nil {
		now := n.clock.Now()
		if now.Sub(at.used) >= quiet {
			at.to.rest()
			at.from.rest()
		}
		at.used = now
	}
	if kind == Request {
		return at.to.Lost()
	}
	return at.from.Lost()
}

// pass lets d pass, from whenever it was to begin, unless ctx ends.
func (n *Network) pass(ctx context.Context, begun time.Time, d time.Duration) {
	n.mu.Lock()
	clock := n.clock
	n.mu.Unlock()
	if clock != nil {
		_ = clock.Sleep(ctx, begun.Add(d).Sub(clock.Now()))
	}
}

// now is the simulated time, if there is one.
func (n *Network) now() time.Time {
	n.mu.Lock()
	clock := n.clock
	n.mu.Unlock()
	if clock == nil {
		return time.Time{}
	}
	return clock.Now()
}
