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
	resp, err := c.exchange(ctx, req)
	if err != nil || !IsChallenge(resp) {
		return resp, err
	}
	return c.exchange(ctx, WithEcho(req, resp))
}

func (c *Client) exchange(ctx context.Context, req *coap.Message) (*coap.Message, error) {
	outer, b, err := c.protect(req)
	if err != nil {
		return nil, err
	}
	resp, err := c.ex.Exchange(ctx, c.to, outer)
	if err != nil {
		return nil, err
	}
	if !IsProtected(resp) {
		return nil, &UnprotectedError{Response: resp}
	}
	return c.unprotect(ctx, resp, b)
}

// unprotect opens a response; one with a critical option that is not understood
// is refused. RFC 7252, Section 5.4.1.
func (c *Client) unprotect(ctx context.Context, outer *coap.Message, b *Binding) (*coap.Message, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	resp, err := c.context.UnprotectResponse(outer, b)
	if err != nil {
		return nil, err
	}
	if err := coap.CheckResponseOptions(ctx, resp); err != nil {
		return nil, err
	}
	return resp, nil
}

func (c *Client) peer() netip.AddrPort { return c.to }

func (c *Client) protect(req *coap.Message) (*coap.Message, *Binding, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.context.ProtectRequest(req)
}
