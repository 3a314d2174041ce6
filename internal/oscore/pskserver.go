package oscore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"lamplighter/internal/coap"
)

// Bounds on live sessions. The session that was idle longest makes room.
const (
	maxSessionsPerSecret = 8
	maxSessions          = 1024
)

// errHandshake says that a request was answered by the protocol and is not to
// be acted on.
var errHandshake = errors.New("establishing a session")

// PSKServer is the server of sessions on pre-shared secrets. It is safe for
// concurrent use and implements [coap.Opener].
type PSKServer struct {
	rand io.Reader
	now  func() time.Time

	mu      sync.Mutex
	byName  map[string]*secret
	byKID   map[string][]*secret
	clock   uint64 // counts uses, for the order of sessions
	session int    // live sessions of all secrets
}

// secret is a PSK with its sessions.
type secret struct {
	name     string
	psk      PSK
	data     any
	half     halfOpen
	sessions []*liveSession
}

// liveSession is a session in which a request #2 was verified.
type liveSession struct {
	context *Context
	used    uint64
	ended   bool // only responses to what was accepted before go out
}

// NewPSKServer makes a server without secrets.
func NewPSKServer(rand io.Reader, now func() time.Time) *PSKServer {
	return &PSKServer{rand: rand, now: now, byName: map[string]*secret{}, byKID: map[string][]*secret{}}
}

// Set adds a secret, or replaces the one of the same name; sessions stay when
// the secret is the same. data comes back in [coap.Peer].
func (s *PSKServer) Set(name string, psk PSK, data any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byName[name]; e != nil {
		if bytes.Equal(e.psk.KID, psk.KID) && bytes.Equal(e.psk.Secret, psk.Secret) && bytes.Equal(e.psk.Salt, psk.Salt) {
			e.data = data
			return
		}
		s.remove(e)
	}
	e := &secret{name: name, psk: psk, data: data}
	s.byName[name] = e
	s.byKID[string(psk.KID)] = append(s.byKID[string(psk.KID)], e)
}

// Remove forgets a secret and ends its sessions.
func (s *PSKServer) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byName[name]; e != nil {
		s.remove(e)
	}
}

func (s *PSKServer) remove(e *secret) {
	delete(s.byName, e.name)
	kid := string(e.psk.KID)
	s.byKID[kid] = slices.DeleteFunc(s.byKID[kid], func(other *secret) bool { return other == e })
	if len(s.byKID[kid]) == 0 {
		delete(s.byKID, kid)
	}
	s.session -= len(e.sessions)
	for _, live := range e.sessions {
		live.ended = true
	}
	e.sessions = nil
}

// Open opens a request of a live session, turns a request #2 into a session,
// and answers a request #1. Requests to a group address are for others. RFC
// 8613, Appendix B.2.
func (s *PSKServer) Open(_ context.Context, outer *coap.Request) (*coap.Opened, *coap.Message, error) {
	if outer.Multicast {
		return nil, nil, errNotMine
	}
	o, err := MessageOption(outer.Message)
	if err != nil {
		return nil, ErrorResponse(err), err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	candidates := s.byKID[string(o.KID)]
	if o.Group || o.KID == nil || len(candidates) == 0 {
		return nil, nil, errNotMine
	}
	id, ok := unwrapID(o.KIDContext)
	if !ok || len(id) < sizeR1 || len(id) > maxID1 {
		return nil, nil, errNotMine
	}
	for _, e := range candidates {
		opened, reply, err := s.open(e, outer, o.KIDContext, id)
		if !errors.Is(err, ErrVerify) {
			return opened, reply, err
		}
	}
	return nil, ErrorResponse(ErrVerify), ErrVerify
}

func (s *PSKServer) open(e *secret, outer *coap.Request, kidContext, id []byte) (*coap.Opened, *coap.Message, error) {
	for _, live := range e.sessions {
		if bytes.Equal(live.context.kidContext, kidContext) {
			req, b, err := live.context.UnprotectRequest(outer.Message)
			if err != nil {
				return nil, ErrorResponse(err), err
			}
			return s.opened(e, live, req, b), nil, nil
		}
	}
	// Whether it is request #1 or #2, its context is the one of this ID Context.
	context, err := e.psk.server(id)
	if err != nil {
		return nil, nil, err
	}
	req, b, err := context.UnprotectRequest(outer.Message)
	if err != nil {
		return nil, ErrorResponse(err), err
	}
	if len(id) == sizeR2+sizeR3 && e.half.made(id[:sizeR2], s.now()) {
		e.half.end() // a replay of this request #2 is then nothing but a request #1
		return s.opened(e, s.admit(e, context), req, b), nil, nil
	}
	reply, err := s.respond(e, req, b, id)
	if err != nil {
		return nil, ErrorResponse(err), err
	}
	return nil, reply, errHandshake
}

// respond makes response #1: a 4.01 under the context R2 | ID1. It has a
// Partial IV of its own, so that nobody needs to say which Common IV makes the
// nonce of the request. RFC 8613, Appendix B.2, step 2.
func (s *PSKServer) respond(e *secret, req *coap.Message, b *Binding, id []byte) (*coap.Message, error) {
	r2, err := e.half.make(s.rand, s.now())
	if err != nil {
		return nil, err
	}
	second, err := e.psk.server(concat(r2, id))
	if err != nil {
		return nil, err
	}
	resp := &coap.Message{Code: coap.Unauthorized, Token: req.Token, MessageID: req.MessageID, Type: req.Type}
	reply, err := second.protectResponse(resp, b, Option{KIDContext: wrapID(r2)})
	if err != nil {
		return nil, fmt.Errorf("protecting response #1: %w", err)
	}
	return reply, nil
}

// admit makes a session live and, when there are too many, ends the one that
// was idle longest: first of the same secret, then of all.
func (s *PSKServer) admit(e *secret, context *Context) *liveSession {
	if len(e.sessions) >= maxSessionsPerSecret {
		s.evict(e)
	}
	for s.session >= maxSessions {
		var idlest *secret
		for _, other := range s.byName {
			if len(other.sessions) > 0 && (idlest == nil || oldest(other) < oldest(idlest)) {
				idlest = other
			}
		}
		s.evict(idlest)
	}
	live := &liveSession{context: context}
	e.sessions = append(e.sessions, live)
	s.session++
	return live
}

func byUse(a, b *liveSession) int { return int(int64(a.used) - int64(b.used)) }

func oldest(e *secret) uint64 { return slices.MinFunc(e.sessions, byUse).used }

func (s *PSKServer) evict(e *secret) {
	idle := slices.MinFunc(e.sessions, byUse)
	idle.ended = true
	e.sessions = slices.DeleteFunc(e.sessions, func(l *liveSession) bool { return l == idle })
	s.session--
}

func (s *PSKServer) opened(e *secret, live *liveSession, req *coap.Message, b *Binding) *coap.Opened {
	s.clock++
	live.used = s.clock
	return &coap.Opened{
		Message: req,
		Peer:    coap.Peer{Kind: coap.PeerPSK, Name: e.name, KID: e.psk.KID, Data: e.data},
		Seal: func(resp *coap.Message) (*coap.Message, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return live.context.protectWhile(!live.ended, resp, b)
		},
	}
}
