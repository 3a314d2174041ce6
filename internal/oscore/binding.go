package oscore

import "lamplighter/internal/coap"

// Binding ties the responses to their request. RFC 8613, Sections 7.1 and 8.
type Binding struct {
	context *Context // under which the request was protected
	kid     []byte   // of the request; shares the context's memory
	pivBuf  [5]byte
	pivSize uint8
	own     bool // this endpoint made the request
	observe bool // the request was an Observe registration

	used     bool   // the request's nonce was used by a response, or must not be
	done     bool   // client: the last response was accepted
	notified uint64 // client: 1 + the Notification Number, 0 while there is none
}

func (b *Binding) init(c *Context, kid, piv []byte) {
	*b = Binding{context: c, kid: kid}
	b.pivSize = uint8(copy(b.pivBuf[:], piv))
}

// piv returns the Partial IV of the request.
func (b *Binding) piv() []byte { return b.pivBuf[:b.pivSize] }

// accept applies the rules of Observe to a response that verified. RFC 8613,
// Sections 4.1.3.5.2, 7.4.1 and 8.4.2.
func (b *Binding) accept(resp *coap.Message, piv []byte) error {
	notification := coap.HasOption(resp, coap.OptionObserve)
	switch {
	case !notification:
		b.done = true
		return nil
	case !b.observe:
		return ErrVerify // Section 4.1.3.5.2: processing stops
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
