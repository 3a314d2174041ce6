//go:build !js

package endpoint

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

const (
	pipeDepth = 64 // datagrams that wait for the session

	// handshakeBudget bounds what one handshake makes the library buffer, in
	// bytes: a token as psk_identity, and all of it several times.
	handshakeBudget = 64 << 10

	// finalFlightTime is how long the peer may still need the last flight of the
	// handshake again. RFC 6347, Section 4.2.4.
	finalFlightTime = 2 * time.Minute
)

// pipe is the network as one DTLS session sees it. It lets in what may be for the
// session, and nothing that could harm it: the library closes a session on plain
// records that anybody can send. It implements [net.PacketConn].
type pipe struct {
	peer  *net.UDPAddr
	local net.Addr
	out   func(datagram []byte) error
	in    chan []byte

	mu          sync.Mutex
	closed      chan struct{}
	deadline    chan struct{} // closed when it has passed
	timer       *time.Timer
	shut        bool
	established time.Time // the handshake was done; zero: it is not
	budget      int
	cookied     bool // the peer has shown its cookie, so that its address is its own
	refused     bool // the psk_identity is nobody's
	alert       byte // the peer's fatal alert, 0: none
}

func newPipe(peer netip.AddrPort, local net.Addr, out func([]byte) error) *pipe {
	return &pipe{
		peer: net.UDPAddrFromAddrPort(peer), local: local, out: out,
		in: make(chan []byte, pipeDepth), closed: make(chan struct{}), deadline: make(chan struct{}),
		budget: handshakeBudget,
	}
}

// push hands a datagram to the session. It does not block: what finds no room is
// lost like on any network.
func (p *pipe) push(b []byte) {
	if !p.admits(b) {
		return
	}
	select {
	case p.in <- b:
	default:
	}
}

// admits says whether the session may see a datagram. Once the handshake is done,
// plain records are of use only to repeat its last flight.
func (p *pipe) admits(b []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	done := !p.established.IsZero()
	late := done && time.Since(p.established) > finalFlightTime
	if !done {
		if p.budget -= len(b); p.budget < 0 {
			return false
		}
		if description, ok := plainAlert(b); ok {
			p.alert = description
		}
	}
	return eachRecord(b, func(r record) bool {
		switch {
		case r.epoch > 0:
			return r.epoch == 1
		case r.kind == recordHandshake:
			return !late && len(r.body) >= handshakeHeaderLen
		case r.kind == recordChangeCipherSpec:
			return !late && len(r.body) == 1 && r.body[0] == 1
		}
		return !done && r.kind == recordAlert && len(r.body) == 2
	})
}

// establish notes that the handshake is done.
func (p *pipe) establish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.established = time.Now()
}

// refuse makes the alert that follows say what is wrong: RFC 9202, Section 3.3.2
// wants illegal_parameter where the library has internal_error.
func (p *pipe) refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = true
}

// hasCookie reports whether the peer has shown its cookie.
func (p *pipe) hasCookie() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cookied
}

// peerAlert is the peer's fatal alert of the handshake, 0 when there was none.
func (p *pipe) peerAlert() byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alert
}

// WriteTo implements [net.PacketConn].
func (p *pipe) WriteTo(b []byte, _ net.Addr) (int, error) {
	p.mu.Lock()
	if first(b).isHandshake(handshakeServerHello) {
		p.cookied = true
	}
	if description, ok := plainAlert(b); ok && p.refused && description == alertInternalError {
		b = bytes.Clone(b)
		b[len(b)-1] = alertIllegalParameter
	}
	p.mu.Unlock()
	return len(b), p.out(b)
}

// ReadFrom implements [net.PacketConn].
func (p *pipe) ReadFrom(b []byte) (int, net.Addr, error) {
	p.mu.Lock()
	deadline := p.deadline
	p.mu.Unlock()
	select {
	case d := <-p.in:
		return copy(b, d), p.peer, nil
	case <-p.closed:
		return 0, nil, net.ErrClosed
	case <-deadline:
		return 0, nil, os.ErrDeadlineExceeded
	}
}

// SetReadDeadline implements [net.PacketConn].
func (p *pipe) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil && !p.timer.Stop() || p.past() {
		p.deadline = make(chan struct{})
	}
	p.timer = nil
	if t.IsZero() {
		return nil
	}
	deadline := p.deadline
	p.timer = time.AfterFunc(time.Until(t), func() { close(deadline) })
	return nil
}

// past says whether the deadline has passed.
func (p *pipe) past() bool {
	select {
	case <-p.deadline:
		return true
	default:
		return false
	}
}

// SetWriteDeadline implements [net.PacketConn]; writing does not block.
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline implements [net.PacketConn].
func (p *pipe) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

// LocalAddr implements [net.PacketConn].
func (p *pipe) LocalAddr() net.Addr { return p.local }

// Close implements [net.PacketConn]; the socket is others' too and stays.
func (p *pipe) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.shut {
		p.shut = true
		close(p.closed)
	}
	return nil
}
