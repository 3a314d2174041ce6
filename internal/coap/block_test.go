package coap

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"
)

// clock is a clock that a test moves.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

// pattern is a body whose blocks all differ.
func pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8)*7 ^ seed
	}
	return b
}

// memory is a resource that keeps what is put to it, and counts.
type memory struct {
	body  []byte
	calls int
	last  *Message
}

func (r *memory) Serve(_ context.Context, req *Request) *Message {
	r.calls++
	r.last = req.Message
	switch req.Code {
	case GET:
		return Respond(Content, FormatCBOR, r.body)
	case PUT:
		r.body = bytes.Clone(req.Payload)
		return Respond(Changed, NoFormat, nil)
	case DELETE:
		return nil
	}
	return Respond(Content, NoFormat, append([]byte("echo "), req.Payload...))
}

func blockRequest(code Code, payload []byte, blocks ...any) *Message {
	m := NewRequest(code, "/a", payload)
	for i := 0; i+1 < len(blocks); i += 2 {
		AddOption(m, blocks[i].(OptionID), blocks[i+1].(Block).Encode())
	}
	return m
}

func ask(h Handler, from netip.AddrPort, m *Message) *Message {
	return h.Serve(context.Background(), &Request{Message: m, From: from})
}

func TestBlockOption(t *testing.T) {
	for _, c := range []struct {
		value []byte
		want  Block
	}{
		{[]byte{}, Block{0, false, 16}},
		{[]byte{0x02}, Block{0, false, 64}},
		{[]byte{33}, Block{2, false, 32}},
		{[]byte{59}, Block{3, true, 128}}, // RFC 7959, Section 3
		{[]byte{0xff, 0xff, 0xfe}, Block{1<<20 - 1, true, 1024}},
	} {
		m := &Message{Options: Options{{ID: OptionBlock2, Value: c.value}}}
		got, has, err := BlockOption(m, OptionBlock2)
		if err != nil || !has || got != c.want || !bytes.Equal(got.Encode(), c.value) {
			t.Errorf("%x: %v %v %v, again %x", c.value, got, has, err, got.Encode())
		}
	}
	if _, has, err := BlockOption(&Message{}, OptionBlock1); has || err != nil {
		t.Error("no option:", has, err)
	}
	for _, value := range [][]byte{{0x07}, {0x1f}, {0, 0, 0, 1}, {1, 2, 3, 4, 5}} {
		m := &Message{Options: Options{{ID: OptionBlock1, Value: value}}}
		if _, has, err := BlockOption(m, OptionBlock1); !has || !errors.Is(err, ErrBadOption) {
			t.Errorf("%x: %v %v", value, has, err)
		}
	}
}

func TestBlockLimits(t *testing.T) {
	for _, c := range []struct{ size, want int }{{0, 1024}, {1, 16}, {100, 64}, {1024, 1024}, {5000, 1024}} {
		if got := (BlockLimits{Size: c.size}).withDefaults().Size; got != c.want {
			t.Errorf("size %d becomes %d", c.size, got)
		}
	}
}

// TestBlockOptionsUnderstood is the table of who lets block options pass.
func TestBlockOptionsUnderstood(t *testing.T) {
	leaf := HandlerFunc(func(context.Context, *Request) *Message { return Respond(Content, NoFormat, nil) })
	s := NewBlockServer(BlockLimits{}, time.Now)
	outer := NewOuterBlockServer(BlockLimits{}, time.Now)
	for name, c := range map[string]struct {
		h    Handler
		want bool
	}{
		"a handler":      {leaf, false},
		"a mux":          {NewMux(), false},
		"Secure":         {Secure(leaf), false},
		"blocks":         {s.Wrap(leaf), true},
		"blocks inside":  {Secure(s.Wrap(leaf)), true},
		"blocks outside": {outer.Wrap(Secure(leaf)), true},
	} {
		for _, id := range []OptionID{OptionBlock1, OptionBlock2} {
			m := blockRequest(GET, nil, id, Block{Size: 64})
			if err := CheckRequestOptions(c.h, m); (err == nil) != c.want {
				t.Errorf("%s, option %d: %v", name, id, err)
			}
		}
		m := blockRequest(GET, nil)
		AddOption(m, OptionBlock2, []byte{1, 2, 3, 4})
		if CheckRequestOptions(c.h, m) == nil {
			t.Errorf("%s: a block option of 4 bytes passes", name)
		}
		if CheckRequestOptions(c.h, &Message{Options: Options{{ID: OptionIfMatch}}}) == nil {
			t.Errorf("%s: If-Match passes", name)
		}
	}
	m := blockRequest(GET, nil, OptionBlock2, Block{Size: 64})
	if CheckResponseOptions(context.Background(), m) == nil {
		t.Error("a response in blocks passes for who does not understand them")
	}
	if err := CheckResponseOptions(WithBlocks(context.Background()), m); err != nil {
		t.Error(err)
	}
	// A part of an OSCORE message, which nobody puts together.
	for _, c := range []struct {
		multicast bool
		silent    bool
	}{{false, false}, {true, true}} {
		part := protected("x")
		AddOption(part, OptionBlock1, Block{More: true, Size: 16}.Encode())
		resp := Secure(s.Wrap(leaf)).Serve(context.Background(), &Request{Message: part, Multicast: c.multicast})
		if (resp == nil) != c.silent || resp != nil && resp.Code != BadOption {
			t.Error("a part of an OSCORE message:", resp)
		}
	}
}

// A handler that acts on If-Match says so through whatever stands in front of it.
func TestUnderstanding(t *testing.T) {
	plain := HandlerFunc(func(context.Context, *Request) *Message { return Respond(Content, NoFormat, nil) })
	acts := Understanding(plain, OptionIfMatch)
	for _, h := range []Handler{acts, Secure(acts), SecureInBlocks(acts, time.Now)} {
		if !Understands(h, OptionIfMatch) || Understands(h, OptionIfNoneMatch) {
			t.Errorf("%T: If-Match %v, If-None-Match %v", h, Understands(h, OptionIfMatch), Understands(h, OptionIfNoneMatch))
		}
		for value, want := range map[string]bool{"": true, "12345678": true, "123456789": false} {
			m := &Message{Options: Options{{ID: OptionIfMatch, Value: []byte(value)}, {ID: OptionIfMatch, Value: []byte(value)}}}
			if err := CheckRequestOptions(h, m); (err == nil) != want {
				t.Errorf("%T, If-Match %q: %v", h, value, err)
			}
		}
	}
	if Understands(plain, OptionIfMatch) || CheckRequestOptions(plain, &Message{Options: Options{{ID: OptionIfMatch}}}) == nil {
		t.Error("a handler that does not act on it")
	}
}
