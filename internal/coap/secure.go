package coap

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// noContext is the diagnostic of RFC 8613, Section 8.2.
const noContext = "Security context not found"

// Secure puts OSCORE in front of h. A request without the OSCORE Option goes to
// h with nobody proven. Any other goes to the first of openers that knows it;
// h sees the request inside with its peer, and the response is sealed. When no
// opener knows it the answer is an unprotected 4.01, and silence to a group or
// to a message in group mode. RFC 8613, Section 8.2; RFC 10021, Section 6.
func Secure(h Handler, openers ...Opener) Handler { return &secure{h, openers} }

type secure struct {
	next    Handler
	openers []Opener
}

// Understands makes the block options of unprotected requests pass, when the
// handler behind understands them.
func (s *secure) Understands(id OptionID) bool { return Understands(s.next, id) }

// Serve implements [Handler].
func (s *secure) Serve(ctx context.Context, req *Request) *Message {
	if !HasOption(req.Message, OptionOSCORE) {
		plain := *req
		plain.Peer = Peer{}
		return s.next.Serve(ctx, &plain)
	}
	if HasOption(req.Message, OptionBlock1) || HasOption(req.Message, OptionBlock2) {
		return s.fragment(req) // nobody has reassembled it
	}
	for _, o := range s.openers {
		opened, reply, err := o.Open(ctx, req)
		switch {
		case errors.Is(err, ErrNoContext):
			continue
		case err != nil || opened == nil:
			return reply
		}
		return serveOpened(ctx, s.next, req, opened)
	}
	if req.Multicast || groupFlag(req.Message) {
		return nil
	}
	return unknownContext()
}

// fragment refuses a part of an OSCORE message, which no context could open.
// RFC 8613, Section 4.1.3.4.2.
func (s *secure) fragment(req *Request) *Message {
	if req.Multicast {
		return nil
	}
	return Problem(BadOption, "Outer block options are not understood.")
}

// groupFlag reports whether a message is in group mode: then a receiver without
// the group discards it. RFC 10021, Section 4.1.
func groupFlag(m *Message) bool {
	const flag = 0x20
	option := GetOption(m, OptionOSCORE)
	return len(option) > 0 && option[0]&flag != 0
}

// serveOpened has h answer what was inside of a protected request. The No-Response
// Option travels there (RFC 8613, Section 4.1.3.6) and is heeded here.
func serveOpened(ctx context.Context, h Handler, outer *Request, opened *Opened) *Message {
	inner := &Request{Message: opened.Message, From: outer.From, Multicast: outer.Multicast, Peer: opened.Peer, Spread: outer.Spread}
	push := &sealedPush{outer: outer.Push, seal: opened.Seal}
	if outer.Push != nil {
		inner.Push = push.push
	}
	defer push.release()
	resp := checkInner(h, inner)
	switch {
	case resp == nil:
		resp = h.Serve(ctx, inner)
	case outer.Multicast: // RFC 7252, Section 5.4.1
		return nil
	}
	if resp == nil || opened.Message.Type != Confirmable && Unwanted(opened.Message, resp.Code) {
		return nil // to a confirmable request the answer goes with the acknowledgement, and costs nothing
	}
	sealed, err := opened.Seal(resp)
	if err != nil {
		return nil // no context to protect it with, and nothing may leave unprotected
	}
	return sealed
}

// checkInner refuses what the critical options inside ask for and nobody here
// understands.
func checkInner(h Handler, req *Request) *Message {
	if err := CheckRequestOptions(h, req.Message); err != nil {
		return Problem(BadOption, err.Error())
	}
	return nil
}

func unknownContext() *Message {
	m := Problem(Unauthorized, noContext)
	AddUint(m, OptionMaxAge, 0)
	return m
}

// sealedPush protects notifications. Those that are pushed before the response
// is protected wait for it: the first message under the request's nonce must be
// the oldest, or the client takes old for new. RFC 8613, Section 4.1.3.5.2.
type sealedPush struct {
	outer func(*Message) error
	seal  func(*Message) (*Message, error)

	mu      sync.Mutex
	begun   bool     // the response is protected
	waiting *Message // the newest that was pushed before
}

func (p *sealedPush) push(resp *Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.begun {
		p.waiting = resp
		return nil
	}
	return p.send(resp)
}

// send is called with p.mu held, so that the order of Partial IVs is the order
// of sending.
func (p *sealedPush) send(resp *Message) error {
	sealed, err := p.seal(resp)
	if err != nil {
		return fmt.Errorf("protecting a notification: %w", err)
	}
	return p.outer(sealed)
}

// release lets notifications go.
func (p *sealedPush) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun = true
	if p.waiting != nil {
		_ = p.send(p.waiting) // the next push fails as well
		p.waiting = nil
	}
}
