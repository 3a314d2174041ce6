package oscore

import (
	"fmt"
	"slices"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

// isOuter says whether an option is of Class U only: it travels outside and is
// kept on receipt. All others are of Class E, the unknown ones too; where the
// table has both, the outer instance is for proxies and is discarded. RFC 8613,
// Section 4.1.
func isOuter(id coap.OptionID) bool {
	switch id {
	case coap.OptionURIHost, coap.OptionURIPort, coap.OptionOSCORE,
		coap.OptionProxyURI, coap.OptionProxyScheme,
		coap.OptionHopLimit, coap.OptionEDHOC,
		coap.OptionMulticastTimeout, coap.OptionReplyFrom, coap.OptionGroupETag:
		return true
	}
	return false
}

// SplitRequest appends the plaintext of a request to dst and returns the OSCORE
// message so far: without the OSCORE Option and the payload. RFC 8613, Sections
// 4 and 5.3.
func SplitRequest(dst []byte, req *coap.Message) (plaintext []byte, outer *coap.Message, err error) {
	plaintext, e, err := splitRequest(dst, req)
	if err != nil {
		return nil, nil, err
	}
	return plaintext, &e.message, nil
}

// SplitResponse is [SplitRequest] for a response. observed says whether the
// request was an Observe registration; if not, an Observe Option is dropped.
func SplitResponse(dst []byte, resp *coap.Message, observed bool) (plaintext []byte, outer *coap.Message, err error) {
	plaintext, e, err := splitResponse(dst, resp, observed)
	if err != nil {
		return nil, nil, err
	}
	return plaintext, &e.message, nil
}

func splitRequest(dst []byte, req *coap.Message) ([]byte, *envelope, error) {
	if !isRequestCode(req.Code) {
		return nil, nil, fmt.Errorf("protecting a request with code %v", req.Code)
	}
	req, err := splitProxyURI(req)
	if err != nil {
		return nil, nil, err
	}
	e := newEnvelope(req, coap.POST)
	if coap.HasOption(req, coap.OptionObserve) {
		e.message.Code = coap.FETCH // RFC 8613, Section 4.1.3.5
	}
	dst, err = split(dst, req, &e.message, false)
	return dst, e, err
}

func splitResponse(dst []byte, resp *coap.Message, observed bool) ([]byte, *envelope, error) {
	if !isResponseCode(resp.Code) {
		return nil, nil, fmt.Errorf("protecting a response with code %v", resp.Code)
	}
	e := newEnvelope(resp, coap.Changed)
	if coap.HasOption(resp, coap.OptionObserve) {
		if observed {
			e.message.Code = coap.Content
		} else {
			resp = coap.Clone(resp)
			coap.RemoveOption(resp, coap.OptionObserve)
		}
	}
	dst, err := split(dst, resp, &e.message, true)
	return dst, e, err
}

// envelope is an OSCORE message in the making with the memory for what nearly
// all have: a few outer options and a short OSCORE Option.
type envelope struct {
	message coap.Message
	options [2]coap.Option
	value   [19]byte
	piv     [5]byte
}

func newEnvelope(m *coap.Message, code coap.Code) *envelope {
	e := &envelope{message: coap.Message{Code: code, Token: m.Token, MessageID: m.MessageID, Type: m.Type}}
	e.message.Options = e.options[:0]
	return e
}

func (e *envelope) finish(o Option, payload []byte) *coap.Message {
	return Finish(&e.message, AppendOption(e.value[:0], o), payload)
}

// split encodes what goes inside and collects what stays outside.
func split(dst []byte, m, outer *coap.Message, response bool) ([]byte, error) {
	options := sorted(m.Options)
	if len(options) > maxOptions {
		return nil, fmt.Errorf("protecting a message with %d options", len(options))
	}
	start := len(dst)
	dst = append(dst, byte(m.Code))
	last := coap.OptionID(0)
	for _, o := range options {
		if o.ID == coap.OptionOSCORE {
			return nil, fmt.Errorf("protecting a message that is protected")
		}
		if isOuter(o.ID) || o.ID == coap.OptionObserve {
			outer.Options = append(outer.Options, o)
		}
		if isOuter(o.ID) {
			continue
		}
		value := o.Value
		if o.ID == coap.OptionObserve && response {
			value = nil // RFC 8613, Section 4.1.3.5.2
		}
		dst = appendCoAPOption(dst, o.ID-last, value)
		last = o.ID
	}
	if len(m.Payload) > 0 {
		dst = append(append(dst, payloadMarker), m.Payload...)
	}
	if len(dst)-start > cose.MaxPlaintext {
		return nil, fmt.Errorf("protecting a message of %d bytes", len(dst)-start)
	}
	return dst, nil
}

func sorted(options coap.Options) coap.Options {
	byID := func(a, b coap.Option) int { return int(a.ID) - int(b.ID) }
	if slices.IsSortedFunc(options, byID) {
		return options
	}
	options = slices.Clone(options)
	slices.SortStableFunc(options, byID)
	return options
}

// Finish puts the OSCORE Option and the payload into a split message.
func Finish(outer *coap.Message, option, payload []byte) *coap.Message {
	at := 0
	for at < len(outer.Options) && outer.Options[at].ID < coap.OptionOSCORE {
		at++
	}
	o := coap.Option{ID: coap.OptionOSCORE, Value: option}
	if at == len(outer.Options) { // nearly always, and quicker
		outer.Options = append(outer.Options, o)
	} else {
		outer.Options = slices.Insert(outer.Options, at, o)
	}
	outer.Payload = payload
	return outer
}

// JoinRequest rebuilds the request from a decrypted plaintext and the outer
// message, whose Class E options are discarded. It fails with [ErrDecode]. The
// result shares memory with plaintext. RFC 8613, Section 8.2.
func JoinRequest(outer *coap.Message, plaintext []byte) (*coap.Message, error) {
	m, err := join(outer, plaintext)
	if err == nil && !isRequestCode(m.Code) {
		return nil, fmt.Errorf("%w: request with code %v", ErrDecode, m.Code)
	}
	return m, err
}

// JoinResponse is [JoinRequest] for a response. RFC 8613, Section 8.4.
func JoinResponse(outer *coap.Message, plaintext []byte) (*coap.Message, error) {
	m, err := join(outer, plaintext)
	if err == nil && !isResponseCode(m.Code) {
		return nil, fmt.Errorf("%w: response with code %v", ErrDecode, m.Code)
	}
	return m, err
}

func join(outer *coap.Message, plaintext []byte) (*coap.Message, error) {
	m, err := parsePlaintext(plaintext)
	if err != nil {
		return nil, err
	}
	m.Token, m.MessageID, m.Type = outer.Token, outer.MessageID, outer.Type
	if coap.HasOption(m, coap.OptionOSCORE) {
		return nil, fmt.Errorf("%w: protected twice", ErrDecode)
	}
	inner := m.Options
	for _, o := range outer.Options {
		if o.ID != coap.OptionOSCORE && isOuter(o.ID) && !inner.HasOption(o.ID) {
			coap.AddOption(m, o.ID, o.Value)
		}
	}
	return m, nil
}

func isRequestCode(c coap.Code) bool  { return c > 0 && c < 1<<5 }
func isResponseCode(c coap.Code) bool { return c>>5 >= 2 && c>>5 <= 5 }
