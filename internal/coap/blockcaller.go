package coap

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// maxRestarts is how often a transfer begins anew when the peer has forgotten it
// or its response has changed meanwhile.
const maxRestarts = 3

// BlockCaller does block-wise transfers (RFC 7959) over a [Caller]: it sends large
// requests in blocks and fetches large responses block by block. There should be
// one for the life of an association: what it knows of its own operations keeps
// their blocks apart (RFC 9175, Section 3.5). It is safe for concurrent use.
type BlockCaller struct {
	caller Caller
	limits BlockLimits

	mu      sync.Mutex
	active  map[[sha256.Size]byte]int // operations with Block1 under way
	nextTag uint64
	always  bool // an operation has not concluded: every further one has a tag
}

// NewBlockCaller makes a caller over c. rand makes the first Request-Tag.
func NewBlockCaller(c Caller, limits BlockLimits, rand io.Reader) *BlockCaller {
	b := &BlockCaller{caller: c, limits: limits.withDefaults(), active: make(map[[sha256.Size]byte]int)}
	var seed [4]byte
	if _, err := io.ReadFull(rand, seed[:]); err != nil {
		clear(seed[:]) // it only makes repetition unlikely where an association has had another BlockCaller
	}
	b.nextTag = uint64(binary.BigEndian.Uint32(seed[:]))
	return b
}

// Call implements [Caller]. A request that has a Block Option already is passed on
// as it is. Errors wrap [ErrBlocks] when the peer breaks the rules or the body of
// its response is larger than MaxBody.
func (c *BlockCaller) Call(ctx context.Context, req *Message) (*Message, error) {
	if HasOption(req, OptionBlock1) || HasOption(req, OptionBlock2) {
		return c.caller.Call(ctx, req)
	}
	ctx = WithBlocks(ctx)
	for restart := 0; ; restart++ {
		resp, again, err := c.attempt(ctx, req)
		if !again || restart == maxRestarts {
			return resp, err
		}
	}
}

// attempt makes a whole operation. again says that it may help to begin anew, and
// does no harm.
func (c *BlockCaller) attempt(ctx context.Context, req *Message) (resp *Message, again bool, err error) {
	if len(req.Payload) > c.limits.Size {
		tagged, done := c.tag(req)
		resp, err = c.upload(ctx, tagged)
		done(err == nil)
		if err == nil && resp.Code == RequestEntityIncomplete { // nothing was acted on
			return resp, true, nil
		}
		req = tagged
	} else {
		first := req
		if c.limits.Early {
			first = Clone(req)
			AddOption(first, OptionBlock2, Block{Size: c.limits.Size}.Encode())
		}
		resp, err = c.caller.Call(ctx, first)
	}
	if err != nil {
		return nil, false, err
	}
	return c.Rest(ctx, req, resp)
}

// tag gives an operation a Request-Tag when it could be taken for another one: one
// that is under way, or whose messages may still be on the way. The tag is as
// short as possible. RFC 9175, Sections 3.4 and 3.5.
func (c *BlockCaller) tag(req *Message) (tagged *Message, done func(concluded bool)) {
	op := operation(req)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.always || c.active[op] > 0 {
		req = Clone(req)
		c.nextTag++
		SetOption(req, OptionRequestTag, bytes.TrimLeft(binary.BigEndian.AppendUint64(nil, c.nextTag), "\x00"))
	}
	c.active[op]++
	return req, func(concluded bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.always = c.always || !concluded
		if c.active[op]--; c.active[op] == 0 {
			delete(c.active, op)
		}
	}
}

// upload sends a body block by block and returns the final response, or the first
// one that says that the rest is not wanted. RFC 7959, Sections 2.3 and 2.5.
func (c *BlockCaller) upload(ctx context.Context, req *Message) (*Message, error) {
	size, offset := c.limits.Size, 0
	for {
		block, payload := cut(req.Payload, offset, size)
		resp, err := c.caller.Call(ctx, c.part(req, block, payload))
		if err != nil {
			return nil, err
		}
		b, has, err := BlockOption(resp, OptionBlock1)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrBlocks, err)
		case resp.Code == RequestEntityTooLarge && has && offset == 0 && b.Size < size:
			size = b.Size // RFC 7959, Section 2.9.3
			continue
		case !block.More && resp.Code == Continue, resp.Code == Continue && (!has || b.Num != block.Num):
			return nil, fmt.Errorf("%w: a 2.31 to another block than the one sent", ErrBlocks)
		case !block.More, resp.Code != Continue && (Class(resp.Code) != 2 || !has || b.Num != block.Num):
			return resp, nil
		}
		offset += len(payload)
		size = min(size, b.Size) // never up again; offset stays a multiple of it
	}
}

// part is the request for one block of a body.
func (c *BlockCaller) part(req *Message, block Block, payload []byte) *Message {
	m := Clone(req)
	m.Payload = payload
	AddOption(m, OptionBlock1, block.Encode())
	if block.Num == 0 {
		AddUint(m, OptionSize1, uint32(len(req.Payload)))
	}
	if !block.More && c.limits.Early {
		AddOption(m, OptionBlock2, Block{Size: c.limits.Size}.Encode())
	}
	return m
}

// Rest completes a response to req, or a notification, of which first is the first
// block. again says that the body has changed meanwhile and the request may be
// repeated; err wraps [ErrBlocks] then. RFC 7959, Sections 2.4 and 2.6.
func (c *BlockCaller) Rest(ctx context.Context, req, first *Message) (whole *Message, again bool, err error) {
	ctx = WithBlocks(ctx)
	b, has, err := BlockOption(first, OptionBlock2)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrBlocks, err)
	}
	whole = Clone(first)
	RemoveOption(whole, OptionBlock1)
	RemoveOption(whole, OptionBlock2)
	if !has {
		return whole, false, nil
	}
	RemoveOption(whole, OptionSize2)
	safe := req.Code == GET || req.Code == FETCH
	body := bytes.Clone(first.Payload)
	for resp := first; ; {
		switch {
		case b.offset()+len(resp.Payload) != len(body), len(resp.Payload) > b.Size, b.More && len(resp.Payload) != b.Size:
			return nil, false, fmt.Errorf("%w: block %d is out of place", ErrBlocks, b.Num)
		case len(body) > c.limits.MaxBody:
			return nil, false, fmt.Errorf("%w: a body of more than %d bytes", ErrBlocks, c.limits.MaxBody)
		case !b.More:
			whole.Payload = body
			return whole, false, nil
		}
		resp, err = c.caller.Call(ctx, c.next(req, len(body), b.Size))
		if err != nil {
			return nil, false, err
		}
		b, has, err = BlockOption(resp, OptionBlock2)
		if err != nil || !has || resp.Code != first.Code || !bytes.Equal(GetOption(resp, OptionETag), GetOption(first, OptionETag)) {
			return nil, safe, changed(resp)
		}
		body = append(body, resp.Payload...)
	}
}

// next is the request for the block at offset. RFC 7959, Section 2.4; RFC 9175,
// Section 3.4.
func (c *BlockCaller) next(req *Message, offset, size int) *Message {
	size = min(size, c.limits.Size)
	m := Clone(req)
	m.Payload = nil
	RemoveOption(m, OptionObserve)
	AddOption(m, OptionBlock2, Block{Num: uint32(offset / size), Size: size}.Encode())
	return m
}

// changed says that a response does not continue the ones before.
func changed(resp *Message) error {
	if err := CheckResponse(resp); err != nil {
		return fmt.Errorf("%w: %w", ErrBlocks, err)
	}
	return fmt.Errorf("%w: the body has changed", ErrBlocks)
}
