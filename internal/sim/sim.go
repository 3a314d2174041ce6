// Package sim is a network in memory: CoAP endpoints at addresses, multicast
// groups, and links that lose, repeat and reorder datagrams. Messages are
// encoded and decoded for real. Time is not: a retransmission follows at once,
// a multicast request returns when all its answers are in, and an endpoint that
// is down times out immediately. Notifications (RFC 7641) reach the observer in a
// goroutine of its own. So tests on it are quick and repeat exactly by
// their seed as long as one goroutine sends.
//
// For measurements there are links that lose more or less, and in bursts ([Link]), a
// clock that datagrams and waiting take time of ([Network.SetClock]), counters,
// and groups that are served by several goroutines ([Network.Parallel]).
//
// It is no model of a message layer's timing; internal/coap tests that with a
// clock of its own.
package sim

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"lamplighter/internal/coap"
)

// Kind says what a datagram is.
type Kind string

// Kinds of datagrams.
const (
	Request  Kind = "request"
	Response Kind = "response"
)

// Datagram is one message on the wire, as a [Network]'s Record sees it.
type Datagram struct {
	From, To netip.AddrPort
	Kind     Kind
	Bytes    []byte // RFC 7252 encoding
	Lost     bool   // it does not arrive
}

// Faults are probabilities from 0 to 1, each per datagram and receiver.
type Faults struct {
	Loss    float64 // the datagram does not arrive
	Dup     float64 // it arrives twice
	Reorder float64 // a group request arrives only after the next datagram to that endpoint
}

// Network is the network. Its methods are safe for concurrent use; handlers run
// in the goroutine of whoever sends and may send themselves.
type Network struct {
	// Record, when set before use, sees every datagram. Calls may overlap.
	Record func(Datagram)

	// Parallel, when above 1 and set before use, is how many members of a group are
	// served at a time. Handlers then run in goroutines, and group requests are
	// neither repeated nor reordered.
	Parallel int

	mu       sync.Mutex
	seed     uint64
	rng      *rand.Rand
	faults   Faults
	nodes    map[netip.AddrPort]*node
	groups   map[netip.AddrPort][]netip.AddrPort // in order of joining
	from     map[netip.AddrPort]*exchanger
	links    map[netip.AddrPort]*link
	counters Counters
	clock    Time // nil: it stands still
	rate     float64
	busy     time.Time // until when datagrams are on the air
}

// NewNetwork makes a network without faults. Equal seeds make equal faults.
func NewNetwork(seed uint64) *Network {
	return &Network{
		seed:   seed,
		links:  make(map[netip.AddrPort]*link),
		rng:    rand.New(rand.NewPCG(seed, seed)),
		nodes:  make(map[netip.AddrPort]*node),
		groups: make(map[netip.AddrPort][]netip.AddrPort),
		from:   make(map[netip.AddrPort]*exchanger),
	}
}

// SetFaults changes how links behave from now on.
func (n *Network) SetFaults(f Faults) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = f
}

// Attach puts h at addr, in place of what was there (a reboot: what the message
// layer knew is forgotten).
func (n *Network) Attach(addr netip.AddrPort, h coap.Handler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes[addr] = &node{net: n, addr: addr, handler: h, seen: make(map[seenKey][]byte)}
}

// JoinGroup makes the endpoint at addr receive what is sent to group.
func (n *Network) JoinGroup(group, addr netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.groups[group] = append(n.groups[group], addr)
}

// Down switches the endpoint at addr off or on again.
func (n *Network) Down(addr netip.AddrPort, down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at := n.nodes[addr]; at != nil {
		at.down = down
	}
}

// Inject delivers a datagram to one endpoint as if from had sent it, past the
// message layer's deduplication: a replay by an attacker. It returns what the
// endpoint answers, nil when it stays silent.
func (n *Network) Inject(ctx context.Context, from, to netip.AddrPort, datagram []byte, multicast bool) []byte {
	at := n.node(to)
	if at == nil {
		return nil
	}
	return at.handle(ctx, from, datagram, multicast)
}

// From returns the exchanger of the endpoint at addr. Nothing needs to be
// attached there.
func (n *Network) From(addr netip.AddrPort) coap.Exchanger {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.from[addr] == nil { // one an address: message IDs must not meet
		n.from[addr] = &exchanger{net: n, addr: addr, mid: uint16(n.rng.Uint32()), token: n.rng.Uint64()}
	}
	return n.from[addr]
}

// node returns the endpoint at addr; nil when none is there or it is down.
func (n *Network) node(addr netip.AddrPort) *node {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at := n.nodes[addr]; at != nil && !at.down {
		return at
	}
	return nil
}

func (n *Network) members(group netip.AddrPort) []netip.AddrPort {
	n.mu.Lock()
	defer n.mu.Unlock()
	members := append([]netip.AddrPort(nil), n.groups[group]...)
	if n.faults.Reorder > 0 {
		n.rng.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	}
	return members
}

// chance draws whether a fault of the given kind happens.
func (n *Network) chance(of func(Faults) float64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := of(n.faults)
	return p > 0 && n.rng.Float64() < p
}

// send records a datagram and reports whether it arrives over the link of end.
func (n *Network) send(d Datagram, end netip.AddrPort) bool {
	d.Lost = n.chance(func(f Faults) float64 { return f.Loss })
	d.Lost = n.lost(end, d.Kind) || d.Lost
	if n.Record != nil {
		n.Record(d)
	}
	return !d.Lost
}

func token(n uint64) coap.Token { return binary.BigEndian.AppendUint64(nil, n) }
