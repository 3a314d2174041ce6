package proxy

import (
	"context"
	"errors"
	"net/http"
	"time"

	"nhooyr.io/websocket" // the bridge's only import of it: frozen, continues as github.com/coder/websocket

	"lamplighter/internal/coap"
)

const writeTimeout = 10 * time.Second

// Close codes. RFC 6455, Section 7.4.1.
const (
	closeNormal   = int(websocket.StatusNormalClosure)
	closeGoing    = int(websocket.StatusGoingAway)
	closeProtocol = int(websocket.StatusProtocolError)
)

var errNotBinary = errors.New("a text frame")

// socket is a WebSocket that carries binary messages.
type socket struct{ ws *websocket.Conn }

// accept upgrades an HTTP request whose origin was checked. Without the
// subprotocol coap there is no common language.
func accept(w http.ResponseWriter, r *http.Request, maxMessage int) (*socket, error) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:       []string{coap.WSSubprotocol},
		InsecureSkipVerify: true, // the origin was checked, by our own list
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, err
	}
	if ws.Subprotocol() != coap.WSSubprotocol {
		_ = ws.Close(websocket.StatusPolicyViolation, "the subprotocol is coap")
		return nil, errors.New("no subprotocol coap")
	}
	ws.SetReadLimit(int64(maxMessage))
	return &socket{ws}, nil
}

// read returns the next message; one goroutine reads.
func (s *socket) read() ([]byte, error) {
	typ, b, err := s.ws.Read(context.Background())
	if err == nil && typ != websocket.MessageBinary {
		return nil, errNotBinary
	}
	return b, err
}

// write sends a message. Several goroutines may write.
func (s *socket) write(b []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	return s.ws.Write(ctx, websocket.MessageBinary, b)
}

// close says why and waits a little for the other side.
func (s *socket) close(code int, reason string) { _ = s.ws.Close(websocket.StatusCode(code), reason) }

// cut closes without a word.
func (s *socket) cut() { _ = s.ws.CloseNow() }
