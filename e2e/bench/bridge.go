package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"strings"
	"time"

	"lamplighter/bridge/proxy"
	"lamplighter/e2e/bench/rounds"
	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
)

const (
	rttRounds = 3000
	rttAim    = 0.3 // ms that the bridge may add
)

// bridgeRTT measures one small GET: a UDP client straight to a server, and a
// WebSocket client through the bridge to the same server, alternating. The
// reference of what the bridge adds is the aim.
func bridgeRTT() ([]result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	answer := coap.HandlerFunc(func(context.Context, *coap.Request) *coap.Message {
		return coap.Respond(coap.Content, -1, []byte("lit"))
	})
	server, err := endpoint.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"), answer, endpoint.UDPOptions{})
	if err != nil {
		return nil, err
	}
	defer server.Close()
	direct, err := endpoint.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"), nil, endpoint.UDPOptions{})
	if err != nil {
		return nil, err
	}
	defer direct.Close()
	through, closeBridge, err := dialBridge(ctx)
	if err != nil {
		return nil, err
	}
	defer closeBridge()
	var alone, bridged []float64
	for i := range rttRounds {
		a, err := roundTrip(ctx, direct, server.Addr())
		if err != nil {
			return nil, fmt.Errorf("direct round %d: %w", i, err)
		}
		b, err := roundTrip(ctx, through, server.Addr())
		if err != nil {
			return nil, fmt.Errorf("bridged round %d: %w", i, err)
		}
		alone, bridged = append(alone, a), append(bridged, b)
	}
	return []result{
		measured("bridge_rtt_added", rounds.Median(bridged)-rounds.Median(alone), "ms", rttAim),
		measured("bridge_rtt", rounds.Median(bridged), "ms", rounds.Median(alone)),
	}, nil
}

func dialBridge(ctx context.Context) (*endpoint.WS, func(), error) {
	bridge, err := proxy.New(proxy.Config{
		Access:      []proxy.Access{{Hash: sha256.Sum256([]byte("bench-bench-bench-bench"))}},
		Targets:     []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Ports:       [][2]uint16{{1024, 65535}},
		RequestRate: 1e6,
	})
	if err != nil {
		return nil, nil, err
	}
	web := httptest.NewServer(bridge)
	token, err := endpoint.SignIn(ctx, web.URL, "bench-bench-bench-bench")
	if err != nil {
		return nil, nil, err
	}
	ws, err := endpoint.DialWS(ctx, "ws"+strings.TrimPrefix(web.URL, "http")+coap.WSPath, endpoint.WSOptions{Token: token})
	return ws, func() { ws.Close(); bridge.Close(); web.Close() }, err
}

// roundTrip returns milliseconds.
func roundTrip(ctx context.Context, ex coap.Exchanger, to netip.AddrPort) (float64, error) {
	start := time.Now()
	_, err := ex.Exchange(ctx, to, coap.NewRequest(coap.GET, "/light", nil))
	return float64(time.Since(start)) / float64(time.Millisecond), err
}
