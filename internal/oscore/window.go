package oscore

import "fmt"

// DefaultWindowSize is the size of a Replay Window unless set otherwise. RFC
// 8613, Section 3.2.2.
const DefaultWindowSize = 32

const maxWindowSize = 64

// WindowState is a Replay Window as it is stored. The zero value has seen
// nothing.
type WindowState struct {
	Next uint64 `cbor:"1,keyasint"` // every number from Next on is new
	Seen uint64 `cbor:"2,keyasint"` // bit i: the number Next-1-i was accepted
}

// Window is a Replay Window: which sequence numbers of one sender were
// accepted. It is not safe for concurrent use. RFC 8613, Section 3.2.2.
type Window struct {
	size  uint64
	state WindowState
}

// NewWindow restores a window. Size 0 means [DefaultWindowSize]; at most 64.
func NewWindow(size int, state WindowState) (Window, error) {
	if size == 0 {
		size = DefaultWindowSize
	}
	if size < 0 || size > maxWindowSize {
		return Window{}, fmt.Errorf("replay window of %d", size)
	}
	return Window{size: uint64(size), state: state}, nil
}

// Check fails with [ErrReplay] when n was accepted before or is older than the
// window. It changes nothing. RFC 8613, Section 7.4.
func (w *Window) Check(n uint64) error {
	if n >= w.state.Next {
		return nil
	}
	age := w.state.Next - 1 - n
	if age >= w.size || w.state.Seen>>age&1 == 1 {
		return ErrReplay
	}
	return nil
}

// Accept marks n, which passed Check, as received.
func (w *Window) Accept(n uint64) {
	if n < w.state.Next {
		w.state.Seen |= 1 << (w.state.Next - 1 - n)
		return
	}
	w.state.Seen = w.state.Seen<<(n+1-w.state.Next) | 1
	w.state.Next = n + 1
}

// StartAt makes n the lower limit: n and all before it count as received. RFC
// 8613, Appendix B.1.2.
func (w *Window) StartAt(n uint64) { w.state = WindowState{Next: n + 1, Seen: ^uint64(0)} }

// State returns what to store.
func (w *Window) State() WindowState { return w.state }
