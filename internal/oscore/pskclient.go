package oscore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"

	"lamplighter/internal/coap"
)

// handshakes bounds how often one call may be told to start anew.
const handshakes = 4

// errNoSession says that the protocol did not come to an end.
var errNoSession = errors.New("no session could be established")

// PSKClient makes requests in a session on a pre-shared secret, which it
// establishes at the first request and again when the server lost it. It is
// safe for concurrent use and implements [coap.Caller].
type PSKClient struct {
	psk  PSK
	ex   coap.Exchanger
	rand io.Reader

	// establishing is held (one element) by the call that runs the protocol; the
	// others wait for it, as parallel runs would undo each other.
	establishing chan struct{}

	mu       sync.Mutex
	to       netip.AddrPort
	current  *session
	watching map[*pskObservation]struct{}
}

// session is a context of the client and whether the server answered in it.
type session struct {
	context   *Context
	confirmed bool
}

// NewPSKClient makes a client without a session. rand must be good: with
// repeated nonces, keys repeat.
func NewPSKClient(psk PSK, ex coap.Exchanger, to netip.AddrPort, rand io.Reader) *PSKClient {
	return &PSKClient{psk: psk, ex: ex, rand: rand, to: to, establishing: make(chan struct{}, 1)}
}

// SetPeer changes the address of the server; the session stays.
func (c *PSKClient) SetPeer(to netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.to = to
}

// Call sends req and returns the response inside. The request is sent again
// when the server shows that it did not act on it: by a response #1, which is
// protected, or by a 4.01 without protection, which an attacker could forge. An
// answer without protection that remains gives an [*UnprotectedError].
func (c *PSKClient) Call(ctx context.Context, req *coap.Message) (*coap.Message, error) {
	for range handshakes {
		s := c.session()
		var lost answer
		if s != nil && s.confirmed {
			a, err := c.exchange(ctx, s, req)
			if err == nil && a.r2 == nil {
				return a.resp, nil
			}
			if err != nil && !errors.Is(err, coap.ErrNoContext) {
				return nil, err
			}
			lost = a
		}
		resp, err := c.establish(ctx, req, s, lost.r2)
		if err != nil || resp != nil {
			return resp, err
		}
	}
	return nil, errNoSession
}

// session returns a copy of the current session, nil when there is none.
func (c *PSKClient) session() *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil {
		return nil
	}
	s := *c.current
	return &s
}

// establish runs the protocol until req is answered. It returns nothing when
// another call established a session meanwhile. seen is the session that the
// caller found, r2 what the server answered in it, if it did.
func (c *PSKClient) establish(ctx context.Context, req *coap.Message, seen *session, r2 []byte) (*coap.Message, error) {
	select {
	case c.establishing <- struct{}{}:
		defer func() { <-c.establishing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s := c.session()
	if s != nil && s.confirmed {
		if seen == nil || !seen.confirmed || s.context != seen.context {
			return nil, nil
		}
		s = nil // it is the lost one
	}
	return c.run(ctx, req, s, r2)
}

// run goes on with the run of s, answers r2, or begins a new run when there is
// neither.
func (c *PSKClient) run(ctx context.Context, req *coap.Message, s *session, r2 []byte) (*coap.Message, error) {
	var err error
	for range handshakes {
		begun := false
		switch {
		case r2 != nil:
			s, err = c.next(r2)
		case s == nil:
			s, err = c.begin()
			begun = true
		}
		if err != nil {
			return nil, err
		}
		a, err := c.exchange(ctx, s, req)
		switch {
		case errors.Is(err, coap.ErrNoContext) && !begun:
			s, r2 = nil, nil // perhaps it knows the secret, but not this run
			continue
		case err != nil:
			return nil, err
		case a.r2 == nil:
			c.confirm(s)
			return a.resp, nil
		}
		r2 = a.r2
	}
	return nil, errNoSession
}

// begin makes the context of a request #1.
func (c *PSKClient) begin() (*session, error) {
	r1, err := random(c.rand, sizeR1)
	if err != nil {
		return nil, err
	}
	return c.install(r1)
}

// next makes the context of a request #2.
func (c *PSKClient) next(r2 []byte) (*session, error) {
	r3, err := random(c.rand, sizeR3)
	if err != nil {
		return nil, err
	}
	return c.install(concat(r2, r3))
}

func (c *PSKClient) install(id []byte) (*session, error) {
	context, err := c.psk.client(id)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = &session{context: context}
	return &session{context: context}, nil
}

// confirm notes that the server answered in a session. Observations that were
// registered in an earlier one follow.
func (c *PSKClient) confirm(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil || c.current.context != s.context {
		return
	}
	c.current.confirmed = true
	for o := range c.watching {
		go o.again()
	}
}

// answer is a response in the session, or the R2 of a response #1.
type answer struct {
	resp *coap.Message
	r2   []byte
}

func (c *PSKClient) exchange(ctx context.Context, s *session, req *coap.Message) (answer, error) {
	c.mu.Lock()
	to := c.to
	outer, b, err := s.context.ProtectRequest(req)
	c.mu.Unlock()
	if err != nil {
		return answer{}, err
	}
	outerResp, err := c.ex.Exchange(ctx, to, outer)
	if err != nil {
		return answer{}, err
	}
	if !IsProtected(outerResp) {
		return answer{}, &UnprotectedError{Response: outerResp}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open(ctx, s, outerResp, b)
}

// open opens a response in the session, or a response #1 under the context R2 |
// ID of the request. RFC 8613, Appendix B.2, steps 3 and 5.
func (c *PSKClient) open(ctx context.Context, s *session, outer *coap.Message, b *Binding) (answer, error) {
	o, err := MessageOption(outer)
	if err != nil {
		return answer{}, err
	}
	if o.KIDContext == nil || bytes.Equal(o.KIDContext, s.context.kidContext) {
		resp, err := s.context.UnprotectResponse(outer, b)
		if err == nil {
			err = coap.CheckResponseOptions(ctx, resp)
		}
		return answer{resp: resp}, err
	}
	r2, ok := unwrapID(o.KIDContext)
	if !ok || len(r2) == 0 || len(r2) > maxID1 {
		return answer{}, fmt.Errorf("%w: kid context of response #1", ErrDecode)
	}
	second, err := c.psk.client(concat(r2, s.context.idContext))
	if err != nil {
		return answer{}, err
	}
	resp, err := second.unprotectResponse(outer, o, b)
	if err != nil {
		return answer{}, err
	}
	if resp.Code != coap.Unauthorized {
		return answer{}, fmt.Errorf("%w: response #1 with code %v", ErrDecode, resp.Code)
	}
	return answer{r2: bytes.Clone(r2)}, nil
}
