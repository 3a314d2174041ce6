//go:build !js

package endpoint

import (
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"time"

	"lamplighter/internal/coap"
)

// dispatch starts the handler of a request. It is called with u.mu held.
func (u *UDP) dispatch(now time.Time, ev coap.Event, from netip.AddrPort, multicast bool) {
	if u.handler == nil {
		u.layer.Reject(ev.Inbound)
		return
	}
	select {
	case u.slots <- struct{}{}:
	default: // too many at a time
		if !multicast {
			busy := coap.Problem(coap.ServiceUnavailable, "Too many requests at a time.")
			coap.AddUint(busy, coap.OptionMaxAge, 1)
			_ = u.layer.Answer(now, ev.Inbound, busy)
		}
		return
	}
	u.wg.Go(func() {
		defer func() { <-u.slots }()
		u.serve(ev, from, multicast)
	})
}

// serve answers one request.
func (u *UDP) serve(ev coap.Event, from netip.AddrPort, multicast bool) {
	req := &coap.Request{
		Message: ev.Message, From: from, Multicast: multicast,
		Push: func(m *coap.Message) error { return u.push(ev.Inbound, m) },
	}
	noResponse, _ := coap.OptionUint(ev.Message, coap.OptionNoResponse)
	resp := u.handle(req)
	if resp != nil && (multicast && coap.Class(resp.Code) != 2 || noResponse>>(coap.Class(resp.Code)-1)&1 != 0) {
		resp = nil
		if !multicast {
			u.acknowledge(ev.Inbound)
			return
		}
	}
	now := time.Now()
	u.mu.Lock()
	if err := u.layer.Answer(now, ev.Inbound, resp); err != nil {
		u.opts.Logger.Warn("an answer could not be sent", "error", err)
		_ = u.layer.Answer(now, ev.Inbound, coap.Problem(coap.InternalServerError, ""))
	}
	_ = u.unlockAndSend(now)
}

// acknowledge tells that a request has arrived and nothing follows but perhaps
// notifications. RFC 7967, Section 2.
func (u *UDP) acknowledge(in *coap.Inbound) {
	now := time.Now()
	u.mu.Lock()
	u.layer.Accept(in)
	_ = u.layer.Answer(now, in, nil)
	_ = u.unlockAndSend(now)
}

// push sends a notification. What the socket says is not told: a notification
// is repeated until the client acknowledges it or is taken for gone.
func (u *UDP) push(in *coap.Inbound, m *coap.Message) error {
	now := time.Now()
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return net.ErrClosed
	}
	err := u.layer.Notify(now, in, m)
	_ = u.unlockAndSend(now)
	return err
}

// handle calls the handler unless the request asks for what nobody here
// understands. RFC 7252, Sections 5.4.1 and 5.7.2. A panic of the handler ends
// its request, not the process.
func (u *UDP) handle(req *coap.Request) (resp *coap.Message) {
	defer func() {
		if p := recover(); p != nil {
			u.opts.Logger.Error("a handler panicked", "path", coap.Path(req.Message), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			resp = coap.Problem(coap.InternalServerError, "")
		}
	}()
	if coap.HasOption(req.Message, coap.OptionProxyURI) || coap.HasOption(req.Message, coap.OptionProxyScheme) {
		return coap.Problem(coap.ProxyingNotSupported, "")
	}
	if err := coap.CheckRequestOptions(u.handler, req.Message); err != nil {
		return coap.Problem(coap.BadOption, err.Error())
	}
	resp = u.handler.Serve(u.ctx, req)
	if resp != nil && !coap.IsResponse(resp.Code) {
		u.opts.Logger.Error("a handler answered without a response code", "path", coap.Path(req.Message))
		return coap.Problem(coap.InternalServerError, "")
	}
	return resp
}
