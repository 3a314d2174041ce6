package sim

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"lamplighter/internal/coap"
)

// observation takes what comes under one token. It implements [coap.Observation].
// Its calls have a goroutine of their own: a server that notifies may hold locks
// which the observer's own requests need.
type observation struct {
	x     *exchanger
	to    netip.AddrPort
	token coap.Token
	each  func(*coap.Message, error)
	news  chan struct{}

	mu    sync.Mutex
	queue []*coap.Message
	err   error // why it has ended
	shut  bool
}

// Observe implements [coap.Observer].
func (x *exchanger) Observe(ctx context.Context, to netip.AddrPort, req *coap.Message, each func(*coap.Message, error)) (coap.Observation, error) {
	x.mu.Lock()
	x.token++
	o := &observation{x: x, to: to, token: token(x.token), each: each, news: make(chan struct{}, 1)}
	if x.observed == nil {
		x.observed = map[string]*observation{}
	}
	x.observed[string(o.token)] = o
	x.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { o.end(ctx.Err()) })
	go func() {
		defer stop()
		o.run()
	}()
	return o, o.Again(req)
}

// Again implements [coap.Observation].
func (o *observation) Again(req *coap.Message) error {
	o.mu.Lock()
	over := o.shut || o.err != nil
	o.mu.Unlock()
	if over {
		return coap.ErrUnobserved
	}
	b, err := o.x.encode(req, o.token, coap.Confirmable)
	if err != nil {
		return err
	}
	for range maxRetransmit + 1 {
		if m := o.x.attempt(context.Background(), o.to, b); m != nil && string(m.Token) == string(o.token) {
			o.put(m)
			return nil
		}
	}
	o.end(fmt.Errorf("observing %v: %w", o.to, coap.ErrTimeout))
	return nil
}

// Close implements [coap.Observation].
func (o *observation) Close() {
	o.forget()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.shut, o.queue = true, nil
	o.wake()
}

func (o *observation) forget() {
	o.x.mu.Lock()
	defer o.x.mu.Unlock()
	delete(o.x.observed, string(o.token))
}

func (o *observation) put(m *coap.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = append(o.queue, m)
	o.wake()
}

// end ends it with an error, after what has come.
func (o *observation) end(err error) {
	o.forget()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
	o.wake()
}

func (o *observation) wake() {
	select {
	case o.news <- struct{}{}:
	default:
	}
}

func (o *observation) run() {
	for range o.news {
		for {
			o.mu.Lock()
			if o.shut {
				o.mu.Unlock()
				return
			}
			if len(o.queue) == 0 {
				break
			}
			m := o.queue[0]
			o.queue = o.queue[1:]
			o.mu.Unlock()
			o.each(m, nil)
		}
		err := o.err
		o.mu.Unlock()
		if err != nil {
			o.each(nil, err)
			return
		}
	}
}

// push carries a notification from a node to who observes under a token. It fails
// when the client has forgotten it, or does not acknowledge it.
func (n *Network) push(at *node, to netip.AddrPort, tok coap.Token, resp *coap.Message) error {
	n.mu.Lock()
	x, up := n.from[to], n.nodes[at.addr] == at && !at.down
	n.mu.Unlock()
	if x == nil || !up {
		return coap.ErrTimeout
	}
	x.mu.Lock()
	o := x.observed[string(tok)]
	x.mid++
	mid := x.mid
	x.mu.Unlock()
	if o == nil {
		return coap.ErrReset
	}
	out := coap.Clone(resp)
	out.Token, out.MessageID, out.Type = slices.Clone(tok), int32(mid), coap.Confirmable
	b, err := coap.MarshalUDP(out)
	if err != nil {
		return err
	}
	for range maxRetransmit + 1 {
		if m := x.receive(at.addr, b); m != nil {
			o.put(m)
			return nil
		}
	}
	return coap.ErrTimeout
}

// Unobserve breaks every observation of the client at addr, as when its link is
// lost: the servers do not hear of it.
func (n *Network) Unobserve(addr netip.AddrPort) {
	n.mu.Lock()
	x := n.from[addr]
	n.mu.Unlock()
	if x == nil {
		return
	}
	x.mu.Lock()
	var list []*observation
	for _, o := range x.observed {
		list = append(list, o)
	}
	x.mu.Unlock()
	for _, o := range list {
		o.end(coap.ErrLink)
	}
}
