//go:build !js

package endpoint

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"lamplighter/internal/coap"
)

// A flood of datagrams over a real socket, noise and requests of strangers, costs
// bounded memory, and whoever asks is answered when it is over.
func TestDatagramFlood(t *testing.T) {
	const datagrams, sockets = 100_000, 20
	loopback := netip.MustParseAddrPort("127.0.0.1:0")
	server, err := ListenUDP(loopback, coap.HandlerFunc(func(context.Context, *coap.Request) *coap.Message {
		return coap.Problem(coap.Unauthorized, "A token is needed first.")
	}), UDPOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	var conns []net.Conn
	for range sockets {
		c, err := net.Dial("udp", server.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	before := heapInUse()
	noise := make([]byte, 64)
	for n := range datagrams {
		_, _ = rand.Read(noise)
		switch n % 3 {
		case 0: // a confirmable request, each another
			noise[0], noise[1] = 0x40, byte(coap.GET)
			binary.BigEndian.PutUint16(noise[2:], uint16(n/sockets))
			_, err = conns[n%sockets].Write(noise[:4])
		case 1: // version 1 with what may be anything
			noise[0] = 0x40 | noise[0]&0x3f
			_, err = conns[n%sockets].Write(noise)
		default:
			_, err = conns[n%sockets].Write(noise[:n%64])
		}
		if err != nil && n%1000 == 0 {
			t.Log(err) // of what the server's side has rejected
		}
	}
	if after := heapInUse(); after > before+48<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	client, err := ListenUDP(loopback, nil, UDPOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	resp, err := client.Exchange(ctx, server.Addr(), coap.NewRequest(coap.GET, "/x", nil))
	for err == nil && resp.Code == coap.ServiceUnavailable { // the last of the flood is worked on still
		time.Sleep(100 * time.Millisecond)
		resp, err = client.Exchange(ctx, server.Addr(), coap.NewRequest(coap.GET, "/x", nil))
	}
	if err != nil || resp.Code != coap.Unauthorized {
		t.Errorf("after the flood: %v %v", resp, err)
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
