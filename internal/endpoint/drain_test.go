//go:build !js

package endpoint

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"lamplighter/internal/coap"
)

// Who ends finishes the answers under way, and sends everybody else on.
func TestDrain(t *testing.T) {
	loopback := netip.MustParseAddrPort("127.0.0.1:0")
	begun, goOn := make(chan struct{}), make(chan struct{})
	server, err := ListenUDP(loopback, coap.HandlerFunc(func(ctx context.Context, _ *coap.Request) *coap.Message {
		close(begun)
		select {
		case <-goOn:
			return coap.Respond(coap.Changed, coap.NoFormat, nil)
		case <-ctx.Done():
			return coap.Problem(coap.InternalServerError, "")
		}
	}), UDPOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	client, err := ListenUDP(loopback, nil, UDPOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ask := func() coap.Code {
		resp, err := client.Exchange(ctx, server.Addr(), coap.NewRequest(coap.POST, "/x", nil))
		if err != nil {
			t.Error(err)
			return 0
		}
		return resp.Code
	}
	first := make(chan coap.Code, 1)
	go func() { first <- ask() }()
	<-begun
	if server.Drain(20 * time.Millisecond) {
		t.Error("drained with an answer under way")
	}
	if code := ask(); code != coap.ServiceUnavailable {
		t.Errorf("a new request: %s", coap.CodeString(code))
	}
	drained := make(chan bool, 1)
	go func() { drained <- server.Drain(10 * time.Second) }()
	close(goOn)
	if code := <-first; code != coap.Changed {
		t.Errorf("the request under way: %s", coap.CodeString(code))
	}
	if !<-drained {
		t.Error("not drained")
	}
}
