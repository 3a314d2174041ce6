package endpoint

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"lamplighter/internal/coap"
)

// delivery is one response, or the end of a call.
type delivery struct {
	m    *coap.Message
	from netip.AddrPort
	err  error
}

// mailbox takes deliveries without blocking whoever reads the socket, and hands
// them on one after the other.
type mailbox struct {
	mu    sync.Mutex
	items []delivery
	full  chan struct{} // holds one when items may be waiting
}

func newMailbox() *mailbox { return &mailbox{full: make(chan struct{}, 1)} }

func (b *mailbox) put(d delivery) {
	b.mu.Lock()
	b.items = append(b.items, d)
	b.mu.Unlock()
	select {
	case b.full <- struct{}{}:
	default:
	}
}

func (b *mailbox) take() []delivery {
	b.mu.Lock()
	defer b.mu.Unlock()
	items := b.items
	b.items = nil
	return items
}

// each calls fn for deliveries until wait has passed or ctx or done has ended,
// which is no error, or until fn fails.
func (b *mailbox) each(ctx context.Context, done <-chan struct{}, wait time.Duration, fn func(delivery) error) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-done:
			return nil
		case <-timer.C:
			return nil
		case <-b.full:
		}
		for _, d := range b.take() {
			if ctx.Err() != nil {
				return nil
			}
			if err := fn(d); err != nil {
				return err
			}
		}
	}
}
