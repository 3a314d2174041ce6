package endpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"lamplighter/internal/coap"
)

// errNoReplyFrom says that the bridge gave an answer without saying whose it is.
var errNoReplyFrom = errors.New("an answer without Reply-From")

// proxied is req with the options that tell the bridge where to send it.
// RFC 7252, Section 5.10.2.
func proxied(req *coap.Message, token coap.Token, to netip.AddrPort) *coap.Message {
	m := coap.Clone(req)
	m.Token = token
	host := to.Addr().Unmap().String()
	if to.Addr().Is6() && !to.Addr().Is4In6() {
		host = "[" + host + "]"
	}
	coap.SetOption(m, coap.OptionURIHost, []byte(host))
	coap.SetOption(m, coap.OptionURIPort, coap.EncodeUint(uint32(to.Port())))
	coap.SetOption(m, coap.OptionProxyScheme, []byte("coap"))
	return m
}

// Exchange implements [coap.Exchanger]. The bridge retransmits; its 5.04 becomes
// [coap.ErrTimeout], its 5.02 [coap.ErrReset], its 4.29 [coap.ErrBusy].
func (w *WS) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	answer := make(chan *coap.Message, 1)
	token, err := w.call(func(m *coap.Message) {
		select {
		case answer <- m:
		default:
		}
	})
	if err != nil {
		return nil, err
	}
	defer w.forget(token)
	if err := w.write(ctx, proxied(req, token, to)); err != nil {
		return nil, err
	}
	select {
	case m := <-answer:
		err := errors.Join(checkResponse(ctx, m), bridgeError(m))
		if err != nil {
			return nil, fmt.Errorf("asking %v: %w", to, err)
		}
		return m, nil
	case <-w.done:
		return nil, w.Err()
	case <-ctx.Done():
		w.stopEarly(token)
		return nil, ended(ctx, to)
	}
}

// bridgeError tells what the bridge itself answered. A device does not use these
// codes: they belong to proxies.
func bridgeError(m *coap.Message) error {
	var kind error
	switch m.Code {
	case coap.GatewayTimeout:
		kind = coap.ErrTimeout
	case coap.BadGateway:
		kind = coap.ErrReset
	case coap.TooManyRequests:
		kind = coap.ErrBusy
	default:
		return nil
	}
	return fmt.Errorf("%w: %w", kind, coap.CheckResponse(m))
}

// ended says why ctx ended: a deadline is a timeout like any other.
func ended(ctx context.Context, to netip.AddrPort) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("asking %v: %w: %w", to, coap.ErrTimeout, ctx.Err())
	}
	return fmt.Errorf("asking %v: %w", to, ctx.Err())
}

// checkResponse refuses a response with critical options that are not
// understood. RFC 7252, Section 5.4.1.
func checkResponse(ctx context.Context, m *coap.Message) error {
	if err := coap.CheckResponseOptions(ctx, m); err != nil {
		return fmt.Errorf("%w: %w", coap.ErrDecode, err)
	}
	return nil
}

// stopEarly tells the bridge that nobody waits any more: an Early Stop Request.
// draft-ietf-core-groupcomm-proxy-07, Section 5.1.3.
func (w *WS) stopEarly(token coap.Token) {
	m := &coap.Message{Code: coap.GET, Token: token}
	coap.AddUint(m, coap.OptionMulticastTimeout, 0)
	_ = w.write(context.Background(), m)
}

// Multicast implements [coap.Exchanger]. The bridge hears for how many seconds
// we want answers. draft-ietf-core-groupcomm-proxy-07, Sections 5.1 and 5.5.
func (w *WS) Multicast(ctx context.Context, to netip.AddrPort, req *coap.Message, wait time.Duration, each func(*coap.Message, netip.AddrPort)) error {
	if wait <= 0 {
		return w.tell(ctx, to, req)
	}
	box := newMailbox()
	token, err := w.call(func(m *coap.Message) { box.put(delivery{m: m}) })
	if err != nil {
		return err
	}
	defer w.forget(token)
	m := proxied(req, token, to)
	seconds := max((wait+time.Second-1)/time.Second, 1)
	coap.SetOption(m, coap.OptionMulticastTimeout, coap.EncodeUint(uint32(seconds)))
	if err := w.write(ctx, m); err != nil {
		return err
	}
	err = box.each(ctx, w.done, wait, func(d delivery) error { return fromGroup(ctx, d.m, each) })
	if linkErr := w.Err(); linkErr != nil {
		return linkErr
	}
	if err != nil {
		return fmt.Errorf("asking %v: %w", to, err)
	}
	w.stopEarly(token)
	return nil
}

// fromGroup yields one device's answer, or fails with what the bridge itself
// says.
func fromGroup(ctx context.Context, m *coap.Message, each func(*coap.Message, netip.AddrPort)) error {
	value := coap.GetOption(m, coap.OptionReplyFrom)
	if value == nil {
		return cmp.Or(bridgeError(m), coap.CheckResponse(m), errNoReplyFrom)
	}
	from, err := coap.ParseReplyFrom(value)
	if err != nil || checkResponse(ctx, m) != nil {
		return nil // one bad answer does not spoil the others
	}
	coap.RemoveOption(m, coap.OptionReplyFrom)
	each(m, from)
	return nil
}

// Observe implements [coap.Observer]. Closing is an Early Stop Request: the
// bridge rejects the next notification then, which ends the observation at the
// server. draft-ietf-core-groupcomm-proxy-07, Section 5.1.3.
func (w *WS) Observe(ctx context.Context, to netip.AddrPort, req *coap.Message, each func(*coap.Message, error)) (coap.Observation, error) {
	o := newObservation(to, req, each)
	f := &forwarded{observation: o}
	token, err := w.call(f.receive)
	if err != nil {
		return nil, err
	}
	o.release = func() {
		w.forget(token)
		if f.isOpen() {
			w.stopEarly(token)
		}
	}
	o.again = func(req *coap.Message) error {
		if err := f.asks(req); err != nil {
			return err
		}
		return w.write(ctx, proxied(req, token, to))
	}
	if err := o.again(req); err != nil {
		w.forget(token)
		return nil, err
	}
	go o.run(ctx, bridgePatience, w.done, w.Err)
	return o, nil
}

// bridgePatience is longer than a bridge waits for a device, whose silence it
// tells: MAX_TRANSMIT_WAIT and a little.
const bridgePatience = 100 * time.Second

// forwarded is an observation through the bridge, which forgets the exchange
// with the first response that is no notification, or when the client does not
// ask to observe any more.
type forwarded struct {
	*observation

	mu     sync.Mutex
	asked  bool // the last request was a registration
	closed bool // the bridge has forgotten the exchange
}

// asks notes what a request asks for, unless the bridge would take it for a new
// exchange.
func (f *forwarded) asks(req *coap.Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return coap.ErrUnobserved
	}
	v, has := coap.OptionUint(req, coap.OptionObserve)
	f.asked = has && v == coap.ObserveRegister
	return nil
}

func (f *forwarded) isOpen() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.closed
}

// receive runs in the goroutine that reads the WebSocket.
func (f *forwarded) receive(m *coap.Message) {
	f.mu.Lock()
	last := !f.asked || !coap.IsNotification(m)
	f.closed = f.closed || last
	f.mu.Unlock()
	err := bridgeError(m)
	if err == nil {
		f.put(m, nil)
		err = coap.ErrUnobserved
	}
	if last {
		f.put(nil, err)
	}
}
