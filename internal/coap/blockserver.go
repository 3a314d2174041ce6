package coap

import (
	"bytes"
	"context"
	"crypto/sha256"
	"sync"
	"time"
)

// etagSize is how much of a body's hash makes its ETag.
const etagSize = 8

// BlockServer does block-wise transfers (RFC 7959) for handlers, which see whole
// requests and give whole responses. Operations of different peers and with
// different Request-Tags are kept apart (RFC 9175, Section 3.3). It is a state
// machine without clock and socket, bounded by [BlockLimits], and safe for
// concurrent use.
type BlockServer struct {
	limits BlockLimits
	now    func() time.Time
	outer  bool

	mu        sync.Mutex
	transfers transferTable
}

// NewBlockServer makes a server for plain CoAP or, below [Secure], for the blocks
// inside OSCORE messages (RFC 8613, Section 4.1.3.4.1).
func NewBlockServer(limits BlockLimits, now func() time.Time) *BlockServer {
	limits = limits.withDefaults()
	return &BlockServer{limits: limits, now: now, transfers: newTransferTable(limits)}
}

// NewOuterBlockServer makes a server for the blocks in which proxies pass OSCORE
// messages on; it stands in front of [Secure]. MaxBody is the
// MAX_UNFRAGMENTED_SIZE of RFC 8613, Section 4.1.3.4.2. What is not OSCORE passes
// by.
func NewOuterBlockServer(limits BlockLimits, now func() time.Time) *BlockServer {
	s := NewBlockServer(limits, now)
	s.outer = true
	s.limits.Threshold = s.limits.MaxBody // proxies ask when they want blocks
	return s
}

// SecureInBlocks is [Secure] with block-wise transfer on both sides of it: inside
// the messages, where answers go in blocks to who asks for them, and outside, for
// proxies that cut OSCORE messages.
func SecureInBlocks(h Handler, now func() time.Time, openers ...Opener) Handler {
	inner := NewBlockServer(BlockLimits{Threshold: WhenAsked}, now)
	outer := NewOuterBlockServer(BlockLimits{}, now)
	return outer.Wrap(Secure(inner.Wrap(h), openers...))
}

// Wrap puts the server in front of h.
func (s *BlockServer) Wrap(h Handler) Handler { return &blockHandler{s, h} }

type blockHandler struct {
	server *BlockServer
	next   Handler
}

// Understands makes the block options pass [CheckRequestOptions].
func (h *blockHandler) Understands(id OptionID) bool { return anyBlock(id) || Understands(h.next, id) }

// blockwise is what the options of a request ask for.
type blockwise struct {
	key        transferKey
	b1, b2     Block
	has1, has2 bool
	get        bool // the answer may be made again
}

// Serve implements [Handler].
func (h *blockHandler) Serve(ctx context.Context, req *Request) *Message {
	if HasOption(req.Message, OptionOSCORE) != h.server.outer {
		return h.passBy(ctx, req)
	}
	w, err := readBlocks(req)
	switch {
	case err != nil:
		return Problem(BadRequest, err.Error())
	case w.has1 && req.Multicast: // RFC 7959, Section 2.8
		return nil
	}
	whole := *req
	if w.has1 {
		body, resp := h.server.upload(w, req.Message)
		if resp != nil {
			return resp
		}
		whole.Message = Clone(req.Message)
		whole.Payload = body
	} else if w.has2 && w.b2.Num == 0 {
		whole.Message = Clone(req.Message)
	} else if w.has2 && w.b2.Num > 0 {
		if resp := h.server.further(w); resp != nil {
			return resp
		}
		whole.Message = Clone(req.Message)
		RemoveOption(whole.Message, OptionObserve)
	}
	if w.has1 || w.has2 {
		for _, id := range []OptionID{OptionBlock1, OptionBlock2, OptionSize1, OptionRequestTag} {
			RemoveOption(whole.Message, id)
		}
	}
	return h.serve(ctx, w, &whole)
}

// passBy hands on what is not this server's: blocks only to who understands them,
// or a part would be taken for the whole.
func (h *blockHandler) passBy(ctx context.Context, req *Request) *Message {
	if err := CheckRequestOptions(h.next, req.Message); err != nil {
		if req.Multicast { // RFC 7252, Section 8.1
			return nil
		}
		return Problem(BadOption, err.Error())
	}
	return h.next.Serve(ctx, req)
}

// serve has a whole request answered.
func (h *blockHandler) serve(ctx context.Context, w blockwise, whole *Request) *Message {
	if push := whole.Push; push != nil {
		// Notifications have the first block only: the rest is asked for. RFC 7959,
		// Section 2.6.
		first := w
		first.b2.Num, first.has1 = 0, false
		whole.Push = func(m *Message) error { return push(h.server.reply(first, m)) }
	}
	resp := h.next.Serve(ctx, whole)
	if resp == nil {
		return nil
	}
	return h.server.reply(w, resp)
}

func readBlocks(req *Request) (w blockwise, err error) {
	if w.b1, w.has1, err = BlockOption(req.Message, OptionBlock1); err != nil {
		return w, err
	}
	if w.b2, w.has2, err = BlockOption(req.Message, OptionBlock2); err != nil {
		return w, err
	}
	w.key = transferKey{peer: peerIdentity(req), open: req.Peer.Kind == PeerNone, op: operation(req.Message)}
	w.get = req.Code == GET
	return w, nil
}

// upload takes a block in: it returns the body when that is complete, and else
// the response. Bodies come in order and are handed over as one (RFC 7959,
// Sections 2.3 and 2.5).
func (s *BlockServer) upload(w blockwise, m *Message) (body []byte, resp *Message) {
	b := w.b1
	if len(m.Payload) > b.Size || b.More && len(m.Payload) != b.Size {
		return nil, Problem(BadRequest, "The payload is not of the size that Block1 says.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	x := s.transfers.get(now, w.key)
	if b.Num == 0 {
		s.transfers.remove(x)
		if !b.More {
			return m.Payload, nil
		}
		if size, ok := OptionUint(m, OptionSize1); ok && uint64(size) > uint64(s.limits.MaxBody) {
			return nil, s.tooLarge()
		}
		x = &transfer{key: w.key}
		if !s.transfers.put(now, x) {
			return nil, s.crowded()
		}
	}
	end := b.offset() + len(m.Payload)
	switch {
	case x == nil, b.offset() > len(x.body):
		return nil, Problem(RequestEntityIncomplete, "Blocks before this one are missing.")
	case b.offset() < len(x.body): // the last block once more, or a mix-up
		if !b.More || end != len(x.body) || !bytes.Equal(x.body[b.offset():end], m.Payload) {
			return nil, Problem(RequestEntityIncomplete, "The block does not follow the one before.")
		}
		return nil, s.proceed(b)
	case end > s.limits.MaxBody:
		s.transfers.remove(x)
		return nil, s.tooLarge()
	case !s.transfers.grow(now, x, m.Payload):
		s.transfers.remove(x)
		return nil, s.crowded()
	case b.More:
		return nil, s.proceed(b)
	}
	s.transfers.remove(x)
	return x.body, nil
}

// proceed asks for the next block, in smaller ones where these are too large.
// RFC 7959, Section 2.3.
func (s *BlockServer) proceed(b Block) *Message {
	m := Respond(Continue, NoFormat, nil)
	b.Size = min(b.Size, s.limits.Size)
	AddOption(m, OptionBlock1, b.Encode())
	return m
}

// tooLarge says how large a body may be. RFC 7959, Section 2.9.3.
func (s *BlockServer) tooLarge() *Message {
	m := Problem(RequestEntityTooLarge, "The body is too large.")
	AddUint(m, OptionSize1, uint32(s.limits.MaxBody))
	return m
}

// crowded asks to come again. RFC 9175, Section 3.3.
func (s *BlockServer) crowded() *Message {
	m := Problem(ServiceUnavailable, "Too many block-wise transfers at a time.")
	AddUint(m, OptionMaxAge, uint32(s.limits.Lifetime/time.Second))
	return m
}

// further answers a request for a further block of a response; nil when the
// response must be made again. RFC 7959, Section 2.4.
func (s *BlockServer) further(w blockwise) *Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.key.down = true
	x := s.transfers.get(s.now(), w.key)
	if x == nil {
		if w.get {
			return nil
		}
		return Problem(RequestEntityIncomplete, "The response is not kept any more.")
	}
	resp := slice(x.head, x.body, w.b2, s.limits.Size)
	x.done = x.done || w.b2.offset()+min(w.b2.Size, s.limits.Size) >= len(x.body)
	return resp
}

// slice is the block of a response that b asks for.
func slice(head *Message, body []byte, b Block, largest int) *Message {
	if b.offset() >= len(body) {
		return Problem(BadRequest, "The response has no such block.")
	}
	resp := Clone(head)
	block, payload := cut(body, b.offset(), min(b.Size, largest))
	AddOption(resp, OptionBlock2, block.Encode())
	resp.Payload = payload
	return resp
}

// reply is the response as it goes out: whole, or its first block.
func (s *BlockServer) reply(w blockwise, resp *Message) *Message {
	if !w.has2 {
		w.b2 = Block{Size: s.limits.Size}
	}
	head := Clone(resp)
	if w.has1 { // RFC 7959, Section 2.3: the final response
		AddOption(head, OptionBlock1, Block{Num: w.b1.Num, Size: w.b1.Size}.Encode())
	}
	if s.passes(w, resp) {
		return head
	}
	etag := GetOption(resp, OptionETag)
	if etag == nil { // RFC 9175, Section 3.8
		sum := sha256.Sum256(resp.Payload)
		etag = sum[:etagSize]
		AddOption(head, OptionETag, etag)
	}
	if !s.keep(w, resp, etag) && !w.get {
		return head // it has been acted on: in one piece is better than not at all
	}
	if w.b2.Num == 0 {
		AddUint(head, OptionSize2, uint32(len(resp.Payload)))
	}
	return slice(head, resp.Payload, w.b2, s.limits.Size)
}

// passes reports whether a response goes out in one piece.
func (s *BlockServer) passes(w blockwise, resp *Message) bool {
	n := len(resp.Payload)
	return HasOption(resp, OptionBlock2) || // the handler does it itself
		w.b2.Num == 0 && (n <= min(w.b2.Size, s.limits.Size) || !w.has2 && n <= s.limits.Threshold)
}

// keep holds a response for requests for its further blocks.
func (s *BlockServer) keep(w blockwise, resp *Message, etag []byte) bool {
	head := Clone(resp)
	head.Payload = nil
	RemoveOption(head, OptionObserve)
	SetOption(head, OptionETag, etag)
	w.key.down = true
	s.mu.Lock()
	defer s.mu.Unlock()
	body := append(make([]byte, 0, len(resp.Payload)), resp.Payload...)
	return s.transfers.put(s.now(), &transfer{key: w.key, head: head, body: body})
}
