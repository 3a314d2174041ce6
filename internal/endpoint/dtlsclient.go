//go:build !js

package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/pion/dtls/v3"

	"lamplighter/internal/coap"
)

// DialDTLS makes a DTLS session with the server at an address. identity and key
// are the pre-shared key's; requests of the server's go to h, and are rejected
// without one. It fails with [coap.ErrIdentity] when the server refuses the
// identity and with [coap.ErrTimeout] when the handshake comes to no end: the
// server is silent, or has another key. RFC 9202, Section 3.3.2.
func DialDTLS(ctx context.Context, to netip.AddrPort, identity, key []byte, h coap.Handler, opts DTLSOptions) (*DTLSSession, error) {
	opts = opts.withDefaults()
	to = unmap(to)
	socket, err := net.DialUDP(network(to.Addr()), nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return nil, fmt.Errorf("opening a socket to %v: %w", to, err)
	}
	s := &DTLSSession{to: to, socket: socket}
	s.pipe = newPipe(to, socket.LocalAddr(), func(b []byte) error {
		if opts.Record != nil {
			opts.Record(true, to, b)
		}
		_, err := socket.Write(b)
		if errors.Is(err, syscall.ECONNREFUSED) { // of an earlier datagram; this one is lost
			return nil
		}
		return err
	})
	var settings []dtls.ClientOption
	for _, o := range opts.library(func([]byte) ([]byte, error) { return key, nil }) {
		settings = append(settings, o)
	}
	settings = append(settings, dtls.WithPSKIdentityHint(identity))
	if s.conn, err = dtls.ClientWithOptions(s.pipe, s.pipe.peer, settings...); err != nil {
		_ = socket.Close()
		return nil, fmt.Errorf("preparing DTLS: %w", err)
	}
	s.init(opts, h, make(chan struct{}, defaultHandlers))
	go s.pump(socket, opts)
	if err := s.shake(ctx, opts.Handshake); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("DTLS handshake with %v: %w", to, err)
	}
	go func() {
		s.serve()
		_ = s.Close()
	}()
	return s, nil
}

// shake does the handshake.
func (s *DTLSSession) shake(ctx context.Context, patience time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := s.conn.HandshakeContext(limited)
	switch {
	case err == nil:
		s.pipe.establish()
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case s.pipe.peerAlert() == alertIllegalParameter:
		return coap.ErrIdentity
	case limited.Err() != nil:
		return coap.ErrTimeout
	}
	return err
}

// pump reads the socket.
func (s *DTLSSession) pump(socket *net.UDPConn, opts DTLSOptions) {
	buf := make([]byte, maxRecord) // the library takes no more
	for {
		n, err := socket.Read(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // nobody listens there now
			if !sleep(s.ex.ctx, 10*time.Millisecond) {
				return
			}
			continue
		}
		datagram := append([]byte(nil), buf[:n]...)
		if opts.Record != nil {
			opts.Record(false, s.to, datagram)
		}
		s.pipe.push(datagram)
	}
}
