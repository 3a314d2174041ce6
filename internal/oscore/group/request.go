package group

import (
	"bytes"
	"errors"
	"fmt"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
)

// errRole says that a binding was handed to the wrong side: protecting a response
// to an own request would use its nonce twice under one key.
var errRole = errors.New("the binding is of the other side")

// maxPIV is the greatest length of a Partial IV. RFC 8613, Section 6.1.
const maxPIV = 5

// Binding ties the responses to their request, also across a rekeying. All
// responses to one group request share it. RFC 10021, Section 5.1.
type Binding struct {
	// From is the peer: on a server who sent the request, on a client to whom it
	// went in pairwise mode (zero in group mode).
	From Peer
	// Mode is the mode of the request.
	Mode Mode

	origin  *identity // of the context under which the request was protected
	request request
	number  [maxPIV]byte // memory of request.piv
	observe bool         // the request was an Observe registration
	own     bool         // this endpoint made the request

	used    bool               // server: the request's nonce was used, or must not be
	done    bool               // client: the only response was accepted
	servers map[string]*server // client: who answered, by credential
}

// opened is an exchange that a request has opened: the message and the binding in one
// allocation.
type opened struct {
	room    oscore.Room
	binding Binding
}

// ProtectRequest protects req, which is not changed: with to nil in group mode,
// else in pairwise mode for the peer with that Sender ID. The binding is for
// [Context.UnprotectResponse]. RFC 10021, Sections 7.1 and 8.3.
func (c *Context) ProtectRequest(req *coap.Message, to []byte) (*coap.Message, *Binding, error) {
	if c.silent() {
		return nil, nil, ErrSilent
	}
	x := &opened{binding: Binding{origin: c.id, Mode: Group, observe: oscore.Registers(req), own: true}}
	b := &x.binding
	var peer *recipient
	if to != nil {
		var err error
		if peer, err = c.find(to); err != nil {
			return nil, nil, err
		}
		b.Mode, b.From = Pairwise, peer.peer
	}
	if err := c.allows(b.Mode); err != nil {
		return nil, nil, err
	}
	plaintext, outer, err := oscore.SplitRequest(c.plaintext[:0], req, &x.room)
	if err != nil {
		return nil, nil, err
	}
	c.plaintext = plaintext
	piv, err := c.nextPIV(b.number[:0])
	if err != nil {
		return nil, nil, err
	}
	b.request = request{kid: c.senderID, piv: piv, kidContext: c.gid}
	m := &message{request: b.request, isRequest: true, nonceID: c.senderID, noncePIV: piv, cred: c.cred}
	outer, err = c.seal(outer, peer, oscore.Option{
		Group: b.Mode == Group, PIV: piv, KIDContext: c.gid, KID: c.senderID,
	}, m)
	if err != nil {
		return nil, nil, err
	}
	return outer, b, nil
}

// receives is allows for what comes in: a silent server has no pairwise keys.
func (c *Context) receives(mode Mode) error {
	if mode == Pairwise && c.silent() {
		return ErrMode
	}
	return c.allows(mode)
}

// nextPIV appends the Partial IV of a new sequence number.
func (c *Context) nextPIV(dst []byte) ([]byte, error) {
	n, err := c.sequence.Next()
	if err != nil {
		return nil, err
	}
	return oscore.AppendPIV(dst, n), nil
}

// UnprotectRequest verifies and decrypts a request in either mode. The binding
// is for [Context.ProtectResponse]. It fails with [coap.ErrNoContext] for
// another Gid, [ErrOwn], [ErrMode], [*UnknownPeerError], [*EchoError], or
// ErrDecode, ErrReplay and ErrVerify of package oscore. To what may be a group
// request no error is answered (Section 7). RFC 10021, Sections 7.2 and 8.4.
func (c *Context) UnprotectRequest(outer *coap.Message) (*coap.Message, *Binding, error) {
	o, err := oscore.MessageOption(outer)
	if err != nil {
		return nil, nil, err
	}
	if o.KIDContext == nil || !bytes.Equal(o.KIDContext, c.gid) {
		return nil, nil, fmt.Errorf("request for another group: %w", coap.ErrNoContext)
	}
	if o.KID == nil || o.PIV == nil {
		return nil, nil, fmt.Errorf("%w: request without kid or Partial IV", oscore.ErrDecode)
	}
	mode := modeOf(o)
	if err := c.receives(mode); err != nil {
		return nil, nil, err
	}
	peer, err := c.find(o.KID)
	if err != nil {
		return nil, nil, err
	}
	number := oscore.PIVNumber(o.PIV)
	if peer.valid {
		if err := peer.window.Check(number); err != nil {
			return nil, nil, err
		}
	}
	x := &opened{binding: Binding{origin: c.id, From: peer.peer, Mode: mode}}
	b := &x.binding
	b.request = request{kid: peer.peer.KID, piv: append(b.number[:0], o.PIV...), kidContext: c.gid}
	plaintext, err := c.open(&opening{
		message: received(outer, o, b.request, true, peer.peer), mode: mode, peer: peer, payload: outer.Payload,
	})
	if err != nil {
		return nil, nil, err
	}
	peer.proven = true
	req, err := oscore.JoinRequest(outer, plaintext, &x.room)
	if !peer.valid {
		if err != nil {
			return nil, nil, err
		}
		return c.synchronise(peer, req, b, number)
	}
	peer.window.Accept(number)
	if err != nil {
		return nil, nil, err
	}
	b.observe = oscore.Registers(req)
	return req, b, nil
}

// synchronise accepts an authentic request of a peer with an invalid window
// when it carries the Echo value: its number becomes the lower limit. Else it
// makes the challenge, with a Partial IV of its own, as the request may be a
// replay. An Echo value in group mode proves nothing in a group that has the
// pairwise mode: who got such a message could redirect it. A silent server cannot
// challenge, and a request that wants no answer is not challenged: a stream of them to
// many devices would be answered by all. RFC 10021, Sections 2.6.1.2 and 9.
func (c *Context) synchronise(peer *recipient, req *coap.Message, b *Binding, number uint64) (*coap.Message, *Binding, error) {
	if peer.echo.Proves(req) && (b.Mode == Pairwise || !c.algs.hasPairwise()) {
		peer.window.StartAt(number)
		peer.valid = true
		peer.echo = oscore.Echo{}
		b.observe = oscore.Registers(req)
		return req, b, nil
	}
	if c.silent() || coap.Unwanted(req, coap.Unauthorized) {
		return nil, nil, fmt.Errorf("a request that is not known to be fresh: %w", oscore.ErrReplay)
	}
	b.used = true
	resp, err := peer.echo.Challenge(c.rand)
	if err != nil {
		return nil, nil, err
	}
	resp.Token, resp.MessageID, resp.Type = req.Token, req.MessageID, req.Type
	mode := Group
	if c.algs.hasPairwise() {
		mode = Pairwise
	}
	challenge, err := c.ProtectResponse(resp, b, mode)
	if err != nil {
		return nil, nil, fmt.Errorf("protecting the Echo challenge: %w", err)
	}
	return nil, nil, &EchoError{Challenge: challenge, From: peer.peer}
}
