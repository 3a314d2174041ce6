package sim

import (
	"context"
	"net/netip"
	"slices"
	"sync"

	"lamplighter/internal/coap"
)

// maxSeen bounds what a node remembers for deduplication.
const maxSeen = 4096

type seenKey struct {
	from netip.AddrPort
	mid  int32
}

// held is a group request that a link holds back.
type held struct {
	from     netip.AddrPort
	datagram []byte
	answer   func([]byte)
}

type node struct {
	net     *Network
	addr    netip.AddrPort
	handler coap.Handler
	down    bool // guarded by net.mu

	mu   sync.Mutex
	seen map[seenKey][]byte // the answer to a message, nil for none
	late []held
}

// deliver handles a datagram once; a repetition gets the same answer again.
// RFC 7252, Section 4.5.
func (at *node) deliver(ctx context.Context, from netip.AddrPort, datagram []byte, multicast bool) []byte {
	m, err := coap.UnmarshalUDP(datagram)
	if err != nil {
		return nil
	}
	key := seenKey{from, m.MessageID}
	at.mu.Lock()
	answer, repeated := at.seen[key]
	if !repeated {
		if len(at.seen) >= maxSeen {
			clear(at.seen)
		}
		at.seen[key] = nil
	}
	at.mu.Unlock()
	if repeated {
		return answer
	}
	answer = at.handle(ctx, from, datagram, multicast)
	at.mu.Lock()
	defer at.mu.Unlock()
	at.seen[key] = answer
	return answer
}

// handle decodes, serves and encodes.
func (at *node) handle(ctx context.Context, from netip.AddrPort, datagram []byte, multicast bool) []byte {
	m, err := coap.UnmarshalUDP(slices.Clone(datagram))
	if err != nil {
		return nil
	}
	req := &coap.Request{Message: m, From: from, Multicast: multicast}
	if !multicast {
		req.Push = func(resp *coap.Message) error { return at.net.push(at, from, m.Token, resp) }
	}
	var resp *coap.Message
	if err := coap.CheckRequestOptions(at.handler, m); err != nil {
		resp = coap.Problem(coap.BadOption, err.Error())
	} else {
		resp = at.handler.Serve(ctx, req)
	}
	if resp == nil || multicast && coap.Class(resp.Code) != 2 {
		return nil
	}
	out := coap.Clone(resp)
	out.Token, out.MessageID, out.Type = m.Token, m.MessageID, coap.Acknowledgement
	if m.Type != coap.Confirmable {
		out.Type = coap.NonConfirmable
	}
	b, err := coap.MarshalUDP(out)
	if err != nil {
		return nil
	}
	return b
}

// hold keeps a group request back until release.
func (at *node) hold(h held) {
	at.mu.Lock()
	defer at.mu.Unlock()
	at.late = append(at.late, h)
}

// release delivers what was held back before the datagram that just came.
func (at *node) release(ctx context.Context) {
	at.mu.Lock()
	late := at.late
	at.late = nil
	at.mu.Unlock()
	for _, h := range late {
		if answer := at.deliver(ctx, h.from, h.datagram, true); answer != nil {
			h.answer(answer)
		}
	}
}
