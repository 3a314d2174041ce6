//go:build !js

package endpoint

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
)

// repeater answers with what it is sent.
var repeater = coap.HandlerFunc(func(_ context.Context, req *coap.Request) *coap.Message {
	return coap.Respond(coap.Content, coap.NoFormat, req.Payload)
})

func body(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8)
	}
	return b
}

func TestBlocksOverUDP(t *testing.T) {
	ctx := context.Background()
	client := listen(t, loopback, nil, UDPOptions{Params: quick()})
	blocks := coap.NewBlockServer(coap.BlockLimits{}, time.Now)
	server := listen(t, loopback, blocks.Wrap(repeater), UDPOptions{Params: quick()})
	to := coap.To(client, server.Addr())
	want := body(9000)
	c := coap.NewBlockCaller(to, coap.BlockLimits{}, rand.Reader)
	if m, err := c.Call(ctx, coap.NewRequest(coap.POST, "/", want)); err != nil || !bytes.Equal(m.Payload, want) {
		t.Fatal(m, err)
	}
	// Who does not understand blocks gets no first block for the whole.
	if m, err := to.Call(ctx, coap.NewRequest(coap.POST, "/", want)); !errors.Is(err, coap.ErrDecode) {
		t.Error("a response in blocks:", m, err)
	}
	o := make(observer, 4)
	req := coap.NewRequest(coap.FETCH, "/", want)
	coap.AddUint(req, coap.OptionObserve, coap.ObserveRegister)
	if _, err := client.Observe(ctx, server.Addr(), req, o.each); err != nil {
		t.Fatal(err)
	}
	if h := o.next(t); !errors.Is(h.err, coap.ErrDecode) {
		t.Error("a notification in blocks:", h.m, h.err)
	}
	// A server without blocks refuses them.
	plain := listen(t, loopback, repeater, UDPOptions{Params: quick()})
	c = coap.NewBlockCaller(coap.To(client, plain.Addr()), coap.BlockLimits{}, rand.Reader)
	if m, err := c.Call(ctx, coap.NewRequest(coap.POST, "/", want)); err != nil || m.Code != coap.BadOption {
		t.Error("a server without blocks:", m, err)
	}
}

// pair makes an OSCORE client and puts its context into its server's opener.
func pair(t *testing.T, opener *oscore.Server, ex coap.Exchanger, to netip.AddrPort) *oscore.Client {
	t.Helper()
	secret := make([]byte, 16)
	_, _ = rand.Read(secret)
	ours, err := oscore.New(oscore.Params{MasterSecret: secret, SenderID: []byte{1}, RecipientID: []byte{2}})
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := oscore.New(oscore.Params{MasterSecret: secret, SenderID: []byte{2}, RecipientID: []byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	opener.Add("pair", nil, theirs)
	return oscore.NewClient(ours, ex, to)
}

// TestBlocksWithOSCORE has blocks inside OSCORE messages, and outside of them as a
// proxy makes them.
func TestBlocksWithOSCORE(t *testing.T) {
	ctx := context.Background()
	client := listen(t, loopback, nil, UDPOptions{Params: quick()})
	inner := coap.NewBlockServer(coap.BlockLimits{}, time.Now)
	outer := coap.NewOuterBlockServer(coap.BlockLimits{MaxBody: 4000}, time.Now)
	var largest atomic.Int64
	opener := oscore.NewServer(rand.Reader)
	server := listen(t, loopback, outer.Wrap(coap.Secure(inner.Wrap(repeater), opener)), UDPOptions{Params: quick(), Record: func(_ bool, _ netip.AddrPort, b []byte) {
		largest.Store(max(largest.Load(), int64(len(b))))
	}})
	caller := pair(t, opener, client, server.Addr())
	want := body(9000)
	c := coap.NewBlockCaller(caller, coap.BlockLimits{}, rand.Reader)
	if m, err := c.Call(ctx, coap.NewRequest(coap.POST, "/", want)); err != nil || !bytes.Equal(m.Payload, want) {
		t.Fatal(m, err)
	}
	if n := largest.Load(); n > 1200 {
		t.Errorf("a datagram has %d bytes", n)
	}

	// The exchanger of the next client is a proxy that makes outer blocks.
	proxy := &fragmenting{client, func(to netip.AddrPort) coap.Caller {
		return coap.NewBlockCaller(coap.To(client, to), coap.BlockLimits{Size: 256, Early: true}, rand.Reader)
	}}
	caller = pair(t, opener, proxy, server.Addr())
	largest.Store(0)
	want = body(1000)
	if m, err := caller.Call(ctx, coap.NewRequest(coap.POST, "/", want)); err != nil || !bytes.Equal(m.Payload, want) {
		t.Fatal(m, err)
	}
	if n := largest.Load(); n > 400 {
		t.Errorf("a datagram has %d bytes", n)
	}
	// Larger than MAX_UNFRAGMENTED_SIZE.
	var refused *coap.ResponseError
	if m, err := caller.Call(ctx, coap.NewRequest(coap.POST, "/", body(4001))); !errors.As(err, &refused) || refused.Code != coap.RequestEntityTooLarge {
		t.Error(m, err)
	}
}

// fragmenting is a proxy that sends OSCORE messages on in blocks.
type fragmenting struct {
	coap.Exchanger
	via func(netip.AddrPort) coap.Caller
}

func (f *fragmenting) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	return f.via(to).Call(ctx, req)
}
