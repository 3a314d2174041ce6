package main

import (
	"context"

	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/oscore/group"
)

// exchanger asks and observes.
type exchanger interface {
	coap.Exchanger
	coap.Observer
}

// way is how our client gets to the peer's server.
type way func(ctx context.Context, l *lab, server *peer) (exchanger, error)

// overUDP: by datagrams.
func overUDP(_ context.Context, l *lab, _ *peer) (exchanger, error) { return l.newUDP() }

// throughProxy: by WebSocket to the peer's forward proxy, which takes
// Proxy-Scheme with Uri-Host and Uri-Port. (It answers Proxy-Uri with 5.01 and
// Multicast-Timeout with 4.02: there are no group requests through it.)
func throughProxy(ctx context.Context, l *lab, _ *peer) (exchanger, error) {
	forward, err := l.start(ctx, "proxy", peerConfig{})
	if err != nil {
		return nil, err
	}
	return l.dialWS(ctx, forward.WS)
}

// directly: by WebSocket to the server itself. Our client is made for a bridge:
// its requests carry Proxy-Scheme, Uri-Host and Uri-Port. They name the server's
// own UDP port here, and it must treat them as local. RFC 7252, Section 5.7.2.
func directly(ctx context.Context, l *lab, server *peer) (exchanger, error) {
	return l.dialWS(ctx, server.WS)
}

// dialWS connects us to a port of a peer, as to a bridge.
func (l *lab) dialWS(ctx context.Context, port uint16) (*endpoint.WS, error) {
	url := "ws://" + address(port).String() + coap.WSPath
	ws, err := endpoint.DialWS(ctx, url, endpoint.WSOptions{})
	if err != nil {
		return nil, err
	}
	l.later(func() { _ = ws.Close() })
	_, err = ws.Ping(ctx)
	return ws, err
}

// linkPlain: our client uses the peer's lamp without protection.
func linkPlain(by way) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		ex, server, err := l.plainLink(ctx, by)
		if err != nil {
			return err
		}
		return walk(ctx, byCaller(coap.To(ex, address(server.UDP)), plain), plain)
	}
}

// linkObserves: the same, observing.
func linkObserves(by way) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		ex, server, err := l.plainLink(ctx, by)
		if err != nil {
			return err
		}
		return observePlain(ctx, ex, server)
	}
}

func (l *lab) plainLink(ctx context.Context, by way) (exchanger, *peer, error) {
	server, err := l.start(ctx, "server", peerConfig{})
	if err != nil {
		return nil, nil, err
	}
	ex, err := by(ctx, l, server)
	return ex, server, err
}

// linkOSCORE: our client uses the peer's lamp with OSCORE from end to end.
func linkOSCORE(by way) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		pair, ex, server, err := l.oscoreLink(ctx, by)
		if err != nil {
			return err
		}
		client, err := pair.newClient(ex, server)
		if err != nil {
			return err
		}
		return walk(ctx, byCaller(client, single), single)
	}
}

// linkOSCOREObserves: the same, observing. aiocoap's fault: its proxy refuses to
// pass a deregistration on when it cannot see that it belongs to the
// registration, as under OSCORE. There our client only forgets.
func linkOSCOREObserves(by way, deregister bool) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		pair, ex, server, err := l.oscoreLink(ctx, by)
		if err != nil {
			return err
		}
		return pair.observe(ctx, ex, server, deregister)
	}
}

func (l *lab) oscoreLink(ctx context.Context, by way) (pair, exchanger, *peer, error) {
	pair := newPair(variant{})
	server, err := l.oscorePeer(ctx, pair, variant{})
	if err != nil {
		return pair, nil, nil, err
	}
	ex, err := by(ctx, l, server)
	return pair, ex, server, err
}

// linkGroup: the same in a group.
func linkGroup(by way, request, answer group.Mode) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		m, err := l.newAsking(ctx, encounter{algs: group.DefaultAlgorithms, request: request, answer: answer})
		if err != nil {
			return err
		}
		ex, err := by(ctx, l, m.server)
		if err != nil {
			return err
		}
		return walk(ctx, m.asker(ex), answer.String())
	}
}
