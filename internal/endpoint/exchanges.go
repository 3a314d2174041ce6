//go:build !js

package endpoint

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"lamplighter/internal/coap"
)

// exchanges is what carries messages over datagrams, whatever they travel in: the
// message layer, the requests under way and the handlers at work. RFC 7252,
// Section 4.
type exchanges struct {
	write   func(to netip.AddrPort, datagram []byte) error
	handler coap.Handler
	peer    coap.Peer     // who sends all of them, where the transport proves it
	slots   chan struct{} // one for each request being handled
	rand    io.Reader
	logger  *slog.Logger
	params  coap.LayerParams
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu      sync.Mutex
	layer   *coap.Layer
	calls   map[string]*Call // by token
	timer   *time.Timer
	armed   time.Time // when the timer fires; zero when it is not set
	closed  bool
	serving int    // requests being handled
	idle    func() // runs when none is any more; nil: nothing
	over    error  // what a request gets when closed
	leaving bool   // no new requests are taken
}

// init makes what the zero value lacks.
func (x *exchanges) init(params coap.LayerParams, rand io.Reader, logger *slog.Logger) {
	x.params, x.rand, x.logger = params, rand, logger
	x.over = net.ErrClosed
	x.layer, x.calls = coap.NewLayer(params, rand), make(map[string]*Call)
	x.ctx, x.cancel = context.WithCancel(context.Background())
	x.timer = time.AfterFunc(time.Hour, x.poll)
}

// shut ends the work: first is false when it had ended before. The calls that were
// under way are the caller's to fail.
func (x *exchanges) shut() (calls map[string]*Call, first bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return nil, false
	}
	x.closed = true
	x.timer.Stop()
	calls, x.calls = x.calls, make(map[string]*Call)
	x.cancel()
	return calls, true
}

func fail(calls map[string]*Call, err error) {
	for _, c := range calls {
		c.deliver(nil, c.to, err)
	}
}

// receive takes one datagram in and does what follows from it.
func (x *exchanges) receive(from netip.AddrPort, datagram []byte, multicast bool) {
	now := time.Now()
	x.mu.Lock()
	ev := x.layer.Receive(now, from, datagram, multicast)
	var call *Call
	var failure error
	switch ev.Kind {
	case coap.EventResponse:
		call = x.match(now, ev, from)
	case coap.EventRejected:
		if call, _ = ev.Sent.Value.(*Call); call != nil {
			delete(x.calls, call.token)
			failure = coap.ErrReset
		}
	case coap.EventRequest:
		x.dispatch(now, ev, from, multicast)
	}
	_ = x.unlockAndSend(now)
	if call != nil {
		call.deliver(ev.Message, from, failure)
	}
}

// match finds the call of a response and acknowledges it, or rejects it when
// nobody waits. RFC 7252, Sections 4.2 and 5.3.2.
func (x *exchanges) match(now time.Time, ev coap.Event, from netip.AddrPort) *Call {
	call := x.calls[string(ev.Message.Token)]
	if call == nil || !call.multicast && call.to != from {
		x.layer.Reject(ev.Inbound)
		return nil
	}
	x.layer.Accept(ev.Inbound)
	if !call.again || ev.Inbound == nil || !coap.IsNotification(ev.Message) { // which may answer an earlier request
		x.layer.Stop(now, call.sent)
	}
	return call
}

// unlockAndSend releases x.mu and sends what the layer has queued. It returns
// the error of the last datagram that could not be sent.
func (x *exchanges) unlockAndSend(now time.Time) (err error) {
	var room [4]coap.Datagram
	out := x.layer.Drain(room[:0])
	x.arm(now)
	x.mu.Unlock()
	for _, d := range out {
		if e := x.write(d.To, d.Bytes); e != nil && !errors.Is(e, net.ErrClosed) {
			x.logger.Debug("sending a datagram failed", "to", d.To, "err", e)
			err = e
		}
	}
	return err
}

// arm sets the timer for what the layer plans next, if that is earlier than the
// timer fires anyway.
func (x *exchanges) arm(now time.Time) {
	next, ok := x.layer.Next()
	if !ok || x.closed || !x.armed.IsZero() && !next.Before(x.armed) {
		return
	}
	x.armed = next
	x.timer.Reset(max(next.Sub(now), 0))
}

// poll does what is due and reports what was given up.
func (x *exchanges) poll() {
	now := time.Now()
	x.mu.Lock()
	if x.closed {
		x.mu.Unlock()
		return
	}
	x.armed = time.Time{}
	var calls []*Call
	for _, s := range x.layer.Poll(now) {
		if c, _ := s.Value.(*Call); c != nil && x.calls[c.token] == c {
			delete(x.calls, c.token)
			calls = append(calls, c)
		}
	}
	_ = x.unlockAndSend(now)
	for _, c := range calls {
		c.deliver(nil, c.to, coap.ErrTimeout)
	}
}
