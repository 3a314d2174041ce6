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

// protectResponse puts a Partial IV into o when the nonce needs one.
func (c *Context) protectResponse(resp *coap.Message, b *Binding, o Option) (*coap.Message, error) {
	plaintext, outer, err := SplitResponse(c.scratch[:0], resp, b.observe)
	if err != nil {
		return nil, err
	}
	c.scratch = plaintext
	nonceID, noncePIV := b.kid, b.piv
	if b.used || b.context != c {
		if o.PIV, err = c.nextPIV(); err != nil {
			return nil, err
		}
		nonceID, noncePIV = c.senderID, o.PIV
	} else {
		b.used = true
	}
	ciphertext := c.sender.Seal(nil, c.nonce(nonceID, noncePIV), plaintext, b.aad)
	return Finish(outer, AppendOption([]byte{}, o), ciphertext), nil
}

// UnprotectResponse verifies and decrypts a response to the request of b. It
// accepts one response, or after an Observe registration notifications in
// ascending order of their Partial IVs; a late or repeated one fails with
// [ErrReplay], which ends nothing. RFC 8613, Sections 8.4, 8.4.2 and 7.4.1.
func (c *Context) UnprotectResponse(outer *coap.Message, b *Binding) (*coap.Message, error) {
	o, err := MessageOption(outer)
	if err != nil {
		return nil, err
	}
	if o.Group || (o.KID != nil && !bytes.Equal(o.KID, c.recipientID)) {
		return nil, ErrVerify
	}
	if b.done {
		return nil, ErrReplay
	}
	nonceID, noncePIV := b.kid, b.piv
	if o.PIV != nil {
		nonceID, noncePIV = c.recipientID, o.PIV
	}
	plaintext, err := c.recipient.Open(nil, c.nonce(nonceID, noncePIV), outer.Payload, b.aad)
	if err != nil {
		return nil, ErrVerify
	}
	resp, err := JoinResponse(outer, plaintext)
	if err != nil {
		return nil, err
	}
	return resp, b.accept(resp, o.PIV)
}

// accept applies the rules of Observe to a response that verified.
func (b *Binding) accept(resp *coap.Message, piv []byte) error {
	notification := coap.HasOption(resp, coap.OptionObserve)
	switch {
	case !notification:
		b.done = true
		return nil
	case !b.observe:
		return ErrVerify // RFC 8613, Section 4.1.3.5.2: processing stops
	case piv == nil:
		if b.used || b.notified > 0 {
			return ErrReplay // at most one, and it is the oldest
		}
		b.used = true
		return nil
	}
	number := PIVNumber(piv)
	if number < b.notified {
		return ErrReplay
	}
	b.notified = number + 1
	return nil
}
