package oscore

import (
	"errors"
	"fmt"

	"lamplighter/internal/coap"
)

// errRole says that a binding was handed to the wrong side: protecting a
// response to an own request would use its nonce twice under one key.
var errRole = errors.New("the binding is of the other side")

// ProtectRequest protects req, which is not changed. The binding is for
// [Context.UnprotectResponse]. RFC 8613, Section 8.1.
func (c *Context) ProtectRequest(req *coap.Message) (*coap.Message, *Binding, error) {
	plaintext, e, err := splitRequest(c.plaintext[:0], req)
	if err != nil {
		return nil, nil, err
	}
	c.plaintext = plaintext
	number, err := c.sequence.Next()
	if err != nil {
		return nil, nil, err
	}
	b := &Binding{context: c, kid: c.senderID, own: true, observe: Registers(req)}
	b.pivSize = uint8(len(AppendPIV(b.pivBuf[:0], number)))
	ciphertext := c.sender.Seal(nil, c.nonceOf(c.senderID, b.piv()), plaintext, c.aadOf(b))
	return e.finish(Option{PIV: b.piv(), KIDContext: c.kidContext, KID: c.senderID}, ciphertext), b, nil
}

// Registers says whether a request is an Observe registration.
func Registers(req *coap.Message) bool {
	value, ok := coap.OptionUint(req, coap.OptionObserve)
	return ok && value == coap.ObserveRegister
}

// UnprotectRequest verifies and decrypts a request. The binding is for
// [Context.ProtectResponse]. It fails with [coap.ErrNoContext], [ErrDecode],
// [ErrReplay], [ErrVerify] or an [*EchoError]; see [ErrorResponse]. The Replay
// Window moves when the request has verified, and never before. RFC 8613,
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
	b := newBinding(c, c.recipientID, o.PIV)
	plaintext, err := c.recipient.Open(nil, c.nonceOf(c.recipientID, o.PIV), outer.Payload, c.aadOf(b))
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
