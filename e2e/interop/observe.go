package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore/group"
)

// states are what an observed lamp goes through after "off": the long one makes
// a notification of two bytes' length.
var states = []string{"on", "dim", long, "", "bright"}

// silence is how long no notification must come after a cancellation.
const silence = 300 * time.Millisecond

// watcher observes a lamp.
type watcher struct {
	news   chan news
	cancel func() error
	silent bool // nobody answers to a cancellation
}

// news is what an observation hands over.
type news struct {
	reply
	err error
}

func newWatcher() *watcher { return &watcher{news: make(chan news, 16)} }

// take is for the observation to call.
func (w *watcher) take(r reply, err error) { w.news <- news{r, err} }

// expect waits for a response or a notification.
func (w *watcher) expect(ctx context.Context, state, mode string) error {
	select {
	case n := <-w.news:
		return n.check(state, mode)
	case <-ctx.Done():
		return fmt.Errorf("waiting for %.40q: %w", state, ctx.Err())
	}
}

// check compares what came with the state that should have.
func (n news) check(state, mode string) error {
	if n.err != nil {
		return n.err
	}
	if n.code != coap.Content || string(n.payload) != state || n.mode != mode {
		return fmt.Errorf("got %s %.40q protected as %q, not %.40q as %q",
			coap.CodeString(n.code), n.payload, n.mode, state, mode)
	}
	return nil
}

// watch observes a lamp through its states, which set changes, cancels, and sees
// that nothing more comes.
func (w *watcher) watch(ctx context.Context, set func(string) error, mode string) error {
	if err := w.expect(ctx, "off", mode); err != nil {
		return fmt.Errorf("registering: %w", err)
	}
	for _, state := range states {
		if err := set(state); err != nil {
			return err
		}
		if err := w.expect(ctx, state, mode); err != nil {
			return fmt.Errorf("a notification: %w", err)
		}
	}
	if err := w.cancel(); err != nil {
		return fmt.Errorf("cancelling: %w", err)
	}
	if !w.silent {
		if err := w.expect(ctx, states[len(states)-1], mode); err != nil {
			return fmt.Errorf("cancelling: %w", err)
		}
	}
	if err := set("off"); err != nil {
		return err
	}
	select {
	case n := <-w.news:
		if !errors.Is(n.err, coap.ErrUnobserved) { // which a proxy has forgotten
			return fmt.Errorf("after the cancellation: %.40q, %w", n.payload, wrong(n.err))
		}
	case <-time.After(silence):
	}
	return nil
}

// setter sets a lamp's state by a PUT of ask.
func setter(ctx context.Context, ask asker) func(string) error {
	return func(state string) error {
		_, err := ask(ctx, step{method: coap.PUT, path: "/light", payload: state})
		return err
	}
}

// observing is a GET of the lamp with an Observe Option.
func observing(value uint32) *coap.Message {
	req := coap.NewRequest(coap.GET, "/light", nil)
	coap.AddUint(req, coap.OptionObserve, value)
	return req
}

// observe observes the peer's lamp over ex. At the end it deregisters, or forgets the observation.
func (p pair) observe(ctx context.Context, ex exchanger, server *peer, deregister bool) error {
	client, err := p.newClient(ex, server)
	if err != nil {
		return err
	}
	w := newWatcher()
	o, err := client.Observe(ctx, observing(coap.ObserveRegister), func(m *coap.Message, err error) {
		if err != nil {
			w.take(reply{}, err)
			return
		}
		w.take(reply{m.Code, m.Payload, single}, nil)
	})
	if err != nil {
		return err
	}
	defer o.Close()
	w.cancel = func() error { return o.Again(observing(coap.ObserveDeregister)) }
	if !deregister {
		w.silent = true
		w.cancel = func() error { o.Close(); return nil }
	}
	return w.watch(ctx, setter(ctx, byCaller(client, single)), single)
}

// oscoreObserved: the peer's client observes our lamp.
func oscoreObserved(ctx context.Context, l *lab) error {
	m, err := pairMeets(ctx, l, "")
	if err != nil {
		return err
	}
	return m.watched(ctx, single, false)
}

// observePlain observes the peer's lamp over ex without protection.
func observePlain(ctx context.Context, ex exchanger, server *peer) error {
	to, w := address(server.UDP), newWatcher()
	o, err := ex.Observe(ctx, to, observing(coap.ObserveRegister), func(m *coap.Message, err error) {
		if err != nil {
			w.take(reply{}, err)
			return
		}
		w.take(reply{m.Code, m.Payload, plain}, nil)
	})
	if err != nil {
		return err
	}
	defer o.Close()
	w.cancel = func() error { return o.Again(observing(coap.ObserveDeregister)) }
	return w.watch(ctx, setter(ctx, byCaller(coap.To(ex, to), plain)), plain)
}

// plainObserved: the peer's client observes our lamp, without protection.
func plainObserved(ctx context.Context, l *lab) error {
	m, err := openMeets(ctx, l, "")
	if err != nil {
		return err
	}
	return m.watched(ctx, plain, true)
}

// groupObserves: our member observes the peer's lamp.
func groupObserves(request, answer group.Mode) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		m, err := l.newAsking(ctx, encounter{algs: group.DefaultAlgorithms, request: request, answer: answer})
		if err != nil {
			return err
		}
		udp, err := l.newUDP()
		if err != nil {
			return err
		}
		w, end, err := m.observe(ctx, udp)
		if err != nil {
			return err
		}
		defer end()
		return w.watch(ctx, setter(ctx, m.asker(udp)), answer.String())
	}
}

// observe registers our member with the server.
func (m *asking) observe(ctx context.Context, ex coap.Observer) (w *watcher, end func(), err error) {
	outer, binding, err := m.protect(observing(coap.ObserveRegister))
	if err != nil {
		return nil, nil, err
	}
	w = newWatcher()
	var mu sync.Mutex
	asked := []*group.Binding{binding}
	o, err := ex.Observe(ctx, m.at, outer, func(got *coap.Message, err error) {
		mu.Lock()
		defer mu.Unlock()
		var resp *coap.Message
		var mode group.Mode
		for i := len(asked) - 1; err == nil && i >= 0; i-- {
			var failed error
			if resp, mode, failed = m.open(got, asked[i]); failed == nil {
				w.take(reply{resp.Code, resp.Payload, mode.String()}, nil)
				return
			} else if i == 0 {
				err = failed
			}
		}
		w.take(reply{}, err)
	})
	if err != nil {
		return nil, nil, err
	}
	w.cancel = func() error {
		outer, binding, err := m.protect(observing(coap.ObserveDeregister))
		if err != nil {
			return err
		}
		mu.Lock()
		asked = append(asked, binding)
		mu.Unlock()
		return o.Again(outer)
	}
	return w, o.Close, nil
}

// groupObserved: the peer's client observes our member's lamp.
func groupObserved(request, answer group.Mode) func(context.Context, *lab) error {
	return func(ctx context.Context, l *lab) error {
		meeting, err := l.groupPair(ctx, encounter{algs: group.DefaultAlgorithms, request: request, answer: answer})
		if err != nil {
			return err
		}
		return meeting.watched(ctx, answer.String(), false)
	}
}

// watched has a peer's client observe the lamp through its states, and cancel.
// aiocoap's fault: it never deregisters, and only over UDP without OSCORE it
// rejects what comes then (rejects); else it goes on to take notifications that
// nobody gets.
func (m meeting) watched(ctx context.Context, mode string, rejects bool) error {
	l, client, at := m.lamp, m.client, m.at
	expect := func(question map[string]any, state string) error {
		question["patience"] = peerPatience.Seconds()
		r, err := client.question(question)
		return news{r, err}.check(state, mode)
	}
	if err := expect(map[string]any{"observe": "coap://" + at.String() + "/light"}, "off"); err != nil {
		return fmt.Errorf("registering: %w", err)
	}
	for _, state := range states {
		l.set([]byte(state))
		if err := expect(map[string]any{"next": true}, state); err != nil {
			return fmt.Errorf("a notification: %w", err)
		}
	}
	if n := l.observers.Len(); n != 1 {
		return fmt.Errorf("%d observers, not 1", n)
	}
	if _, err := client.question(map[string]any{"cancel": true, "patience": peerPatience.Seconds()}); err != nil {
		return err
	}
	for rejects && l.observers.Len() > 0 { // its rejection is on its way
		l.set([]byte("bright"))
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("it has cancelled, but rejects no notification: %w", ctx.Err())
		}
	}
	return nil
}
