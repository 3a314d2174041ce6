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
	"sync"
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
	opts    UDPOptions
	conn    *net.UDPConn // unicast, and all that is sent
	group   *net.UDPConn // multicast, only received on; nil without
	addr    netip.AddrPort
	handler coap.Handler
	slots   chan struct{} // one for each request being handled
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu     sync.Mutex
	layer  *coap.Layer
	calls  map[string]*Call // by token
	timer  *time.Timer
	armed  time.Time // when the timer fires; zero when it is not set
	closed bool
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
	u := &UDP{
		opts: opts, conn: conn, handler: h,
		addr:  unmap(conn.LocalAddr().(*net.UDPAddr).AddrPort()),
		slots: make(chan struct{}, defaultHandlers),
		layer: coap.NewLayer(*opts.Params, opts.Rand),
		calls: make(map[string]*Call),
	}
	u.ctx, u.cancel = context.WithCancel(context.Background())
	if opts.Multicast.IsValid() {
		u.group, err = listenMulticast(opts.Multicast, opts)
		if err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("joining %v on %q: %w", opts.Multicast, opts.Interface, err)
		}
	}
	u.timer = time.AfterFunc(time.Hour, u.poll)
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
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return nil
	}
	u.closed = true
	u.timer.Stop()
	calls := u.calls
	u.calls = make(map[string]*Call)
	u.mu.Unlock()

	u.cancel()
	err := u.conn.Close()
	if u.group != nil {
		err = errors.Join(err, u.group.Close())
	}
	for _, c := range calls {
		c.deliver(nil, c.to, net.ErrClosed)
	}
	u.wg.Wait()
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
			u.opts.Logger.Debug("reading a datagram failed", "error", err)
			if !sleep(u.ctx, 10*time.Millisecond) {
				return
			}
			continue
		}
		u.receive(unmap(from), append([]byte(nil), buf[:n]...), multicast)
	}
}

// receive takes one datagram in and does what follows from it.
func (u *UDP) receive(from netip.AddrPort, datagram []byte, multicast bool) {
	if u.opts.Record != nil {
		u.opts.Record(false, from, datagram)
	}
	now := time.Now()
	u.mu.Lock()
	ev := u.layer.Receive(now, from, datagram, multicast)
	var call *Call
	var failure error
	switch ev.Kind {
	case coap.EventResponse:
		call = u.match(now, ev, from)
	case coap.EventRejected:
		if call, _ = ev.Sent.Value.(*Call); call != nil {
			delete(u.calls, call.token)
			failure = coap.ErrReset
		}
	case coap.EventRequest:
		u.dispatch(now, ev, from, multicast)
	}
	_ = u.unlockAndSend(now)
	if call != nil {
		call.deliver(ev.Message, from, failure)
	}
}

// match finds the call of a response and acknowledges it, or rejects it when
// nobody waits. RFC 7252, Sections 4.2 and 5.3.2.
func (u *UDP) match(now time.Time, ev coap.Event, from netip.AddrPort) *Call {
	call := u.calls[string(ev.Message.Token)]
	if call == nil || !call.multicast && call.to != from {
		u.layer.Reject(ev.Inbound)
		return nil
	}
	u.layer.Accept(ev.Inbound)
	if !call.again || ev.Inbound == nil || !coap.IsNotification(ev.Message) { // which may answer an earlier request
		u.layer.Stop(now, call.sent)
	}
	return call
}

// unlockAndSend releases u.mu and sends what the layer has queued. It returns
// the error of the last datagram that could not be sent.
func (u *UDP) unlockAndSend(now time.Time) (err error) {
	var room [4]coap.Datagram
	out := u.layer.Drain(room[:0])
	u.arm(now)
	u.mu.Unlock()
	for _, d := range out {
		if u.opts.Record != nil {
			u.opts.Record(true, d.To, d.Bytes)
		}
		if _, e := u.conn.WriteToUDPAddrPort(d.Bytes, d.To); e != nil && !errors.Is(e, net.ErrClosed) {
			u.opts.Logger.Debug("sending a datagram failed", "to", d.To, "error", e)
			err = e
		}
	}
	return err
}

// arm sets the timer for what the layer plans next, if that is earlier than the
// timer fires anyway.
func (u *UDP) arm(now time.Time) {
	next, ok := u.layer.Next()
	if !ok || u.closed || !u.armed.IsZero() && !next.Before(u.armed) {
		return
	}
	u.armed = next
	u.timer.Reset(max(next.Sub(now), 0))
}

// poll does what is due and reports what was given up.
func (u *UDP) poll() {
	now := time.Now()
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return
	}
	u.armed = time.Time{}
	var calls []*Call
	for _, s := range u.layer.Poll(now) {
		if c, _ := s.Value.(*Call); c != nil && u.calls[c.token] == c {
			delete(u.calls, c.token)
			calls = append(calls, c)
		}
	}
	_ = u.unlockAndSend(now)
	for _, c := range calls {
		c.deliver(nil, c.to, coap.ErrTimeout)
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
