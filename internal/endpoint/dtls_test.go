//go:build !js

package endpoint

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lamplighter/internal/coap"
)

// door is a server's knowledge of its clients: identity and key of each.
type door struct {
	mu     sync.Mutex
	keys   map[string][]byte
	asked  int
	began  []coap.Session
	ended  int
	refuse error // of Begin
}

func newDoor() *door {
	return &door{keys: map[string][]byte{"lamp": bytes.Repeat([]byte{7}, 16), "switch": bytes.Repeat([]byte{8}, 16)}}
}

// Identify implements [coap.Identities].
func (d *door) Identify(_ context.Context, identity []byte) (*coap.Identity, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	key := d.keys[string(identity)]
	if key == nil {
		return nil, coap.ErrIdentity
	}
	return &coap.Identity{
		Key: key,
		Begin: func(_ context.Context, s coap.Session) (coap.Peer, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.began = append(d.began, s)
			return coap.Peer{Kind: coap.PeerDTLS, Name: "the " + string(identity)}, d.refuse
		},
		Ended: func(coap.Session) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.ended++
		},
	}, nil
}

func (d *door) counts() (asked, began, ended int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked, len(d.began), d.ended
}

func (d *door) session(i int) coap.Session {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.began[i]
}

// whoAmI answers with the peer that a request came from.
var whoAmI = coap.HandlerFunc(func(_ context.Context, req *coap.Request) *coap.Message {
	if req.Peer.Kind != coap.PeerDTLS {
		return coap.Problem(coap.Unauthorized, "")
	}
	return coap.Respond(coap.Content, coap.FormatText, []byte(req.Peer.Name))
})

var hasty = DTLSOptions{Handshake: 700 * time.Millisecond, Interval: 100 * time.Millisecond}

func listenDTLS(t testing.TB, h coap.Handler, opts DTLSOptions) (*DTLS, *door) {
	t.Helper()
	d := newDoor()
	server, err := ListenDTLS(loopback, h, d, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server, d
}

func dialDTLS(t testing.TB, to netip.AddrPort, identity string, key []byte) (*DTLSSession, error) {
	t.Helper()
	s, err := DialDTLS(t.Context(), to, []byte(identity), key, nil, hasty)
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
	}
	return s, err
}

func mustDial(t testing.TB, server *DTLS, d *door, identity string) *DTLSSession {
	t.Helper()
	s, err := dialDTLS(t, server.Addr(), identity, d.keys[identity])
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ask makes a request and returns what the answer says.
func ask(t testing.TB, c coap.Caller) string {
	t.Helper()
	resp, err := c.Call(t.Context(), coap.NewRequest(coap.GET, "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	return string(resp.Payload)
}

// eventually waits for something that another goroutine does.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestDTLSPeers(t *testing.T) {
	server, d := listenDTLS(t, whoAmI, DTLSOptions{})
	lamp, other := mustDial(t, server, d, "lamp"), mustDial(t, server, d, "switch")
	for range 3 {
		if a, b := ask(t, lamp), ask(t, other); a != "the lamp" || b != "the switch" {
			t.Errorf("%q, %q", a, b)
		}
	}
	mine, err1 := lamp.Export("EXPORTER-test", 32)
	theirs, err2 := d.session(0).Export("EXPORTER-test", 32)
	if err1 != nil || err2 != nil || len(mine) != 32 || !bytes.Equal(mine, theirs) {
		t.Errorf("exported %x and %x: %v, %v", mine, theirs, err1, err2)
	}
	if strangers, _ := other.Export("EXPORTER-test", 32); bytes.Equal(mine, strangers) {
		t.Error("two sessions export the same")
	}
}

// Both sides ask: a Group Manager reaches a member over the member's session.
func TestDTLSServerAsks(t *testing.T) {
	server, d := listenDTLS(t, whoAmI, DTLSOptions{})
	echo := coap.HandlerFunc(func(_ context.Context, req *coap.Request) *coap.Message {
		return coap.Respond(coap.Changed, coap.FormatText, req.Payload)
	})
	s, err := DialDTLS(t.Context(), server.Addr(), []byte("lamp"), d.keys["lamp"], echo, hasty)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	eventually(t, "the session is known", func() bool { _, began, _ := d.counts(); return began == 1 })
	resp, err := d.session(0).Call(t.Context(), coap.NewRequest(coap.POST, "/node", []byte("new keys")))
	if err != nil || resp.Code != coap.Changed || string(resp.Payload) != "new keys" {
		t.Errorf("%v %v", resp, err)
	}
}

func TestDTLSObserve(t *testing.T) {
	list := coap.NewObservers(8)
	h := coap.HandlerFunc(func(_ context.Context, req *coap.Request) *coap.Message {
		return list.Register(time.Now(), req, coap.Respond(coap.Content, coap.FormatText, []byte("0")))
	})
	server, d := listenDTLS(t, h, DTLSOptions{})
	s := mustDial(t, server, d, "lamp")
	req := coap.NewRequest(coap.GET, "/num", nil)
	coap.AddUint(req, coap.OptionObserve, coap.ObserveRegister)
	news := make(chan string, 8)
	o, err := s.Observe(t.Context(), req, func(m *coap.Message, err error) {
		if err == nil {
			news <- string(m.Payload)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	for _, want := range []string{"0", "1", "2"} {
		if got := <-news; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		next := string(want[0] + 1)
		list.Notify(time.Now(), func(*coap.Request) *coap.Message {
			return coap.Respond(coap.Content, coap.FormatText, []byte(next))
		})
	}
}

func TestDTLSRefusals(t *testing.T) {
	server, d := listenDTLS(t, whoAmI, hasty)
	if _, err := dialDTLS(t, server.Addr(), "nobody", d.keys["lamp"]); !errors.Is(err, coap.ErrIdentity) {
		t.Errorf("an unknown identity: %v", err)
	}
	if _, err := dialDTLS(t, server.Addr(), "lamp", d.keys["switch"]); !errors.Is(err, coap.ErrTimeout) {
		t.Errorf("another's key: %v", err)
	}
	if _, err := dialDTLS(t, server.Addr(), "lamp", bytes.Repeat([]byte{7}, 15)); !errors.Is(err, coap.ErrTimeout) {
		t.Errorf("a truncated key: %v", err)
	}
	if _, began, _ := d.counts(); began != 0 {
		t.Errorf("%d sessions began", began)
	}
	eventually(t, "nothing is left", func() bool { a, b, _ := server.Sessions(); return a+b == 0 })
	d.mu.Lock()
	d.refuse = errors.New("not today")
	d.mu.Unlock()
	if s, err := dialDTLS(t, server.Addr(), "lamp", d.keys["lamp"]); err == nil { // the client is done before the server has decided
		if _, err := s.Call(t.Context(), coap.NewRequest(coap.GET, "/", nil)); !errors.Is(err, coap.ErrSession) {
			t.Errorf("a refused session answers: %v", err)
		}
	}
}

// A client that starts anew at the same address gets a session of its own, in
// which nothing of the old one is remembered.
func TestDTLSSameAddress(t *testing.T) {
	server, d := listenDTLS(t, whoAmI, DTLSOptions{})
	front := newFront(t, server.Addr(), 0)
	first, err := dialDTLS(t, front.addr, "lamp", d.keys["lamp"])
	if err != nil {
		t.Fatal(err)
	}
	ask(t, first)
	second, err := dialDTLS(t, front.addr, "switch", d.keys["switch"])
	if err != nil {
		t.Fatal(err)
	}
	if who := ask(t, second); who != "the switch" {
		t.Errorf("%q answers for the new session", who)
	}
	eventually(t, "the old session has ended", func() bool { _, _, ended := d.counts(); return ended == 1 })
	if a, b, _ := server.Sessions(); a != 1 || b != 0 {
		t.Errorf("%d sessions and %d handshakes", a, b)
	}
}

// The session ends behind the answer of the handler that ends it.
func TestDTLSEnd(t *testing.T) {
	var d atomic.Pointer[door]
	h := coap.HandlerFunc(func(context.Context, *coap.Request) *coap.Message {
		d.Load().session(0).End()
		return coap.Problem(coap.Unauthorized, "The token has expired.")
	})
	server, keys := listenDTLS(t, h, DTLSOptions{})
	d.Store(keys)
	s := mustDial(t, server, keys, "lamp")
	resp, err := s.Call(t.Context(), coap.NewRequest(coap.GET, "/", nil))
	if err != nil || resp.Code != coap.Unauthorized {
		t.Fatalf("%v %v", resp, err)
	}
	select {
	case <-s.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the client was not told")
	}
	if _, err := s.Call(t.Context(), coap.NewRequest(coap.GET, "/", nil)); !errors.Is(err, coap.ErrSession) {
		t.Errorf("afterwards: %v", err)
	}
	eventually(t, "nothing is left", func() bool { a, b, _ := server.Sessions(); return a+b == 0 })
}

func TestDTLSIdle(t *testing.T) {
	server, d := listenDTLS(t, whoAmI, DTLSOptions{Idle: 100 * time.Millisecond})
	mustDial(t, server, d, "lamp")
	eventually(t, "the end of the idle session was told", func() bool { _, _, ended := d.counts(); return ended == 1 })
	eventually(t, "nothing is left", func() bool { a, b, _ := server.Sessions(); return a+b == 0 })
}

// Too many sessions: the one that was idle for longest makes room.
func TestDTLSTooManySessions(t *testing.T) {
	server, d := listenDTLS(t, whoAmI, DTLSOptions{Sessions: 2})
	idle, busy := mustDial(t, server, d, "lamp"), mustDial(t, server, d, "lamp")
	ask(t, idle)
	ask(t, busy)
	third := mustDial(t, server, d, "lamp")
	ask(t, third)
	ask(t, busy)
	select {
	case <-idle.Done():
	case <-time.After(30 * time.Second):
		t.Error("the idle session goes on")
	}
	if a, _, _ := server.Sessions(); a != 2 {
		t.Errorf("%d sessions", a)
	}
}

// clientHello is the first datagram of a handshake.
func clientHello(t testing.TB) []byte {
	t.Helper()
	got := make(chan []byte, 64)
	sink, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback))
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, _ = DialDTLS(ctx, sink.LocalAddr().(*net.UDPAddr).AddrPort(), []byte("lamp"), []byte("key"), nil, DTLSOptions{
		Record: func(out bool, _ netip.AddrPort, b []byte) {
			if out {
				got <- bytes.Clone(b)
			}
		},
	})
	return <-got
}

// A flood of hellos from addresses that are nobody's costs bounded memory, and who
// is honest gets through.
func TestDTLSHelloFlood(t *testing.T) {
	server, d := listenDTLS(t, whoAmI, DTLSOptions{Handshakes: 16})
	hello := clientHello(t)
	var amplified int
	for i := range 500 {
		b := reseeded(hello)
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 2, byte(i >> 8), byte(i)}), 5683)
		server.receive(from, b)
		if _, shaking, _ := server.Sessions(); shaking > 16 {
			amplified = shaking
		}
	}
	if amplified > 0 {
		t.Errorf("%d handshakes at a time", amplified)
	}
	if s := mustDial(t, server, d, "lamp"); ask(t, s) != "the lamp" {
		t.Error("no answer")
	}
	if asked, _, _ := d.counts(); asked != 1 {
		t.Errorf("the flood asked for keys: %d", asked)
	}
	if _, _, abandoned := server.Sessions(); abandoned < 400 {
		t.Errorf("%d were abandoned", abandoned)
	}
}

// One host, whose clients return their cookies and have no key, keeps nobody else
// out.
func TestDTLSHostFlood(t *testing.T) {
	server, d := listenDTLS(t, whoAmI, DTLSOptions{Handshakes: 8, Handshake: 2 * time.Second})
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() { _, _ = dialDTLS(t, server.Addr(), "lamp", []byte("no such key here")) })
		eventually(t, "it holds its share", func() bool { asked, _, _ := d.counts(); return asked == min(i+1, 2) })
	}
	hello := clientHello(t)
	for i := range 6 {
		server.receive(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 3, 0, byte(i)}), 5683), reseeded(hello))
	}
	if _, shaking, abandoned := server.Sessions(); shaking != 8 || abandoned != 0 {
		t.Errorf("%d handshakes at a time, %d abandoned: others found no room", shaking, abandoned)
	}
	wg.Wait()
	for addr, want := range map[string]string{"127.0.0.1:5": "127.0.0.1/32", "[2001:db8::1:2]:5": "2001:db8::/64"} {
		if got := hostOf(netip.MustParseAddrPort(addr)); got.String() != want {
			t.Errorf("%s is of host %v", addr, got)
		}
	}
}

// reseeded is a ClientHello with another random.
func reseeded(hello []byte) []byte {
	b := bytes.Clone(hello)
	_, _ = rand.Read(b[recordHeaderLen+handshakeHeaderLen+2:][:helloRandomLen])
	return b
}

// What is not DTLS, or comes from nowhere, begins nothing; plain records that
// anybody can send end no session.
func TestDTLSGarbage(t *testing.T) {
	server, d := listenDTLS(t, whoAmI, DTLSOptions{})
	s := mustDial(t, server, d, "lamp")
	ask(t, s)
	mine := s.socket.(*net.UDPConn).LocalAddr().(*net.UDPAddr).AddrPort()
	record := func(kind byte, epoch byte, body ...byte) []byte {
		return append([]byte{kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 9, 9, 0, byte(len(body))}, body...)
	}
	for _, b := range [][]byte{
		nil, {0}, bytes.Repeat([]byte{0x16}, 13), []byte("GET / HTTP/1.1\r\n"),
		record(recordAlert, 0, alertFatal, alertInternalError), record(recordAlert, 0, 1, 0), record(recordAlert, 0, 9),
		record(recordApplicationData, 0, 1, 2, 3), record(99, 0, 1), record(recordHandshake, 0), record(recordHandshake, 0, 1, 2),
		record(recordChangeCipherSpec, 0, 9), record(recordApplicationData, 1, make([]byte, 40)...), record(recordAlert, 1, make([]byte, 18)...),
		record(recordApplicationData, 2, make([]byte, 40)...), clientHello(t)[:40],
	} {
		server.receive(mine, b)
		server.receive(netip.MustParseAddrPort("127.9.9.9:1"), b)
		s.pipe.push(b)
	}
	if ask(t, s) != "the lamp" {
		t.Error("no answer")
	}
	if a, b, _ := server.Sessions(); a != 1 || b != 0 {
		t.Errorf("%d sessions and %d handshakes", a, b)
	}
}

// A recorded handshake, sent again, comes to nothing, and neither does a recorded
// request.
func TestDTLSReplay(t *testing.T) {
	var mu sync.Mutex
	var sent [][]byte
	server, d := listenDTLS(t, whoAmI, DTLSOptions{Handshake: 300 * time.Millisecond})
	s, err := DialDTLS(t.Context(), server.Addr(), []byte("lamp"), d.keys["lamp"], nil, DTLSOptions{
		Record: func(out bool, _ netip.AddrPort, b []byte) {
			mu.Lock()
			defer mu.Unlock()
			if out {
				sent = append(sent, bytes.Clone(b))
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ask(t, s)
	mine := s.socket.(*net.UDPConn).LocalAddr().(*net.UDPAddr).AddrPort()
	mu.Lock()
	recorded := sent
	mu.Unlock()
	for _, from := range []netip.AddrPort{mine, netip.MustParseAddrPort("127.9.9.9:5683")} {
		for _, b := range recorded {
			server.receive(from, bytes.Clone(b))
			time.Sleep(5 * time.Millisecond)
		}
	}
	ask(t, s)
	eventually(t, "one session is left", func() bool { a, b, _ := server.Sessions(); return a == 1 && b == 0 })
	if asked, began, _ := d.counts(); asked != 1 || began != 1 {
		t.Errorf("%d identities, %d sessions", asked, began)
	}
}

// front passes datagrams on to a server, all from one address, and answers to who
// sent last.
type front struct {
	addr netip.AddrPort
	lose int32 // every so many datagrams one is lost; 0: none
	seen atomic.Int32
	lost atomic.Int32
}

// drops says whether the next datagram is lost.
func (f *front) drops() bool {
	if f.lose == 0 || f.seen.Add(1)%f.lose != 0 {
		return false
	}
	f.lost.Add(1)
	return true
}

func newFront(t testing.TB, server netip.AddrPort, lose int32) *front {
	t.Helper()
	in, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback))
	if err != nil {
		t.Fatal(err)
	}
	out, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(server))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); out.Close() })
	f := &front{lose: lose, addr: in.LocalAddr().(*net.UDPAddr).AddrPort()}
	var mu sync.Mutex
	var client netip.AddrPort
	go func() {
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := in.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			mu.Lock()
			client = from
			mu.Unlock()
			if !f.drops() {
				_, _ = out.Write(buf[:n])
			}
		}
	}()
	go func() {
		buf := make([]byte, maxDatagram)
		for {
			n, err := out.Read(buf)
			if err != nil {
				return
			}
			mu.Lock()
			to := client
			mu.Unlock()
			if !f.drops() {
				_, _ = in.WriteToUDPAddrPort(buf[:n], to)
			}
		}
	}()
	return f
}

// Whatever comes, records are read within it, and plain ones do not get past a
// session that is established for long.
func FuzzDTLSRecords(f *testing.F) {
	f.Add([]byte{recordHandshake, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1})
	f.Add([]byte{recordApplicationData, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		size, plain := 0, false
		whole := eachRecord(b, func(r record) bool {
			size += recordHeaderLen + len(r.body)
			plain = plain || r.epoch == 0
			return true
		})
		if whole != (size == len(b) && size > 0) && whole {
			t.Errorf("%d of %d bytes", size, len(b))
		}
		helloRandom(b)
		plainAlert(b)
		p := newPipe(loopback, nil, func([]byte) error { return nil })
		p.established = time.Now().Add(-2 * finalFlightTime)
		if p.admits(b) && (plain || !whole) {
			t.Errorf("%x got in", b)
		}
	})
}

// Handshakes and requests get through where datagrams are lost, with a psk_identity
// that takes several of them.
func TestDTLSLoss(t *testing.T) {
	long := string(bytes.Repeat([]byte("identity "), 400))
	server, d := listenDTLS(t, whoAmI, DTLSOptions{Interval: 50 * time.Millisecond, Params: quick()})
	d.mu.Lock()
	d.keys[long] = bytes.Repeat([]byte{9}, 16)
	d.mu.Unlock()
	front := newFront(t, server.Addr(), 4)
	s, err := DialDTLS(t.Context(), front.addr, []byte(long), bytes.Repeat([]byte{9}, 16), nil, DTLSOptions{
		Interval: 50 * time.Millisecond, Params: quick(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 20 {
		if got := ask(t, s); got != "the "+long {
			t.Errorf("answered %.20q", got)
		}
	}
	if front.lost.Load() < 5 {
		t.Errorf("%d datagrams were lost", front.lost.Load())
	}
}
