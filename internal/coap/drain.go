package coap

import "context"

// Drainer is an [Exchanger] whose messages pass a queue that it cannot see the end
// of, such as a bridge's.
type Drainer interface {
	// Drain waits until the next hop has handed on all that was sent before. It fails
	// with [ErrBusy] when the next hop has refused some of it since the last call: the
	// sender is too fast, and what it sent is partly lost.
	Drain(ctx context.Context) error
}

// Drain waits until all that was sent over ex has left for its destination. An
// Exchanger that is no [Drainer] hands each message to the network at once.
func Drain(ctx context.Context, ex Exchanger) error {
	if d, queues := ex.(Drainer); queues {
		return d.Drain(ctx)
	}
	return nil
}
