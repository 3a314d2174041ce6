package endpoint

import (
	"context"
	"net/netip"
	"time"

	"lamplighter/internal/coap"
)

// WSOptions are the options of [DialWS].
type WSOptions struct {
	Token      string // bearer token from [SignIn]; ignored in a browser, which has a cookie
	MaxMessage int    // largest message taken, in bytes; default 64 KiB
}

// WS is a CoAP-over-WebSockets connection to the bridge. It implements
// [coap.Exchanger] by asking the bridge to forward.
type WS struct{}

// DialWS connects to a bridge, such as "ws://127.0.0.1:8080/.well-known/coap".
func DialWS(ctx context.Context, url string, opts WSOptions) (*WS, error) { panic("not built yet") }

// Done is closed when the connection has ended; Err then says why.
func (w *WS) Done() <-chan struct{} { panic("not built yet") }

// Err says why the connection ended; nil while it is open.
func (w *WS) Err() error { panic("not built yet") }

// Close ends the connection.
func (w *WS) Close() error { panic("not built yet") }

// Ping asks the bridge for a sign of life and returns the round-trip time.
func (w *WS) Ping(ctx context.Context) (time.Duration, error) { panic("not built yet") }

// Exchange implements [coap.Exchanger].
func (w *WS) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	panic("not built yet")
}

// Multicast implements [coap.Exchanger].
func (w *WS) Multicast(ctx context.Context, to netip.AddrPort, req *coap.Message, wait time.Duration, each func(*coap.Message, netip.AddrPort)) error {
	panic("not built yet")
}
