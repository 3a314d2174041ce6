package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync/atomic"

	"lamplighter/bridge/proxy"
	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/oscore"
	"lamplighter/internal/oscore/group"
)

// crossing is our bridge with what crosses it.
type crossing struct {
	uri      string // for CoAP clients
	requests atomic.Int32
}

// newBridge starts our bridge on a free port. aiocoap's WebSocket client sends
// no Authorization header and so cannot sign in.
func (l *lab) newBridge() (*crossing, error) {
	c := &crossing{}
	server, err := proxy.New(proxy.Config{
		NoSignIn: true,
		Targets:  []netip.Prefix{netip.PrefixFrom(loopback.Addr(), 32)},
		Ports:    [][2]uint16{{1024, 65535}},
		Record: func(d proxy.Direction, _ netip.AddrPort, _ []byte) {
			if d == proxy.FromClient {
				c.requests.Add(1)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", loopback.String())
	if err != nil {
		return nil, err
	}
	c.uri = "coap+ws://" + listener.Addr().String()
	web := &http.Server{Handler: server}
	go func() { _ = web.Serve(listener) }() // until it is closed
	l.later(func() {
		_ = server.Close()
		_ = web.Close()
	})
	return c, nil
}

// walk does the exercise and checks that it went through the bridge.
func (c *crossing) walk(ctx context.Context, ask asker, mode string) error {
	if err := walk(ctx, ask, mode); err != nil {
		return err
	}
	if n := int(c.requests.Load()); n < len(exercise) {
		return fmt.Errorf("only %d messages went through the bridge", n)
	}
	return nil
}

// bridgePlain: the peer's client uses our lamp through our bridge.
func bridgePlain(ctx context.Context, l *lab) error {
	bridge, err := l.newBridge()
	if err != nil {
		return err
	}
	_, at, err := l.newLamp(coap.PeerNone, nil)
	if err != nil {
		return err
	}
	client, err := l.start(ctx, "client.py", peerConfig{Proxy: bridge.uri})
	if err != nil {
		return err
	}
	return bridge.walk(ctx, byPeer(client, at), plain)
}

// bridgeOSCORE: the same with OSCORE from end to end. aiocoap's fault that
// peers/faults.py steps round (DropsProxyOptions): it drops Proxy-Scheme and Uri-Port of
// a request that it protects.
func bridgeOSCORE(ctx context.Context, l *lab) error {
	bridge, err := l.newBridge()
	if err != nil {
		return err
	}
	pair := newPair(variant{})
	_, at, err := l.oscoreLamp(pair, variant{})
	if err != nil {
		return err
	}
	client, err := l.oscoreAsker(ctx, pair, bridge.uri)
	if err != nil {
		return err
	}
	return bridge.walk(ctx, byPeer(client, at), single)
}

// bridgeGroup: the same in a group, with the same fault stepped round.
func bridgeGroup(request, answer group.Mode) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		bridge, err := l.newBridge()
		if err != nil {
			return err
		}
		meeting, err := l.groupPair(ctx, encounter{
			algs: group.DefaultAlgorithms, request: request, answer: answer, proxy: bridge.uri,
		})
		if err != nil {
			return err
		}
		return bridge.walk(ctx, byPeer(meeting.client, meeting.at), answer.String())
	}
}

// newLink starts the peer's forward proxy and connects to it as to a bridge.
func (l *lab) newLink(ctx context.Context) (*endpoint.WS, error) {
	forward, err := l.start(ctx, "proxy.py", struct{}{})
	if err != nil {
		return nil, err
	}
	url := "ws://127.0.0.1:" + strconv.Itoa(int(forward.WS)) + coap.WSPath
	ws, err := endpoint.DialWS(ctx, url, endpoint.WSOptions{})
	if err != nil {
		return nil, err
	}
	l.later(func() { _ = ws.Close() })
	_, err = ws.Ping(ctx)
	return ws, err
}

// linkPlain: our client uses our lamp through the peer's forward proxy, which
// takes Proxy-Scheme with Uri-Host and Uri-Port (aiocoap answers Proxy-Uri with
// 5.01 and Multicast-Timeout with 4.02: there are no group requests here).
func linkPlain(ctx context.Context, l *lab) error {
	ws, err := l.newLink(ctx)
	if err != nil {
		return err
	}
	_, at, err := l.newLamp(coap.PeerNone, nil)
	if err != nil {
		return err
	}
	return walk(ctx, byCaller(unprotected{ws, at}, plain), plain)
}

// linkOSCORE: our client uses the peer's lamp through the peer's forward proxy,
// with OSCORE from end to end.
func linkOSCORE(ctx context.Context, l *lab) error {
	ws, err := l.newLink(ctx)
	if err != nil {
		return err
	}
	pair := newPair(variant{})
	_, to, err := l.oscorePeer(ctx, pair, variant{})
	if err != nil {
		return err
	}
	own, err := pair.context(false)
	if err != nil {
		return err
	}
	return walk(ctx, byCaller(oscore.NewClient(own, ws, to), single), single)
}

// linkGroup: the same in a group.
func linkGroup(request, answer group.Mode) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		ws, err := l.newLink(ctx)
		if err != nil {
			return err
		}
		m, err := l.newAsking(ctx, encounter{algs: group.DefaultAlgorithms, request: request, answer: answer})
		if err != nil {
			return err
		}
		return walk(ctx, m.asker(ws), answer.String())
	}
}
