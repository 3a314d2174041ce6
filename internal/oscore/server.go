package oscore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"weak"

	"lamplighter/internal/coap"
)

// Server finds the context of a request among many and opens it. It is safe for
// concurrent use and implements [coap.Opener].
type Server struct {
	// OnAccept, when not nil, is called for each accepted request before it is
	// acted on, with the window to make durable. When it fails the request is
	// dropped and answered with 5.03. It runs under the server's lock and must
	// not call the server. Set it before the first Open.
	OnAccept func(name string, w WindowState) error

	mu     sync.Mutex
	rand   io.Reader
	byName map[string]*served
	byKID  map[string][]*served
	shed   map[string]weak.Pointer[served] // by name
}

// served is one context with what it stands for.
type served struct {
	name    string
	data    any
	context *Context
	gone    bool // removed; only responses to what was accepted before go out
}

// NewServer makes a server without contexts. rand makes Echo values.
func NewServer(rand io.Reader) *Server {
	return &Server{rand: rand, byName: map[string]*served{}, byKID: map[string][]*served{}, shed: map[string]weak.Pointer[served]{}}
}

// Add adds a context, which the server then owns, or replaces the one of the
// same name. data comes back in [coap.Peer].
func (s *Server) Add(name string, data any, c *Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(name)
	if c.rand == nil {
		c.rand = s.rand
	}
	s.put(&served{name: name, data: data, context: c})
}

func (s *Server) put(e *served) {
	s.byName[e.name] = e
	kid := string(e.context.recipientID)
	s.byKID[kid] = append(s.byKID[kid], e)
}

// Remove forgets a context and ends the observations under it: a request that
// was accepted before is still answered, once.
func (s *Server) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(name)
}

func (s *Server) remove(name string) {
	if e := s.shed[name].Value(); e != nil {
		e.gone = true
	}
	delete(s.shed, name)
	if e := s.byName[name]; e != nil {
		e.gone = true
		s.take(e)
	}
}

// take takes a context off the list.
func (s *Server) take(e *served) {
	delete(s.byName, e.name)
	kid := string(e.context.recipientID)
	kept := []*served{}
	for _, other := range s.byKID[kid] {
		if other != e {
			kept = append(kept, other)
		}
	}
	if len(kept) == 0 {
		delete(s.byKID, kid)
	} else {
		s.byKID[kid] = kept
	}
}

// Open opens a request by kid and kid context; where several contexts match it
// is the one that verifies. Requests to a group address are for others. RFC
// 8613, Section 8.2.
func (s *Server) Open(_ context.Context, outer *coap.Request) (*coap.Opened, *coap.Message, error) {
	if outer.Multicast {
		return nil, nil, errNotMine
	}
	o, err := MessageOption(outer.Message)
	if err != nil {
		return nil, ErrorResponse(err), err
	}
	if o.Group {
		return nil, nil, errNotMine
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	refused := errNotMine
	for _, e := range s.byKID[string(o.KID)] {
		if !e.context.matches(o) {
			continue
		}
		opened, err := s.open(e, outer)
		if !errors.Is(err, ErrVerify) && !errors.Is(err, ErrReplay) {
			return opened, reply(err), err
		}
		if !errors.Is(refused, ErrReplay) {
			refused = err
		}
	}
	if errors.Is(refused, coap.ErrNoContext) {
		return nil, nil, refused
	}
	return nil, reply(refused), refused
}

// reply is what the protocol answers to an error.
func reply(err error) *coap.Message {
	if err == nil {
		return nil
	}
	if challenge, ok := errors.AsType[*EchoError](err); ok {
		return challenge.Challenge
	}
	return ErrorResponse(err)
}

func (s *Server) open(e *served, outer *coap.Request) (*coap.Opened, error) {
	req, b, err := e.context.UnprotectRequest(outer.Message)
	if err != nil {
		return nil, err
	}
	if s.OnAccept != nil {
		if err := s.OnAccept(e.name, e.context.Window()); err != nil {
			return nil, fmt.Errorf("storing the replay window: %w", err)
		}
	}
	return &coap.Opened{
		Message: req,
		Peer:    coap.Peer{Kind: coap.PeerACE, Name: e.name, KID: e.context.recipientID, Data: e.data},
		Seal: func(resp *coap.Message) (*coap.Message, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return e.context.protectWhile(!e.gone, resp, b)
		},
	}, nil
}
