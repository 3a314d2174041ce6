package oscore

import (
	"context"
	"net/netip"
	"sync"

	"lamplighter/internal/coap"
)

// Observe registers with the server as [Client.Observe] does, in a session that it
// establishes first where there is none. When the session is replaced, because the
// server lost it, the observation goes on in the next one: each is then called for
// the response to another registration. It ends when no session can be
// established. A server that forgot the session says nothing by itself: renew from
// time to time (Again), or make any other request.
func (c *PSKClient) Observe(ctx context.Context, req *coap.Message, each func(*coap.Message, error)) (coap.Observation, error) {
	ex, ok := c.ex.(coap.Observer)
	if !ok || !Registers(req) {
		return nil, ErrCannotObserve
	}
	o := &pskObservation{client: c, ex: ex, ctx: ctx, req: req, each: each}
	s := c.session()
	if s == nil || !s.confirmed {
		if err := o.establish(); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	if c.watching == nil {
		c.watching = make(map[*pskObservation]struct{})
	}
	c.watching[o] = struct{}{}
	c.mu.Unlock()
	if err := o.register(); err != nil {
		o.Close()
		return nil, err
	}
	return o, nil
}

// pskObservation is a registration over a PSKClient, in one session after the
// other. It implements [coap.Observation].
type pskObservation struct {
	client *PSKClient
	ex     coap.Observer
	ctx    context.Context
	req    *coap.Message
	each   func(*coap.Message, error)

	calling sync.Mutex // each is not called by two sessions at a time

	mu    sync.Mutex
	under *observation
	in    *Context // of the session of under
	lost  bool     // the server lost that session; another one is on its way
	over  bool
}

// establish gets a session by the request itself, without observing.
func (o *pskObservation) establish() error {
	plain := coap.Clone(o.req)
	coap.RemoveOption(plain, coap.OptionObserve)
	_, err := o.client.Call(o.ctx, plain)
	return err
}

// register registers in the session that there is, unless it has been done.
func (o *pskObservation) register() error {
	s := o.client.session()
	o.mu.Lock()
	if o.over || s == nil || o.in == s.context {
		o.mu.Unlock()
		return nil
	}
	old := o.under
	next := &observation{
		client: &pskShield{o.client, s, o}, ctx: o.ctx, ex: o.ex,
		each: func(m *coap.Message, err error) { o.receive(s.context, m, err) },
	}
	o.under, o.in, o.lost = next, s.context, false
	o.mu.Unlock()
	if old != nil {
		old.Close()
	}
	return next.register(&asked{req: o.req})
}

// receive hands over what comes in the current session.
func (o *pskObservation) receive(in *Context, m *coap.Message, err error) {
	o.calling.Lock()
	defer o.calling.Unlock()
	o.mu.Lock()
	stale := o.over || o.in != in || err != nil && o.lost
	if !stale && (err != nil || !coap.HasOption(m, coap.OptionObserve)) {
		o.over = true
	}
	over := o.over
	o.mu.Unlock()
	if stale {
		return
	}
	if over {
		o.forget()
	}
	o.each(m, err)
}

// renew gets another session after the server lost the one of a registration; the
// client then registers all its observations anew (confirm).
func (o *pskObservation) renew(in *Context) {
	o.mu.Lock()
	if o.over || o.lost || o.in != in {
		o.mu.Unlock()
		return
	}
	o.lost = true
	o.mu.Unlock()
	if err := o.establish(); err != nil {
		o.fail(err)
	}
}

// again registers in the session that the client has now.
func (o *pskObservation) again() {
	if err := o.register(); err != nil {
		o.fail(err)
	}
}

// fail ends the observation.
func (o *pskObservation) fail(err error) {
	o.mu.Lock()
	over := o.over
	o.mu.Unlock()
	if over {
		return
	}
	o.Close()
	o.calling.Lock()
	defer o.calling.Unlock()
	o.each(nil, err)
}

// Again implements [coap.Observation].
func (o *pskObservation) Again(req *coap.Message) error {
	o.mu.Lock()
	under, over := o.under, o.over
	o.mu.Unlock()
	if over || under == nil {
		return ErrCannotObserve
	}
	return under.Again(req)
}

// Close implements [coap.Observation].
func (o *pskObservation) Close() {
	o.forget()
	o.mu.Lock()
	under := o.under
	o.over, o.under = true, nil
	o.mu.Unlock()
	if under != nil {
		under.Close()
	}
}

func (o *pskObservation) forget() {
	o.client.mu.Lock()
	defer o.client.mu.Unlock()
	delete(o.client.watching, o)
}

// pskShield protects the messages of an observation in one session.
type pskShield struct {
	client  *PSKClient
	session *session
	of      *pskObservation
}

func (p *pskShield) peer() netip.AddrPort {
	p.client.mu.Lock()
	defer p.client.mu.Unlock()
	return p.client.to
}

func (p *pskShield) protect(req *coap.Message) (*coap.Message, *Binding, error) {
	p.client.mu.Lock()
	defer p.client.mu.Unlock()
	return p.session.context.ProtectRequest(req)
}

// unprotect opens a response; a response #1 says that the server lost the session.
func (p *pskShield) unprotect(ctx context.Context, outer *coap.Message, b *Binding) (*coap.Message, error) {
	p.client.mu.Lock()
	defer p.client.mu.Unlock()
	a, err := p.client.open(ctx, p.session, outer, b)
	switch {
	case err != nil:
		return nil, err
	case a.r2 != nil:
		go p.of.renew(p.session.context)
		return nil, ErrVerify // it is no response to the request
	}
	return a.resp, nil
}
