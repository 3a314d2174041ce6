package proxy

import (
	"sync"
	"sync/atomic"
	"time"

	"lamplighter/internal/coap"
)

// Bounds of a connection's [lane].
const (
	laneBytes = 128 << 10
	laneItems = 1024
	paceBurst = 20 * time.Millisecond // of sending that may be made up for
)

// pacer keeps all multicast of the bridge below a rate: the network behind it is
// one, and every multicast goes to all of it. A zero rate is no limit.
type pacer struct {
	rate float64 // bytes a second

	mu   sync.Mutex
	free time.Time // when what was let through so far has left at the rate
}

// take lets size bytes through when nothing waits before them.
func (p *pacer) take(now time.Time, size int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate > 0 && p.free.After(now) {
		return false
	}
	p.spend(now, size)
	return true
}

// reserve says how long size bytes have to wait. Who asks for one message at a
// time gets as much as everybody else who waits.
func (p *pacer) reserve(now time.Time, size int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := p.free.Sub(now)
	p.spend(now, size)
	return wait
}

func (p *pacer) spend(now time.Time, size int) {
	if p.rate <= 0 {
		return
	}
	if oldest := now.Add(-paceBurst); p.free.Before(oldest) {
		p.free = oldest
	}
	p.free = p.free.Add(time.Duration(float64(size) / p.rate * float64(time.Second)))
}

// lane is the queue of one connection's group requests and of the Pongs that wait
// for them, in the order in which they came.
type lane struct {
	pacer *pacer
	stats *stats
	over  <-chan struct{} // the connection has ended

	mu        sync.Mutex
	items     []laneItem
	bytes     int
	running   bool // a goroutine works on items
	resolving int  // requests whose host is being looked up: they are before what comes now
	pongs     []func()
}

// laneItem is a group request, or a Pong when it has no size.
type laneItem struct {
	token coap.Token
	size  int
	send  func()
}

// put sends an item now when nothing is before it, and else queues it; false when
// the queue is full. send may block.
func (l *lane) put(now time.Time, it laneItem) bool {
	l.mu.Lock()
	if !l.running && l.pacer.take(now, it.size) {
		l.mu.Unlock()
		it.send()
		return true
	}
	if it.size > 0 && (l.bytes+it.size > laneBytes || len(l.items) >= laneItems) {
		l.mu.Unlock()
		return false
	}
	l.items = append(l.items, it)
	l.bytes += it.size
	l.stats.queued.Add(int64(it.size))
	if !l.running {
		l.running = true
		go l.run()
	}
	l.mu.Unlock()
	return true
}

// run sends what is queued, at the pacer's rate, until nothing is left.
func (l *lane) run() {
	for {
		l.mu.Lock()
		if len(l.items) == 0 {
			l.running = false
			l.mu.Unlock()
			return
		}
		size := l.items[0].size
		l.mu.Unlock()
		if size > 0 && !l.sleep(l.pacer.reserve(time.Now(), size)) {
			l.clear()
			return
		}
		if it, left := l.pop(); left {
			it.send()
		}
	}
}

// sleep waits; false when the connection has ended before.
func (l *lane) sleep(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.over:
		return false
	}
}

func (l *lane) pop() (it laneItem, left bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.items) == 0 {
		return it, false // dropped meanwhile
	}
	it = l.items[0]
	l.items[0] = laneItem{}
	l.items = l.items[1:]
	l.unqueue(it)
	return it, true
}

func (l *lane) unqueue(it laneItem) {
	l.bytes -= it.size
	l.stats.queued.Add(-int64(it.size))
}

// drop forgets the requests of a token: nobody wants their answers any more.
func (l *lane) drop(token coap.Token) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.items[:0]
	for _, it := range l.items {
		if it.size > 0 && string(it.token) == string(token) {
			l.unqueue(it)
		} else {
			kept = append(kept, it)
		}
	}
	l.items = kept
}

func (l *lane) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, it := range l.items {
		l.unqueue(it)
	}
	l.items, l.running = nil, false
}

// resolves notes that a request's host is being looked up. What is returned is to
// be called when the request has gone its way.
func (l *lane) resolves() (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.resolving++
	return func() {
		l.mu.Lock()
		l.resolving--
		var ready []func()
		if l.resolving == 0 {
			ready, l.pongs = l.pongs, nil
		}
		l.mu.Unlock()
		for _, pong := range ready {
			l.put(time.Now(), laneItem{send: pong})
		}
	}
}

// custody has pong called when all that came before has been forwarded; false when
// too much waits for that already.
func (l *lane) custody(now time.Time, pong func()) bool {
	l.mu.Lock()
	if len(l.items)+len(l.pongs) >= 2*laneItems {
		l.mu.Unlock()
		return false
	}
	if l.resolving > 0 {
		l.pongs = append(l.pongs, pong)
		l.mu.Unlock()
		return true
	}
	l.mu.Unlock()
	return l.put(now, laneItem{send: pong})
}

// stats is what a [Server] counts.
type stats struct {
	multicasts, bytes, silent, refused atomic.Uint64
	queued                             atomic.Int64
}

// Counts is what a bridge has done since its start.
type Counts struct {
	Multicasts uint64 // group requests that were forwarded
	Bytes      uint64 // in their datagrams
	Silent     uint64 // of the group requests, those whose sender wanted no answers
	Refused    uint64 // group requests that were refused for a rate
	Queued     int64  // bytes that wait now
}

// Counts returns what the bridge has done.
func (s *Server) Counts() Counts {
	return Counts{
		Multicasts: s.stats.multicasts.Load(), Bytes: s.stats.bytes.Load(), Silent: s.stats.silent.Load(),
		Refused: s.stats.refused.Load(), Queued: s.stats.queued.Load(),
	}
}
