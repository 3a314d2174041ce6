package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lamplighter/bridge/proxy"
	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
)

// Opcodes of frames. RFC 6455, Section 5.2.
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
)

// rawSocket is a WebSocket by hand: it may do what no library does.
type rawSocket struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// upgrade asks for a WebSocket with these header lines and returns the status of
// the answer, and the connection when it is 101.
func (s *faultSite) upgrade(lines ...string) (int, *rawSocket) {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.bridge.listener.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	host := "Host: " + conn.RemoteAddr().String()
	head := "GET /.well-known/coap HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
	for _, line := range lines {
		if strings.HasPrefix(line, "Host:") {
			host = line
		} else {
			head += line + "\r\n"
		}
	}
	if _, err := io.WriteString(conn, head+host+"\r\n\r\n"); err != nil {
		s.t.Fatal(err)
	}
	r := &rawSocket{s.t, conn, bufio.NewReader(conn)}
	resp, err := http.ReadResponse(r.in, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return resp.StatusCode, nil
	}
	return resp.StatusCode, r
}

// frame makes one: first is the first byte, final bit, reserved bits and opcode.
func frame(first byte, mask bool, payload []byte) []byte {
	b := []byte{first, 0}
	switch {
	case len(payload) < 126:
		b[1] = byte(len(payload))
	case len(payload) < 1<<16:
		b[1] = 126
		b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	default:
		b[1] = 127
		b = binary.BigEndian.AppendUint64(b, uint64(len(payload)))
	}
	if mask {
		b[1] |= 0x80
		b = append(b, 0, 0, 0, 0) // a mask of zeros changes nothing
	}
	return append(b, payload...)
}

func (r *rawSocket) send(frames ...[]byte) {
	r.conn.Write(bytes.Join(frames, nil)) // the bridge may have closed already
}

// read returns the next message of the bridge; an error when it has closed.
func (r *rawSocket) read() (*coap.Message, error) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(r.in, head); err != nil {
		return nil, err
	}
	size := uint64(head[1] & 0x7f)
	if wide := map[uint64]int{126: 2, 127: 8}[size]; wide > 0 {
		b := make([]byte, 8)
		if _, err := io.ReadFull(r.in, b[8-wide:]); err != nil {
			return nil, err
		}
		size = binary.BigEndian.Uint64(b)
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r.in, payload); err != nil {
		return nil, err
	}
	if head[0]&15 == opClose {
		return nil, io.EOF
	}
	return coap.UnmarshalWS(payload)
}

// ended waits for the bridge to close, and says what it aborted with.
func (r *rawSocket) ended(what string) (abort bool) {
	r.t.Helper()
	for {
		m, err := r.read()
		if err != nil {
			if e, ok := err.(net.Error); ok && e.Timeout() {
				r.t.Errorf("%s: the bridge keeps the connection", what)
			}
			return abort
		}
		abort = abort || m.Code == coap.Abort
	}
}

func message(t *testing.T, m *coap.Message) []byte {
	t.Helper()
	b, err := coap.MarshalWS(m)
	if err != nil {
		t.Fatal(err)
	}
	return frame(0x80|opBinary, true, b)
}

// signedIn gives the header lines of a client that is let in.
func (s *faultSite) signedIn() []string {
	s.t.Helper()
	token, err := endpoint.SignIn(s.t.Context(), s.bridge.url(), s.bridge.accessCode)
	if err != nil {
		s.t.Fatal(err)
	}
	s.secret("a session's token", []byte(token))
	return []string{"Sec-WebSocket-Protocol: coap", "Authorization: Bearer " + token}
}

// TestBridgeDoor: who is not signed in, who comes from a page of another origin
// or under another name, and who forges a session stays outside.
func TestBridgeDoor(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 1)
	in, own := s.signedIn(), s.bridge.url()
	token := strings.TrimPrefix(in[1], "Authorization: Bearer ")
	_, port, _ := net.SplitHostPort(s.bridge.listener.Addr().String())
	cookie := "Cookie: lamplighter-" + port + "="
	forged := []byte(token)
	forged[len(forged)-3] ^= 1
	for _, tt := range []struct {
		what  string
		want  int
		lines []string
	}{
		{"a client with a token", 101, in},
		{"a page with a cookie", 101, []string{in[0], cookie + token, "Origin: " + own}},
		{"nobody", 401, in[:1]},
		{"an empty cookie", 401, []string{in[0], cookie, "Origin: " + own}},
		{"a forged token", 401, []string{in[0], "Authorization: Bearer " + string(forged)}},
		{"a forged cookie", 401, []string{in[0], cookie + string(forged), "Origin: " + own}},
		{"the access code in place of a token", 401, []string{in[0], "Authorization: Bearer " + s.bridge.accessCode}},
		{"a page of another origin", 403, []string{in[0], cookie + token, "Origin: https://evil.example"}},
		{"a page of another port of this machine", 403, []string{in[0], cookie + token, "Origin: http://127.0.0.1:1"}},
		{"a page without an origin", 403, []string{in[0], cookie + token, "Origin: null"}},
		{"another name for this address", 421, append([]string{"Host: evil.example:" + port}, in...)},
	} {
		if status, _ := s.upgrade(tt.lines...); status != tt.want {
			t.Errorf("%s: %d, want %d", tt.what, status, tt.want)
		}
	}
	if status, r := s.upgrade(in[1]); status == 101 {
		r.ended("no subprotocol")
	}
	for _, body := range []string{"", "{", `{"code":7}`, `{"code":"` + strings.Repeat("x", 9000) + `"}`, `{"code":"wrong"}`} {
		resp, err := http.Post(own+"/session", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode < 400 || resp.StatusCode >= 500 || len(resp.Cookies()) > 0 {
			t.Errorf("signing in with %.20q: %s", body, resp.Status)
		}
	}
}

// TestBridgeTargets: the bridge forwards to the networks, ports and groups that
// are configured, and to nothing else, however the target is written.
func TestBridgeTargets(t *testing.T) {
	t.Parallel()
	s := startFaultSite(t, 1)
	_, r := s.upgrade(s.signedIn()...)
	r.send(message(t, coap.NewCSM(1<<16)))
	if m, err := r.read(); err != nil || m.Code != coap.CSM {
		t.Fatalf("%v, %v", m, err)
	}
	ask := func(options ...coap.Option) coap.Code {
		m := coap.NewRequest(coap.GET, "/ll/id", nil)
		for _, o := range options {
			coap.AddOption(m, o.ID, o.Value)
		}
		m.Token = coap.Token("t")
		r.send(message(t, m))
		resp, err := r.read()
		if err != nil {
			t.Fatal(err)
		}
		return resp.Code
	}
	to := func(host string, port int) []coap.Option {
		return []coap.Option{{ID: coap.OptionProxyScheme, Value: []byte("coap")}, {ID: coap.OptionURIHost, Value: []byte(host)},
			{ID: coap.OptionURIPort, Value: coap.EncodeUint(uint32(port))}}
	}
	uri := func(text string) []coap.Option { return []coap.Option{{ID: coap.OptionProxyURI, Value: []byte(text)}} }
	seconds := coap.Option{ID: coap.OptionMulticastTimeout, Value: []byte{1}}
	lamp := s.lamps.lamps[0].addr
	for _, tt := range []struct {
		what    string
		want    coap.Code
		options []coap.Option
	}{
		{"a lamp", coap.Content, to(lamp.Addr().String(), coapPort)},
		{"a lamp by URI", coap.Content, uri("coap://" + lamp.String() + "/ll/id")},
		{"a host outside", coap.Forbidden, to("8.8.8.8", coapPort)},
		{"a private network", coap.Forbidden, to("192.168.1.1", coapPort)},
		{"the cloud's metadata", coap.Forbidden, uri("coap://169.254.169.254/latest")},
		{"no address at all", coap.Forbidden, to("0.0.0.0", coapPort)},
		{"another family", coap.Forbidden, to("[::1]", coapPort)},
		{"a mapped address", coap.Forbidden, to("[::ffff:8.8.8.8]", coapPort)},
		{"a port below the range", coap.Forbidden, to("127.0.0.1", 53)},
		{"a group that is not served", coap.Unauthorized, append(to("224.0.0.251", 5353), seconds)},
		{"another port of the group", coap.Unauthorized, append(to(s.slot.group.Addr().String(), 9), seconds)},
		{"a group without a timeout", coap.BadRequest, to(s.slot.group.Addr().String(), int(s.slot.group.Port()))},
		{"everybody", coap.Forbidden, to("255.255.255.255", coapPort)},
		{"another scheme", coap.ProxyingNotSupported, uri("coaps://127.0.0.1/")},
		{"the web", coap.ProxyingNotSupported, uri("http://127.0.0.1:8080/")},
		{"somebody's name and password", coap.BadRequest, uri("coap://a:b@127.0.0.1/")},
		{"the bridge itself", coap.NotFound, nil},
		{"an option that nobody knows", coap.BadOption, append(to(lamp.Addr().String(), coapPort), coap.Option{ID: 65001, Value: []byte("x")})},
	} {
		if code := ask(tt.options...); code != tt.want {
			t.Errorf("%s: %s, want %s", tt.what, coap.CodeString(code), coap.CodeString(tt.want))
		}
	}
}

// TestSoakHostileFrames sends what no client sends: the bridge says Abort or closes,
// serves the others meanwhile, and a join and a roll call work afterwards.
func TestSoakHostileFrames(t *testing.T) {
	s := startFaultSite(t, 2)
	var seeds [][]byte
	var mu sync.Mutex
	s.bridgeOptions.config.Record = func(d proxy.Direction, _ netip.AddrPort, b []byte) {
		mu.Lock()
		defer mu.Unlock()
		if d == proxy.FromClient && len(b) > 4 && len(seeds) < 200 {
			seeds = append(seeds, bytes.Clone(b))
		}
	}
	s.startBridge()
	i := s.enrolled("Ann")
	i.importAll()
	i.join(s.id(0))
	i.roll()
	lines, routines := s.signedIn(), runtime.NumGoroutine()
	csm := message(t, coap.NewCSM(1<<16))
	huge := frame(0x80|opBinary, true, make([]byte, 1<<20))
	for what, frames := range map[string][][]byte{
		"a text frame":              {csm, frame(0x80|opText, true, []byte("hello"))},
		"no CSM first":              {message(t, coap.NewRequest(coap.GET, "/", nil))},
		"a frame of a megabyte":     {csm, huge},
		"a length of 2^63":          {csm, {0x80 | opBinary, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}},
		"a negative length":         {csm, {0x80 | opBinary, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}},
		"fragments of a megabyte":   {csm, frame(opBinary, true, make([]byte, 40000)), frame(opContinuation, true, make([]byte, 40000))},
		"a continuation of nothing": {csm, frame(0x80|opContinuation, true, []byte{0, 1})},
		"a message in a message":    {csm, frame(opBinary, true, []byte{0}), frame(0x80|opBinary, true, []byte{0, 1})},
		"an unknown opcode":         {csm, frame(0x80|3, true, nil)},
		"reserved bits":             {csm, frame(0xf0|opBinary, true, []byte{0, 1})},
		"a long control frame":      {csm, frame(0x80|opPing, true, make([]byte, 200))},
		"no mask":                   {csm, frame(0x80|opBinary, false, []byte{0, 1})},
		"an empty message":          {csm, frame(0x80|opBinary, true, nil)},
		"a token of 15 bytes":       {csm, frame(0x80|opBinary, true, []byte{0x0f, 1, 2, 3})},
		"a CSM nobody understands":  {frame(0x80|opBinary, true, []byte{0x00, 0xe1, 0x91, 0})},
		"half a frame":              {csm, csm[:3]},
		"noise":                     {bytes.Repeat([]byte{0x5a, 0xc3, 0x99}, 5000)},
	} {
		_, r := s.upgrade(lines...)
		r.send(frames...)
		if what == "half a frame" || what == "a length of 2^63" { // it waits for the rest, and holds nothing for it
			r.conn.Close()
			continue
		}
		if strings.Contains(what, "text") || strings.Contains(what, "first") || strings.Contains(what, "token") || strings.Contains(what, "nobody") {
			if !r.ended(what) {
				t.Errorf("%s: no Abort", what)
			}
			continue
		}
		r.ended(what)
	}
	mu.Lock()
	harvested := slices.Clone(seeds)
	mu.Unlock()
	s.mutatedFrames(lines, csm, harvested)
	s.settled(routines)
	i.join(s.ids()...)
	s.joinedOnce(1, s.ids()...)
	i.roll()
}

// mutatedFrames sends damaged messages of a real commissioning, each connection
// until the bridge has enough of it.
func (s *faultSite) mutatedFrames(lines []string, csm []byte, seeds [][]byte) {
	seed := hostileSeed(s.t)
	random := rand.New(rand.NewPCG(seed, 1))
	var r *rawSocket
	for n := range rounds(3000, 100000) {
		if r == nil || n%8 == 0 {
			if r != nil {
				r.conn.Close()
			}
			if _, r = s.upgrade(lines...); r == nil {
				s.t.Fatal("the bridge lets nobody in any more")
			}
			go io.Copy(io.Discard, r.conn)
			r.send(csm)
		}
		b := hostile(random, seeds)
		r.send(frame(0x80|opBinary, true, b[:min(len(b), 3000)]))
	}
	r.conn.Close()
	// The devices give up what was begun with them, and the bridge with it.
	s.until("the end of the connections", func() bool {
		_, r := s.upgrade(lines...)
		if r != nil {
			r.conn.Close()
		}
		return r != nil
	})
	s.seen.Write(fmt.Appendf(nil, "%d hostile frames\n", rounds(3000, 100000)))
}
