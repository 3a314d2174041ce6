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
	x := &opened{}
	plaintext, outer, err := SplitRequest(c.plaintext[:0], req, &x.room)
	if err != nil {
		return nil, nil, err
	}
	c.plaintext = plaintext
	number, err := c.sequence.Next()
	if err != nil {
		return nil, nil, err
	}
	b := &x.binding
	*b = Binding{context: c, kid: c.senderID, own: true, observe: Registers(req)}
	b.pivSize = uint8(len(AppendPIV(b.pivBuf[:0], number)))
	o := Option{PIV: b.piv(), KIDContext: c.kidContext, KID: c.senderID}
	return c.seal(outer, o, plaintext, c.nonceOf(c.senderID, b.piv()), b), b, nil
}

// opened is an exchange that a request has opened: the message and the binding in one
// allocation.
type opened struct {
	room    Room
	binding Binding
}

// seal finishes outer. Option and payload have their memory together.
func (c *Context) seal(outer *coap.Message, o Option, plaintext, nonce []byte, b *Binding) *coap.Message {
	size := 2 + len(o.PIV) + len(o.KIDContext) + len(o.KID) // at most
	buf := AppendOption(make([]byte, 0, size+len(plaintext)+c.sender.Overhead()), o)
	n := len(buf)
	buf = c.sender.Seal(buf, nonce, plaintext, c.aadOf(b))
	return Finish(outer, buf[:n:n], buf[n:])
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
	x := &opened{}
	b := &x.binding
	b.init(c, c.recipientID, o.PIV)
	plaintext, err := c.recipient.Open(nil, c.nonceOf(c.recipientID, o.PIV), outer.Payload, c.aadOf(b))
	if err != nil {
		return nil, nil, ErrVerify
	}
	req, err := JoinRequest(outer, plaintext, &x.room)
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
