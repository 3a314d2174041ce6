// Package groupcomm is what senders to a whole group need of the way to it: group
// requests with and without answers, pairwise calls, and time. Whoever knows keys and
// networks implements it; firmware and settings are sent over it.
package groupcomm

import (
	"context"
	"errors"
	"time"

	"lamplighter/internal/coap"
)

// Group is the way to the devices of one group. It deals with keys: a rekeying, an
// Echo challenge and a member's new Sender ID are its business, and it waits while
// the link is down. It is safe for concurrent use.
type Group interface {
	// Send sends req to all in group mode, once, as so many byte-identical copies,
	// and wants no answers (No-Response; RFC 7967). It blocks while the way is full
	// and returns how many bytes one datagram has.
	Send(ctx context.Context, req *coap.Message, copies int) (size int, err error)

	// Ask sends req to all in group mode and calls each, one call at a time, for every
	// verified answer until wait has passed or all devices have answered.
	Ask(ctx context.Context, req *coap.Message, wait time.Duration, each func(Answer)) error

	// Call makes a request to one device in pairwise mode, retransmitted as needed;
	// a challenge is met. It fails with [coap.ErrTimeout] when nothing answers.
	Call(ctx context.Context, device string, req *coap.Message) (Answer, error)

	// Drain waits until the next hop has handed on all that was sent, at most until
	// ctx ends. It is the credit of a sender that must not fill buffers. It fails with
	// [coap.ErrBusy] when that has refused some of it.
	Drain(ctx context.Context) error
}

// Answer is a verified answer of a device.
type Answer struct {
	Device string
	Resp   *coap.Message // the plain response
	Sent   int           // bytes of the datagrams out, as far as they are known
	Size   int           // bytes of the datagram back
	RTT    time.Duration
}

// Clock is time, real or simulated.
type Clock interface {
	Now() time.Time
	Sleep(ctx context.Context, d time.Duration) error // ctx's error when that ended before
}

// What a [Group] may fail with beside [coap.ErrTimeout].
var (
	// ErrPaused says that the group rests; the sender waits and tries again.
	ErrPaused = errors.New("the group is paused")
	// ErrGone says that the device is no member of the group any more.
	ErrGone = errors.New("the device has left the group")
)
