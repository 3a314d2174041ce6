package main

import (
	"context"
	"strconv"

	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/oscore/group"
)

// way is how our WebSocket client gets to the peer: it connects to the port of
// a forward proxy, or of the server itself.
//
// Our client is made for a bridge: its requests carry Proxy-Scheme, Uri-Host and
// Uri-Port. Those of requests to the server itself name its own UDP port, and it
// must treat them as local. RFC 7252, Section 5.7.2.
type way func(context.Context, *lab, *peer) (port uint16, err error)

// Ways.
var (
	throughProxy way = func(ctx context.Context, l *lab, _ *peer) (uint16, error) {
		forward, err := l.start(ctx, "proxy.py", struct{}{})
		if err != nil {
			return 0, err
		}
		return forward.WS, nil
	}
	directly way = func(_ context.Context, _ *lab, server *peer) (uint16, error) {
		return server.WS, nil
	}
)

// newLink connects us to the peer by WebSocket, as to a bridge.
func (l *lab) newLink(ctx context.Context, by way, server *peer) (*endpoint.WS, error) {
	port, err := by(ctx, l, server)
	if err != nil {
		return nil, err
	}
	url := "ws://127.0.0.1:" + strconv.Itoa(int(port)) + coap.WSPath
	ws, err := endpoint.DialWS(ctx, url, endpoint.WSOptions{})
	if err != nil {
		return nil, err
	}
	l.later(func() { _ = ws.Close() })
	_, err = ws.Ping(ctx)
	return ws, err
}

// linkPlain: our client uses the peer's lamp without protection. aiocoap's
// forward proxy takes Proxy-Scheme with Uri-Host and Uri-Port (it answers
// Proxy-Uri with 5.01 and Multicast-Timeout with 4.02: there are no group requests
// here).
func linkPlain(by way) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		ws, server, err := l.plainLink(ctx, by)
		if err != nil {
			return err
		}
		return walk(ctx, byCaller(unprotected{ws, address(server.UDP)}, plain), plain)
	}
}

// linkObserves: the same, observing.
func linkObserves(by way) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		ws, server, err := l.plainLink(ctx, by)
		if err != nil {
			return err
		}
		return observePlain(ctx, ws, server)
	}
}

func (l *lab) plainLink(ctx context.Context, by way) (*endpoint.WS, *peer, error) {
	server, err := l.start(ctx, "server.py", peerConfig{})
	if err != nil {
		return nil, nil, err
	}
	ws, err := l.newLink(ctx, by, server)
	return ws, server, err
}

// linkOSCORE: our client uses the peer's lamp with OSCORE from end to end.
func linkOSCORE(by way) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		pair, ws, server, err := l.oscoreLink(ctx, by)
		if err != nil {
			return err
		}
		client, err := pair.newClient(ws, server)
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
		pair, ws, server, err := l.oscoreLink(ctx, by)
		if err != nil {
			return err
		}
		return pair.observe(ctx, ws, server, deregister)
	}
}

func (l *lab) oscoreLink(ctx context.Context, by way) (pair, *endpoint.WS, *peer, error) {
	pair := newPair(variant{})
	server, err := l.oscorePeer(ctx, pair, variant{})
	if err != nil {
		return pair, nil, nil, err
	}
	ws, err := l.newLink(ctx, by, server)
	return pair, ws, server, err
}

// linkGroup: the same in a group.
func linkGroup(by way, request, answer group.Mode) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		m, err := l.newAsking(ctx, encounter{algs: group.DefaultAlgorithms, request: request, answer: answer})
		if err != nil {
			return err
		}
		ws, err := l.newLink(ctx, by, m.server)
		if err != nil {
			return err
		}
		return walk(ctx, m.asker(ws), answer.String())
	}
}
