//go:build !js

package endpoint

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"lamplighter/internal/coap"
)

// Bounds of a [UDP] endpoint.
const (
	maxDatagram     = 65535
	defaultHandlers = 256     // requests handled at the same time
	defaultBuffer   = 4 << 20 // bytes of a socket's receive buffer
)

// UDPOptions are the options of [ListenUDP]; the zero value is a plain unicast
// endpoint.
type UDPOptions struct {
	Multicast  netip.AddrPort    // group address and port to receive on as well; IPv4
	Interface  string            // network interface of multicast traffic, both ways; default: the system's choice
	Leisure    time.Duration     // longest random delay before an answer to a group request
	Rand       io.Reader         // tokens, jitter; default crypto/rand
	Logger     *slog.Logger      // default: silence
	RecvBuffer int               // bytes of the sockets' receive buffers; default 4 MiB
	Params     *coap.LayerParams // default coap.DefaultLayerParams
	Record     func(out bool, peer netip.AddrPort, datagram []byte)
	Drop       func() bool // says of each datagram that arrives whether it is lost, for simulations; called by two goroutines; nil: none is
}

func (o UDPOptions) withDefaults() UDPOptions {
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.RecvBuffer == 0 {
		o.RecvBuffer = defaultBuffer
	}
	if o.Params == nil {
		p := coap.DefaultLayerParams()
		o.Params = &p
	}
	if o.Leisure > 0 {
		p := *o.Params
		p.Leisure = o.Leisure
		o.Params = &p
	}
	return o
}

// UDP is a CoAP endpoint on a UDP socket: server and client on the same port.
// It is safe for concurrent use.
type UDP struct {
	exchanges
	opts  UDPOptions
	conn  *net.UDPConn // unicast, and all that is sent
	group *net.UDPConn // multicast, only received on; nil without
	addr  netip.AddrPort
}

// ListenUDP opens an endpoint at addr whose requests h answers; with a nil h it
// is a client only and rejects requests. Handlers run concurrently, each in a
// goroutine of its own.
func ListenUDP(addr netip.AddrPort, h coap.Handler, opts UDPOptions) (*UDP, error) {
	opts = opts.withDefaults()
	conn, err := listenUnicast(addr, opts)
	if err != nil {
		return nil, fmt.Errorf("listening on %v: %w", addr, err)
	}
	u := &UDP{opts: opts, conn: conn, addr: unmap(conn.LocalAddr().(*net.UDPAddr).AddrPort())}
	u.handler, u.slots, u.write = h, make(chan struct{}, defaultHandlers), u.writeTo
	u.init(*opts.Params, opts.Rand, opts.Logger)
	if opts.Multicast.IsValid() {
		u.group, err = listenMulticast(opts.Multicast, opts)
		if err != nil {
			u.shut()
			_ = conn.Close()
			return nil, fmt.Errorf("joining %v on %q: %w", opts.Multicast, opts.Interface, err)
		}
	}
	u.wg.Go(func() { u.readLoop(u.conn, false) })
	if u.group != nil {
		u.wg.Go(func() { u.readLoop(u.group, true) })
	}
	return u, nil
}

// Addr returns the local address.
func (u *UDP) Addr() netip.AddrPort { return u.addr }

// Close closes the sockets, fails what is under way and waits for the handlers.
func (u *UDP) Close() error {
	calls, first := u.shut()
	if !first {
		return nil
	}
	err := u.conn.Close()
	if u.group != nil {
		err = errors.Join(err, u.group.Close())
	}
	fail(calls, net.ErrClosed)
	u.wg.Wait()
	return err
}

// writeTo sends one datagram.
func (u *UDP) writeTo(to netip.AddrPort, b []byte) error {
	if u.opts.Record != nil {
		u.opts.Record(true, to, b)
	}
	_, err := u.conn.WriteToUDPAddrPort(b, to)
	return err
}

func (u *UDP) readLoop(conn *net.UDPConn, multicast bool) {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			u.opts.Logger.Debug("reading a datagram failed", "err", err)
			if !sleep(u.ctx, 10*time.Millisecond) {
				return
			}
			continue
		}
		if u.opts.Drop != nil && u.opts.Drop() {
			continue
		}
		datagram := append([]byte(nil), buf[:n]...)
		if u.opts.Record != nil {
			u.opts.Record(false, unmap(from), datagram)
		}
		u.receive(unmap(from), datagram, multicast)
	}
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// sleep waits; false when ctx has ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
