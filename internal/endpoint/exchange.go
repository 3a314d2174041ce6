//go:build !js

package endpoint

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"time"

	"lamplighter/internal/coap"
)

// tokenLength makes tokens unguessable enough for off-path attackers. RFC 7252,
// Section 5.3.1.
const tokenLength = 8

// Deliver hears of every response to a [Call], and then perhaps of its end: err
// is [coap.ErrTimeout] when the peer gives no sign of life, [coap.ErrReset] when
// it rejects the request, [net.ErrClosed] when the endpoint closes. It runs in
// the goroutine that reads the socket and should be quick.
type Deliver func(resp *coap.Message, from netip.AddrPort, err error)

// Call is a request under way. It takes responses until it is cancelled: one,
// many from a group, or notifications.
type Call struct {
	of        *exchanges
	to        netip.AddrPort
	token     string
	multicast bool
	deliver   Deliver
	sent      *coap.Sent // guarded by of.mu; nil for non-confirmable
	again     bool       // guarded by of.mu; sent is not the first request
}

// Begin sends req, confirmable to one endpoint and non-confirmable to a group,
// and has deliver called for what comes back. It leaves req unchanged. The
// caller cancels the call when it needs no more.
func (x *exchanges) Begin(to netip.AddrPort, req *coap.Message, deliver Deliver) (*Call, error) {
	to = unmap(to)
	c := &Call{of: x, to: to, multicast: to.Addr().IsMulticast(), deliver: deliver}
	token := make([]byte, tokenLength)
	if _, err := io.ReadFull(x.rand, token); err != nil {
		return nil, fmt.Errorf("drawing a token: %w", err)
	}
	c.token = string(token)
	x.mu.Lock()
	if x.closed {
		x.mu.Unlock()
		return nil, x.over
	}
	x.calls[c.token] = c
	if err := c.sendLocked(req); err != nil {
		c.Cancel()
		return nil, err
	}
	return c, nil
}

// Again sends another request under the same token: it renews or ends an
// observation. When it fails the call goes on as it was. RFC 7641, Section 3.6.
func (c *Call) Again(req *coap.Message) error {
	x := c.of
	x.mu.Lock()
	if x.closed || x.calls[c.token] != c {
		x.mu.Unlock()
		return x.over
	}
	x.layer.Stop(time.Now(), c.sent)
	c.again = true
	return c.sendLocked(req)
}

// sendLocked is called with of.mu held and releases it.
func (c *Call) sendLocked(req *coap.Message) error {
	x := c.of
	out := *req
	out.Token, out.Type = coap.Token(c.token), coap.Confirmable
	if c.multicast {
		out.Type = coap.NonConfirmable
	}
	now := time.Now()
	sent, err := x.layer.Send(now, c.to, &out)
	c.sent = sent
	if sent != nil {
		sent.Value = c
	}
	failed := x.unlockAndSend(now)
	if err != nil {
		return err
	}
	if failed != nil {
		x.mu.Lock()
		x.layer.Stop(now, sent) // it does not go out behind the caller's back
		_ = x.unlockAndSend(now)
		return fmt.Errorf("sending: %w", failed)
	}
	return nil
}

// Cancel forgets the call: what still comes is rejected.
func (c *Call) Cancel() {
	x := c.of
	x.mu.Lock()
	if x.calls[c.token] == c {
		delete(x.calls, c.token)
	}
	now := time.Now()
	x.layer.Stop(now, c.sent)
	_ = x.unlockAndSend(now)
}

// Exchange implements [coap.Exchanger]. When the request was acknowledged but no
// response follows it waits for MAX_TRANSMIT_WAIT, or until ctx ends.
func (x *exchanges) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	type result struct {
		m   *coap.Message
		err error
	}
	done := make(chan result, 1)
	call, err := x.Begin(to, req, func(m *coap.Message, _ netip.AddrPort, err error) {
		select {
		case done <- result{m, err}:
		default: // a second response; the first counts
		}
	})
	if err != nil {
		return nil, fmt.Errorf("asking %v: %w", to, err)
	}
	defer call.Cancel()
	timeout := time.NewTimer(x.params.MaxTransmitWait())
	defer timeout.Stop()
	select {
	case r := <-done:
		if r.err == nil {
			r.err = checkResponse(ctx, r.m)
		}
		if r.err != nil {
			return nil, fmt.Errorf("asking %v: %w", to, r.err)
		}
		return r.m, nil
	case <-timeout.C:
		return nil, fmt.Errorf("asking %v: %w", to, coap.ErrTimeout)
	case <-ctx.Done():
		return nil, ended(ctx, to)
	}
}

// Multicast implements [coap.Exchanger].
func (x *exchanges) Multicast(ctx context.Context, to netip.AddrPort, req *coap.Message, wait time.Duration, each func(*coap.Message, netip.AddrPort)) error {
	box := newMailbox()
	call, err := x.Begin(to, req, func(m *coap.Message, from netip.AddrPort, err error) {
		box.put(delivery{m, from, err})
	})
	if err != nil {
		return fmt.Errorf("asking %v: %w", to, err)
	}
	defer call.Cancel()
	return box.each(ctx, x.ctx.Done(), wait, func(d delivery) error {
		if d.err != nil {
			return d.err
		}
		if checkResponse(ctx, d.m) == nil {
			each(d.m, d.from)
		}
		return nil
	})
}

// Observe implements [coap.Observer]. Closing rejects the next notification,
// which ends the observation at the server. RFC 7641, Section 3.6.
func (x *exchanges) Observe(ctx context.Context, to netip.AddrPort, req *coap.Message, each func(*coap.Message, error)) (coap.Observation, error) {
	o := newObservation(to, req, each)
	call, err := x.Begin(to, req, func(m *coap.Message, _ netip.AddrPort, err error) { o.put(m, err) })
	if err != nil {
		return nil, fmt.Errorf("asking %v: %w", to, err)
	}
	o.again, o.release = call.Again, call.Cancel
	go o.run(ctx, x.params.MaxTransmitWait(), nil, nil)
	return o, nil
}
