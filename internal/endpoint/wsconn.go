package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"nhooyr.io/websocket" // the client's only import of it: frozen, continues as github.com/coder/websocket

	"lamplighter/internal/coap"
)

type dialOptions = websocket.DialOptions

// errNotCoAP says that the other side is no bridge.
var errNotCoAP = errors.New("the server does not speak CoAP over WebSockets")

// wsConn is a WebSocket that carries binary messages.
type wsConn struct{ ws *websocket.Conn }

// dialWebSocket opens a WebSocket with the subprotocol coap. RFC 8323,
// Section 4.1. The status is that of the handshake's HTTP response, 0 when it is
// unknown: a browser does not tell.
func dialWebSocket(ctx context.Context, url string, opts WSOptions) (conn *wsConn, status int, err error) {
	o := &dialOptions{Subprotocols: []string{coap.WSSubprotocol}}
	setToken(o, opts.Token)
	type result struct {
		ws   *websocket.Conn
		resp *http.Response
		err  error
	}
	done := make(chan result, 1)
	go func() {
		ws, resp, err := websocket.Dial(dialContext(ctx), url, o)
		done <- result{ws, resp, err}
	}()
	select {
	case <-ctx.Done():
		go func() { // it may still open: a browser cannot stop dialling
			if r := <-done; r.err == nil {
				(&wsConn{r.ws}).close("")
			}
		}()
		return nil, 0, ctx.Err()
	case r := <-done:
		if r.err != nil {
			if r.resp != nil {
				status = r.resp.StatusCode
			}
			return nil, status, r.err
		}
		r.ws.SetReadLimit(int64(opts.MaxMessage))
		conn := &wsConn{r.ws}
		if r.ws.Subprotocol() != coap.WSSubprotocol {
			go conn.close("")
			return nil, 0, errNotCoAP
		}
		return conn, 0, nil
	}
}

// read returns the next message. One goroutine reads, for the life of the
// connection.
func (c *wsConn) read() ([]byte, error) {
	typ, b, err := c.ws.Read(context.Background())
	if err == nil && typ != websocket.MessageBinary {
		err = fmt.Errorf("%w: a text frame", coap.ErrDecode)
	}
	return b, err
}

func (c *wsConn) write(ctx context.Context, b []byte) error {
	return c.ws.Write(ctx, websocket.MessageBinary, b)
}

// close closes with the only code that a browser lets pages use. It waits for
// the other side, but not for long.
func (c *wsConn) close(reason string) { _ = c.ws.Close(websocket.StatusNormalClosure, reason) }
