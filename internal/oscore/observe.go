package oscore

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"

	"lamplighter/internal/coap"
)

// ErrCannotObserve says that the client's Exchanger is no [coap.Observer], or
// that the request is no registration.
var ErrCannotObserve = errors.New("cannot observe")

// maxPending bounds the requests of an observation that are not answered.
const maxPending = 4

// Observe registers with the peer: req has an Observe Option of 0. It calls each
// for the response and for every notification that verifies, in ascending order
// of their Partial IVs, so that the last one is the freshest; late and repeated
// ones, and what does not verify, are dropped and end nothing. A response
// without Observe Option is the last one. With an error each is called once, as
// its last call: with what the Observer says, or with an [*UnprotectedError]
// when the registration is answered without protection. Calls of each do not
// overlap. A challenge is answered by another registration.
//
// Freshness weakens with time: renew from time to time (Again). RFC 8613,
// Sections 4.1.3.5, 7.3, 7.4.1 and 8.4.2.
func (c *Client) Observe(ctx context.Context, req *coap.Message, each func(*coap.Message, error)) (coap.Observation, error) {
	ex, ok := c.ex.(coap.Observer)
	if !ok || !Registers(req) {
		return nil, ErrCannotObserve
	}
	o := &observation{client: c, ctx: ctx, ex: ex, each: each}
	if err := o.register(&asked{req: req}); err != nil {
		return nil, err
	}
	return o, nil
}

// shield protects the messages of an observation under one context.
type shield interface {
	peer() netip.AddrPort
	protect(req *coap.Message) (*coap.Message, *Binding, error)
	unprotect(ctx context.Context, outer *coap.Message, b *Binding) (*coap.Message, error)
}

// observation is a registration over a Client. It implements
// [coap.Observation].
type observation struct {
	client shield
	ctx    context.Context // of the registration, for one after a challenge
	ex     coap.Observer
	each   func(*coap.Message, error)

	mu       sync.Mutex
	round    int              // counts registrations: after a challenge there is another
	under    coap.Observation // of the last round; nil until its Observe has returned
	pending  []*asked         // requests whose responses may still come, the newest first
	answered bool             // a response has verified that is no challenge
	over     bool
}

// asked is a request of the observation. Each registration has notifications of
// its own, bound to its Partial IV. RFC 8613, Section 4.1.3.5.1.
type asked struct {
	req     *coap.Message
	binding *Binding
	echoed  bool // it answers a challenge: another one is for the caller
}

// register begins a round.
func (o *observation) register(a *asked) error {
	outer, b, err := o.client.protect(a.req)
	if err != nil {
		return err
	}
	a.binding = b
	o.mu.Lock()
	if o.over {
		o.mu.Unlock()
		return nil
	}
	o.round++
	round, old := o.round, o.under
	o.under, o.pending = nil, []*asked{a}
	o.mu.Unlock()
	if old != nil {
		old.Close()
	}
	under, err := o.ex.Observe(o.ctx, o.client.peer(), outer, func(m *coap.Message, err error) { o.receive(round, m, err) })
	if err != nil {
		return err
	}
	o.mu.Lock()
	stale := o.over || o.round != round
	if !stale {
		o.under = under
	}
	o.mu.Unlock()
	if stale {
		under.Close()
	}
	return nil
}

// Again implements [coap.Observation]: with an Observe Option of 0 it renews the
// registration, with 1 it cancels it. The request has a Partial IV of its own.
// Notifications to an earlier one are accepted until it is answered, and no
// longer: they are older. RFC 8613, Section 4.1.3.5.1.
func (o *observation) Again(req *coap.Message) error {
	if !coap.HasOption(req, coap.OptionObserve) {
		return ErrCannotObserve
	}
	outer, b, err := o.client.protect(req)
	if err != nil {
		return err
	}
	o.mu.Lock()
	under := o.under
	if o.over || under == nil {
		o.mu.Unlock()
		return ErrCannotObserve
	}
	if len(o.pending) == maxPending {
		// The oldest one stays, which the server perhaps still answers.
		o.pending = slices.Delete(o.pending, maxPending-2, maxPending-1)
	}
	o.pending = slices.Insert(o.pending, 0, &asked{req: req, binding: b})
	o.mu.Unlock()
	return under.Again(outer)
}

// Close implements [coap.Observation].
func (o *observation) Close() {
	o.mu.Lock()
	under := o.under
	o.over, o.under = true, nil
	o.mu.Unlock()
	if under != nil {
		under.Close()
	}
}

// receive takes what the Observer hands over in a round.
func (o *observation) receive(round int, outer *coap.Message, err error) {
	o.mu.Lock()
	if o.over || round != o.round {
		o.mu.Unlock()
		return
	}
	var resp *coap.Message
	var a *asked
	switch {
	case err != nil:
	case IsProtected(outer):
		resp, a, err = o.open(outer)
	case !o.answered:
		err = &UnprotectedError{Response: outer}
	}
	o.mu.Unlock()
	switch {
	case err != nil:
		o.Close()
		o.each(nil, err)
	case resp == nil: // Section 8.4.2: it ends nothing
	case IsChallenge(resp) && !a.echoed && Registers(a.req):
		if err := o.register(&asked{req: WithEcho(a.req, resp), echoed: true}); err != nil {
			o.Close()
			o.each(nil, err)
		}
	case a.binding.done:
		o.Close()
		o.each(resp, nil)
	default:
		o.each(resp, nil)
	}
}

// open opens a response and finds out to which request. It returns nothing for
// what does not verify, is late or repeated, or is the end of a registration
// that was renewed meanwhile; an error only when the end is not understood.
func (o *observation) open(outer *coap.Message) (*coap.Message, *asked, error) {
	for i, a := range o.pending {
		resp, err := o.client.unprotect(o.ctx, outer, a.binding)
		switch {
		case errors.Is(err, ErrVerify):
			continue
		case i == 0 && a.binding.done && errors.Is(err, coap.ErrBadOption):
			return nil, nil, err
		case err != nil:
			return nil, nil, nil
		case i > 0 && a.binding.done:
			o.pending = slices.Delete(o.pending, i, i+1)
			return nil, nil, nil
		}
		o.pending = o.pending[:i+1]
		o.answered = o.answered || !IsChallenge(resp)
		return resp, a, nil
	}
	return nil, nil, nil
}
