package oscore

import (
	"fmt"

	"lamplighter/internal/coap"
)

// ProtectRequest protects req, which is not changed. The binding is for
// [Context.UnprotectResponse]. RFC 8613, Section 8.1.
func (c *Context) ProtectRequest(req *coap.Message) (*coap.Message, *Binding, error) {
	plaintext, outer, err := SplitRequest(c.scratch[:0], req)
	if err != nil {
		return nil, nil, err
	}
	c.scratch = plaintext
	piv, err := c.nextPIV()
	if err != nil {
		return nil, nil, err
	}
	b := c.newBinding(c.senderID, piv)
	b.observe = Registers(req)
	ciphertext := c.sender.Seal(nil, c.nonce(c.senderID, piv), plaintext, b.aad)
	option := AppendOption(nil, Option{PIV: piv, KIDContext: c.kidContext, KID: c.senderID})
	return Finish(outer, option, ciphertext), b, nil
}

// Registers says whether a request is an Observe registration.
func Registers(req *coap.Message) bool {
	value, ok := coap.OptionUint(req, coap.OptionObserve)
	return ok && value == 0
}

// UnprotectRequest verifies and decrypts a request. The binding is for
// [Context.ProtectResponse]. It fails with [coap.ErrNoContext], [ErrDecode],
// [ErrReplay], [ErrVerify] or an [*EchoError]; see [ErrorResponse]. RFC 8613,
// Section 8.2.
func (c *Context) UnprotectRequest(outer *coap.Message) (*coap.Message, *Binding, error) {
	o, err := MessageOption(outer)
	if err != nil {
		return nil, nil, err
	}
	if o.Group || !c.matches(o) {
		return nil, nil, errNotMine
	}
	if o.PIV == nil {
		return nil, nil, fmt.Errorf("%w: request without Partial IV", ErrDecode)
	}
	number := PIVNumber(o.PIV)
	if err := c.window.Check(number); err != nil && !c.lost {
		return nil, nil, err
	}
	piv := append(make([]byte, 0, 5), o.PIV...)
	b := c.newBinding(c.recipientID, piv)
	plaintext, err := c.recipient.Open(nil, c.nonce(c.recipientID, piv), outer.Payload, b.aad)
	if err != nil {
		return nil, nil, ErrVerify
	}
	req, err := JoinRequest(outer, plaintext)
	if c.lost {
		if err != nil {
			return nil, nil, err
		}
		return c.synchronise(req, b, number)
	}
	c.window.Accept(number)
	if err != nil {
		return nil, nil, err
	}
	b.observe = Registers(req)
	return req, b, nil
}
