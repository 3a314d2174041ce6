package group

import (
	"bytes"
	"fmt"
	"slices"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
)

// ProtectResponse protects a response to the request of b, in a mode that may
// differ from the request's; resp is not changed. c may be of a later epoch
// than the request. The first response reuses the nonce of the request if it
// was received under this same context; every other has its own Partial IV.
// RFC 10021, Sections 7.3 and 8.5.
func (c *Context) ProtectResponse(resp *coap.Message, b *Binding, mode Mode) (*coap.Message, error) {
	// The kid may be left out towards who knows from whom it expects the answer:
	// in response to a pairwise request under the same context.
	withKID := mode == Group || b.Mode == Group || b.context != c
	return c.protectResponse(resp, b, mode, withKID)
}

func (c *Context) protectResponse(resp *coap.Message, b *Binding, mode Mode, withKID bool) (*coap.Message, error) {
	if err := c.allows(mode); err != nil {
		return nil, err
	}
	var peer *recipient
	if mode == Pairwise {
		var err error
		if peer, err = c.current(b.From); err != nil {
			return nil, err
		}
	}
	plaintext, outer, err := oscore.SplitResponse(c.plaintext[:0], resp, b.observe)
	if err != nil {
		return nil, err
	}
	c.plaintext = plaintext
	o := oscore.Option{Group: mode == Group}
	if withKID {
		o.KID = c.senderID
	}
	if !bytes.Equal(b.request.kidContext, c.gid) {
		o.KIDContext = c.gid // helps the client to find the new context
	}
	m := &message{request: b.request, nonceID: b.request.kid, noncePIV: b.request.piv, cred: c.cred}
	if b.used || b.context != c {
		if o.PIV, err = c.nextPIV(); err != nil {
			return nil, err
		}
		m.nonceID, m.noncePIV = c.senderID, o.PIV
	} else {
		b.used = true
	}
	m.option = oscore.AppendOption([]byte{}, o)
	payload, err := c.seal(mode, peer, plaintext, m)
	if err != nil {
		return nil, err
	}
	return oscore.Finish(outer, m.option, payload), nil
}

// UnprotectResponse verifies and decrypts a response to the request of b, which
// may be of an earlier epoch than c. It says who sent it and in which mode; with
// an error, from is zero unless the sender is proven.
//
// To a group request each server may respond more than once, and so may the
// server of an Observe registration, in ascending order of Partial IVs and at
// most once without; to any other request there is one response. It fails as
// [Context.UnprotectRequest] does; a late or repeated response gives
// oscore.ErrReplay, and no failure ends anything. RFC 10021, Sections 5.3.1,
// 7.4 and 8.6.
func (c *Context) UnprotectResponse(outer *coap.Message, b *Binding) (resp *coap.Message, from Peer, mode Mode, err error) {
	o, err := oscore.MessageOption(outer)
	if err != nil {
		return nil, Peer{}, 0, err
	}
	mode = modeOf(o)
	peer, err := c.responder(o, b, mode)
	if err != nil {
		return nil, Peer{}, mode, err
	}
	if err := b.check(c, peer, o.PIV); err != nil {
		return nil, Peer{}, mode, err // nothing is verified yet
	}
	m := &message{
		request: b.request, nonceID: b.request.kid, noncePIV: b.request.piv,
		option: coap.GetOption(outer, coap.OptionOSCORE), cred: peer.peer.Cred,
	}
	if o.PIV != nil {
		m.nonceID, m.noncePIV = peer.peer.KID, o.PIV
	}
	plaintext, err := c.open(mode, peer, outer.Payload, m)
	if err != nil {
		return nil, Peer{}, mode, err
	}
	if resp, err = oscore.JoinResponse(outer, plaintext); err != nil {
		return nil, peer.peer, mode, err
	}
	notification := coap.HasOption(resp, coap.OptionObserve)
	if notification && !b.observe {
		return nil, peer.peer, mode, oscore.ErrVerify // RFC 8613, Section 4.1.3.5.2
	}
	b.accept(c, peer, o.PIV, notification)
	return resp, peer.peer, mode, nil
}

// responder finds out who claims to have sent a response and whether a response
// of it may be expected under c.
func (c *Context) responder(o oscore.Option, b *Binding, mode Mode) (*recipient, error) {
	if o.KIDContext != nil && !bytes.Equal(o.KIDContext, c.gid) {
		return nil, fmt.Errorf("response of another epoch: %w", coap.ErrNoContext)
	}
	if err := c.allows(mode); err != nil {
		return nil, err
	}
	kid := o.KID
	if kid == nil {
		if b.Mode == Group {
			return nil, fmt.Errorf("%w: response without kid", oscore.ErrDecode)
		}
		kid = b.From.KID
	}
	peer, err := c.find(kid)
	if err != nil {
		return nil, err
	}
	if b.Mode == Pairwise && !bytes.Equal(peer.peer.Cred, b.From.Cred) {
		return nil, oscore.ErrVerify // another server than the one that was asked
	}
	return peer, nil
}

// server is what a client keeps of one server that answered a request.
type server struct {
	kid     []byte   // kid1
	context *Context // of the last response
	next    uint64   // 1 + the Response Number under context, 0: not initialised
	plain   bool     // a response without Partial IV was accepted

	left []*Context // of earlier epochs; what comes under them now is late or repeated
}

// check applies, before any cryptography, the rules about a response's Partial
// IV; it changes nothing. RFC 10021, Section 5.3.1.
func (b *Binding) check(c *Context, peer *recipient, piv []byte) error {
	if b.done {
		return oscore.ErrReplay
	}
	if piv == nil && b.context != c {
		return fmt.Errorf("%w: response of another epoch without Partial IV", oscore.ErrDecode)
	}
	s := b.servers[string(peer.peer.Cred)]
	if s == nil {
		return nil
	}
	if piv == nil {
		// At most one, which counts as the oldest of all.
		if s.plain || s.next > 0 || s.context != c {
			return oscore.ErrReplay
		}
		return nil
	}
	if slices.Contains(s.left, c) {
		return oscore.ErrReplay
	}
	if s.context != c {
		return nil // a new epoch: the Response Number starts anew
	}
	if !bytes.Equal(s.kid, peer.peer.KID) || oscore.PIVNumber(piv) < s.next {
		return oscore.ErrReplay
	}
	return nil
}

// accept keeps what [Binding.check] needs of a response that verified.
func (b *Binding) accept(c *Context, peer *recipient, piv []byte, notification bool) {
	if b.Mode == Pairwise && !notification {
		b.done = true
	}
	s := b.servers[string(peer.peer.Cred)]
	if s == nil || s.context != c {
		next := &server{kid: peer.peer.KID, context: c}
		if s != nil {
			next.plain, next.left = s.plain, append(s.left, s.context)
		}
		s = next
		if b.servers == nil {
			b.servers = map[string]*server{}
		}
		b.servers[string(peer.peer.Cred)] = s
	}
	if piv == nil {
		s.plain = true
		return
	}
	s.next = oscore.PIVNumber(piv) + 1
}
