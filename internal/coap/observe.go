package coap

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// ErrUnobserved says that nobody upholds an observation any more: a response
// that is no notification came through a proxy, which then forgets the exchange.
var ErrUnobserved = errors.New("the observation has ended")

// Values of the Observe Option in requests. RFC 7641, Section 2.
const (
	ObserveRegister   = 0
	ObserveDeregister = 1
)

// Observer is an [Exchanger] that also takes many responses from one endpoint
// (RFC 7641).
type Observer interface {
	// Observe sends req, which has an Observe Option of 0, and returns. It calls
	// each for the response and for every notification in the order of their
	// arrival, with an error once, as its last call, when ctx ends or the
	// observation breaks: [ErrTimeout], [ErrReset], [ErrLink], [ErrUnobserved].
	// Calls of each do not overlap. A response without Observe Option says that
	// the server does not, or no longer, observe: the caller closes then. What an
	// endpoint cannot judge is not judged here: freshness (see [Order]), and
	// whether a response is authentic.
	Observe(ctx context.Context, to netip.AddrPort, req *Message, each func(*Message, error)) (Observation, error)
}

// Observation is a registration under way.
type Observation interface {
	// Again sends another request under the same token: it renews the
	// registration, with an Observe Option of 0, or cancels it, with 1. Its
	// response comes like any other. RFC 7641, Section 3.6.
	Again(req *Message) error

	// Close forgets the registration: what still comes is rejected, which ends it
	// at the server too. Afterwards each is not called, but for a call that was
	// about to begin: Close may come from each itself and does not wait for it.
	Close()
}

// IsNotification reports whether a response keeps an observation up. RFC 7641,
// Section 4.2.
func IsNotification(resp *Message) bool {
	return Class(resp.Code) == 2 && HasOption(resp, OptionObserve)
}

// Order tells notifications of plain CoAP that are newer than all before from
// those that the network has overtaken. OSCORE has Partial IVs for that.
type Order struct {
	last uint32
	at   time.Time
	any  bool
}

// Fresh reports whether resp is the newest so far, and notes it then. RFC 7641,
// Section 3.4.
func (o *Order) Fresh(now time.Time, resp *Message) bool {
	v, ok := OptionUint(resp, OptionObserve)
	if !ok || v > maxObserve {
		return !HasOption(resp, OptionObserve) // final: nothing comes behind it
	}
	const window = 128 * time.Second // after which the number says nothing
	if o.any && !newer(o.last, v) && !now.After(o.at.Add(window)) {
		return false
	}
	o.last, o.at, o.any = v, now, true
	return true
}

// maxObserve is the largest value of an Observe Option: 24 bits.
const maxObserve = 1<<24 - 1

// newer reports whether v2 follows v1 among sequence numbers that wrap around.
// RFC 7641, Section 3.4.
func newer(v1, v2 uint32) bool {
	const half = 1 << 23
	return v1 < v2 && v2-v1 < half || v1 > v2 && v1-v2 > half
}
