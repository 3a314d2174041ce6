package coap

import (
	"context"
	"net/netip"
)

// OuterBlocks puts OSCORE responses together again that a proxy passes on in
// blocks. It stands between an [Exchanger] and the associations; MaxBody is the
// MAX_UNFRAGMENTED_SIZE of RFC 8613, Section 4.1.3.4.2: larger messages are
// discarded. Requests leave in one piece: who has more to send uses inner blocks.
type OuterBlocks struct {
	Exchanger
	limits BlockLimits
}

// NewOuterBlocks makes an exchanger over ex; it is an [Observer] when ex is one.
func NewOuterBlocks(ex Exchanger, limits BlockLimits) Exchanger {
	o := OuterBlocks{Exchanger: ex, limits: limits.withDefaults()}
	if observer, ok := ex.(Observer); ok {
		return &observingOuterBlocks{o, observer}
	}
	return &o
}

// Exchange implements [Exchanger].
func (o *OuterBlocks) Exchange(ctx context.Context, to netip.AddrPort, req *Message) (*Message, error) {
	if !HasOption(req, OptionOSCORE) {
		return o.Exchanger.Exchange(ctx, to, req)
	}
	resp, err := o.Exchanger.Exchange(WithBlocks(ctx), to, req)
	if err != nil {
		return nil, err
	}
	return o.rest(ctx, to, req, resp)
}

// rest fetches the further blocks of a response. It never sends the request anew:
// that would be a replay.
func (o *OuterBlocks) rest(ctx context.Context, to netip.AddrPort, req, first *Message) (*Message, error) {
	if !HasOption(first, OptionBlock2) {
		return first, nil
	}
	c := &BlockCaller{caller: To(o.Exchanger, to), limits: o.limits}
	whole, _, err := c.Rest(ctx, req, first)
	return whole, err
}

type observingOuterBlocks struct {
	OuterBlocks
	observer Observer
}

// Observe implements [Observer]. A notification whose blocks cannot be fetched is
// dropped: the next one tells the newer state.
func (o *observingOuterBlocks) Observe(ctx context.Context, to netip.AddrPort, req *Message, each func(*Message, error)) (Observation, error) {
	if !HasOption(req, OptionOSCORE) {
		return o.observer.Observe(ctx, to, req, each)
	}
	return o.observer.Observe(WithBlocks(ctx), to, req, func(m *Message, err error) {
		if err == nil {
			if m, err = o.rest(ctx, to, req, m); err != nil {
				return
			}
		}
		each(m, err)
	})
}
