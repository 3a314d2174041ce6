package group

import (
	"bytes"
	"fmt"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
)

// ProtectResponse protects a response to the request of b, in a mode that may
// differ from the request's; resp is not changed. c is the latest context of the
// member, also for a request of an earlier epoch. The first response reuses the
// nonce of the request if it was received under this same context; every other
// has its own Partial IV. RFC 10021, Sections 7.3 and 8.5.
func (c *Context) ProtectResponse(resp *coap.Message, b *Binding, mode Mode) (*coap.Message, error) {
	return c.protectResponse(resp, b, mode, true)
}

// protectResponse can leave the kid out of a response to a pairwise request, as
// others may. ProtectResponse never does: a pairwise request reaches its server
// also by a Sender ID that the server has no more, the client would look for the
// answer under that one, and to say the new one only once is not enough where
// messages are lost.
func (c *Context) protectResponse(resp *coap.Message, b *Binding, mode Mode, withKID bool) (*coap.Message, error) {
	if b.own {
		return nil, errRole
	}
	if c.silent() {
		return nil, ErrSilent
	}
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
	plaintext, outer, err := oscore.SplitResponse(c.plaintext[:0], resp, b.observe, new(oscore.Room))
	if err != nil {
		return nil, err
	}
	c.plaintext = plaintext
	o := oscore.Option{Group: mode == Group}
	if withKID {
		o.KID = c.senderID
	}
	if !bytes.Equal(b.request.kidContext, c.gid) {
		o.KIDContext = c.gid // helps the client to find the new context, not only in the first response
	}
	m := &message{request: b.request, nonceID: b.request.kid, noncePIV: b.request.piv, cred: c.cred}
	if b.used || b.origin != c.id {
		if o.PIV, err = c.nextPIV(c.pivRoom[:0]); err != nil {
			return nil, err
		}
		m.nonceID, m.noncePIV = c.senderID, o.PIV
	} else {
		b.used = true
	}
	return c.seal(outer, peer, o, m)
}

// Unverified is a response whose countersignature is still to be verified: Sig
// over Message under Public. Sig is nil when there is nothing to be verified,
// that is in pairwise mode.
type Unverified struct {
	Public       cose.PublicKey
	Message, Sig []byte

	opening
	context *Context
	binding *Binding
	outer   *coap.Message
	piv     []byte // in the response; nil: none
}

// BeginResponse does of [Context.UnprotectResponse] everything that comes before
// the signature, for who verifies many at a time; it changes nothing.
// [Context.FinishResponse] does the rest. What it returns shares memory with
// outer.
func (c *Context) BeginResponse(outer *coap.Message, b *Binding) (*Unverified, error) {
	u := &Unverified{}
	if err := c.begin(u, outer, b); err != nil {
		return nil, err
	}
	if u.mode == Group {
		ciphertext, err := c.split(u.payload, &u.message)
		if err != nil {
			return nil, err
		}
		var own structures
		own.set(&c.common, &u.message)
		u.Public, u.Message, u.Sig = u.peer.cred.Public, own.countersign(ciphertext), bytes.Clone(c.sig)
	}
	return u, nil
}

// begin finds out who claims to have sent a response and whether it may be
// accepted.
func (c *Context) begin(u *Unverified, outer *coap.Message, b *Binding) error {
	if !b.own {
		return errRole
	}
	o, err := oscore.MessageOption(outer)
	if err != nil {
		return err
	}
	u.mode = modeOf(o)
	u.context, u.binding, u.outer, u.piv = c, b, outer, o.PIV
	if u.peer, err = c.responder(o, b, u.mode); err != nil {
		return err
	}
	if err := b.check(c, u.peer, o.PIV); err != nil {
		return err
	}
	u.message, u.payload = received(outer, o, b.request, false, u.peer.peer), outer.Payload
	return nil
}

// FinishResponse decrypts and accepts a response that [Context.BeginResponse]
// took up. verified is the word of who verified the countersignature. Whether the
// response is late or repeated, or its sender gone, is looked at once more, as
// others may have been accepted meanwhile.
func (c *Context) FinishResponse(u *Unverified, verified bool) (resp *coap.Message, from Peer, mode Mode, err error) {
	if u.context != c || u.mode == Group && !verified {
		return nil, Peer{}, u.mode, oscore.ErrVerify
	}
	if c.peers[string(u.peer.peer.KID)] != u.peer {
		return nil, Peer{}, u.mode, &UnknownPeerError{GID: c.gid, KID: u.peer.peer.KID}
	}
	if err := u.binding.check(c, u.peer, u.piv); err != nil {
		return nil, Peer{}, u.mode, err
	}
	c.structures.set(&c.common, &u.message)
	plaintext, err := c.decrypt(&u.opening)
	if err != nil {
		return nil, Peer{}, u.mode, err
	}
	resp, from, err = c.acceptResponse(u, plaintext)
	return resp, from, u.mode, err
}

// UnprotectResponse verifies and decrypts a response to the request of b, which
// may be of an earlier epoch than c. It says who sent it and in which mode; with
// an error, from is zero unless the sender is proven.
//
// To a group request each server may respond more than once, and so may the
// server of an Observe registration, in ascending order of Partial IVs and at
// most once without; to any other request there is one response. It fails as
// [Context.UnprotectRequest] does; a late or repeated response gives
// oscore.ErrReplay, and no failure ends anything. The Replay Window of the server
// is for its requests and not looked at, nor whether it is valid: what was
// received in answer to this request, the binding knows. RFC 10021, Sections
// 5.3.1, 7.4 and 8.6.
func (c *Context) UnprotectResponse(outer *coap.Message, b *Binding) (resp *coap.Message, from Peer, mode Mode, err error) {
	var u Unverified
	if err := c.begin(&u, outer, b); err != nil {
		return nil, Peer{}, u.mode, err
	}
	plaintext, err := c.open(&u.opening)
	if err != nil {
		return nil, Peer{}, u.mode, err
	}
	resp, from, err = c.acceptResponse(&u, plaintext)
	return resp, from, u.mode, err
}

// acceptResponse takes up a response that is authentic.
func (c *Context) acceptResponse(u *Unverified, plaintext []byte) (*coap.Message, Peer, error) {
	u.peer.proven = true
	resp, err := oscore.JoinResponse(u.outer, plaintext, new(oscore.Room))
	if err != nil {
		return nil, u.peer.peer, err
	}
	notification := coap.HasOption(resp, coap.OptionObserve)
	if notification && !u.binding.observe {
		return nil, u.peer.peer, oscore.ErrVerify // RFC 8613, Section 4.1.3.5.2
	}
	u.binding.accept(c, u.peer, u.piv, notification)
	return resp, u.peer.peer, nil
}

// responder finds out who claims to have sent a response and whether a response
// of it may be expected under c.
func (c *Context) responder(o oscore.Option, b *Binding, mode Mode) (*recipient, error) {
	if o.KIDContext != nil && !bytes.Equal(o.KIDContext, c.gid) {
		return nil, fmt.Errorf("response of another epoch: %w", coap.ErrNoContext)
	}
	if err := c.receives(mode); err != nil {
		return nil, err
	}
	kid := o.KID
	if kid == nil {
		if b.Mode == Group {
			return nil, fmt.Errorf("%w: response without kid", oscore.ErrDecode)
		}
		var err error
		if kid, err = b.assumedKID(c); err != nil {
			return nil, err
		}
	}
	peer, err := c.find(kid)
	if err != nil {
		return nil, err
	}
	if b.Mode == Pairwise && !peer.holds(b.From.Cred) {
		return nil, oscore.ErrVerify // another server than the one that was asked
	}
	return peer, nil
}
