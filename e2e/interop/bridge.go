package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"

	"lamplighter/bridge/proxy"
	"lamplighter/internal/coap"
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

// A meets starts a lamp of ours and the peer's client, which asks it through a
// forward proxy unless that is empty.
type meets func(ctx context.Context, l *lab, proxy string) (meeting, error)

// openMeets: without protection.
func openMeets(ctx context.Context, l *lab, proxy string) (m meeting, err error) {
	if m.lamp, m.at, err = l.newLamp(coap.PeerNone, nil); err != nil {
		return m, err
	}
	m.client, err = l.start(ctx, "client", peerConfig{Proxy: proxy})
	return m, err
}

// pairMeets: with OSCORE from end to end. aiocoap's fault that peers/faults.py
// steps round (DropsProxyOptions): it drops Proxy-Scheme and Uri-Port of a request
// that it protects.
func pairMeets(ctx context.Context, l *lab, proxy string) (m meeting, err error) {
	pair := newPair(variant{})
	if m.lamp, m.at, err = l.oscoreLamp(pair, variant{}); err != nil {
		return m, err
	}
	m.client, err = l.oscoreAsker(ctx, pair, proxy)
	return m, err
}

// groupMeets: in a group, with the same fault stepped round.
func groupMeets(request, answer group.Mode) meets {
	return func(ctx context.Context, l *lab, proxy string) (meeting, error) {
		return l.groupPair(ctx, encounter{
			algs: group.DefaultAlgorithms, request: request, answer: answer, proxy: proxy,
		})
	}
}

// bridged: the peer's client asks our lamp through our bridge.
func bridged(meet meets, mode string) func(context.Context, *lab) error {
	return acrossBridge(meet, func(ctx context.Context, m meeting) error {
		return walk(ctx, byPeer(m.client, m.at), mode)
	})
}

// bridgeObserved: the same, observing.
func bridgeObserved(meet meets, mode string) func(context.Context, *lab) error {
	return acrossBridge(meet, func(ctx context.Context, m meeting) error {
		return m.watched(ctx, mode, false)
	})
}

// acrossBridge checks that what is done goes through the bridge.
func acrossBridge(meet meets, do func(context.Context, meeting) error) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		bridge, err := l.newBridge()
		if err != nil {
			return err
		}
		m, err := meet(ctx, l, bridge.uri)
		if err != nil {
			return err
		}
		if err := do(ctx, m); err != nil {
			return err
		}
		if used, _ := m.lamp.counts(); used == 0 || int(bridge.requests.Load()) < used {
			return fmt.Errorf("only %d of %d requests went through the bridge", bridge.requests.Load(), used)
		}
		return nil
	}
}
