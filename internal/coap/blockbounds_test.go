package coap

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestBlockServerBounds(t *testing.T) {
	limits := BlockLimits{MaxBody: 1000, MaxTransfers: 8, MaxBytes: 4000, Lifetime: time.Minute}
	c := &clock{start}
	s := NewBlockServer(limits, c.now)
	h := s.Wrap(&memory{})
	block := func(who any, path string, b Block) Code {
		m := blockRequest(PUT, make([]byte, 16), OptionBlock1, b)
		AddOption(m, OptionURIPath, []byte(path))
		return asking(h, who, m).Code
	}
	begin := func(who any, path string) Code { return block(who, path, Block{0, true, 16}) }
	end := func(who any, path string) Code { return block(who, path, Block{1, false, 16}) }
	if got := begin(addrB, "x"); got != Continue {
		t.Fatal(got)
	}
	// One peer drops its own only, however much it begins.
	for i := range 50 {
		c.t = c.t.Add(time.Millisecond)
		if got := begin(addrA, fmt.Sprint(i)); got != Continue {
			t.Fatal(i, got)
		}
	}
	if got := end(addrA, "47"); got != RequestEntityIncomplete {
		t.Error("an old one of many:", got)
	}
	if got := end(addrA, "49"); got != Changed {
		t.Error("the newest of many:", got)
	}
	// Who proves nothing fills the half of the table, whatever its addresses;
	// associations have the rest. What is in the table stays.
	count := func(code Code, who func(i int) any) (n int) {
		for i := range 50 {
			if begin(who(i), "x") == code {
				n++
			}
		}
		return n
	}
	if n := count(ServiceUnavailable, func(i int) any { return netip.AddrPortFrom(addrA.Addr(), uint16(i+1)) }); n != 48 || len(s.transfers.byKey) != 4 {
		t.Errorf("%d transfers, %d refused", len(s.transfers.byKey), n)
	}
	if n := count(Continue, func(i int) any { return Peer{Kind: PeerPSK, Name: fmt.Sprint(i)} }); n != 4 || len(s.transfers.byKey) != 8 {
		t.Errorf("%d transfers, %d of them with an association", len(s.transfers.byKey), n)
	}
	if got := end(addrB, "x"); got != Changed {
		t.Error("the first one:", got)
	}
	// Those that rest too long make room.
	c.t = c.t.Add(limits.Lifetime + time.Second)
	if got := begin(addrB, "y"); got != Continue {
		t.Error("after a while:", got)
	}
}

// asking has a peer, by its address or its association, ask h.
func asking(h Handler, who any, m *Message) *Message {
	req := &Request{Message: m, From: addrA}
	switch who := who.(type) {
	case netip.AddrPort:
		req.From = who
	case Peer:
		req.Peer = who
	}
	return h.Serve(context.Background(), req)
}

// TestBlockServerBytes has downloads count by their bytes; those that are finished
// make room for others.
func TestBlockServerBytes(t *testing.T) {
	limits := BlockLimits{MaxBody: 1000, MaxTransfers: 8, MaxBytes: 4000}
	c := &clock{start}
	s := NewBlockServer(limits, c.now)
	h := s.Wrap(&memory{body: make([]byte, 900)})
	get := func(i int, num uint32) *Message {
		return asking(h, Peer{Kind: PeerPSK, Name: fmt.Sprint(i)}, blockRequest(GET, nil, OptionBlock2, Block{Num: num, Size: 512}))
	}
	for i := range 20 {
		get(i, 0)
		if s.transfers.bytes > limits.MaxBytes {
			t.Fatal("too many bytes")
		}
	}
	kept := func(i int) bool {
		for key := range s.transfers.byKey {
			if key.peer == peerIdentity(&Request{Peer: Peer{Kind: PeerPSK, Name: fmt.Sprint(i)}}) {
				return true
			}
		}
		return false
	}
	if n := len(s.transfers.byKey); n != 4 || !kept(0) || kept(19) {
		t.Errorf("%d downloads of 900 bytes in 4000", n)
	}
	get(2, 1)
	get(30, 0)
	if !kept(30) || kept(2) || !kept(0) {
		t.Error("a finished download makes no room")
	}
	total := 0
	for _, x := range s.transfers.byKey {
		total += x.held
	}
	if total != s.transfers.bytes {
		t.Errorf("%d bytes are held, %d counted", total, s.transfers.bytes)
	}
}
