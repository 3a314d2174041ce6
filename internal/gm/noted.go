package gm

import (
	"context"
	"sync"
	"time"

	"lamplighter/internal/store"
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

// during writes from time to time while work runs, and has it end when the group
// has been rekeyed once more: who is silent must not keep the others from what is
// newer.
func (n *noted) during(ctx context.Context, work func(context.Context)) {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	over, written := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(written)
		every := time.NewTicker(notedTime)
		defer every.Stop()
		for {
			select {
			case <-every.C:
				n.write(ctx)
				if n.superseded(ctx) {
					cancel()
				}
			case <-over:
				return
			}
		}
	}()
	work(inner)
	close(over)
	<-written
}

func (n *noted) superseded(ctx context.Context) bool {
	num := n.p.job.Num
	err := n.s.cfg.Store.View(ctx, func(tx store.Tx) error {
		g, err := load[groupRecord](tx, groupKey(n.p.g.Name))
		if err == nil && g != nil {
			num = g.Num
		}
		return err
	})
	return err == nil && num != n.p.job.Num
}
