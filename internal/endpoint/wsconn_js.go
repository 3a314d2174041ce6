package endpoint

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall/js"
	"time"

	"lamplighter/internal/coap"
)

// wsConn is the browser's own WebSocket. nhooyr.io/websocket wraps it too, but
// brings net/http and crypto/tls along, a fifth of the engine's size, and closes
// with codes that browsers refuse.
type wsConn struct {
	ws       js.Value
	handlers []js.Func

	mu     sync.Mutex
	queue  [][]byte
	text   bool          // a text frame came
	reason string        // why it closed
	news   chan struct{} // holds one when something may be queued
	opened chan struct{}
	closed chan struct{}
}

// dialWebSocket opens a WebSocket with the subprotocol coap. RFC 8323,
// Section 4.1. A browser tells nobody why a handshake failed: the status is
// always 0.
func dialWebSocket(ctx context.Context, url string, opts WSOptions) (conn *wsConn, status int, err error) {
	c := &wsConn{news: make(chan struct{}, 1), opened: make(chan struct{}), closed: make(chan struct{})}
	if c.ws, err = newWebSocket(url); err != nil {
		return nil, 0, err
	}
	c.ws.Set("binaryType", "arraybuffer")
	open := sync.OnceFunc(func() { close(c.opened) })
	c.listen("open", func(js.Value) { open() })
	c.listen("message", func(event js.Value) { c.receive(event.Get("data"), opts.MaxMessage) })
	c.listen("close", c.end)
	if c.ws.Get("readyState").Int() == readyOpen {
		open() // it opened before anybody listened
	}
	select {
	case <-c.opened:
	case <-c.closed:
		return nil, 0, errors.New("the WebSocket could not be opened")
	case <-ctx.Done():
		c.close("")
		return nil, 0, ctx.Err()
	}
	if c.ws.Get("protocol").String() != coap.WSSubprotocol {
		c.close("")
		return nil, 0, errNotCoAP
	}
	return c, 0, nil
}

// newWebSocket turns what the constructor throws, at an illegal address, into an
// error.
func newWebSocket(url string) (ws js.Value, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the WebSocket could not be made: %v", p)
		}
	}()
	return js.Global().Get("WebSocket").New(url, coap.WSSubprotocol), nil
}

func (c *wsConn) listen(event string, fn func(js.Value)) {
	f := js.FuncOf(func(_ js.Value, args []js.Value) any {
		fn(args[0])
		return nil
	})
	c.handlers = append(c.handlers, f)
	c.ws.Set("on"+event, f)
}

// receive queues a message; a larger one than we take, and a text, end the
// connection.
func (c *wsConn) receive(data js.Value, limit int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if data.Type() == js.TypeString {
		c.text = true
	} else {
		array := js.Global().Get("Uint8Array").New(data)
		if array.Length() > limit {
			c.reason = "a message was too large"
			c.ws.Call("close")
			return
		}
		b := make([]byte, array.Length())
		js.CopyBytesToGo(b, array)
		c.queue = append(c.queue, b)
	}
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// end notes why the connection closed and frees the handlers.
func (c *wsConn) end(event js.Value) {
	c.mu.Lock()
	if c.reason == "" {
		c.reason = fmt.Sprintf("closed with code %d", event.Get("code").Int())
	}
	c.mu.Unlock()
	for _, name := range []string{"onopen", "onmessage", "onclose"} {
		c.ws.Set(name, js.Null())
	}
	for _, f := range c.handlers {
		f.Release()
	}
	close(c.closed)
}

// read returns the next message. One goroutine reads, for the life of the
// connection.
func (c *wsConn) read() ([]byte, error) {
	for {
		c.mu.Lock()
		if len(c.queue) > 0 {
			b := c.queue[0]
			c.queue = c.queue[1:]
			c.mu.Unlock()
			return b, nil
		}
		text := c.text
		c.mu.Unlock()
		if text {
			return nil, fmt.Errorf("%w: a text frame", coap.ErrDecode)
		}
		select {
		case <-c.news:
		case <-c.closed:
			c.mu.Lock()
			defer c.mu.Unlock()
			return nil, errors.New(c.reason)
		}
	}
}

// readyOpen is WebSocket.OPEN.
const readyOpen = 1

// A browser takes everything and keeps it in memory: a writer waits while it has
// more than this, and looks that often.
const (
	maxBuffered  = 256 << 10
	bufferedStep = 5 * time.Millisecond
)

// write hands a message to the browser. It waits while the browser has too much
// that it could not send yet, at most until ctx ends.
func (c *wsConn) write(ctx context.Context, b []byte) error {
	for {
		if c.ws.Get("readyState").Int() != readyOpen {
			return errors.New("the WebSocket is not open")
		}
		if waiting := c.ws.Get("bufferedAmount"); waiting.Type() != js.TypeNumber || waiting.Int() <= maxBuffered {
			break
		}
		select {
		case <-time.After(bufferedStep):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	array := js.Global().Get("Uint8Array").New(len(b))
	js.CopyBytesToJS(array, b)
	c.ws.Call("send", array)
	return nil
}

// close closes with code 1000; other codes of the protocol a page may not use.
func (c *wsConn) close(string) { c.ws.Call("close") }
