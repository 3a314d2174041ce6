package endpoint

import (
	"context"
	"net/netip"
	"time"

	"lamplighter/internal/coap"
)

// LinkState is how the connection to the bridge is doing.
type LinkState struct {
	Up     bool
	RTT    time.Duration // of the last ping
	Reason string        // why it is down, a sentence
}

// Link is a connection to the bridge that comes back: it redials with back-off.
// It implements [coap.Exchanger]; while it is down, exchanges wait a little and
// then fail with [coap.ErrLink].
type Link struct{}

// NewLink keeps a connection that dial makes. events, which may be nil, hears
// every change; its calls do not overlap.
func NewLink(dial func(ctx context.Context) (*WS, error), events func(LinkState)) *Link {
	panic("not built yet")
}

// State returns how the link is doing.
func (l *Link) State() LinkState { panic("not built yet") }

// Kick redials now instead of at the end of the back-off.
func (l *Link) Kick() { panic("not built yet") }

// Close ends the link for good.
func (l *Link) Close() error { panic("not built yet") }

// Exchange implements [coap.Exchanger].
func (l *Link) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	panic("not built yet")
}

// Multicast implements [coap.Exchanger].
func (l *Link) Multicast(ctx context.Context, to netip.AddrPort, req *coap.Message, wait time.Duration, each func(*coap.Message, netip.AddrPort)) error {
	panic("not built yet")
}
