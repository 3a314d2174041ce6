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
