package sim

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"lamplighter/internal/coap"
)

// Transmission parameters. RFC 7252, Section 4.8.
const (
	maxRetransmit = 4
	ackTimeout    = 2500 * time.Millisecond // ACK_TIMEOUT times the mean of ACK_RANDOM_FACTOR
)

type exchanger struct {
	net  *Network
	addr netip.AddrPort

	mu    sync.Mutex
	mid   uint16
	token uint64

	observed map[string]*observation // by token
}

// outgoing gives req a token, a message ID and a type, and encodes it.
func (x *exchanger) outgoing(req *coap.Message, typ int) (coap.Token, []byte, error) {
	x.mu.Lock()
	x.token++
	tok := token(x.token)
	x.mu.Unlock()
	kind := coap.Confirmable
	if typ != int(coap.Confirmable) {
		kind = coap.NonConfirmable
	}
	b, err := x.encode(req, tok, kind)
	return tok, b, err
}

// encode gives req a message ID and encodes it.
func (x *exchanger) encode(req *coap.Message, tok coap.Token, typ coap.MessageType) ([]byte, error) {
	x.mu.Lock()
	x.mid++
	mid := x.mid
	x.mu.Unlock()
	out := coap.Clone(req)
	out.Token, out.MessageID, out.Type = tok, int32(mid), typ
	return coap.MarshalUDP(out)
}

// Exchange implements [coap.Exchanger].
func (x *exchanger) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	tok, b, err := x.outgoing(req, int(coap.Confirmable))
	if err != nil {
		return nil, err
	}
	for i := range maxRetransmit + 1 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		begun := x.net.now()
		if resp := x.attempt(ctx, to, b); resp != nil && string(resp.Token) == string(tok) {
			return resp, nil
		}
		x.net.pass(ctx, begun, ackTimeout<<i)
	}
	return nil, fmt.Errorf("asking %v: %w", to, coap.ErrTimeout)
}

// attempt sends a request once and returns what comes back.
func (x *exchanger) attempt(ctx context.Context, to netip.AddrPort, b []byte) *coap.Message {
	times := 1
	if x.net.chance(func(f Faults) float64 { return f.Dup }) {
		times = 2
	}
	var got *coap.Message
	for range times {
		x.net.carry(len(b), toOne)
		arrives := x.net.send(Datagram{From: x.addr, To: to, Kind: Request, Bytes: b}, to)
		at := x.net.node(to)
		if !arrives || at == nil {
			continue
		}
		answer := at.deliver(ctx, x.addr, b, false)
		at.release(ctx)
		if m := x.receive(to, answer); m != nil {
			got = m
		}
	}
	return got
}

// receive passes an answer over the link back.
func (x *exchanger) receive(from netip.AddrPort, answer []byte) *coap.Message {
	if answer == nil {
		return nil
	}
	x.net.carry(len(answer), response)
	if !x.net.send(Datagram{From: from, To: x.addr, Kind: Response, Bytes: answer}, from) {
		return nil
	}
	m, err := coap.UnmarshalUDP(slices.Clone(answer))
	if err != nil {
		return nil
	}
	return m
}

// Multicast implements [coap.Exchanger]. It does not wait in real time: when it
// returns, all that the members answer has been yielded, except late answers to
// requests that a link held back, which are lost.
func (x *exchanger) Multicast(ctx context.Context, to netip.AddrPort, req *coap.Message, wait time.Duration, each func(*coap.Message, netip.AddrPort)) error {
	tok, b, err := x.outgoing(req, int(coap.NonConfirmable))
	if err != nil {
		return err
	}
	begun := x.net.now()
	defer func() { x.net.pass(ctx, begun, wait) }()
	x.net.carry(len(b), toGroup)
	if x.net.Parallel > 1 {
		for _, d := range x.fan(ctx, to, b, x.net.Parallel) {
			if m := x.receive(d.member, d.answer); m != nil && ctx.Err() == nil && string(m.Token) == string(tok) {
				each(m, d.member)
			}
		}
		return nil
	}
	for _, member := range x.net.members(to) {
		if ctx.Err() != nil {
			return nil
		}
		for _, m := range x.toMember(ctx, to, member, b) {
			if string(m.Token) == string(tok) {
				each(m, member)
			}
		}
	}
	return nil
}

// toMember delivers a group request to one member and returns its answers as
// they arrive: none, one, or the same one twice.
func (x *exchanger) toMember(ctx context.Context, group, member netip.AddrPort, b []byte) []*coap.Message {
	arrives := x.net.send(Datagram{From: x.addr, To: group, Kind: Request, Bytes: b}, member)
	at := x.net.node(member)
	if !arrives || at == nil {
		return nil
	}
	if x.net.chance(func(f Faults) float64 { return f.Reorder }) {
		at.hold(held{from: x.addr, datagram: b, answer: func(late []byte) { x.receive(member, late) }})
		return nil
	}
	answer := at.deliver(ctx, x.addr, b, true)
	if x.net.chance(func(f Faults) float64 { return f.Dup }) {
		at.deliver(ctx, x.addr, b, true) // a repetition: no second answer
	}
	at.release(ctx)
	var got []*coap.Message
	times := 1
	if x.net.chance(func(f Faults) float64 { return f.Dup }) {
		times = 2
	}
	for range times {
		if m := x.receive(member, answer); m != nil {
			got = append(got, m)
		}
	}
	return got
}
