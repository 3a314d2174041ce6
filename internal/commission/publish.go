package commission

import (
	"sync"
	"time"
)

// publisher hands events to the driver, in order and one at a time. Changes of
// one thing that follow each other quickly become one event with its last state:
// a hundred devices at work would otherwise cost more in drawing than in work.
type publisher struct {
	emit func(Event)

	emitting sync.Mutex // held while the driver is called

	mu      sync.Mutex
	queue   []pending
	waiting map[string]bool // keys in queue
	whole   func() Event    // the state of everything is to follow; nil: not
	armed   bool            // a flush is due
}

// pending is an event that is made when it is its turn.
type pending struct {
	key  string
	make func() (Event, bool)
}

// pace is how long changes are gathered.
const pace = 25 * time.Millisecond

func newPublisher(emit func(Event)) *publisher {
	return &publisher{emit: emit, waiting: map[string]bool{}}
}

// touch says that the thing called key has changed. view gives its state when
// the event goes out, false when there is nothing to tell any more.
func (p *publisher) touch(key string, view func() (Event, bool)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[key] {
		return
	}
	p.waiting[key] = true
	p.add(pending{key, view})
}

// tell queues one event as it is.
func (p *publisher) tell(ev Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add(pending{make: func() (Event, bool) { return ev, true }})
}

// tellAll says that everything may be different. The state goes out behind what is
// queued, and is made then: made earlier, it would take back what came between.
func (p *publisher) tellAll(state func() Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.whole = state
	p.arm()
}

func (p *publisher) add(x pending) {
	p.queue = append(p.queue, x)
	p.arm()
}

func (p *publisher) arm() {
	if !p.armed {
		p.armed = true
		time.AfterFunc(pace, p.flush)
	}
}

// flush hands over what is queued and returns when the driver has it.
func (p *publisher) flush() {
	p.emitting.Lock()
	defer p.emitting.Unlock()
	p.mu.Lock()
	queue, whole := p.queue, p.whole
	p.queue, p.whole, p.armed = nil, nil, false
	clear(p.waiting)
	p.mu.Unlock()
	for _, x := range queue {
		if ev, ok := x.make(); ok {
			p.emit(ev)
		}
	}
	if whole != nil {
		p.emit(whole())
	}
}
