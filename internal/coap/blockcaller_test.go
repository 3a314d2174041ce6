package coap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
	if n, all := tagged(), 6+3; n != all { // PUT in 3; FETCH in 3, its answer of 45 bytes whole
		t.Logf("%d requests with tags", n)
	}
	if len(c.active) != 0 {
		t.Error("operations stay behind")
	}
	// Without randomness it still works.
	if NewBlockCaller(w, BlockLimits{}, bytes.NewReader(nil)).nextTag != 0 {
		t.Error("a seed out of nothing")
	}
}

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

// TestOuterBlocks passes an OSCORE message on in blocks, both ways, as proxies
// may, with inner blocks inside it.
func TestOuterBlocks(t *testing.T) {
	ctx := context.Background()
	answer := pattern(100, 9)
	var opened []byte
	opener := openerFunc(func(outer *Request) (*Opened, *Message, error) {
		opened = outer.Payload
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
		return Respond(Content, NoFormat, answer)
	})
	limits := BlockLimits{Size: 64, MaxBody: 300}
	h := NewOuterBlockServer(limits, time.Now).Wrap(Secure(inside, opener))

	// A proxy sends it in blocks, and asks for blocks back.
	proxy := NewBlockCaller(&direct{h: h, from: addrA}, BlockLimits{Size: 32, Early: true}, seeded(1))
	body := pattern(150, 5)
	resp, err := proxy.Call(ctx, protected(string(body)))
	if err != nil || !bytes.Equal(opened, body) || !bytes.Equal(resp.Payload, answer) || !HasOption(resp, OptionOSCORE) {
		t.Fatal(resp, err)
	}
	// Our client gets it in blocks from a proxy that nobody asked.
	x := &exchange{direct: direct{h: h, from: addrA}}
	x.alter = func(n int, resp *Message) (*Message, error) {
		if n > 1 {
			return resp, nil
		}
		first := ask(h, addrA, func() *Message {
			m := protected(string(body))
			AddOption(m, OptionBlock2, Block{Size: 32}.Encode())
			return m
		}())
		return first, nil
	}
	ex := NewOuterBlocks(x, limits)
	if resp, err = ex.Exchange(ctx, addrB, protected(string(body))); err != nil || !bytes.Equal(resp.Payload, answer) {
		t.Fatal(resp, err)
	}
	if n := len(x.requests); n != 4 || len(x.requests[3].Payload) != 0 {
		t.Errorf("%d requests", n)
	}
	// And a notification.
	got := make(chan *Message, 1)
	if _, err := ex.(Observer).Observe(ctx, addrB, protected(string(body)), func(m *Message, _ error) { got <- m }); err != nil {
		t.Fatal(err)
	}
	first := func() *Message {
		m := protected(string(body))
		AddOption(m, OptionBlock2, Block{Size: 32}.Encode())
		return ask(h, addrA, m)
	}()
	x.alter = nil
	x.each(first, nil)
	if m := <-got; !bytes.Equal(m.Payload, answer) {
		t.Error("a notification:", m)
	}
	x.each(blockResponse(Content, Block{3, true, 16}, "x"), nil) // dropped
	x.each(nil, ErrReset)
	if m := <-got; m != nil {
		t.Error("a bad notification:", m)
	}

	// What is not OSCORE passes by, on both sides.
	if resp, err := ex.Exchange(ctx, addrB, NewRequest(GET, "/a", nil)); err != nil || !bytes.Equal(resp.Payload, answer) {
		t.Error(resp, err)
	}
	if _, err := ex.(Observer).Observe(ctx, addrB, NewRequest(GET, "/a", nil), nil); err != nil {
		t.Error(err)
	}
	if _, ok := NewOuterBlocks(struct{ Exchanger }{x}, limits).(Observer); ok {
		t.Error("an observer over an exchanger that is none")
	}
	x.alter = func(int, *Message) (*Message, error) { return nil, ErrTimeout }
	if _, err := ex.Exchange(ctx, addrB, protected("x")); !errors.Is(err, ErrTimeout) {
		t.Error(err)
	}

	// MAX_UNFRAGMENTED_SIZE, both ways.
	opened = nil
	if resp, err := proxy.Call(ctx, protected(string(pattern(301, 5)))); err != nil || resp.Code != RequestEntityTooLarge || opened != nil {
		t.Error("too large:", resp, err)
	}
	x.alter = nil
	answer = pattern(301, 1)
	big := func() *Message {
		m := protected(string(body))
		AddOption(m, OptionBlock2, Block{Size: 32}.Encode())
		return ask(h, addrA, m)
	}()
	x.alter = func(n int, resp *Message) (*Message, error) {
		if !HasOption(resp, OptionBlock2) {
			return big, nil
		}
		return resp, nil
	}
	if resp, err := ex.Exchange(ctx, addrB, protected(string(body))); !errors.Is(err, ErrBlocks) {
		t.Error("too large an answer:", resp, err)
	}
}

// TestBlocksOverBadLink is a model: a client puts, posts and fetches bodies over a
// link that loses messages and delays them by many others. Whatever happens, a body that the server acts
// on, or that the client gets, is one that was sent, in one piece.
func TestBlocksOverBadLink(t *testing.T) {
	for seed := range byte(60) {
		rng := rand.New(seeded(seed))
		sent := map[string]bool{"": true} // bodies that the client puts, or the server gives
		var state []byte
		done := 0
		h := NewBlockServer(BlockLimits{Size: 64, MaxTransfers: 4}, time.Now).Wrap(HandlerFunc(func(_ context.Context, req *Request) *Message {
			if req.Code == GET {
				state = pattern(rng.IntN(300), byte(rng.Uint32()))
				sent[string(state)] = true
				return Respond(Content, NoFormat, state)
			}
			if !sent[string(req.Payload)] {
				t.Fatalf("seed %d: the server acts on %d bytes that nobody sent", seed, len(req.Payload))
			}
			return Respond(Changed, NoFormat, req.Payload)
		}))
		link := &badLink{h: h, rng: rng}
		c := NewBlockCaller(link, BlockLimits{Size: 32}, rng2reader{rng})
		for range 100 {
			code := []Code{PUT, POST, GET, FETCH}[rng.IntN(4)]
			var body []byte
			if code != GET {
				body = pattern(rng.IntN(300), byte(rng.Uint32()))
				sent[string(body)] = true
			}
			resp, err := c.Call(context.Background(), blockRequest(code, body))
			switch {
			case err != nil, Class(resp.Code) != 2:
			case code == GET && !sent[string(resp.Payload)]:
				t.Fatalf("seed %d: the client gets %d bytes that nobody sent", seed, len(resp.Payload))
			case code != GET && !bytes.Equal(resp.Payload, body):
				t.Fatalf("seed %d: the answer is to another request", seed)
			default:
				done++
			}
		}
		if done < 20 {
			t.Errorf("seed %d: only %d of 100 succeed", seed, done)
		}
	}
}

type rng2reader struct{ *rand.Rand }

func (r rng2reader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return len(b), nil
}

// badLink loses, repeats and delays requests. As with OSCORE, the server takes a
// request once, however late, and an answer belongs to its request.
type badLink struct {
	h    Handler
	rng  *rand.Rand
	late []*Message // not taken yet
}

func (l *badLink) Call(_ context.Context, req *Message) (*Message, error) {
	for range l.rng.IntN(3) {
		if len(l.late) > 0 {
			i := l.rng.IntN(len(l.late))
			ask(l.h, addrA, l.late[i])
			l.late = append(l.late[:i], l.late[i+1:]...)
		}
	}
	switch l.rng.IntN(60) {
	case 0: // it comes after the client has given up
		l.late = append(l.late, Clone(req))
		return nil, ErrTimeout
	case 1: // the answer is lost
		ask(l.h, addrA, Clone(req))
		return nil, ErrTimeout
	}
	return ask(l.h, addrA, Clone(req)), nil
}

func FuzzBlockServer(f *testing.F) {
	add := func(ms ...*Message) {
		var b []byte
		for _, m := range ms {
			m.Type, m.MessageID = Confirmable, 1
			d, err := MarshalUDP(m)
			if err != nil {
				f.Fatal(err)
			}
			b = append(append(b, byte(len(d)>>8), byte(len(d))), d...)
		}
		f.Add(b)
	}
	add(blockRequest(PUT, make([]byte, 16), OptionBlock1, Block{0, true, 16}), blockRequest(PUT, []byte("x"), OptionBlock1, Block{1, false, 16}))
	add(blockRequest(GET, nil), blockRequest(GET, nil, OptionBlock2, Block{1, false, 16}))
	add(blockRequest(POST, make([]byte, 64), OptionBlock1, Block{0, true, 64}, OptionBlock2, Block{0, false, 16}))
	add(protected("x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		limits := BlockLimits{Size: 64, MaxBody: 256, MaxTransfers: 4, MaxBytes: 1024, Lifetime: time.Second}
		c := &clock{start}
		s := NewBlockServer(limits, c.now)
		h := s.Wrap(&memory{body: pattern(200, 1)})
		for i := 0; len(b) >= 2; i++ {
			n := min(int(b[0])<<8|int(b[1]), len(b)-2)
			m, err := UnmarshalUDP(b[2 : 2+n])
			b = b[2+n:]
			if err != nil || !IsRequest(m.Code) || CheckRequestOptions(h, m) != nil {
				continue
			}
			from := netip.AddrPortFrom(addrA.Addr(), uint16(i%3))
			resp := ask(h, from, m)
			if resp == nil {
				continue
			}
			if got, has, err := BlockOption(resp, OptionBlock2); err != nil || has && len(resp.Payload) > got.Size {
				t.Fatal(resp)
			}
			if _, _, err := BlockOption(resp, OptionBlock1); err != nil {
				t.Fatal(resp)
			}
			c.t = c.t.Add(time.Duration(len(b)%5) * 100 * time.Millisecond)
			held := 0
			for _, x := range s.transfers.byKey {
				held += x.held
				if x.held != cap(x.body) || len(x.body) > max(limits.MaxBody, 200+65535) {
					t.Fatal("a transfer holds", cap(x.body))
				}
			}
			if held != s.transfers.bytes || held > limits.MaxBytes || len(s.transfers.byKey) > limits.MaxTransfers {
				t.Fatalf("%d bytes in %d transfers are held, %d counted", held, len(s.transfers.byKey), s.transfers.bytes)
			}
		}
	})
}

func FuzzBlockCaller(f *testing.F) {
	f.Add([]byte("\x02\x08\x10ABCDEFGHIJKLMNOP\x02\x10\x03end"), false)
	f.Add([]byte("\x01\x08\x00\x01\x18\x00\x00\x20\x00"), true)
	f.Fuzz(func(t *testing.T, b []byte, up bool) {
		calls := 0
		s := &scripted{func(*Message) *Message {
			calls++
			resp := Respond(Content, NoFormat, nil)
			if len(b) < 3 {
				return resp
			}
			if b[0]&1 != 0 {
				AddOption(resp, OptionBlock1, b[1:2])
				resp.Code = Continue
			}
			if b[0]&2 != 0 {
				AddOption(resp, OptionBlock2, b[1:2])
			}
			if b[0]&4 != 0 {
				AddOption(resp, OptionETag, b[1:2])
			}
			n := min(int(b[2]), len(b)-3)
			resp.Payload, b = b[3:3+n], b[3+n:]
			return resp
		}, nil}
		req := blockRequest(FETCH, nil)
		if up {
			req.Payload = pattern(100, 0)
		}
		resp, err := NewBlockCaller(s, BlockLimits{Size: 16, MaxBody: 100}, seeded(1)).Call(context.Background(), req)
		if err == nil && len(resp.Payload) > max(100, 255) || calls > len(b)+100 {
			t.Fatalf("%d bytes after %d calls", len(resp.Payload), calls)
		}
	})
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
