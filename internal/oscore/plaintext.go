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

// Room is the memory of a message for as many options as nearly all have. It is
// made to be part of what the caller allocates anyway: an allocation costs as much
// as encrypting a short message.
type Room struct {
	message coap.Message
	options [4]coap.Option
}

// SplitRequest appends the plaintext of a request to dst and returns the OSCORE
// message so far, in room: without the OSCORE Option and the payload. RFC 8613,
// Sections 4 and 5.3.
func SplitRequest(dst []byte, req *coap.Message, room *Room) (plaintext []byte, outer *coap.Message, err error) {
	if !isRequestCode(req.Code) {
		return nil, nil, fmt.Errorf("protecting a request with code %v", req.Code)
	}
	req, err = splitProxyURI(req)
	if err != nil {
		return nil, nil, err
	}
	outer = room.envelope(req, coap.POST)
	if coap.HasOption(req, coap.OptionObserve) {
		outer.Code = coap.FETCH // RFC 8613, Section 4.1.3.5
	}
	plaintext, err = split(dst, req, outer, false)
	return plaintext, outer, err
}

// SplitResponse is [SplitRequest] for a response. observed says whether the
// request was an Observe registration; if not, an Observe Option is dropped.
func SplitResponse(dst []byte, resp *coap.Message, observed bool, room *Room) (plaintext []byte, outer *coap.Message, err error) {
	if !isResponseCode(resp.Code) {
		return nil, nil, fmt.Errorf("protecting a response with code %v", resp.Code)
	}
	outer = room.envelope(resp, coap.Changed)
	if coap.HasOption(resp, coap.OptionObserve) {
		if observed {
			outer.Code = coap.Content
		} else {
			resp = coap.Clone(resp)
			coap.RemoveOption(resp, coap.OptionObserve)
		}
	}
	plaintext, err = split(dst, resp, outer, true)
	return plaintext, outer, err
}

// envelope makes the OSCORE message around m.
func (r *Room) envelope(m *coap.Message, code coap.Code) *coap.Message {
	r.message = coap.Message{Code: code, Token: m.Token, MessageID: m.MessageID, Type: m.Type, Options: r.options[:0]}
	return &r.message
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
// result is in room and shares memory with plaintext. RFC 8613, Section 8.2.
func JoinRequest(outer *coap.Message, plaintext []byte, room *Room) (*coap.Message, error) {
	m, err := join(outer, plaintext, room)
	if err == nil && !isRequestCode(m.Code) {
		return nil, fmt.Errorf("%w: request with code %v", ErrDecode, m.Code)
	}
	return m, err
}

// JoinResponse is [JoinRequest] for a response. RFC 8613, Section 8.4.
func JoinResponse(outer *coap.Message, plaintext []byte, room *Room) (*coap.Message, error) {
	m, err := join(outer, plaintext, room)
	if err == nil && !isResponseCode(m.Code) {
		return nil, fmt.Errorf("%w: response with code %v", ErrDecode, m.Code)
	}
	return m, err
}

func join(outer *coap.Message, plaintext []byte, room *Room) (*coap.Message, error) {
	m, err := parsePlaintext(plaintext, room)
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
