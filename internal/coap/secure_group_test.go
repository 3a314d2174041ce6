package coap

import (
	"context"
	"testing"
)

// A unicast message for a context that nobody has is answered, one in group
// mode is discarded. RFC 10021, Section 6.
func TestSecureUnknownContext(t *testing.T) {
	h := Secure(HandlerFunc(func(context.Context, *Request) *Message { return Respond(Content, -1, nil) }))
	for _, c := range []struct {
		name      string
		option    []byte
		multicast bool
		silent    bool
	}{
		{"plain OSCORE", []byte{0x09, 0x00, 0x25}, false, false},
		{"pairwise mode, by its Gid alone not told apart", []byte{0x19, 0x00, 0x01, 0xdd, 0x25}, false, false},
		{"group mode", []byte{0x39, 0x00, 0x01, 0xdd, 0x25}, false, true},
		{"to a group", []byte{0x19, 0x00, 0x01, 0xdd, 0x25}, true, true},
	} {
		m := NewRequest(POST, "", []byte{1, 2, 3, 4, 5, 6, 7, 8, 9})
		AddOption(m, OptionOSCORE, c.option)
		resp := h.Serve(context.Background(), &Request{Message: m, Multicast: c.multicast})
		if (resp == nil) != c.silent {
			t.Errorf("%s: answered %v", c.name, resp)
		}
		if resp != nil && resp.Code != Unauthorized {
			t.Errorf("%s: %v", c.name, resp.Code)
		}
	}
}

// pass opens everything, as from a member of a group, and seals nothing.
type pass struct{}

func (pass) Open(_ context.Context, outer *Request) (*Opened, *Message, error) {
	inner := Clone(outer.Message)
	RemoveOption(inner, OptionOSCORE)
	return &Opened{
		Message: inner, Peer: Peer{Kind: PeerGroup},
		Seal: func(m *Message) (*Message, error) { return m, nil },
	}, nil, nil
}

// The No-Response Option inside suppresses answers by their class, unless they go
// with an acknowledgement anyway. RFC 7967, Section 2.1; RFC 8613, Section 4.1.3.6.
func TestNoResponseInside(t *testing.T) {
	for _, c := range []struct {
		classes  uint32
		typ      MessageType
		code     Code
		answered bool
	}{
		{0, NonConfirmable, Changed, true}, {2, NonConfirmable, Changed, false}, {2, NonConfirmable, BadRequest, true},
		{8, NonConfirmable, Forbidden, false}, {16, NonConfirmable, Forbidden, true}, {16, NonConfirmable, InternalServerError, false},
		{NoResponses, NonConfirmable, Content, false}, {NoResponses, Confirmable, Content, true},
	} {
		h := Secure(HandlerFunc(func(context.Context, *Request) *Message { return Respond(c.code, NoFormat, nil) }), pass{})
		m := NewRequest(PUT, "/a", nil)
		m.Type = c.typ
		AddOption(m, OptionOSCORE, []byte{0x19, 0x00, 0x01, 0xdd, 0x25})
		if c.classes > 0 {
			AddUint(m, OptionNoResponse, c.classes)
		}
		if resp := h.Serve(context.Background(), &Request{Message: m}); (resp != nil) != c.answered {
			t.Errorf("%+v: %v", c, resp)
		}
	}
}
