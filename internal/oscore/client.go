package oscore

import (
	"context"
	"net/netip"
	"sync"

	"lamplighter/internal/coap"
)

// Client makes requests to one peer under a context. It is safe for concurrent
// use: protection is serialised, exchanges are not. It implements
// [coap.Caller].
type Client struct {
	mu      sync.Mutex
	context *Context
	ex      coap.Exchanger
	to      netip.AddrPort
}

// NewClient makes a client, which then owns c.
func NewClient(c *Context, ex coap.Exchanger, to netip.AddrPort) *Client {
	return &Client{context: c, ex: ex, to: to}
}

// Call sends req and returns the response inside. When the peer asks for
// freshness it sends req once more with the Echo value. An answer without
// protection gives an [*UnprotectedError].
func (c *Client) Call(ctx context.Context, req *coap.Message) (*coap.Message, error) {
	return call(req, func(req *coap.Message) (*coap.Message, error) {
		outer, b, err := c.protect(req)
		if err != nil {
			return nil, err
		}
		resp, err := protected(c.ex.Exchange(ctx, c.to, outer))
		if err != nil {
			return nil, err
		}
		return c.unprotect(ctx, resp, b)
	})
}

// call makes an exchange, and once more with the Echo value when the peer asks for
// freshness.
func call(req *coap.Message, exchange func(*coap.Message) (*coap.Message, error)) (*coap.Message, error) {
	resp, err := exchange(req)
	if err != nil || !IsChallenge(resp) {
		return resp, err
	}
	return exchange(WithEcho(req, resp))
}

// protected takes a response only if it has the OSCORE Option.
func protected(resp *coap.Message, err error) (*coap.Message, error) {
	if err == nil && !IsProtected(resp) {
		return nil, &UnprotectedError{Response: resp}
	}
	return resp, err
}

// openResponse opens a response; one with a critical option that is not understood is
// refused. RFC 7252, Section 5.4.1. The caller holds what guards the context.
func (c *Context) openResponse(ctx context.Context, outer *coap.Message, b *Binding) (*coap.Message, error) {
	resp, err := c.UnprotectResponse(outer, b)
	if err != nil {
		return nil, err
	}
	if err := coap.CheckResponseOptions(ctx, resp); err != nil {
		return nil, err
	}
	return resp, nil
}

func (c *Client) unprotect(ctx context.Context, outer *coap.Message, b *Binding) (*coap.Message, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.context.openResponse(ctx, outer, b)
}

func (c *Client) peer() netip.AddrPort { return c.to }

func (c *Client) protect(req *coap.Message) (*coap.Message, *Binding, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.context.ProtectRequest(req)
}
