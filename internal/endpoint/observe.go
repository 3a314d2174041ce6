package endpoint

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"lamplighter/internal/coap"
)

// maxNotifications bounds what waits for a slow observer; the oldest goes first:
// only the newest state counts. RFC 7641, Section 1.3.
const maxNotifications = 64

// observation hands what comes under one token to an observer. It implements
// [coap.Observation].
type observation struct {
	to      netip.AddrPort
	bound   bool // responses prove themselves by OSCORE: who injects a bad one ends nothing (RFC 8613, Section 8.4.2)
	each    func(*coap.Message, error)
	again   func(req *coap.Message) error
	release func()        // forgets the token
	news    chan struct{} // holds one when items may be waiting
	over    chan struct{} // closed by Close

	mu    sync.Mutex
	items []delivery
	shut  bool // nothing is taken any more
}

func newObservation(to netip.AddrPort, req *coap.Message, each func(*coap.Message, error)) *observation {
	return &observation{to: to, bound: coap.HasOption(req, coap.OptionOSCORE), each: each, news: make(chan struct{}, 1), over: make(chan struct{})}
}

// Again implements [coap.Observation]. One that has ended is not begun anew:
// nobody would hear of it.
func (o *observation) Again(req *coap.Message) error {
	o.mu.Lock()
	over := o.shut
	o.mu.Unlock()
	if over {
		return coap.ErrUnobserved
	}
	return o.again(req)
}

// Close implements [coap.Observation].
func (o *observation) Close() {
	o.mu.Lock()
	closed := o.shut
	o.shut, o.items = true, nil
	o.mu.Unlock()
	if !closed {
		close(o.over)
		o.release()
	}
}

// put takes a response, and after that perhaps the error that ends the
// observation. It does not block.
func (o *observation) put(m *coap.Message, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.shut {
		return
	}
	if len(o.items) >= maxNotifications {
		o.items = append(o.items[:0], o.items[1:]...)
	}
	o.items = append(o.items, delivery{m: m, err: err})
	select {
	case o.news <- struct{}{}:
	default:
	}
}

// run calls each until the observation ends. The first response must come within
// wait; broken ends all, with the error that why returns.
func (o *observation) run(ctx context.Context, wait time.Duration, broken <-chan struct{}, why func() error) {
	first := time.NewTimer(wait)
	defer first.Stop()
	for {
		var err error
		select {
		case <-o.over:
			return
		case <-ctx.Done():
			err = ended(ctx, o.to)
		case <-first.C:
			err = coap.ErrTimeout
		case <-broken:
			o.hand(ctx) // what came before
			err = why()
		case <-o.news:
			first.Stop()
			err = o.hand(ctx)
		}
		if err != nil {
			o.end(err)
			return
		}
	}
}

// hand calls each for what has come, up to an error, which it returns.
func (o *observation) hand(ctx context.Context) error {
	for {
		o.mu.Lock()
		if len(o.items) == 0 {
			o.mu.Unlock()
			return nil
		}
		d := o.items[0]
		o.items = o.items[1:]
		o.mu.Unlock()
		if d.err != nil {
			return d.err
		}
		switch err := checkResponse(ctx, d.m); {
		case err == nil:
			o.each(d.m, nil)
		case !o.bound:
			return err
		}
	}
}

// end tells the observer why, unless it has closed.
func (o *observation) end(err error) {
	o.mu.Lock()
	closed := o.shut
	o.shut, o.items = true, nil
	o.mu.Unlock()
	if !closed {
		o.release()
		o.each(nil, err)
	}
}
