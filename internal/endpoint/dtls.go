//go:build !js

package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"lamplighter/internal/coap"
)

// DTLS is a CoAP server over DTLS 1.2 with pre-shared keys (RFC 7252, Section 9;
// RFC 9202, Section 3.3). Handshakes cost the server little before the client has
// shown that its address is its own, and are bounded in number; so are sessions,
// which end when idle. It is safe for concurrent use.
type DTLS struct {
	opts    DTLSOptions
	conn    *net.UDPConn
	addr    netip.AddrPort
	handler coap.Handler
	ids     coap.Identities
	slots   chan struct{} // one for each request being handled
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu        sync.Mutex
	places    map[netip.AddrPort]*place
	shaking   []*accepted // handshakes under way, oldest first
	sessions  []*accepted // established
	abandoned int         // handshakes that made room for others
}

// place is where datagrams from one address go.
type place struct {
	current *accepted // the session, or its handshake
	next    *accepted // the handshake that may replace it: RFC 6347, Section 4.2.8
}

// ListenDTLS opens a server at addr: ids knows the clients' pre-shared keys, h
// answers their requests, each in a goroutine of its own.
func ListenDTLS(addr netip.AddrPort, h coap.Handler, ids coap.Identities, opts DTLSOptions) (*DTLS, error) {
	opts = opts.withDefaults()
	conn, err := listenUnicast(addr, UDPOptions{RecvBuffer: defaultBuffer})
	if err != nil {
		return nil, fmt.Errorf("listening on %v: %w", addr, err)
	}
	d := &DTLS{
		opts: opts, conn: conn, addr: unmap(conn.LocalAddr().(*net.UDPAddr).AddrPort()),
		handler: h, ids: ids, slots: make(chan struct{}, defaultHandlers),
		places: make(map[netip.AddrPort]*place),
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.wg.Go(d.read)
	d.wg.Go(d.sweep)
	return d, nil
}

// Addr returns the local address.
func (d *DTLS) Addr() netip.AddrPort { return d.addr }

// Sessions returns how many sessions are established, how many handshakes are
// under way, and how many were given up to make room.
func (d *DTLS) Sessions() (established, shaking, abandoned int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.sessions), len(d.shaking), d.abandoned
}

// Close ends all sessions, telling the clients, and waits for the handlers.
func (d *DTLS) Close() error {
	d.cancel() // handshakes end by it
	d.mu.Lock()
	open := slices.Clone(d.sessions)
	d.mu.Unlock()
	for _, s := range open {
		_ = s.Close()
	}
	err := d.conn.Close()
	d.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (d *DTLS) read() {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := d.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			d.opts.Logger.Debug("reading a datagram failed", "err", err)
			if !sleep(d.ctx, 10*time.Millisecond) {
				return
			}
			continue
		}
		datagram := append([]byte(nil), buf[:n]...)
		if d.opts.Record != nil {
			d.opts.Record(false, unmap(from), datagram)
		}
		d.receive(unmap(from), datagram)
	}
}

// receive gives a datagram to the sessions that it may be for. Only a ClientHello
// begins something; what comes protected may belong to the old session as well as
// to the handshake that is about to replace it.
func (d *DTLS) receive(from netip.AddrPort, datagram []byte) {
	random, hello := helloRandom(datagram)
	d.mu.Lock()
	p := d.places[from]
	var one, two *accepted
	switch {
	case hello:
		one = d.greet(from, p, random)
	case p != nil:
		one, two = p.current, p.next
	}
	d.mu.Unlock()
	if one != nil {
		one.pipe.push(datagram)
	}
	if two != nil {
		two.pipe.push(datagram)
	}
}

// greet finds the handshake of a ClientHello, or begins one; nil when there is no
// room. It is called with d.mu held.
func (d *DTLS) greet(from netip.AddrPort, p *place, random [helloRandomLen]byte) *accepted {
	if p != nil {
		for _, s := range []*accepted{p.current, p.next} {
			if s != nil && s.random == random {
				return s
			}
		}
		if p.next != nil && p.next.pipe.hasCookie() {
			return nil // a forged hello does not disturb it
		}
	}
	if d.ctx.Err() != nil || !d.makeRoom(from, p) {
		return nil
	}
	s, err := d.begin(from, random)
	if err != nil {
		d.opts.Logger.Error("a DTLS handshake could not begin", "err", err)
		return nil
	}
	if p = d.places[from]; p == nil {
		d.places[from] = &place{current: s}
	} else {
		p.next = s
	}
	d.shaking = append(d.shaking, s)
	return s
}

// makeRoom gives up the handshake that a new one from the same place replaces, or
// else, when there are too many, the oldest whose client has not shown its cookie.
// One host has at most a quarter of them under way: so who has an address and no
// key does not keep the others out.
func (d *DTLS) makeRoom(from netip.AddrPort, p *place) bool {
	if p != nil && p.next != nil {
		d.forget(p.next)
		return true
	}
	host := hostOf(from)
	ofHost := slices.DeleteFunc(slices.Clone(d.shaking), func(s *accepted) bool { return hostOf(s.to) != host })
	candidates := d.shaking
	switch {
	case len(ofHost) >= max(d.opts.Handshakes/4, 1):
		candidates = ofHost
	case len(d.shaking) < d.opts.Handshakes:
		return true
	}
	for _, s := range candidates {
		if !s.pipe.hasCookie() {
			d.abandoned++
			d.forget(s)
			return true
		}
	}
	return false
}

// hostOf is what one host can have many of: with IPv6, addresses of a network.
func hostOf(a netip.AddrPort) netip.Prefix {
	bits := a.Addr().BitLen()
	if bits > 64 {
		bits = 64
	}
	prefix, _ := a.Addr().Prefix(bits)
	return prefix
}

// forget takes a session off the lists and ends its handshake. It is called with
// d.mu held; whoever calls it closes an established session.
func (d *DTLS) forget(s *accepted) {
	same := func(o *accepted) bool { return o == s }
	d.shaking = slices.DeleteFunc(d.shaking, same)
	d.sessions = slices.DeleteFunc(d.sessions, same)
	s.cancel()
	p := d.places[s.to]
	if p == nil {
		return
	}
	if p.next == s {
		p.next = nil
	}
	if p.current == s {
		p.current, p.next = p.next, nil
	}
	if p.current == nil {
		delete(d.places, s.to)
	}
}

// sweep ends idle sessions.
func (d *DTLS) sweep() {
	every := time.NewTicker(min(max(d.opts.Idle/8, 10*time.Millisecond), time.Minute))
	defer every.Stop()
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-every.C:
		}
		limit := time.Now().Add(-d.opts.Idle).UnixNano()
		d.mu.Lock()
		var idle []*accepted
		for _, s := range d.sessions {
			if s.active.Load() < limit {
				idle = append(idle, s)
			}
		}
		d.mu.Unlock()
		for _, s := range idle {
			_ = s.Close()
		}
	}
}
