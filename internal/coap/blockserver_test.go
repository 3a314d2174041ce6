package coap

import (
	"bytes"
	"context"
	"testing"
	"time"
)

func TestUpload(t *testing.T) {
	body := pattern(100, 0)
	r := &memory{}
	h := NewBlockServer(BlockLimits{Size: 32, MaxBody: 128}, time.Now).Wrap(r)
	put := func(num uint32, more bool, size int, payload []byte) *Message {
		m := blockRequest(PUT, payload, OptionBlock1, Block{num, more, size})
		AddUint(m, OptionContentFormat, FormatCBOR)
		AddUint(m, OptionSize1, 100)
		return ask(h, addrA, m)
	}
	expect := func(what string, resp *Message, code Code, want Block) {
		t.Helper()
		got, has, err := BlockOption(resp, OptionBlock1)
		if resp.Code != code || err != nil || !has || got != want {
			t.Fatalf("%s: %v %v", what, resp, got)
		}
	}
	// The server asks for smaller blocks; the client's second one is smaller still.
	expect("first", put(0, true, 64, body[:64]), Continue, Block{0, true, 32})
	expect("the same again", put(0, true, 64, body[:64]), Continue, Block{0, true, 32})
	expect("second", put(4, true, 16, body[64:80]), Continue, Block{4, true, 16})
	expect("the same again", put(4, true, 16, body[64:80]), Continue, Block{4, true, 16})
	if r.calls != 0 {
		t.Fatal("the handler is called for parts")
	}
	expect("last", put(5, false, 16, body[80:96]), Changed, Block{5, false, 16})
	if !bytes.Equal(r.body, body[:96]) || r.calls != 1 {
		t.Fatalf("%d calls, %d bytes", r.calls, len(r.body))
	}
	for _, id := range []OptionID{OptionBlock1, OptionSize1} {
		if HasOption(r.last, id) {
			t.Errorf("the handler sees option %d", id)
		}
	}
	if !HasOption(r.last, OptionContentFormat) {
		t.Error("the handler does not see the format")
	}
	expect("one block only", put(0, false, 64, body[:10]), Changed, Block{0, false, 64})
	if !bytes.Equal(r.body, body[:10]) {
		t.Error("one block:", r.body)
	}
}

func TestUploadRefused(t *testing.T) {
	for name, c := range map[string]struct {
		blocks []Block
		sizes  []int
		want   Code
		size1  int
	}{
		"no beginning":          {[]Block{{1, true, 16}}, []int{16}, RequestEntityIncomplete, 0},
		"only an end":           {[]Block{{3, false, 16}}, []int{5}, RequestEntityIncomplete, 0},
		"a gap":                 {[]Block{{0, true, 16}, {2, true, 16}}, []int{16, 16}, RequestEntityIncomplete, 0},
		"a gap at the end":      {[]Block{{0, true, 16}, {2, false, 16}}, []int{16, 1}, RequestEntityIncomplete, 0},
		"an end that is inside": {[]Block{{0, true, 32}, {1, false, 16}}, []int{32, 16}, RequestEntityIncomplete, 0},
		"a short block":         {[]Block{{0, true, 16}}, []int{15}, BadRequest, 0},
		"a long block":          {[]Block{{0, true, 16}}, []int{17}, BadRequest, 0},
		"a long last block":     {[]Block{{0, false, 16}}, []int{17}, BadRequest, 0},
		"announced too large":   {[]Block{{0, true, 16}}, []int{16}, RequestEntityTooLarge, 65},
		"too large": {
			[]Block{{0, true, 32}, {1, true, 32}, {2, false, 32}}, []int{32, 32, 1}, RequestEntityTooLarge, 0,
		},
		"everything": {[]Block{{0, true, 32}, {1, false, 32}}, []int{32, 32}, Changed, 64},
	} {
		r := &memory{}
		h := NewBlockServer(BlockLimits{MaxBody: 64}, time.Now).Wrap(r)
		var resp *Message
		for i, b := range c.blocks {
			m := blockRequest(PUT, make([]byte, c.sizes[i]), OptionBlock1, b)
			if c.size1 > 0 {
				AddUint(m, OptionSize1, uint32(c.size1))
			}
			resp = ask(h, addrA, m)
		}
		if resp.Code != c.want || (r.calls > 0) != (c.want == Changed) {
			t.Errorf("%s: %v, %d calls", name, resp, r.calls)
		}
		if limit, ok := OptionUint(resp, OptionSize1); c.want == RequestEntityTooLarge && (!ok || limit != 64) {
			t.Errorf("%s: the limit is told as %d", name, limit)
		}
	}
	h := NewBlockServer(BlockLimits{}, time.Now).Wrap(&memory{})
	reserved := NewRequest(PUT, "/a", nil)
	AddOption(reserved, OptionBlock1, []byte{7})
	if resp := ask(h, addrA, reserved); resp.Code != BadRequest {
		t.Error("the reserved size:", resp)
	}
	group := blockRequest(PUT, make([]byte, 16), OptionBlock1, Block{0, true, 16})
	if resp := h.Serve(context.Background(), &Request{Message: group, Multicast: true}); resp != nil {
		t.Error("Block1 to a group:", resp)
	}
}

// TestOperationsApart has operations that differ in one thing each side by side.
func TestOperationsApart(t *testing.T) {
	first, last := pattern(16, 1), pattern(3, 2)
	tagged := func(m *Message, tag string) *Message { AddOption(m, OptionRequestTag, []byte(tag)); return m }
	type part func(payload []byte, b Block) *Request
	base := func(payload []byte, b Block) *Request {
		return &Request{Message: blockRequest(PUT, payload, OptionBlock1, b), From: addrA}
	}
	vary := map[string]part{
		"the same": base,
		"another address": func(p []byte, b Block) *Request {
			r := base(p, b)
			r.From = addrB
			return r
		},
		"another association": func(p []byte, b Block) *Request {
			r := base(p, b)
			r.Peer = Peer{Kind: PeerPSK, Name: "x", KID: []byte{1}}
			return r
		},
		"another method": func(p []byte, b Block) *Request {
			r := base(p, b)
			r.Code = POST
			return r
		},
		"another path": func(p []byte, b Block) *Request {
			r := base(p, b)
			AddOption(r.Message, OptionURIPath, []byte("b"))
			return r
		},
		"a Request-Tag":        func(p []byte, b Block) *Request { r := base(p, b); tagged(r.Message, "1"); return r },
		"an empty Request-Tag": func(p []byte, b Block) *Request { r := base(p, b); tagged(r.Message, ""); return r },
		"two Request-Tags": func(p []byte, b Block) *Request {
			r := base(p, b)
			tagged(tagged(r.Message, "1"), "1")
			return r
		},
		"another format": func(p []byte, b Block) *Request {
			r := base(p, b)
			AddUint(r.Message, OptionContentFormat, 60)
			return r
		},
	}
	for begun, begin := range vary {
		for ended, end := range vary {
			h := NewBlockServer(BlockLimits{}, time.Now).Wrap(&memory{})
			ctx := context.Background()
			if resp := h.Serve(ctx, begin(first, Block{0, true, 16})); resp.Code != Continue {
				t.Fatal(begun, resp)
			}
			resp := h.Serve(ctx, end(last, Block{1, false, 16}))
			if (resp.Code == RequestEntityIncomplete) != (begun != ended) {
				t.Errorf("begun with %s, ended with %s: %v", begun, ended, resp)
			}
		}
	}
	// What is not in the cache key makes no difference, and neither does the
	// address of an association.
	h := NewBlockServer(BlockLimits{}, time.Now).Wrap(&memory{})
	a := base(first, Block{0, true, 16})
	b := base(last, Block{1, false, 16})
	a.Peer = Peer{Kind: PeerACE, Name: "x"}
	b.Peer, b.From = a.Peer, addrB
	AddUint(a.Message, OptionSize1, 19)
	AddOption(b.Message, OptionEcho, []byte("echo"))
	h.Serve(context.Background(), a)
	if resp := h.Serve(context.Background(), b); resp.Code != Changed {
		t.Error(resp)
	}
}

func TestDownload(t *testing.T) {
	body := pattern(100, 3)
	r := &memory{body: body}
	c := &clock{start}
	h := NewBlockServer(BlockLimits{Size: 64}, c.now).Wrap(r)
	resp := ask(h, addrA, blockRequest(GET, nil)) // nobody asked for blocks
	b, _, err := BlockOption(resp, OptionBlock2)
	if size, _ := OptionUint(resp, OptionSize2); err != nil || b != (Block{0, true, 64}) || !bytes.Equal(resp.Payload, body[:64]) || size != 100 {
		t.Fatal(resp, b, size)
	}
	etag := GetOption(resp, OptionETag)
	if f, ok := ContentFormat(resp); !ok || f != FormatCBOR || len(etag) != etagSize {
		t.Fatal(resp)
	}
	// The client goes on with smaller blocks, from the cache.
	r.body = pattern(100, 4)
	for num, want := range map[uint32][]byte{2: body[64:96], 3: body[96:]} {
		resp = ask(h, addrA, blockRequest(GET, nil, OptionBlock2, Block{Num: num, Size: 32}))
		b, _, _ = BlockOption(resp, OptionBlock2)
		if b != (Block{num, num < 3, 32}) || !bytes.Equal(resp.Payload, want) || !bytes.Equal(GetOption(resp, OptionETag), etag) {
			t.Errorf("block %d: %v", num, resp)
		}
	}
	if r.calls != 1 {
		t.Errorf("%d calls", r.calls)
	}
	if resp = ask(h, addrA, blockRequest(GET, nil, OptionBlock2, Block{Num: 4, Size: 32})); resp.Code != BadRequest {
		t.Error("a block that is not there:", resp)
	}
	// The cache forgets, and nobody else sees it: a GET is answered anew, with
	// another ETag; other methods not.
	later := ask(h, addrB, blockRequest(GET, nil, OptionBlock2, Block{Num: 1, Size: 64}))
	if later.Code != Content || bytes.Equal(GetOption(later, OptionETag), etag) || !bytes.Equal(later.Payload, r.body[64:]) {
		t.Error("somebody else:", later)
	}
	c.t = c.t.Add(time.Hour)
	if resp = ask(h, addrA, blockRequest(GET, nil, OptionBlock2, Block{Num: 1, Size: 64})); !bytes.Equal(GetOption(resp, OptionETag), GetOption(later, OptionETag)) {
		t.Error("later:", resp)
	}
	if resp = ask(h, addrB, blockRequest(GET, nil, OptionBlock2, Block{Num: 9, Size: 64})); resp.Code != BadRequest {
		t.Error("too far:", resp)
	}
	if resp = ask(h, addrA, blockRequest(FETCH, nil, OptionBlock2, Block{Num: 1, Size: 64})); resp.Code != RequestEntityIncomplete {
		t.Error("FETCH:", resp)
	}
	if resp = ask(h, addrA, blockRequest(DELETE, nil, OptionBlock2, Block{Size: 64})); resp != nil {
		t.Error("silence is answered by", resp)
	}
	// A small answer stays whole.
	r.body = body[:64]
	if resp = ask(h, addrA, blockRequest(GET, nil, OptionBlock2, Block{Size: 64})); HasOption(resp, OptionBlock2) || len(resp.Payload) != 64 {
		t.Error("a small one:", resp)
	}
}

// TestDownloadUnasked looks at what is sent whole to whom.
func TestDownloadUnasked(t *testing.T) {
	r := &memory{body: pattern(2000, 0)}
	h := NewBlockServer(BlockLimits{Threshold: 10000}, time.Now).Wrap(r)
	if resp := ask(h, addrA, blockRequest(GET, nil)); HasOption(resp, OptionBlock2) || len(resp.Payload) != 2000 || HasOption(resp, OptionETag) {
		t.Error("below the threshold:", resp)
	}
	if resp := ask(h, addrA, blockRequest(GET, nil, OptionBlock2, Block{Size: 1024})); len(resp.Payload) != 1024 {
		t.Error("asked for:", resp)
	}
	own := HandlerFunc(func(context.Context, *Request) *Message {
		m := Respond(Content, NoFormat, make([]byte, 2000))
		AddOption(m, OptionBlock2, Block{Size: 1024}.Encode())
		return m
	})
	if resp := ask(NewBlockServer(BlockLimits{}, time.Now).Wrap(own), addrA, blockRequest(GET, nil)); len(resp.Payload) != 2000 {
		t.Error("a handler that does blocks itself:", resp)
	}
	tagged := HandlerFunc(func(context.Context, *Request) *Message {
		m := Respond(Content, NoFormat, make([]byte, 2000))
		AddOption(m, OptionETag, []byte("own"))
		return m
	})
	h = NewBlockServer(BlockLimits{}, time.Now).Wrap(tagged)
	for num := range uint32(2) {
		resp := ask(h, addrA, blockRequest(GET, nil, OptionBlock2, Block{Num: num, Size: 1024}))
		if n := len(resp.Payload); string(GetOption(resp, OptionETag)) != "own" || n == 2000 {
			t.Error("a handler with an ETag:", resp)
		}
	}
	// There is no room to keep it: an answer to a POST goes out whole, once.
	h = NewBlockServer(BlockLimits{MaxBytes: 1024, MaxBody: 512}, time.Now).Wrap(r)
	post := blockRequest(POST, make([]byte, 16), OptionBlock1, Block{0, true, 16})
	ask(h, addrA, post)
	resp := ask(h, addrA, blockRequest(POST, pattern(16, 0), OptionBlock1, Block{1, false, 16}, OptionBlock2, Block{Size: 16}))
	if resp.Code != Content || !HasOption(resp, OptionBlock2) {
		t.Fatal(resp)
	}
	r2 := HandlerFunc(func(context.Context, *Request) *Message { return Respond(Changed, NoFormat, make([]byte, 2000)) })
	resp = ask(NewBlockServer(BlockLimits{MaxBytes: 1024, MaxBody: 512}, time.Now).Wrap(r2), addrA, blockRequest(POST, nil, OptionBlock2, Block{Size: 64}))
	if HasOption(resp, OptionBlock2) || len(resp.Payload) != 2000 {
		t.Error("no room for a POST's answer:", resp)
	}
	resp = ask(NewBlockServer(BlockLimits{MaxBytes: 1024, MaxBody: 512}, time.Now).Wrap(r), addrA, blockRequest(GET, nil, OptionBlock2, Block{Size: 64}))
	if !HasOption(resp, OptionBlock2) || len(resp.Payload) != 64 {
		t.Error("no room for a GET's answer:", resp)
	}
}

// TestBlockNotifications has large notifications: their first block is pushed,
// the rest is asked for.
func TestBlockNotifications(t *testing.T) {
	body := pattern(100, 1)
	observers := NewObservers(4)
	r := HandlerFunc(func(_ context.Context, req *Request) *Message {
		return observers.Register(start, req, Respond(Content, NoFormat, body))
	})
	h := NewBlockServer(BlockLimits{Size: 64}, time.Now).Wrap(r)
	p := &pushed{}
	resp := h.Serve(context.Background(), registration(addrA, "t", 0, p))
	if !IsNotification(resp) || len(resp.Payload) != 64 {
		t.Fatal(resp)
	}
	next := func(want []byte) {
		t.Helper()
		rest := ask(h, addrA, blockRequest(GET, nil, OptionBlock2, Block{Num: 1, Size: 64}))
		if HasOption(rest, OptionObserve) || !bytes.Equal(rest.Payload, want[64:]) {
			t.Error("the rest:", rest)
		}
	}
	next(body)
	body = pattern(90, 2)
	observers.Notify(start, func(*Request) *Message { return Respond(Content, NoFormat, body) })
	if len(p.got) != 1 || !IsNotification(p.got[0]) || !bytes.Equal(p.got[0].Payload, body[:64]) {
		t.Fatal(p.got)
	}
	next(body)
	// A request for a further block does not register.
	again := registration(addrA, "u", 0, p)
	AddOption(again.Message, OptionBlock2, Block{Num: 1, Size: 16}.Encode())
	again.From = addrB
	if resp := h.Serve(context.Background(), again); HasOption(resp, OptionObserve) || observers.Len() != 1 {
		t.Error("a further block registers:", resp)
	}
}
