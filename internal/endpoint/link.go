package endpoint

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"lamplighter/internal/coap"
)

// Times of a [Link].
const (
	dialTimeout  = 10 * time.Second
	firstBackOff = 250 * time.Millisecond
	longBackOff  = 10 * time.Second
	pingInterval = 10 * time.Second // how soon a silent death is noticed
	pingTimeout  = 5 * time.Second
	linkPatience = 3 * time.Second // how long an exchange waits for the link to come up
)

// LinkState is how the connection to the bridge is doing.
type LinkState struct {
	Up     bool
	RTT    time.Duration // of the last ping
	Reason error         // why it is down: wraps [ErrSignedOut], [ErrRevoked] or [coap.ErrLink]
}

// Link is a connection to the bridge that comes back: it redials with back-off,
// but when the access was revoked it waits for [Link.Kick].
// It implements [coap.Exchanger]; while it is down, exchanges wait a little and
// then fail with [coap.ErrLink]. What was under way when it broke fails as well:
// only its caller knows whether it may be repeated.
type Link struct {
	dial   func(ctx context.Context) (*WS, error)
	events func(LinkState)
	ctx    context.Context
	cancel context.CancelFunc
	kick   chan struct{}
	over   chan struct{} // closed when the loop has ended

	mu    sync.Mutex
	ws    *WS // nil while down
	state LinkState
	up    chan struct{} // closed when ws is there; replaced when it breaks
}

// NewLink keeps a connection that dial makes, from now on. events, which may be
// nil, hears every change; its calls do not overlap.
func NewLink(dial func(ctx context.Context) (*WS, error), events func(LinkState)) *Link {
	l := &Link{
		dial: dial, events: events,
		kick: make(chan struct{}, 1), over: make(chan struct{}), up: make(chan struct{}),
		state: LinkState{Reason: coap.ErrLink},
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	go l.run()
	return l
}

// State returns how the link is doing.
func (l *Link) State() LinkState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// Kick redials now instead of at the end of the back-off: somebody has signed
// in, or the browser is on-line again.
func (l *Link) Kick() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// Close ends the link for good.
func (l *Link) Close() error {
	l.cancel()
	<-l.over
	return nil
}

// run dials, watches, and dials again.
func (l *Link) run() {
	defer close(l.over)
	backOff := firstBackOff
	for l.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(l.ctx, dialTimeout)
		ws, err := l.dial(ctx)
		cancel()
		if err == nil {
			backOff = firstBackOff
			err = l.watch(ws)
		}
		if l.ctx.Err() != nil {
			l.set(nil, LinkState{Reason: fmt.Errorf("%w: closed", coap.ErrLink)})
			return
		}
		l.set(nil, LinkState{Reason: err})
		again := time.After(backOff/2 + rand.N(backOff/2))
		if errors.Is(err, ErrRevoked) {
			again = nil // asking does not help; signing in with a new invitation kicks
		}
		select {
		case <-l.ctx.Done():
		case <-l.kick:
			backOff = firstBackOff
		case <-again:
			backOff = min(2*backOff, longBackOff)
		}
	}
}

// watch pings until the connection has ended, and returns why.
func (l *Link) watch(ws *WS) error {
	for first := true; ; first = false {
		ctx, cancel := context.WithTimeout(l.ctx, pingTimeout)
		rtt, err := ws.Ping(ctx)
		cancel()
		switch {
		case l.ctx.Err() != nil:
			return ws.Close()
		case err != nil:
			ws.fail(err)
			return ws.Err()
		case first || l.State().RTT != rtt:
			l.set(ws, LinkState{Up: true, RTT: rtt})
		}
		select {
		case <-ws.Done():
			return ws.Err()
		case <-l.ctx.Done():
			return ws.Close()
		case <-time.After(pingInterval):
		}
	}
}

// set notes a change and tells of it.
func (l *Link) set(ws *WS, s LinkState) {
	l.mu.Lock()
	switch {
	case ws != nil && l.ws == nil:
		close(l.up)
	case ws == nil && l.ws != nil:
		l.up = make(chan struct{})
	}
	l.ws, l.state = ws, s
	l.mu.Unlock()
	if l.events != nil {
		l.events(s)
	}
}

// conn returns the connection and waits a little for it.
func (l *Link) conn(ctx context.Context) (*WS, error) {
	l.mu.Lock()
	if l.ws != nil && l.ws.Err() != nil { // it has just ended, and run has yet to notice
		l.state = LinkState{Reason: l.ws.Err()}
		l.ws, l.up = nil, make(chan struct{})
	}
	ws, up := l.ws, l.up
	l.mu.Unlock()
	if ws != nil {
		return ws, nil
	}
	patience := time.NewTimer(linkPatience)
	defer patience.Stop()
	select {
	case <-up:
	case <-patience.C:
	case <-ctx.Done():
	case <-l.over:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ws != nil {
		return l.ws, nil
	}
	if errors.Is(l.state.Reason, coap.ErrLink) {
		return nil, l.state.Reason
	}
	return nil, fmt.Errorf("%w: %w", coap.ErrLink, l.state.Reason)
}

// Exchange implements [coap.Exchanger].
func (l *Link) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	ws, err := l.conn(ctx)
	if err != nil {
		return nil, err
	}
	return ws.Exchange(ctx, to, req)
}

// Multicast implements [coap.Exchanger].
func (l *Link) Multicast(ctx context.Context, to netip.AddrPort, req *coap.Message, wait time.Duration, each func(*coap.Message, netip.AddrPort)) error {
	ws, err := l.conn(ctx)
	if err != nil {
		return err
	}
	return ws.Multicast(ctx, to, req, wait, each)
}

// Drain implements [coap.Drainer].
func (l *Link) Drain(ctx context.Context) error {
	ws, err := l.conn(ctx)
	if err != nil {
		return err
	}
	return ws.Drain(ctx)
}

// Observe implements [coap.Observer]. An observation ends with the connection
// that it was made over: only its owner knows how to renew it.
func (l *Link) Observe(ctx context.Context, to netip.AddrPort, req *coap.Message, each func(*coap.Message, error)) (coap.Observation, error) {
	ws, err := l.conn(ctx)
	if err != nil {
		return nil, err
	}
	return ws.Observe(ctx, to, req, each)
}
