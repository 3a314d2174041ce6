package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
	"lamplighter/internal/oscore/group"
)

// states are what an observed lamp goes through after "off": the long one makes
// a notification of two bytes' length.
var states = []string{"on", "dim", long, "", "bright"}

// silence is how long no notification must come after a cancellation.
const silence = 300 * time.Millisecond

// watcher observes a lamp: what comes, and how it ends.
type watcher struct {
	came   chan reply
	failed chan error
	cancel func() error
}

func newWatcher() *watcher {
	return &watcher{came: make(chan reply, 16), failed: make(chan error, 1)}
}

// take passes on what an observation hands over.
func (w *watcher) take(r reply, err error) {
	if err != nil {
		w.failed <- err
		return
	}
	w.came <- r
}

// expect waits for a response or a notification.
func (w *watcher) expect(ctx context.Context, state, mode string) error {
	select {
	case r := <-w.came:
		if r.code != coap.Content || string(r.payload) != state || r.mode != mode {
			return fmt.Errorf("got %s %.40q protected as %q, not %.40q as %q",
				coap.CodeString(r.code), r.payload, r.mode, state, mode)
		}
		return nil
	case err := <-w.failed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("waiting for %.40q: %w", state, ctx.Err())
	}
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
	if err := w.expect(ctx, states[len(states)-1], mode); err != nil {
		return fmt.Errorf("cancelling: %w", err)
	}
	if err := set("off"); err != nil {
		return err
	}
	select {
	case <-w.came:
		return errors.New("a notification after the cancellation")
	case err := <-w.failed:
		return err
	case <-time.After(silence):
		return nil
	}
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

// oscoreObserves: our client observes the peer's lamp.
func oscoreObserves(ctx context.Context, l *lab) error {
	pair := newPair(variant{})
	udp, to, err := l.oscorePeer(ctx, pair, variant{})
	if err != nil {
		return err
	}
	own, err := pair.context(false)
	if err != nil {
		return err
	}
	client := oscore.NewClient(own, udp, to)
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
	return w.watch(ctx, setter(ctx, byCaller(client, single)), single)
}

// oscoreObserved: the peer's client observes our lamp.
func oscoreObserved(ctx context.Context, l *lab) error {
	pair := newPair(variant{})
	lamp, at, err := l.oscoreLamp(pair, variant{})
	if err != nil {
		return err
	}
	client, err := l.oscoreAsker(ctx, pair, "")
	if err != nil {
		return err
	}
	return lamp.watchedBy(ctx, client, at, single)
}

// plainObserves: our client observes the peer's lamp, without protection.
func plainObserves(ctx context.Context, l *lab) error {
	server, err := l.start(ctx, "server.py", peerConfig{})
	if err != nil {
		return err
	}
	udp, err := l.newUDP()
	if err != nil {
		return err
	}
	to, w := address(server.UDP), newWatcher()
	o, err := udp.Observe(ctx, to, observing(coap.ObserveRegister), func(m *coap.Message, err error) {
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
	return w.watch(ctx, setter(ctx, byCaller(unprotected{udp, to}, plain)), plain)
}

// plainObserved: the peer's client observes our lamp, without protection.
func plainObserved(ctx context.Context, l *lab) error {
	lamp, at, err := l.newLamp(coap.PeerNone, nil)
	if err != nil {
		return err
	}
	client, err := l.start(ctx, "client.py", peerConfig{})
	if err != nil {
		return err
	}
	return lamp.watchedBy(ctx, client, at, plain)
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
		return meeting.lamp.watchedBy(ctx, meeting.client, meeting.at, answer.String())
	}
}

// watchedBy has a peer's client observe the lamp through its states, and cancel.
// aiocoap's fault: under OSCORE it has no way to cancel and goes on to acknowledge
// notifications that nobody gets; only those without protection it rejects.
func (l *lamp) watchedBy(ctx context.Context, client *peer, at netip.AddrPort, mode string) error {
	expect := func(question map[string]any, state string) error {
		question["patience"] = peerPatience.Seconds()
		r, err := client.question(question)
		if err == nil && (r.code != coap.Content || string(r.payload) != state || r.mode != mode) {
			err = fmt.Errorf("got %s %.40q protected as %q, not %.40q as %q",
				coap.CodeString(r.code), r.payload, r.mode, state, mode)
		}
		return err
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
	if n := l.observed(); n != 1 {
		return fmt.Errorf("%d observers, not 1", n)
	}
	if _, err := client.question(map[string]any{"cancel": true, "patience": peerPatience.Seconds()}); err != nil {
		return err
	}
	if mode != plain {
		return nil
	}
	for l.observed() > 0 { // its rejection is on its way
		l.set([]byte("bright"))
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("it has cancelled, but rejects no notification: %w", ctx.Err())
		}
	}
	return nil
}
