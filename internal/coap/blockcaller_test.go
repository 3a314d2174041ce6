package coap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// direct is a [Caller] that hands requests to a handler, as one peer, and counts
// them. It checks options as an endpoint does.
type direct struct {
	h        Handler
	from     netip.AddrPort
	requests []*Message
	alter    func(n int, resp *Message) (*Message, error) // nil: nothing
}

func (w *direct) Call(ctx context.Context, req *Message) (*Message, error) {
	w.requests = append(w.requests, Clone(req))
	if err := CheckRequestOptions(w.h, Clone(req)); err != nil {
		return Problem(BadOption, ""), nil
	}
	resp := w.h.Serve(ctx, &Request{Message: Clone(req), From: w.from})
	if w.alter != nil {
		var err error
		if resp, err = w.alter(len(w.requests), resp); err != nil {
			return nil, err
		}
	}
	if err := CheckResponseOptions(ctx, resp); err != nil {
		return nil, err
	}
	return resp, nil
}

// TestBlockwise moves bodies of many sizes both ways, with many block sizes on
// both sides.
func TestBlockwise(t *testing.T) {
	for _, size := range []int{16, 64, 1024} {
		for _, serverSize := range []int{16, 32, 1024} {
			for _, n := range []int{0, 1, 15, 16, 17, 64, 100, 1024, 1025, 3000} {
				for _, early := range []bool{false, true} {
					r := &memory{}
					w := &direct{h: NewBlockServer(BlockLimits{Size: serverSize}, time.Now).Wrap(r), from: addrA}
					c := NewBlockCaller(w, BlockLimits{Size: size, Early: early}, seeded(1))
					body := pattern(n, byte(size))
					name := fmt.Sprintf("%d bytes, blocks of %d and %d, early %v", n, size, serverSize, early)
					if resp, err := c.Call(context.Background(), blockRequest(PUT, body)); err != nil || resp.Code != Changed || !bytes.Equal(r.body, body) {
						t.Fatalf("%s: PUT: %v %v", name, resp, err)
					}
					resp, err := c.Call(context.Background(), blockRequest(GET, nil))
					if err != nil || resp.Code != Content || !bytes.Equal(resp.Payload, body) || HasOption(resp, OptionBlock2) || HasOption(resp, OptionSize2) {
						t.Fatalf("%s: GET: %v %v", name, resp, err)
					}
					for _, code := range []Code{POST, FETCH} {
						resp, err = c.Call(context.Background(), blockRequest(code, body))
						if err != nil || string(resp.Payload) != "echo "+string(body) || HasOption(resp, OptionBlock1) {
							t.Fatalf("%s: %v: %v %v", name, code, resp, err)
						}
					}
					if r.calls != 4 {
						t.Fatalf("%s: %d calls of the handler", name, r.calls)
					}
					for _, m := range w.requests {
						if HasOption(m, OptionRequestTag) || len(m.Payload) > size {
							t.Fatalf("%s: asked %v", name, m)
						}
					}
				}
			}
		}
	}
}

// TestBlockCallerAndOthers meets servers that do less, or otherwise.
func TestBlockCallerAndOthers(t *testing.T) {
	ctx := context.Background()
	large := pattern(100, 0)
	// One that knows no blocks.
	plain := &direct{h: HandlerFunc(func(context.Context, *Request) *Message { return Respond(Content, NoFormat, large) })}
	c := NewBlockCaller(plain, BlockLimits{Size: 32}, seeded(1))
	if resp, err := c.Call(ctx, blockRequest(GET, nil)); err != nil || !bytes.Equal(resp.Payload, large) {
		t.Error("a server without blocks:", resp, err)
	}
	if resp, err := c.Call(ctx, blockRequest(PUT, large)); err != nil || resp.Code != BadOption {
		t.Error("a server without blocks gets some:", resp, err)
	}
	// One that acts on each block, and one that has heard enough.
	each := &scripted{func(req *Message) *Message {
		b, _, _ := BlockOption(req, OptionBlock1)
		b.More = false
		resp := Respond(Changed, NoFormat, nil)
		AddOption(resp, OptionBlock1, b.Encode())
		return resp
	}, nil}
	if resp, err := NewBlockCaller(each, BlockLimits{Size: 32}, seeded(1)).Call(ctx, blockRequest(PUT, large)); err != nil || resp.Code != Changed || len(each.got) != 4 {
		t.Error("a server that acts on each block:", resp, err, len(each.got))
	}
	for _, code := range []Code{Changed, NotFound, ServiceUnavailable} {
		enough := &scripted{func(*Message) *Message { return Respond(code, NoFormat, nil) }, nil}
		if resp, err := NewBlockCaller(enough, BlockLimits{Size: 32}, seeded(1)).Call(ctx, blockRequest(PUT, large)); err != nil || resp.Code != code || len(enough.got) != 1 {
			t.Errorf("a server that answers %v: %v %v", code, resp, err)
		}
	}
	// One that takes smaller blocks only, and one that forgets once.
	r := &memory{}
	small := NewBlockServer(BlockLimits{}, time.Now).Wrap(r)
	picky := &scripted{func(req *Message) *Message {
		if b, has, _ := BlockOption(req, OptionBlock1); has && b.Size > 16 {
			resp := Problem(RequestEntityTooLarge, "")
			AddOption(resp, OptionBlock1, Block{Size: 16}.Encode())
			return resp
		}
		return ask(small, addrA, req)
	}, nil}
	if resp, err := NewBlockCaller(picky, BlockLimits{Size: 64}, seeded(1)).Call(ctx, blockRequest(PUT, large)); err != nil || resp.Code != Changed || !bytes.Equal(r.body, large) {
		t.Error("a server that takes small blocks:", resp, err)
	}
	n := 0
	forgetful := &scripted{func(req *Message) *Message {
		if n++; n == 3 {
			return Problem(RequestEntityIncomplete, "")
		}
		return ask(small, addrB, req)
	}, nil}
	if resp, err := NewBlockCaller(forgetful, BlockLimits{Size: 64}, seeded(1)).Call(ctx, blockRequest(PUT, large)); err != nil || resp.Code != Changed {
		t.Error("a server that has forgotten:", resp, err)
	}
	amnesic := &scripted{func(*Message) *Message { return Problem(RequestEntityIncomplete, "") }, nil}
	if resp, err := NewBlockCaller(amnesic, BlockLimits{Size: 64}, seeded(1)).Call(ctx, blockRequest(PUT, large)); err != nil || resp.Code != RequestEntityIncomplete || len(amnesic.got) != 1+maxRestarts {
		t.Error("a server that always forgets:", resp, err, len(amnesic.got))
	}
	// A caller that does blocks itself.
	own := &scripted{func(*Message) *Message { return blockResponse(Content, Block{3, true, 16}, "x") }, nil}
	if resp, err := NewBlockCaller(own, BlockLimits{}, seeded(1)).Call(ctx, blockRequest(GET, nil, OptionBlock2, Block{Num: 3, Size: 16})); err != nil || !HasOption(resp, OptionBlock2) {
		t.Error("a caller that does blocks itself:", resp, err)
	}
}

// scripted answers by a function.
type scripted struct {
	answer func(*Message) *Message
	got    []*Message
}

func (s *scripted) Call(_ context.Context, req *Message) (*Message, error) {
	s.got = append(s.got, req)
	return s.answer(req), nil
}

func blockResponse(code Code, b Block, payload string) *Message {
	m := Respond(code, NoFormat, []byte(payload))
	AddOption(m, OptionBlock2, b.Encode())
	return m
}

func TestBlockCallerRefuses(t *testing.T) {
	const sixteen = "0123456789abcdef"
	first := blockResponse(Content, Block{0, true, 16}, sixteen)
	with := func(m *Message, id OptionID, value string) *Message {
		m = Clone(m)
		SetOption(m, id, []byte(value))
		return m
	}
	continued := func(b Block) *Message {
		m := Respond(Continue, NoFormat, nil)
		AddOption(m, OptionBlock1, b.Encode())
		return m
	}
	for name, c := range map[string]struct {
		up      bool
		answers []*Message // over and over; nil: blocks without end
	}{
		"begins in the middle":       {false, []*Message{blockResponse(Content, Block{1, true, 16}, sixteen)}},
		"short block":                {false, []*Message{blockResponse(Content, Block{0, true, 16}, "short")}},
		"long block":                 {false, []*Message{blockResponse(Content, Block{0, false, 16}, sixteen+"!")}},
		"reserved size":              {false, []*Message{with(first, OptionBlock2, "\x0f")}},
		"no end":                     {false, []*Message{first, blockResponse(Content, Block{1, true, 16}, sixteen)}},
		"the same again":             {false, []*Message{first, first}},
		"a gap":                      {false, []*Message{first, blockResponse(Content, Block{2, false, 16}, "x")}},
		"an end without block":       {false, []*Message{first, Respond(Content, NoFormat, []byte("x"))}},
		"another code":               {false, []*Message{first, blockResponse(Changed, Block{1, false, 16}, "x")}},
		"another body":               {false, []*Message{first, with(blockResponse(Content, Block{1, false, 16}, "x"), OptionETag, "new")}},
		"an error":                   {false, []*Message{first, Problem(RequestEntityIncomplete, "")}},
		"a reserved size later":      {false, []*Message{first, with(first, OptionBlock2, "\x1f")}},
		"continue, another block":    {true, []*Message{continued(Block{5, true, 16})}},
		"continue, no block":         {true, []*Message{Respond(Continue, NoFormat, nil)}},
		"continue, a reserved size":  {true, []*Message{with(Respond(Continue, NoFormat, nil), OptionBlock1, "\x0f")}},
		"continue, after the last":   {true, []*Message{continued(Block{0, true, 16}), continued(Block{1, true, 16}), continued(Block{2, true, 16})}},
		"larger than we take":        {false, nil},
		"the answer out of place":    {true, []*Message{continued(Block{0, true, 16}), continued(Block{1, true, 16}), blockResponse(Content, Block{1, false, 16}, "x")}},
		"an answer's reserved size":  {true, []*Message{continued(Block{0, true, 16}), continued(Block{1, true, 16}), with(first, OptionBlock2, "\x0f")}},
		"an answer of another shape": {true, []*Message{continued(Block{0, true, 16}), continued(Block{1, true, 16}), first, Respond(Content, NoFormat, nil)}},
	} {
		n := 0
		s := &scripted{func(*Message) *Message {
			n++
			if c.answers == nil {
				return blockResponse(Content, Block{uint32(n - 1), true, 16}, sixteen)
			}
			return c.answers[(n-1)%len(c.answers)]
		}, nil}
		req := blockRequest(GET, nil)
		if c.up {
			req = blockRequest(POST, make([]byte, 40))
		}
		resp, err := NewBlockCaller(s, BlockLimits{Size: 16, MaxBody: 200}, seeded(1)).Call(context.Background(), req)
		if !errors.Is(err, ErrBlocks) || resp != nil || n > 20 {
			t.Errorf("%s: %v %v after %d requests", name, resp, err, n)
		}
	}
}

// TestBodyChanges has a body that changes while it is fetched.
func TestBodyChanges(t *testing.T) {
	r := &memory{body: pattern(100, 0)}
	w := &direct{h: NewBlockServer(BlockLimits{Size: 16, MaxTransfers: 1, MaxBytes: 1, MaxBody: 1}, time.Now).Wrap(r), from: addrA}
	w.alter = func(n int, resp *Message) (*Message, error) {
		if n == 3 || n == 7 {
			r.body = pattern(90+n, byte(n))
		}
		return resp, nil
	}
	resp, err := NewBlockCaller(w, BlockLimits{Size: 16}, seeded(1)).Call(context.Background(), blockRequest(GET, nil))
	if err != nil || !bytes.Equal(resp.Payload, r.body) {
		t.Error(resp, err)
	}
	w.alter = func(n int, resp *Message) (*Message, error) {
		r.body = pattern(100, byte(n))
		return resp, nil
	}
	before := len(w.requests)
	if resp, err := NewBlockCaller(w, BlockLimits{Size: 16}, seeded(1)).Call(context.Background(), blockRequest(GET, nil)); !errors.Is(err, ErrBlocks) || len(w.requests)-before > 2*(1+maxRestarts) {
		t.Error(resp, err, len(w.requests)-before)
	}
}

// TestRequestTags has tags where blocks could be mixed up, and only there.
func TestRequestTags(t *testing.T) {
	ctx := context.Background()
	r := &memory{}
	w := &direct{h: NewBlockServer(BlockLimits{}, time.Now).Wrap(r), from: addrA}
	c := NewBlockCaller(w, BlockLimits{Size: 16}, seeded(1))
	tagged := func() (n int) {
		for _, m := range w.requests {
			if HasOption(m, OptionRequestTag) {
				n++
			}
		}
		w.requests = nil
		return n
	}
	call := func(code Code) {
		t.Helper()
		if _, err := c.Call(ctx, blockRequest(code, make([]byte, 40))); err != nil {
			t.Fatal(err)
		}
	}
	call(PUT)
	call(PUT)
	if n := tagged(); n != 0 {
		t.Errorf("%d tags for one after the other", n)
	}
	// Two at a time, of which the second begins in the middle of the first.
	var inner bool
	w.alter = func(n int, resp *Message) (*Message, error) {
		if n == 2 && !inner {
			inner = true
			call(PUT)
		}
		return resp, nil
	}
	call(PUT)
	if n := tagged(); n != 3 || r.calls != 4 {
		t.Errorf("%d tags for two at a time, %d calls", n, r.calls)
	}
	inner = false
	w.alter = func(n int, resp *Message) (*Message, error) {
		if n == 2 && !inner {
			inner = true
			call(POST)
		}
		return resp, nil
	}
	call(PUT)
	if n := tagged(); n != 0 {
		t.Errorf("%d tags for two that differ", n)
	}
	// One whose messages may still arrive.
	w.alter = func(n int, resp *Message) (*Message, error) { return nil, ErrTimeout }
	if _, err := c.Call(ctx, blockRequest(PUT, make([]byte, 40))); !errors.Is(err, ErrTimeout) {
		t.Fatal(err)
	}
	tagged()
	w.alter = nil
	call(PUT)
	call(FETCH)
	one, two := w.requests[0], w.requests[len(w.requests)-1]
	if a, b := GetOption(one, OptionRequestTag), GetOption(two, OptionRequestTag); a == nil || b == nil || bytes.Equal(a, b) || len(a) > 8 {
		t.Errorf("after one that has not concluded: tags %x, %x", a, b)
	}
	if n, all := tagged(), 3+3; n != all { // PUT in 3; FETCH in 3, its answer of 45 bytes whole
		t.Errorf("%d requests with tags, not %d", n, all)
	}
	if len(c.active) != 0 {
		t.Error("operations stay behind")
	}
	// Without randomness it still works.
	if NewBlockCaller(w, BlockLimits{}, bytes.NewReader(nil)).nextTag != 0 {
		t.Error("a seed out of nothing")
	}
}

func ExampleBlockServer() {
	resource := HandlerFunc(func(_ context.Context, req *Request) *Message {
		fmt.Printf("%v with %d bytes\n", req.Code, len(req.Payload))
		return Respond(Content, FormatText, bytes.Repeat([]byte("lamp "), 500))
	})
	server := NewBlockServer(BlockLimits{}, time.Now).Wrap(resource)
	client := NewBlockCaller(&direct{h: server}, BlockLimits{Size: 512}, seeded(1))
	resp, err := client.Call(context.Background(), NewRequest(POST, "/lamps", make([]byte, 3000)))
	fmt.Println(len(resp.Payload), "bytes", err)
	// Output:
	// POST with 3000 bytes
	// 2500 bytes <nil>
}
