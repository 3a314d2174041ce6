package proxy

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
)

const testCode = "correct-horse-battery-staple"

// site is a bridge with its HTTP server.
type site struct {
	*Server
	web *httptest.Server
}

// access lets in who knows a code, until it is taken away.
func access(code string) Access { return Access{Hash: sha256.Sum256([]byte(code))} }

func quick() *coap.LayerParams {
	p := coap.DefaultLayerParams()
	p.AckTimeout, p.AckDelay, p.MaxRetransmit = 60*time.Millisecond, 20*time.Millisecond, 2
	return &p
}

// newSite starts a bridge on loopback.
func newSite(t testing.TB, change func(*Config)) *site {
	t.Helper()
	config := Config{
		Access:             []Access{access(testCode)},
		Targets:            []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Ports:              [][2]uint16{{1024, 65535}},
		MulticastInterface: "lo",
		LayerParams:        quick(),
	}
	if change != nil {
		change(&config)
	}
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s)
	t.Cleanup(func() { _ = s.Close(); web.Close() })
	return &site{s, web}
}

func (s *site) token(t testing.TB) string {
	t.Helper()
	token, err := endpoint.SignIn(context.Background(), s.web.URL, testCode)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// client connects with the project's own client.
func (s *site) client(t testing.TB) *endpoint.WS {
	t.Helper()
	ws, err := endpoint.DialExplained(context.Background(), s.web.URL, endpoint.WSOptions{Token: s.token(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.Close() })
	return ws
}

// device starts a CoAP server on loopback.
func device(t testing.TB, opts endpoint.UDPOptions, addr string, h coap.HandlerFunc) netip.AddrPort {
	t.Helper()
	u, err := endpoint.ListenUDP(netip.MustParseAddrPort(addr), h, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Close() })
	return u.Addr()
}

// rawDevice is a UDP socket that a test answers from by hand.
type rawDevice struct {
	t    testing.TB
	conn *net.UDPConn
}

func newRawDevice(t testing.TB) *rawDevice {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &rawDevice{t, conn}
}

func (d *rawDevice) addr() netip.AddrPort { return d.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

func (d *rawDevice) receive() (*coap.Message, netip.AddrPort) {
	d.t.Helper()
	m, from := d.tryReceive(5 * time.Second)
	if m == nil {
		d.t.Fatal("nothing came to the device")
	}
	return m, from
}

func (d *rawDevice) tryReceive(wait time.Duration) (*coap.Message, netip.AddrPort) {
	d.t.Helper()
	buf := make([]byte, 65535)
	_ = d.conn.SetReadDeadline(time.Now().Add(wait))
	n, from, err := d.conn.ReadFromUDPAddrPort(buf)
	if err != nil {
		return nil, from
	}
	m, err := coap.UnmarshalUDP(buf[:n])
	if err != nil {
		d.t.Fatal(err)
	}
	return m, from
}

func (d *rawDevice) send(to netip.AddrPort, m *coap.Message) {
	d.t.Helper()
	b, err := coap.MarshalUDP(m)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.conn.WriteToUDPAddrPort(b, to); err != nil {
		d.t.Fatal(err)
	}
}

// rawClient is a WebSocket client that can say anything.
type rawClient struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func (s *site) handshake(t testing.TB, header http.Header) (*rawClient, *http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", s.web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	req, _ := http.NewRequest(http.MethodGet, s.web.URL+coap.WSPath, nil)
	req.Header = header.Clone()
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	req.Header.Set("Sec-WebSocket-Version", "13")
	req.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	if req.Header.Get("Sec-WebSocket-Protocol") == "" {
		req.Header.Set("Sec-WebSocket-Protocol", "coap")
	}
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	if err := req.Write(conn); err != nil {
		t.Fatal(err)
	}
	c := &rawClient{t, conn, bufio.NewReader(conn)}
	resp, err := http.ReadResponse(c.r, req)
	if err != nil {
		t.Fatal(err)
	}
	return c, resp
}

// raw connects and exchanges CSMs.
func (s *site) raw(t testing.TB) *rawClient {
	t.Helper()
	c := s.rawSilent(t)
	c.send(coap.NewCSM(1 << 16))
	if m := c.receive(); m.Code != coap.CSM {
		t.Fatal("the first message is", m)
	}
	return c
}

// rawSilent connects and says nothing.
func (s *site) rawSilent(t testing.TB) *rawClient {
	t.Helper()
	c, resp := s.handshake(t, http.Header{"Authorization": {"Bearer " + s.token(t)}})
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal("the handshake got", resp.Status)
	}
	return c
}

func (c *rawClient) send(m *coap.Message) {
	c.t.Helper()
	b, err := coap.MarshalWS(m)
	if err != nil {
		c.t.Fatal(err)
	}
	c.frame(2, b)
}

// frame sends a frame, masked with zeros. RFC 6455, Section 5.2.
func (c *rawClient) frame(opcode byte, b []byte) {
	head := []byte{0x80 | opcode}
	switch {
	case len(b) < 126:
		head = append(head, 0x80|byte(len(b)))
	case len(b) < 1<<16:
		head = binary.BigEndian.AppendUint16(append(head, 0x80|126), uint16(len(b)))
	default:
		head = binary.BigEndian.AppendUint64(append(head, 0x80|127), uint64(len(b)))
	}
	_, _ = c.conn.Write(append(append(head, 0, 0, 0, 0), b...))
}

// readFrame returns the next frame of the server.
func (c *rawClient) readFrame(wait time.Duration) (opcode byte, payload []byte, err error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(wait))
	var head [2]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return 0, nil, err
	}
	size := uint64(head[1] & 0x7f)
	if size >= 126 {
		ext := make([]byte, 2+6*(size-126))
		if _, err := io.ReadFull(c.r, ext); err != nil {
			return 0, nil, err
		}
		size = 0
		for _, b := range ext {
			size = size<<8 | uint64(b)
		}
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(c.r, payload)
	return head[0] & 0xf, payload, err
}

// next returns the next message; nil when the connection is closed or nothing
// comes in time.
func (c *rawClient) next(wait time.Duration) *coap.Message {
	c.t.Helper()
	opcode, payload, err := c.readFrame(wait)
	if err != nil || opcode != 2 {
		return nil
	}
	m, err := coap.UnmarshalWS(payload)
	if err != nil {
		c.t.Fatalf("%x: %v", payload, err)
	}
	return m
}

func (c *rawClient) receive() *coap.Message {
	c.t.Helper()
	m := c.next(5 * time.Second)
	if m == nil {
		c.t.Fatal("nothing came to the client")
	}
	return m
}

// closed reports whether the server closes the connection by itself.
func (c *rawClient) closed() bool {
	for {
		opcode, payload, err := c.readFrame(3 * time.Second)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return false
		}
		if err != nil {
			return true
		}
		if opcode == 8 {
			c.frame(8, payload)
			return true
		}
	}
}

// to is a request through the bridge.
func to(addr netip.AddrPort, code coap.Code, path, token string) *coap.Message {
	m := coap.NewRequest(code, path, nil)
	m.Token = coap.Token(token)
	coap.AddOption(m, coap.OptionURIHost, []byte(addr.Addr().String()))
	coap.AddUint(m, coap.OptionURIPort, uint32(addr.Port()))
	coap.AddOption(m, coap.OptionProxyScheme, []byte("coap"))
	return m
}

func optionString(m *coap.Message) string {
	var b strings.Builder
	for _, o := range m.Options {
		b.WriteString(o.ID.String())
		b.WriteByte('=')
		b.Write(o.Value)
		b.WriteByte(';')
	}
	return b.String()
}

// freeGroup is a group address on a port that no other test run uses.
func freeGroup(t testing.TB) netip.AddrPort {
	t.Helper()
	return netip.AddrPortFrom(netip.MustParseAddr("224.0.1.187"), newRawDevice(t).addr().Port())
}
