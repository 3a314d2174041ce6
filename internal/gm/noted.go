package gm

import (
	"context"
	"sync"
	"time"
)

// noted collects which members answered a rekeying and makes that durable in
// batches: so a crash costs few repetitions, many members cost few transactions,
// and who watches sees how far it is while others are still silent.
type noted struct {
	s *Server
	p *plan

	mu   sync.Mutex
	done []*target
}

const (
	maxNoted  = 64                     // members in a batch
	notedTime = 250 * time.Millisecond // how long a batch waits for company
)

// add takes a member whose attempt has ended.
func (n *noted) add(ctx context.Context, t ...*target) {
	n.mu.Lock()
	n.done = append(n.done, t...)
	full := len(n.done) >= maxNoted
	n.mu.Unlock()
	if full {
		n.write(ctx)
	}
}

// write makes the batch durable. What cannot be written stays for the next time,
// and for the end of the pass.
func (n *noted) write(ctx context.Context) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.done) == 0 {
		return
	}
	if n.s.record(ctx, n.p, n.done) == nil {
		n.done = nil
	}
	n.s.announce(n.p.g.Name)
}

// during writes from time to time while work runs.
func (n *noted) during(ctx context.Context, work func()) {
	over, written := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(written)
		every := time.NewTicker(notedTime)
		defer every.Stop()
		for {
			select {
			case <-every.C:
				n.write(ctx)
			case <-over:
				return
			}
		}
	}()
	work()
	close(over)
	<-written
}
