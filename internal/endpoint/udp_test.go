//go:build !js

package endpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lamplighter/internal/coap"
)

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// quick shortens the message layer's times.
func quick() *coap.LayerParams {
	p := coap.DefaultLayerParams()
	p.AckTimeout, p.AckDelay, p.MaxRetransmit = 50*time.Millisecond, 30*time.Millisecond, 2
	return &p
}

func listen(t testing.TB, addr netip.AddrPort, h coap.Handler, opts UDPOptions) *UDP {
	t.Helper()
	u, err := ListenUDP(addr, h, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Close() })
	return u
}

// lamp answers on a few paths.
func lamp(ctx context.Context, req *coap.Request) *coap.Message {
	switch coap.Path(req.Message) {
	case "/echo":
		return coap.Respond(coap.Content, coap.FormatText, req.Payload)
	case "/slow":
		select {
		case <-time.After(80 * time.Millisecond):
		case <-ctx.Done():
		}
		return coap.Respond(coap.Content, coap.NoFormat, []byte("slow"))
	case "/silent":
		return nil
	case "/panic":
		panic("boom")
	case "/nonsense":
		return &coap.Message{}
	}
	return coap.Problem(coap.NotFound, "no")
}

func TestExchangeOverUDP(t *testing.T) {
	server := listen(t, loopback, coap.HandlerFunc(lamp), UDPOptions{Params: quick()})
	client := listen(t, loopback, nil, UDPOptions{Params: quick()})
	ctx := context.Background()
	for _, tc := range []struct {
		path string
		code coap.Code
	}{{"/echo", coap.Content}, {"/slow", coap.Content}, {"/none", coap.NotFound}, {"/panic", coap.InternalServerError}, {"/nonsense", coap.InternalServerError}} {
		m, err := client.Exchange(ctx, server.Addr(), coap.NewRequest(coap.GET, tc.path, []byte("x")))
		if err != nil || m.Code != tc.code {
			t.Errorf("%s: %v %v", tc.path, m, err)
		}
	}
	if _, err := client.Exchange(ctx, server.Addr(), coap.NewRequest(coap.GET, "/silent", nil)); !errors.Is(err, coap.ErrTimeout) {
		t.Errorf("silence: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if _, err := client.Exchange(short, server.Addr(), coap.NewRequest(coap.GET, "/slow", nil)); !errors.Is(err, coap.ErrTimeout) {
		t.Errorf("deadline: %v", err)
	}
	if _, err := server.Exchange(ctx, client.Addr(), coap.NewRequest(coap.GET, "/", nil)); !errors.Is(err, coap.ErrReset) {
		t.Errorf("a client that is asked: %v", err)
	}
	for _, id := range []coap.OptionID{coap.OptionProxyScheme, 9999} {
		req := coap.NewRequest(coap.GET, "/echo", nil)
		coap.AddOption(req, id, []byte("coap"))
		m, err := client.Exchange(ctx, server.Addr(), req)
		if err != nil || m.Code != coap.BadOption && m.Code != coap.ProxyingNotSupported {
			t.Errorf("option %d: %v %v", id, m, err)
		}
	}
	quiet := coap.NewRequest(coap.GET, "/none", nil)
	coap.AddUint(quiet, coap.OptionNoResponse, 8)
	if m, err := client.Exchange(ctx, server.Addr(), quiet); !errors.Is(err, coap.ErrTimeout) {
		t.Errorf("No-Response: %v %v", m, err)
	}
	client.mu.Lock()
	defer client.mu.Unlock()
	if len(client.calls) != 0 {
		t.Errorf("%d calls stay behind", len(client.calls))
	}
}

func TestConcurrentExchanges(t *testing.T) {
	server := listen(t, loopback, coap.HandlerFunc(lamp), UDPOptions{})
	client := listen(t, loopback, nil, UDPOptions{})
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			want := fmt.Append(nil, i)
			m, err := client.Exchange(context.Background(), server.Addr(), coap.NewRequest(coap.POST, "/echo", want))
			if err != nil || !bytes.Equal(m.Payload, want) {
				t.Errorf("%d: %v %v", i, m, err)
			}
		})
	}
	wg.Wait()
}

func TestCloseFailsWhatIsUnderWay(t *testing.T) {
	server := listen(t, loopback, coap.HandlerFunc(lamp), UDPOptions{})
	client := listen(t, loopback, nil, UDPOptions{})
	done := make(chan error)
	go func() {
		_, err := client.Exchange(context.Background(), server.Addr(), coap.NewRequest(coap.GET, "/silent", nil))
		done <- err
	}()
	time.Sleep(20 * time.Millisecond)
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if _, err := client.Exchange(context.Background(), server.Addr(), coap.NewRequest(coap.GET, "/", nil)); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// Random, truncated and oversized datagrams are survived.
func TestGarbage(t *testing.T) {
	server := listen(t, loopback, coap.HandlerFunc(lamp), UDPOptions{})
	client := listen(t, loopback, nil, UDPOptions{})
	raw, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 2000 {
		b := make([]byte, rng.IntN(80))
		if i%100 == 0 {
			b = make([]byte, 60000)
		}
		for j := range b {
			b[j] = byte(rng.Uint32())
		}
		if len(b) > 0 && i%2 == 0 {
			b[0] = 0x40 | b[0]&0x3f // the right version
		}
		_, _ = raw.Write(b)
	}
	m, err := client.Exchange(context.Background(), server.Addr(), coap.NewRequest(coap.GET, "/echo", []byte("alive")))
	if err != nil || string(m.Payload) != "alive" {
		t.Error(m, err)
	}
}

// freeGroup is a group address on a port that no other test run uses.
func freeGroup(t testing.TB) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return netip.AddrPortFrom(netip.MustParseAddr("224.0.1.187"), conn.LocalAddr().(*net.UDPAddr).AddrPort().Port())
}

func lo(t testing.TB) string {
	t.Helper()
	ifs, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range ifs {
		if i.Flags&net.FlagLoopback != 0 {
			return i.Name
		}
	}
	t.Skip("no loopback interface")
	return ""
}

// startFleet starts n devices on 127.1.x.y, all in the group.
func startFleet(t testing.TB, n int, group netip.AddrPort, leisure time.Duration, h coap.Handler) []*UDP {
	t.Helper()
	fleet := make([]*UDP, n)
	for i := range fleet {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)}), 0)
		fleet[i] = listen(t, addr, h, UDPOptions{Multicast: group, Interface: lo(t), Leisure: leisure})
	}
	return fleet
}

func TestMulticastToHundred(t *testing.T) {
	const n = 100
	group := freeGroup(t)
	var asked atomic.Int32
	startFleet(t, n, group, 0, coap.HandlerFunc(func(ctx context.Context, req *coap.Request) *coap.Message {
		asked.Add(1)
		if !req.Multicast {
			t.Error("a group request came as unicast")
		}
		return lamp(ctx, req)
	}))
	client := listen(t, loopback, nil, UDPOptions{Interface: lo(t)})
	for round := range 5 {
		started, last := time.Now(), time.Duration(0)
		got := map[netip.AddrPort]bool{}
		ctx, cancel := context.WithCancel(context.Background())
		err := client.Multicast(ctx, group, coap.NewRequest(coap.GET, "/echo", []byte("x")), 5*time.Second, func(m *coap.Message, from netip.AddrPort) {
			last = time.Since(started)
			got[from] = true
			if m.Code != coap.Content || string(m.Payload) != "x" {
				t.Errorf("%v answers %v", from, m)
			}
			if len(got) == n {
				cancel()
			}
		})
		cancel()
		if err != nil || len(got) != n {
			t.Fatalf("%d of %d answered, %v", len(got), n, err)
		}
		t.Logf("round %d: the 100th answer after %v", round, last)
	}
	if asked.Load() != 5*n {
		t.Errorf("handled %d times", asked.Load())
	}
	if drops, err := client.Drops(); err == nil && drops != 0 {
		t.Errorf("the kernel dropped %d datagrams", drops)
	}
	// Errors stay unsaid, and so does what is confirmable.
	err := client.Multicast(context.Background(), group, coap.NewRequest(coap.GET, "/none", nil), 50*time.Millisecond, func(m *coap.Message, from netip.AddrPort) {
		t.Errorf("%v answers %v", from, m.Code)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestLeisureSpreadsAnswers(t *testing.T) {
	group := freeGroup(t)
	startFleet(t, 20, group, 200*time.Millisecond, coap.HandlerFunc(lamp))
	client := listen(t, loopback, nil, UDPOptions{Interface: lo(t)})
	started, got := time.Now(), 0
	var last time.Duration
	_ = client.Multicast(context.Background(), group, coap.NewRequest(coap.GET, "/echo", nil), 400*time.Millisecond, func(*coap.Message, netip.AddrPort) {
		got++
		last = time.Since(started)
	})
	if got != 20 || last < 20*time.Millisecond {
		t.Errorf("%d answers, the last after %v", got, last)
	}
}

func BenchmarkExchangeUDP(b *testing.B) {
	server := listen(b, loopback, coap.HandlerFunc(lamp), UDPOptions{})
	client := listen(b, loopback, nil, UDPOptions{})
	req := coap.NewRequest(coap.POST, "/echo", make([]byte, 64))
	for b.Loop() {
		if _, err := client.Exchange(context.Background(), server.Addr(), req); err != nil {
			b.Fatal(err)
		}
	}
}

// A thousand answers at once arrive, or the kernel counts what it dropped.
func TestThousandAnswers(t *testing.T) {
	const answers = 1000
	group := freeGroup(t)
	member := make(chan *coap.Request, 1)
	startFleet(t, 1, group, 0, coap.HandlerFunc(func(_ context.Context, req *coap.Request) *coap.Message {
		member <- req
		return nil
	}))
	client := listen(t, loopback, nil, UDPOptions{Interface: lo(t)})
	go func() {
		req := <-member
		raw, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(req.From))
		if err != nil {
			t.Error(err)
			return
		}
		defer raw.Close()
		for i := range answers {
			m := coap.Respond(coap.Content, coap.NoFormat, make([]byte, 64))
			m.Type, m.MessageID, m.Token = coap.NonConfirmable, int32(i), req.Token
			b, _ := coap.MarshalUDP(m)
			_, _ = raw.Write(b)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	got := 0
	_ = client.Multicast(ctx, group, coap.NewRequest(coap.GET, "/echo", nil), time.Minute, func(*coap.Message, netip.AddrPort) {
		if got++; got == answers {
			cancel()
		}
	})
	dropped, err := client.Drops()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("this system does not count drops")
	}
	if err != nil || got+int(dropped) != answers {
		t.Errorf("%d answers and %d dropped, %v", got, dropped, err)
	}
	t.Logf("%d answers, %d dropped", got, dropped)
}

// What a simulated link loses does not arrive: a confirmable request comes again.
func TestDrop(t *testing.T) {
	for lost := range int64(2) {
		var came atomic.Int64
		server := listen(t, loopback, coap.HandlerFunc(lamp), UDPOptions{Drop: func() bool { return came.Add(1) <= lost }})
		client := listen(t, loopback, nil, UDPOptions{Params: quick()})
		m, err := client.Exchange(t.Context(), server.Addr(), coap.NewRequest(coap.GET, "/echo", []byte("x")))
		if err != nil || string(m.Payload) != "x" || came.Load() != lost+1 {
			t.Errorf("with %d lost: %v, %v after %d", lost, m, err, came.Load())
		}
	}
	deaf := listen(t, loopback, coap.HandlerFunc(lamp), UDPOptions{Drop: func() bool { return true }})
	client := listen(t, loopback, nil, UDPOptions{Params: quick()})
	if _, err := client.Exchange(t.Context(), deaf.Addr(), coap.NewRequest(coap.GET, "/echo", nil)); !errors.Is(err, coap.ErrTimeout) {
		t.Errorf("through a link that loses all: %v", err)
	}
}
