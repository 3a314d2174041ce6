//go:build !js

package endpoint

import (
	"fmt"
	"net/netip"
	"runtime/debug"
	"time"

	"lamplighter/internal/coap"
)

// dispatch starts the handler of a request. It is called with x.mu held.
func (x *exchanges) dispatch(now time.Time, ev coap.Event, from netip.AddrPort, multicast bool) {
	if x.handler == nil {
		x.layer.Reject(ev.Inbound)
		return
	}
	if x.leaving {
		x.refuse(now, ev, multicast, "The server is about to end.")
		return
	}
	select {
	case x.slots <- struct{}{}:
	default:
		x.refuse(now, ev, multicast, "Too many requests at a time.")
		return
	}
	x.serving++
	x.wg.Go(func() {
		defer x.served()
		x.serve(ev, from, multicast)
	})
}

// refuse asks a client to come again in a second.
func (x *exchanges) refuse(now time.Time, ev coap.Event, multicast bool, why string) {
	if multicast {
		return
	}
	busy := coap.Problem(coap.ServiceUnavailable, why)
	coap.AddUint(busy, coap.OptionMaxAge, 1)
	_ = x.layer.Answer(now, ev.Inbound, busy)
}

// served notes the end of a handler.
func (x *exchanges) served() {
	<-x.slots
	x.mu.Lock()
	x.serving--
	idle := x.idle
	if x.serving > 0 {
		idle = nil
	}
	x.mu.Unlock()
	if idle != nil {
		idle()
	}
}

// serve answers one request.
func (x *exchanges) serve(ev coap.Event, from netip.AddrPort, multicast bool) {
	req := &coap.Request{
		Message: ev.Message, From: from, Multicast: multicast, Peer: x.peer,
		Push: func(m *coap.Message) error { return x.push(ev.Inbound, m) },
	}
	if multicast {
		req.Spread = ev.Inbound.Spread
	}
	resp := x.handle(req)
	if resp != nil && (multicast && coap.Class(resp.Code) != 2 || coap.Unwanted(ev.Message, resp.Code)) {
		resp = nil
		if !multicast {
			x.acknowledge(ev.Inbound)
			return
		}
	}
	now := time.Now()
	x.mu.Lock()
	if err := x.layer.Answer(now, ev.Inbound, resp); err != nil {
		x.logger.Warn("an answer could not be sent", "err", err)
		_ = x.layer.Answer(now, ev.Inbound, coap.Problem(coap.InternalServerError, ""))
	}
	_ = x.unlockAndSend(now)
}

// acknowledge tells that a request has arrived and nothing follows but perhaps
// notifications. RFC 7967, Section 2.
func (x *exchanges) acknowledge(in *coap.Inbound) {
	now := time.Now()
	x.mu.Lock()
	x.layer.Accept(in)
	_ = x.layer.Answer(now, in, nil)
	_ = x.unlockAndSend(now)
}

// push sends a notification. What the socket says is not told: a notification
// is repeated until the client acknowledges it or is taken for gone.
func (x *exchanges) push(in *coap.Inbound, m *coap.Message) error {
	now := time.Now()
	x.mu.Lock()
	if x.closed {
		x.mu.Unlock()
		return x.over
	}
	err := x.layer.Notify(now, in, m)
	_ = x.unlockAndSend(now)
	return err
}

// handle calls the handler unless the request asks for what nobody here
// understands. RFC 7252, Sections 5.4.1 and 5.7.2. A panic of the handler ends
// its request, not the process.
func (x *exchanges) handle(req *coap.Request) (resp *coap.Message) {
	defer func() {
		if p := recover(); p != nil {
			x.logger.Error("a handler panicked", "path", coap.Path(req.Message), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			resp = coap.Problem(coap.InternalServerError, "")
		}
	}()
	if coap.HasOption(req.Message, coap.OptionProxyURI) || coap.HasOption(req.Message, coap.OptionProxyScheme) {
		return coap.Problem(coap.ProxyingNotSupported, "")
	}
	if err := coap.CheckRequestOptions(x.handler, req.Message); err != nil {
		return coap.Problem(coap.BadOption, err.Error())
	}
	resp = x.handler.Serve(x.ctx, req)
	if resp != nil && !coap.IsResponse(resp.Code) {
		x.logger.Error("a handler answered without a response code", "path", coap.Path(req.Message))
		return coap.Problem(coap.InternalServerError, "")
	}
	return resp
}
