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
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"

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

// accepted is a session at its server.
type accepted struct {
	DTLSSession
	identity atomic.Pointer[coap.Identity] // set when the library asks for the key
	cancel   context.CancelFunc            // ends the handshake
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
			d.opts.Logger.Debug("reading a datagram failed", "error", err)
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
		d.opts.Logger.Error("a DTLS handshake could not begin", "error", err)
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

// begin prepares a session and starts its handshake.
func (d *DTLS) begin(from netip.AddrPort, random [helloRandomLen]byte) (*accepted, error) {
	s := &accepted{}
	s.to, s.random = from, random
	s.pipe = newPipe(from, d.conn.LocalAddr(), func(b []byte) error {
		if d.opts.Record != nil {
			d.opts.Record(true, from, b)
		}
		_, err := d.conn.WriteToUDPAddrPort(b, from)
		return err
	})
	ctx, cancel := context.WithTimeout(d.ctx, d.opts.Handshake)
	s.cancel = cancel
	var settings []dtls.ServerOption
	for _, o := range d.opts.library(func(identity []byte) ([]byte, error) { return d.key(ctx, s, identity) }) {
		settings = append(settings, o)
	}
	var err error
	if s.conn, err = dtls.ServerWithOptions(s.pipe, s.pipe.peer, settings...); err != nil {
		cancel()
		return nil, err
	}
	s.init(d.opts, d.handler, d.slots)
	d.wg.Go(func() { d.run(ctx, s) })
	return s, nil
}

// key answers the library's question for the pre-shared key.
func (d *DTLS) key(ctx context.Context, s *accepted, identity []byte) ([]byte, error) {
	found, err := d.ids.Identify(ctx, identity)
	if err == nil && len(found.Key) == 0 {
		err = errors.New("a pre-shared key without bytes")
	}
	if err != nil {
		if errors.Is(err, coap.ErrIdentity) {
			s.pipe.refuse()
		}
		return nil, err
	}
	s.identity.Store(found)
	return found.Key, nil
}

// run is the life of a session.
func (d *DTLS) run(ctx context.Context, s *accepted) {
	defer s.ex.wg.Wait()
	defer s.Close()
	err := s.conn.HandshakeContext(ctx)
	id := s.identity.Load()
	if err == nil && id == nil {
		err = coap.ErrIdentity
	}
	if err == nil {
		s.pipe.establish()
		s.ex.peer, err = id.Begin(ctx, s)
	}
	if err != nil {
		d.opts.Logger.Debug("a DTLS handshake failed", "peer", s.to, "error", err)
		d.mu.Lock()
		d.forget(s)
		d.mu.Unlock()
		return
	}
	if id.Ended != nil {
		defer id.Ended(s)
	}
	d.establish(s)
	s.serve()
	d.mu.Lock()
	d.forget(s)
	d.mu.Unlock()
}

// establish puts a session in its place. The one it replaces ends, and so does the
// one that was idle for longest when there are too many.
func (d *DTLS) establish(s *accepted) {
	var gone []*accepted
	d.mu.Lock()
	d.shaking = slices.DeleteFunc(d.shaking, func(o *accepted) bool { return o == s })
	p := d.places[s.to]
	switch {
	case p == nil, d.ctx.Err() != nil: // it was given up at the last moment
		gone = append(gone, s)
	case p.next == s:
		gone = append(gone, p.current)
		d.forget(p.current)
	case p.current != s:
		gone = append(gone, s)
	}
	if len(d.sessions) >= d.opts.Sessions {
		oldest := slices.MinFunc(d.sessions, func(a, b *accepted) int { return int(a.active.Load() - b.active.Load()) })
		gone = append(gone, oldest)
		d.forget(oldest)
	}
	d.sessions = append(d.sessions, s)
	d.mu.Unlock()
	for _, o := range gone {
		_ = o.Close()
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
