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
	for what, frames := range hostileFrames(t, csm) {
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

// hostileFrames are what no client sends, each for a connection of its own.
func hostileFrames(t *testing.T, csm []byte) map[string][][]byte {
	return map[string][][]byte{
		"a text frame":              {csm, frame(0x80|opText, true, []byte("hello"))},
		"no CSM first":              {message(t, coap.NewRequest(coap.GET, "/", nil))},
		"a frame of a megabyte":     {csm, frame(0x80|opBinary, true, make([]byte, 1<<20))},
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
	}
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
