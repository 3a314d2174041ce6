package coap

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"
)

// exchange is a [direct] as an [Exchanger] and an [Observer].
type exchange struct {
	direct
	each func(*Message, error)
}

func (x *exchange) Exchange(ctx context.Context, _ netip.AddrPort, req *Message) (*Message, error) {
	return x.Call(ctx, req)
}

func (x *exchange) Multicast(context.Context, netip.AddrPort, *Message, time.Duration, func(*Message, netip.AddrPort)) error {
	return nil
}

func (x *exchange) Observe(ctx context.Context, _ netip.AddrPort, _ *Message, each func(*Message, error)) (Observation, error) {
	x.each = func(m *Message, err error) {
		if err == nil && CheckResponseOptions(ctx, m) != nil {
			return
		}
		each(m, err)
	}
	return nil, nil
}

// outerSide is a server of OSCORE messages that may come in blocks.
type outerSide struct {
	Handler
	answer []byte // of the handler inside
	opened []byte // the message that was opened last
}

func (s *outerSide) Understands(id OptionID) bool { return Understands(s.Handler, id) }

var outerLimits = BlockLimits{Size: 64, MaxBody: 300}

func newOuterSide(t *testing.T) *outerSide {
	s := &outerSide{answer: pattern(100, 9)}
	opener := openerFunc(func(outer *Request) (*Opened, *Message, error) {
		s.opened = outer.Payload
		return &Opened{
			Message: NewRequest(GET, "/a", nil),
			Seal: func(m *Message) (*Message, error) {
				sealed := Respond(Changed, NoFormat, m.Payload)
				AddOption(sealed, OptionOSCORE, nil)
				return sealed, nil
			},
		}, nil, nil
	})
	inside := HandlerFunc(func(_ context.Context, req *Request) *Message {
		if HasOption(req.Message, OptionBlock2) {
			t.Error("outer blocks come inside")
		}
		return Respond(Content, NoFormat, s.answer)
	})
	s.Handler = NewOuterBlockServer(outerLimits, time.Now).Wrap(Secure(inside, opener))
	return s
}

// first is the first block of the answer to a request.
func (s *outerSide) first(request string) *Message {
	m := protected(request)
	AddOption(m, OptionBlock2, Block{Size: 32}.Encode())
	return ask(s, addrA, m)
}

// TestOuterBlocks has a proxy that sends in blocks and asks for blocks back.
func TestOuterBlocks(t *testing.T) {
	s := newOuterSide(t)
	proxy := NewBlockCaller(&direct{h: s, from: addrA}, BlockLimits{Size: 32, Early: true}, seeded(1))
	body := pattern(150, 5)
	resp, err := proxy.Call(context.Background(), protected(string(body)))
	if err != nil || !bytes.Equal(s.opened, body) || !bytes.Equal(resp.Payload, s.answer) || !HasOption(resp, OptionOSCORE) {
		t.Fatal(resp, err)
	}
	s.opened = nil
	resp, err = proxy.Call(context.Background(), protected(string(pattern(301, 5))))
	if err != nil || resp.Code != RequestEntityTooLarge || s.opened != nil {
		t.Error("larger than MAX_UNFRAGMENTED_SIZE:", resp, err)
	}
}

// TestOuterBlocksToClient has a proxy that answers in blocks.
func TestOuterBlocksToClient(t *testing.T) {
	ctx := context.Background()
	s := newOuterSide(t)
	x := &exchange{direct: direct{h: s, from: addrA}}
	x.alter = func(_ int, resp *Message) (*Message, error) {
		if HasOption(resp, OptionBlock2) {
			return resp, nil
		}
		return s.first("request"), nil
	}
	ex := NewOuterBlocks(x, outerLimits)
	resp, err := ex.Exchange(ctx, addrB, protected("request"))
	if err != nil || !bytes.Equal(resp.Payload, s.answer) {
		t.Fatal(resp, err)
	}
	if n := len(x.requests); n != 4 || len(x.requests[3].Payload) != 0 {
		t.Errorf("%d requests", n)
	}
	s.answer = pattern(301, 1)
	if resp, err := ex.Exchange(ctx, addrB, protected("request")); !errors.Is(err, ErrBlocks) {
		t.Error("larger than MAX_UNFRAGMENTED_SIZE:", resp, err)
	}
	x.alter = func(int, *Message) (*Message, error) { return nil, ErrTimeout }
	if _, err := ex.Exchange(ctx, addrB, protected("x")); !errors.Is(err, ErrTimeout) {
		t.Error(err)
	}
	// What is not OSCORE passes by.
	x.alter = nil
	if resp, err := ex.Exchange(ctx, addrB, NewRequest(GET, "/a", nil)); err != nil || !bytes.Equal(resp.Payload, s.answer) {
		t.Error(resp, err)
	}
}

// heardMessage is what an observer was called with.
type heardMessage struct {
	m   *Message
	err error
}

// TestOuterBlocksOfNotifications has notifications that come in blocks.
func TestOuterBlocksOfNotifications(t *testing.T) {
	ctx := context.Background()
	s := newOuterSide(t)
	x := &exchange{direct: direct{h: s, from: addrA}}
	ex := NewOuterBlocks(x, outerLimits).(Observer)
	var got []heardMessage
	if _, err := ex.Observe(ctx, addrB, protected("request"), func(m *Message, err error) { got = append(got, heardMessage{m, err}) }); err != nil {
		t.Fatal(err)
	}
	x.each(s.first("request"), nil)
	if len(got) != 1 || !bytes.Equal(got[0].m.Payload, s.answer) {
		t.Fatal("a notification:", got)
	}
	x.each(blockResponse(Content, Block{3, true, 16}, "x"), nil) // dropped
	x.each(nil, ErrReset)
	if len(got) != 2 || !errors.Is(got[1].err, ErrReset) {
		t.Error("a bad notification, and the end:", got)
	}
	if _, err := ex.Observe(ctx, addrB, NewRequest(GET, "/a", nil), nil); err != nil {
		t.Error("without OSCORE:", err)
	}
	if _, ok := NewOuterBlocks(struct{ Exchanger }{x}, outerLimits).(Observer); ok {
		t.Error("an observer over an exchanger that is none")
	}
}

// TestOuterBlocksPassBy has requests without OSCORE, whose blocks are not the
// outer server's: a handler that knows none must not take a part for the whole.
func TestOuterBlocksPassBy(t *testing.T) {
	for _, inner := range []bool{false, true} {
		r := &memory{}
		var behind Handler = r
		if inner {
			behind = NewBlockServer(BlockLimits{}, time.Now).Wrap(r)
		}
		h := NewOuterBlockServer(outerLimits, time.Now).Wrap(Secure(behind))
		c := NewBlockCaller(&direct{h: h, from: addrA}, BlockLimits{Size: 16}, seeded(1))
		body := pattern(40, 1)
		resp, err := c.Call(context.Background(), blockRequest(PUT, body))
		switch {
		case err != nil:
			t.Error(err)
		case inner && (resp.Code != Changed || !bytes.Equal(r.body, body)):
			t.Errorf("blocks for who knows them: %v, %d bytes", resp, len(r.body))
		case !inner && (resp.Code != BadOption || r.calls != 0):
			t.Errorf("blocks for who knows none: %v, %d calls", resp, r.calls)
		}
		part := blockRequest(PUT, body[:16], OptionBlock1, Block{0, true, 16})
		if resp := h.Serve(context.Background(), &Request{Message: part, From: addrA, Multicast: true}); resp != nil || !inner && r.calls != 0 {
			t.Errorf("a block to a group: %v, %d calls", resp, r.calls)
		}
	}
}
