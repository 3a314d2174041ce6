package endpoint

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"lamplighter/internal/coap"
)

// DefaultMaxMessage is the Max-Message-Size that we tell the bridge.
const DefaultMaxMessage = 64 << 10

const writeTimeout = 10 * time.Second

// Errors of a [WS].
var (
	// ErrSignedOut says that the bridge does not let us in: sign in again.
	ErrSignedOut = errors.New("not signed in at the bridge")
	// errNotCoAP says that the other side is no bridge.
	errNotCoAP = errors.New("the server does not speak CoAP over WebSockets")
	// ErrTooLarge says that a message is larger than the bridge takes.
	ErrTooLarge = errors.New("the message is larger than the bridge takes")
)

// WSOptions are the options of [DialWS].
type WSOptions struct {
	Token      string // bearer token from [SignIn]; ignored in a browser, which has a cookie
	MaxMessage int    // largest message taken, in bytes; default 64 KiB
}

// WS is a CoAP-over-WebSockets connection to the bridge (RFC 8323). It
// implements [coap.Exchanger] by asking the bridge to forward. It does not come
// back when it breaks; [Link] does.
type WS struct {
	conn *wsConn
	done chan struct{}
	csm  chan struct{} // closed by the bridge's first CSM

	mu        sync.Mutex
	calls     map[string]func(*coap.Message) // by token
	lastToken uint32
	told      []coap.Token // of requests that nobody waits for
	refused   error        // what the bridge said of one of them
	settings  coap.Settings
	ready     bool // the CSM has come
	leaving   bool // the bridge has sent Release
	err       error
}

// DialWS connects to a bridge, such as "ws://127.0.0.1:8080/.well-known/coap",
// and waits for its CSM. When the bridge refuses because nobody is signed in, the
// error wraps [ErrSignedOut]; in a browser only [SessionState] can tell.
func DialWS(ctx context.Context, url string, opts WSOptions) (*WS, error) {
	if opts.MaxMessage == 0 {
		opts.MaxMessage = DefaultMaxMessage
	}
	conn, status, err := dialWebSocket(ctx, url, opts)
	if status == statusUnauthorized {
		return nil, fmt.Errorf("opening the link: %w", ErrSignedOut)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the link: %w: %w", coap.ErrLink, err)
	}
	w := &WS{
		conn: conn, done: make(chan struct{}), csm: make(chan struct{}),
		calls: make(map[string]func(*coap.Message)), settings: coap.DefaultSettings,
	}
	if err := w.write(ctx, coap.NewCSM(uint32(opts.MaxMessage))); err != nil {
		w.fail(err)
		return nil, w.Err()
	}
	go w.readLoop()
	select {
	case <-w.csm:
		return w, nil
	case <-w.done:
		return nil, w.Err()
	case <-ctx.Done():
		w.fail(ctx.Err())
		return nil, w.Err()
	}
}

// Done is closed when the connection has ended; Err then says why.
func (w *WS) Done() <-chan struct{} { return w.done }

// Err says why the connection ended, an error that wraps [coap.ErrLink]; nil
// while it is open.
func (w *WS) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Close says goodbye and ends the connection. RFC 8323, Section 5.5.
func (w *WS) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = w.write(ctx, &coap.Message{Code: coap.Release})
	w.fail(errors.New("closed"))
	return nil
}

// fail ends the connection and everything under way; the first reason stays.
func (w *WS) fail(reason error) {
	w.mu.Lock()
	if w.err != nil {
		w.mu.Unlock()
		return
	}
	w.err = fmt.Errorf("%w: %w", coap.ErrLink, reason)
	w.calls = nil
	w.mu.Unlock()
	close(w.done)
	go w.conn.close("") // it waits for the other side
}

// abort tells the bridge what it did wrong before it fails. RFC 8323,
// Section 5.6.
func (w *WS) abort(bad coap.OptionID, reason error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = w.write(ctx, coap.NewAbort(bad, reason.Error()))
	w.fail(reason)
}

func (w *WS) write(ctx context.Context, m *coap.Message) error {
	b, err := coap.MarshalWS(m)
	if err != nil {
		return err
	}
	w.mu.Lock()
	limit, closed := w.settings.MaxMessageSize, w.err
	w.mu.Unlock()
	if closed != nil {
		return closed
	}
	if len(b) > int(limit) {
		return fmt.Errorf("%w: %d bytes of %d", ErrTooLarge, len(b), limit)
	}
	// A write that is interrupted breaks the WebSocket: the caller's context
	// must not do that.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	if err := w.conn.write(ctx, b); err != nil {
		w.fail(err)
		return w.Err()
	}
	return nil
}

func (w *WS) readLoop() {
	for {
		b, err := w.conn.read()
		if err != nil {
			w.fail(err)
			return
		}
		m, err := coap.UnmarshalWS(b)
		if err != nil {
			w.abort(0, err)
			return
		}
		if !w.ready && m.Code != coap.CSM {
			w.abort(0, errors.New("the first message is no CSM"))
			return
		}
		if coap.Class(m.Code) != 7 {
			w.receive(m)
		} else if !w.signal(m) {
			return
		}
	}
}

// signal handles a signaling message; false when the connection is over.
// RFC 8323, Section 5.
func (w *WS) signal(m *coap.Message) bool {
	if m.Code != coap.CSM {
		if bad, err := coap.SignalOption(m); err != nil {
			w.abort(bad, err)
			return false
		}
	}
	switch m.Code {
	case coap.CSM:
		w.mu.Lock()
		bad, err := w.settings.Apply(m)
		w.mu.Unlock()
		if err != nil {
			w.abort(bad, err)
			return false
		}
		if !w.ready {
			w.ready = true
			close(w.csm)
		}
	case coap.Ping:
		_ = w.write(context.Background(), &coap.Message{Code: coap.Pong, Token: m.Token})
	case coap.Pong:
		w.receive(m)
	case coap.Release:
		w.mu.Lock()
		w.leaving = true
		idle := len(w.calls) == 0
		w.mu.Unlock()
		if idle {
			w.fail(errors.New("the bridge is shutting down"))
			return false
		}
	case coap.Abort:
		w.fail(fmt.Errorf("the bridge broke off: %s", coap.CheckResponse(&coap.Message{Code: coap.BadRequest, Payload: m.Payload})))
		return false
	}
	return true
}

// receive hands a response to its call. Requests are refused, the rest is
// ignored.
func (w *WS) receive(m *coap.Message) {
	if coap.IsRequest(m.Code) {
		refusal := coap.Problem(coap.NotImplemented, "")
		refusal.Token = m.Token
		_ = w.write(context.Background(), refusal)
		return
	}
	w.mu.Lock()
	deliver := w.calls[string(m.Token)]
	w.mu.Unlock()
	if deliver != nil {
		deliver(m)
	}
}

// call registers deliver for responses under a new token; it runs in the reading
// goroutine.
func (w *WS) call(deliver func(*coap.Message)) (coap.Token, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return nil, w.err
	}
	if w.leaving {
		return nil, fmt.Errorf("%w: the bridge is shutting down", coap.ErrLink)
	}
	w.lastToken++ // never used twice in a connection's life
	token := binary.BigEndian.AppendUint32(nil, w.lastToken)
	w.calls[string(token)] = deliver
	return token, nil
}

// forget ends a call; the last one of a connection that the bridge releases ends
// that.
func (w *WS) forget(token coap.Token) {
	w.mu.Lock()
	delete(w.calls, string(token))
	over := w.leaving && len(w.calls) == 0
	w.mu.Unlock()
	if over {
		w.fail(errors.New("the bridge is shutting down"))
	}
}

// Ping asks the bridge for a sign of life and returns the round-trip time.
// RFC 8323, Section 5.4.
func (w *WS) Ping(ctx context.Context) (time.Duration, error) {
	started := time.Now()
	if err := w.ping(ctx, &coap.Message{Code: coap.Ping}); err != nil {
		return 0, err
	}
	return time.Since(started), nil
}

// ping sends m, a Ping, and waits for its Pong.
func (w *WS) ping(ctx context.Context, m *coap.Message) error {
	pong := make(chan struct{}, 1)
	token, err := w.call(func(*coap.Message) {
		select {
		case pong <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return err
	}
	defer w.forget(token)
	m.Token = token
	if err := w.write(ctx, m); err != nil {
		return err
	}
	select {
	case <-pong:
		return nil
	case <-w.done:
		return w.Err()
	case <-ctx.Done():
		return fmt.Errorf("waiting for the bridge: %w", ctx.Err())
	}
}
