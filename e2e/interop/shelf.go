package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
)

// shelf is our server: it keeps what is put, gives back what is posted, and
// notifies of what comes from next.
type shelf struct {
	observers *coap.Observers
	gone      chan struct{} // closed when an observer has cancelled

	mu    sync.Mutex
	state []byte
	seen  map[int]bool // block sizes that requests asked for
	asked int          // further blocks that were asked for
}

func (l *lab) newShelf() (*shelf, netip.AddrPort, error) {
	s := &shelf{observers: coap.NewObservers(4), gone: make(chan struct{}), state: []byte("off"), seen: map[int]bool{}}
	blocks := coap.NewBlockServer(coap.BlockLimits{MaxBody: blockRoom}, time.Now)
	udp, err := endpoint.ListenUDP(loopback, s.count(blocks.Wrap(s)), endpoint.UDPOptions{})
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	l.later(func() { _ = udp.Close() })
	return s, udp.Addr(), nil
}

// sized notes the block sizes of requests on their way to a handler.
type sized struct {
	coap.Handler
	shelf *shelf
}

func (s *shelf) count(h coap.Handler) coap.Handler { return &sized{h, s} }

// Understands implements what [coap.Understands] looks for.
func (c *sized) Understands(id coap.OptionID) bool { return coap.Understands(c.Handler, id) }

// Serve implements [coap.Handler].
func (c *sized) Serve(ctx context.Context, req *coap.Request) *coap.Message {
	for _, id := range []coap.OptionID{coap.OptionBlock1, coap.OptionBlock2} {
		if b, has, err := coap.BlockOption(req.Message, id); has && err == nil {
			c.shelf.mu.Lock()
			c.shelf.seen[b.Size] = true
			if id == coap.OptionBlock2 && b.Num > 0 {
				c.shelf.asked++
			}
			c.shelf.mu.Unlock()
		}
	}
	return c.Handler.Serve(ctx, req)
}

// Serve implements [coap.Handler].
func (s *shelf) Serve(_ context.Context, req *coap.Request) *coap.Message {
	if coap.Path(req.Message) != "/light" {
		return coap.Problem(coap.NotFound, "")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch req.Code {
	case coap.PUT:
		s.state = bytes.Clone(req.Payload)
		return coap.Respond(coap.Changed, coap.NoFormat, nil)
	case coap.GET:
		before := s.observers.Len()
		resp := s.observers.Register(time.Now(), req, coap.Respond(coap.Content, coap.FormatText, s.state))
		if before > s.observers.Len() {
			close(s.gone)
		}
		return resp
	}
	return coap.Respond(coap.Content, coap.FormatText, req.Payload)
}

// set changes the state and tells who observes.
func (s *shelf) set(state []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
	s.observers.Notify(time.Now(), func(*coap.Request) *coap.Message {
		return coap.Respond(coap.Content, coap.FormatText, state)
	})
}

// furtherBlocks says how many blocks but the first ones were asked for.
func (s *shelf) furtherBlocks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// holds checks what the shelf has.
func (s *shelf) holds(body []byte, blockSize int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !bytes.Equal(s.state, body) {
		return fmt.Errorf("we hold %d bytes, not the %d that were sent", len(s.state), len(body))
	}
	if blockSize > 0 && !s.seen[blockSize] {
		return fmt.Errorf("no blocks of %d bytes came", blockSize)
	}
	return nil
}

// text is a body of n bytes of which no two blocks are the same.
func text(n int) []byte {
	var b []byte
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "line %d of what is large\n", i)
	}
	return b[:n]
}
