//go:build !js

package endpoint

import (
	"context"
	"fmt"
	"net/http"

	"nhooyr.io/websocket" // the client's only import of it: frozen, continues as github.com/coder/websocket

	"lamplighter/internal/coap"
)

// wsConn is a WebSocket that carries binary messages.
type wsConn struct{ ws *websocket.Conn }

// dialWebSocket opens a WebSocket with the subprotocol coap and a bearer token
// (RFC 6750, Section 2.1). RFC 8323, Section 4.1. The status is that of the
// handshake's HTTP response, 0 when there was none.
func dialWebSocket(ctx context.Context, url string, opts WSOptions) (conn *wsConn, status int, err error) {
	o := &websocket.DialOptions{Subprotocols: []string{coap.WSSubprotocol}}
	if opts.Token != "" {
		o.HTTPHeader = http.Header{"Authorization": {"Bearer " + opts.Token}}
	}
	ws, resp, err := websocket.Dial(ctx, url, o)
	if err != nil {
		if resp != nil {
			status = resp.StatusCode
		}
		return nil, status, err
	}
	ws.SetReadLimit(int64(opts.MaxMessage))
	conn = &wsConn{ws}
	if ws.Subprotocol() != coap.WSSubprotocol {
		go conn.close("")
		return nil, 0, errNotCoAP
	}
	return conn, 0, nil
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

// close waits for the other side, but not for long.
func (c *wsConn) close(reason string) { _ = c.ws.Close(websocket.StatusNormalClosure, reason) }
