//go:build js && wasm

package main

import (
	"context"
	"errors"
	"sync"

	"lamplighter/internal/coap"
	"lamplighter/internal/commission"
	"lamplighter/internal/endpoint"
)

// dialer opens connections to the bridge that served the page. It does nothing
// before somebody has signed in.
type dialer struct {
	base   string
	engine *commission.Engine
	link   *endpoint.Link

	once  sync.Once
	begun chan struct{}
}

func newDialer(base string) *dialer { return &dialer{base: base, begun: make(chan struct{})} }

// begin lets connections be opened.
func (d *dialer) begin() { d.once.Do(func() { close(d.begun) }) }

// signIn trades an access code for the session's cookie.
func (d *dialer) signIn(ctx context.Context, code string) error {
	if _, err := endpoint.SignIn(ctx, d.base, code); err != nil {
		return err
	}
	d.begin()
	d.link.Kick()
	return nil
}

// dial opens a connection. A session that has ended is renewed with the access
// code that the engine keeps.
func (d *dialer) dial(ctx context.Context) (*endpoint.WS, error) {
	select {
	case <-d.begun:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ws, err := endpoint.DialExplained(ctx, d.base, endpoint.WSOptions{})
	if !errors.Is(err, endpoint.ErrSignedOut) || d.engine.SignInAgain(ctx) != nil {
		return ws, err
	}
	return endpoint.DialExplained(ctx, d.base, endpoint.WSOptions{})
}

// sentence tells a person why the link is down and what to do.
func sentence(reason error) string {
	switch {
	case reason == nil, errors.Is(reason, context.DeadlineExceeded) && !errors.Is(reason, coap.ErrLink):
		return ""
	case errors.Is(reason, endpoint.ErrSignedOut):
		return "This browser is not signed in at the bridge. Open an invitation link."
	}
	return "The bridge is not reachable. Check the network; work goes on by itself when it is back."
}
