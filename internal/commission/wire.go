package commission

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
)

// errNotForwarded says that the bridge refused a target.
var errNotForwarded = errors.New("the bridge refused the target")

// wire is the way to all peers: it bounds each exchange in time, reads what the
// bridge itself answers, and spares everybody the wait for a server that was
// silent a moment ago.
type wire struct {
	inner   coap.Exchanger
	timeout time.Duration
	pause   time.Duration // how long a silent server counts as down; shorter than all tries together
	now     func() time.Time

	mu      sync.Mutex
	servers map[netip.AddrPort]time.Time // AS and GM, and until when they count as down
	heard   map[netip.AddrPort]time.Time // when somebody answered last
}

func newWire(cfg *Config) *wire {
	return &wire{
		inner: cfg.Exchange, timeout: cfg.Tuning.Timeout, pause: 2 * cfg.Tuning.Backoff,
		now: cfg.Now, servers: map[netip.AddrPort]time.Time{}, heard: map[netip.AddrPort]time.Time{},
	}
}

// server marks an address as that of a server that many jobs share.
func (w *wire) server(addr netip.AddrPort) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.servers[addr] = time.Time{}
}

// within returns a view of the wire with another bound.
func (w *wire) within(timeout time.Duration) coap.Exchanger { return bounded{w, timeout} }

type bounded struct {
	*wire
	timeout time.Duration
}

func (b bounded) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	return b.exchange(ctx, to, req, b.timeout)
}

// Exchange implements [coap.Exchanger].
func (w *wire) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	return w.exchange(ctx, to, req, w.timeout)
}

func (w *wire) exchange(ctx context.Context, to netip.AddrPort, req *coap.Message, timeout time.Duration) (*coap.Message, error) {
	if w.isDown(to) {
		return nil, fmt.Errorf("asking %v: %w", to, coap.ErrTimeout)
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	resp, err := w.inner.Exchange(bounded, to, req)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil && !errors.Is(err, coap.ErrLink) {
		err = fmt.Errorf("asking %v: %w", to, coap.ErrTimeout)
	}
	if err == nil {
		err = fromBridge(req, resp)
	}
	w.note(to, err)
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// fromBridge recognises that the proxy refused a target: an unprotected answer of
// its own kind to a protected request.
func fromBridge(req, resp *coap.Message) error {
	if !coap.HasOption(req, coap.OptionOSCORE) || coap.HasOption(resp, coap.OptionOSCORE) {
		return nil
	}
	if resp.Code == coap.Forbidden || resp.Code == coap.ProxyingNotSupported {
		return errNotForwarded
	}
	return nil
}

// silent reports whether nobody was there to answer.
func silent(err error) bool {
	return errors.Is(err, coap.ErrTimeout) || errors.Is(err, coap.ErrReset) || errors.Is(err, context.DeadlineExceeded)
}

// Multicast implements [coap.Exchanger].
func (w *wire) Multicast(ctx context.Context, to netip.AddrPort, req *coap.Message, wait time.Duration, each func(*coap.Message, netip.AddrPort)) error {
	err := w.inner.Multicast(ctx, to, req, wait, each)
	var re *coap.ResponseError // of the bridge: members' answers go to each
	if errors.As(err, &re) && re.Code == coap.Forbidden {
		return errNotForwarded
	}
	return err
}

// Observe implements [coap.Observer], where the way below does.
func (w *wire) Observe(ctx context.Context, to netip.AddrPort, req *coap.Message, each func(*coap.Message, error)) (coap.Observation, error) {
	inner, ok := w.inner.(coap.Observer)
	switch {
	case !ok:
		return nil, oscore.ErrCannotObserve
	case w.isDown(to):
		return nil, fmt.Errorf("observing %v: %w", to, coap.ErrTimeout)
	}
	return inner.Observe(ctx, to, req, func(m *coap.Message, err error) {
		if err == nil {
			err = fromBridge(req, m)
		}
		if err != nil {
			m = nil
		}
		w.note(to, err)
		each(m, err)
	})
}

func (w *wire) isDown(to netip.AddrPort) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now().Before(w.servers[to])
}

// heardSince reports whether somebody at addr has answered since then.
func (w *wire) heardSince(addr netip.AddrPort, then time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.heard[addr].After(then)
}

// note keeps in mind who answered, and when.
func (w *wire) note(to netip.AddrPort, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.heard[to] = w.now()
	}
	if _, ok := w.servers[to]; !ok {
		return
	}
	if silent(err) {
		w.servers[to] = w.now().Add(w.pause)
	} else {
		w.servers[to] = time.Time{}
	}
}
