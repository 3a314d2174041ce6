//go:build !js

package endpoint

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"lamplighter/internal/coap"
)

// UDPOptions are the options of [ListenUDP]; the zero value is a plain unicast
// endpoint.
type UDPOptions struct {
	Multicast  netip.AddrPort // group address and port to receive on as well
	Interface  string         // network interface of multicast traffic, both ways
	Leisure    time.Duration  // longest random delay before an answer to a group request
	Rand       io.Reader      // default crypto/rand
	Logger     *slog.Logger   // default: silence
	RecvBuffer int            // bytes of the sockets' receive buffers; default 4 MiB
}

// UDP is a CoAP endpoint on a UDP socket: server and client on the same port.
type UDP struct{}

// ListenUDP opens an endpoint at addr whose requests h answers; h may be nil.
func ListenUDP(addr netip.AddrPort, h coap.Handler, opts UDPOptions) (*UDP, error) {
	panic("not built yet")
}

// Addr returns the local address.
func (u *UDP) Addr() netip.AddrPort { panic("not built yet") }

// Close closes the sockets and fails what is under way.
func (u *UDP) Close() error { panic("not built yet") }

// Exchange implements [coap.Exchanger].
func (u *UDP) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	panic("not built yet")
}

// Multicast implements [coap.Exchanger].
func (u *UDP) Multicast(ctx context.Context, to netip.AddrPort, req *coap.Message, wait time.Duration, each func(*coap.Message, netip.AddrPort)) error {
	panic("not built yet")
}
