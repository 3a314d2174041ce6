package commission

import (
	"slices"
	"sync"
)

// fewWaiting are the devices that a person is told by name.
const fewWaiting = 5

// planning follows a plan that is being made, for whoever waits for it. Devices that do
// not answer take much longer than all others.
type planning struct {
	s     *site
	group string

	mu      sync.Mutex
	waiting []string
	ask     GroupAsk
}

// begin notes that the devices are asked, maybe once more.
func (p *planning) begin(devices []string) {
	p.mu.Lock()
	p.ask, p.waiting = GroupAsk{Group: p.group, Asked: len(devices)}, slices.Clone(devices)
	p.mu.Unlock()
	p.tell()
}

// asked notes that a device has answered, or that it is not waited for any more.
func (p *planning) asked(device string, answered bool) {
	p.mu.Lock()
	if !slices.Contains(p.waiting, device) { // it has told already, and is asked for more
		p.mu.Unlock()
		return
	}
	if answered {
		p.ask.Answered++
	} else {
		p.ask.Silent++
	}
	p.waiting = slices.DeleteFunc(p.waiting, func(id string) bool { return id == device })
	p.mu.Unlock()
	p.tell()
}

func idsOf(devices []*device) []string {
	ids := make([]string, len(devices))
	for i, d := range devices {
		ids[i] = d.id
	}
	return ids
}

// tell tells of it with the next events.
func (p *planning) tell() {
	p.s.e.pub.touch("planning/"+p.group, func() (Event, bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		ask := p.ask
		ask.Waiting = append([]string{}, p.waiting[:min(len(p.waiting), fewWaiting)]...)
		return Event{Type: "planning", Planning: &ask}, true
	})
}
