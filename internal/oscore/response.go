package oscore

import (
	"bytes"

	"lamplighter/internal/coap"
)

// ProtectResponse protects a response to the request of b; resp is not changed.
// The first response reuses the nonce of the request when it was received under
// this same context; every further one (notifications) has its own Partial IV.
// RFC 8613, Sections 8.3 and 8.3.1.
func (c *Context) ProtectResponse(resp *coap.Message, b *Binding) (*coap.Message, error) {
	return c.protectResponse(resp, b, Option{})
}

// protectWhile protects a first response, and further ones while the context is
// in use: nobody goes on hearing from an association that was ended.
func (c *Context) protectWhile(inUse bool, resp *coap.Message, b *Binding) (*coap.Message, error) {
	if b.used && !inUse {
		return nil, errNotMine
	}
	return c.ProtectResponse(resp, b)
}

// protectResponse puts a Partial IV into o when the nonce needs one.
func (c *Context) protectResponse(resp *coap.Message, b *Binding, o Option) (*coap.Message, error) {
	if b.own {
		return nil, errRole
	}
	plaintext, outer, err := SplitResponse(c.plaintext[:0], resp, b.observe, new(Room))
	if err != nil {
		return nil, err
	}
	c.plaintext = plaintext
	nonceID, noncePIV := b.kid, b.piv()
	if b.used || b.context != c {
		number, err := c.sequence.Next()
		if err != nil {
			return nil, err
		}
		o.PIV = AppendPIV(c.pivRoom[:0], number)
		nonceID, noncePIV = c.senderID, o.PIV
	} else {
		b.used = true
	}
	return c.seal(outer, o, plaintext, c.nonceOf(nonceID, noncePIV), b), nil
}

// UnprotectResponse verifies and decrypts a response to the request of b. It
// accepts one response, or after an Observe registration notifications in
// ascending order of their Partial IVs; a late or repeated one fails with
// [ErrReplay], which ends nothing. Critical options are for the caller to
// judge, see [coap.CheckResponseOptions]. RFC 8613, Sections 8.4, 8.4.2 and 7.4.1.
func (c *Context) UnprotectResponse(outer *coap.Message, b *Binding) (*coap.Message, error) {
	o, err := MessageOption(outer)
	if err != nil {
		return nil, err
	}
	if o.KIDContext != nil && !bytes.Equal(o.KIDContext, c.kidContext) {
		return nil, ErrVerify
	}
	return c.unprotectResponse(outer, o, b)
}

func (c *Context) unprotectResponse(outer *coap.Message, o Option, b *Binding) (*coap.Message, error) {
	if !b.own {
		return nil, errRole
	}
	if o.Group || (o.KID != nil && !bytes.Equal(o.KID, c.recipientID)) {
		return nil, ErrVerify
	}
	if b.done {
		return nil, ErrReplay
	}
	nonceID, noncePIV := b.kid, b.piv()
	if o.PIV != nil {
		nonceID, noncePIV = c.recipientID, o.PIV
	}
	plaintext, err := c.recipient.Open(nil, c.nonceOf(nonceID, noncePIV), outer.Payload, c.aadOf(b))
	if err != nil {
		return nil, ErrVerify
	}
	resp, err := JoinResponse(outer, plaintext, new(Room))
	if err != nil {
		return nil, err
	}
	if err := b.accept(resp, o.PIV); err != nil {
		return nil, err
	}
	return resp, nil
}
