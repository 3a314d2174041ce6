package oscore

import (
	"context"
	"errors"
	"testing"

	"lamplighter/internal/coap"
)

// sealed is a server that answers with a response as edit leaves it.
func sealed(t *testing.T, server *Context, edit func(resp *coap.Message)) coap.Handler {
	return coap.HandlerFunc(func(_ context.Context, req *coap.Request) *coap.Message {
		_, b, err := server.UnprotectRequest(req.Message)
		if err != nil {
			t.Error(err)
			return nil
		}
		resp := content("b")
		edit(resp)
		outer, err := server.ProtectResponse(resp, b)
		if err != nil {
			t.Error(err)
		}
		return outer
	})
}

// RFC 7252, Section 5.4.1: a response with a critical option that is not
// understood is rejected, also when it is authentic.
func TestClientRefusesCriticalOptions(t *testing.T) {
	for name, c := range map[string]struct {
		id     coap.OptionID
		value  []byte
		refuse bool
	}{
		"critical and unknown":        {65001, nil, true},
		"critical on a private range": {2049, []byte{1}, true},
		"If-Match":                    {coap.OptionIfMatch, nil, true},
		"Q-Block2":                    {coap.OptionQBlock2, []byte{6}, true},
		"critical of illegal length":  {coap.OptionURIPort, []byte{1, 2, 3}, true},
		"long Block2":                 {coap.OptionBlock2, make([]byte, 4), true},
		"elective and unknown":        {65000, nil, false},
		"Block2":                      {coap.OptionBlock2, []byte{6}, true},
		"ETag":                        {coap.OptionETag, []byte{6}, false},
	} {
		add := func(m *coap.Message) { coap.AddOption(m, c.id, c.value) }
		client, server := newPair(t)
		l := &link{t: t, handler: sealed(t, server, add)}
		resp, err := NewClient(client, l, peerAddr).Call(t.Context(), get("/a"))
		switch {
		case c.refuse && (!errors.Is(err, coap.ErrBadOption) || resp != nil):
			t.Errorf("%s: %v, %v", name, resp, err)
		case !c.refuse && (err != nil || !coap.HasOption(resp, c.id)):
			t.Errorf("%s: %v, %v", name, resp, err)
		}

		w := newPSKWorld(t)
		w.link.handler = coap.Secure(coap.HandlerFunc(func(context.Context, *coap.Request) *coap.Message {
			resp := content("b")
			add(resp)
			return resp
		}), w.server)
		if _, err := w.client().Call(t.Context(), get("/a")); errors.Is(err, coap.ErrBadOption) != c.refuse {
			t.Errorf("%s in a session: %v", name, err)
		}
	}
}

// Who does block-wise transfers says so, and gets its options.
func TestClientPassesBlocks(t *testing.T) {
	client, server := newPair(t)
	l := &link{t: t, handler: sealed(t, server, func(m *coap.Message) { coap.AddOption(m, coap.OptionBlock2, []byte{6}) })}
	resp, err := NewClient(client, l, peerAddr).Call(coap.WithBlocks(t.Context()), get("/a"))
	if err != nil || !coap.HasOption(resp, coap.OptionBlock2) {
		t.Errorf("%v, %v", resp, err)
	}
}

// A binding on the wrong side would use a nonce twice under one key.
func TestBindingHasASide(t *testing.T) {
	client, server := newPair(t)
	outer, cb, err := client.ProtectRequest(get("/a"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.ProtectResponse(content("b"), cb); !errors.Is(err, errRole) {
		t.Errorf("a response to an own request: %v", err)
	}
	_, sb, err := server.UnprotectRequest(outer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.UnprotectResponse(outer, sb); !errors.Is(err, errRole) {
		t.Errorf("a response to a request of the peer: %v", err)
	}
}

func TestResponseKIDContext(t *testing.T) {
	client, server := newPair(t, func(c, s *Params) { c.IDContext, s.IDContext = []byte("here"), []byte("here") })
	outer, cb, err := client.ProtectRequest(get("/a"))
	if err != nil {
		t.Fatal(err)
	}
	_, sb, err := server.UnprotectRequest(outer)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := server.ProtectResponse(content("b"), sb)
	if err != nil {
		t.Fatal(err)
	}
	for kidContext, want := range map[string]error{"there": ErrVerify, "": ErrVerify, "here": nil} {
		m := withOption(resp, AppendOption(nil, Option{KIDContext: []byte(kidContext), KID: server.SenderID()}), resp.Payload)
		if _, err := client.UnprotectResponse(m, cb); !errors.Is(err, want) {
			t.Errorf("%q: %v", kidContext, err)
		}
	}
}

// An authentic server that sends nonsense inside ends nothing.
func TestNonsenseInsideResponse(t *testing.T) {
	client, server := newPair(t)
	_, cb, err := client.ProtectRequest(get("/a"))
	if err != nil {
		t.Fatal(err)
	}
	for name, plaintext := range map[string]string{
		"nothing": "", "a request code": "01", "an empty code": "00", "a signal": "e2", "a broken option": "45b3", "protected once more": "4590",
	} {
		n, err := server.sequence.Next()
		if err != nil {
			t.Fatal(err)
		}
		own := AppendPIV(nil, n)
		payload := server.sender.Seal(nil, server.nonceOf(server.SenderID(), own), unhex(t, plaintext), client.aadOf(cb))
		m := Finish(&coap.Message{Code: coap.Changed}, AppendOption(nil, Option{PIV: own}), payload)
		if _, err := client.UnprotectResponse(m, cb); !errors.Is(err, ErrDecode) || cb.done {
			t.Errorf("%s: %v", name, err)
		}
	}
}
