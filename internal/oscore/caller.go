package oscore

import (
	"context"
	"fmt"
	"net/netip"

	"lamplighter/internal/coap"
)

// Caller makes requests to the peer of a context that the server holds, so that
// both sides of an association are clients and servers: RFC 8613 keeps Sender
// Sequence Numbers and Partial IVs of both roles apart. to is where the peer is. The
// context is looked up at each call: one that has gone gives an error that wraps
// [coap.ErrNoContext].
func (s *Server) Caller(name string, ex coap.Exchanger, to netip.AddrPort) coap.Caller {
	return &serverCaller{s, name, ex, to}
}

type serverCaller struct {
	server *Server
	name   string
	ex     coap.Exchanger
	to     netip.AddrPort
}

// Call implements [coap.Caller] as [Client.Call] does.
func (c *serverCaller) Call(ctx context.Context, req *coap.Message) (*coap.Message, error) {
	return call(req, func(req *coap.Message) (*coap.Message, error) {
		e, outer, b, err := c.protect(req)
		if err != nil {
			return nil, err
		}
		resp, err := protected(c.ex.Exchange(ctx, c.to, outer))
		if err != nil {
			return nil, err
		}
		return c.unprotect(ctx, e, resp, b)
	})
}

func (c *serverCaller) protect(req *coap.Message) (*served, *coap.Message, *Binding, error) {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	e := c.server.byName[c.name]
	if e == nil {
		return nil, nil, nil, fmt.Errorf("calling %s: %w", c.name, coap.ErrNoContext)
	}
	outer, b, err := e.context.ProtectRequest(req)
	return e, outer, b, err
}

func (c *serverCaller) unprotect(ctx context.Context, e *served, outer *coap.Message, b *Binding) (*coap.Message, error) {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if e.gone {
		return nil, fmt.Errorf("calling %s: %w", c.name, coap.ErrNoContext)
	}
	return e.context.openResponse(ctx, outer, b)
}
