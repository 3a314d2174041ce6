package fleet

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
	"lamplighter/internal/groupcomm"
	"lamplighter/internal/oscore"
	"lamplighter/internal/oscore/group"
)

// Group is the sender: a member of the group who sends to the others. It implements
// [groupcomm.Group]; its time is the fleet's.
type Group struct {
	fleet *Fleet
	ex    coap.Exchanger
	byKID map[string]*Device
	byID  map[string]*Device

	mu  sync.Mutex
	ctx *group.Context
}

var _ groupcomm.Group = (*Group)(nil)

// tokenSize is the length of the network's tokens.
const tokenSize = 8

func datagram(m *coap.Message) int {
	out := coap.Clone(m)
	out.Token, out.Type, out.MessageID = make(coap.Token, tokenSize), coap.NonConfirmable, 1
	b, err := coap.MarshalUDP(out)
	if err != nil {
		return 0
	}
	return len(b)
}

func (g *Group) protect(req *coap.Message, to []byte) (*coap.Message, *group.Binding, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ctx.ProtectRequest(req, to)
}

func (g *Group) unprotect(resp *coap.Message, b *group.Binding) (*coap.Message, *Device, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	plain, from, _, err := g.ctx.UnprotectResponse(resp, b)
	if err != nil {
		return nil, nil, err
	}
	return plain, g.byKID[string(from.KID)], nil
}

// Send implements [groupcomm.Group].
func (g *Group) Send(ctx context.Context, req *coap.Message, copies int) (int, error) {
	if !coap.HasOption(req, coap.OptionNoResponse) {
		req = coap.Clone(req)
		coap.AddUint(req, coap.OptionNoResponse, coap.NoResponses)
	}
	outer, _, err := g.protect(req, nil)
	if err != nil {
		return 0, fmt.Errorf("sending to the group: %w", err)
	}
	for range copies {
		if err := g.ex.Multicast(ctx, GroupAddr, outer, 0, func(*coap.Message, netip.AddrPort) {}); err != nil {
			return 0, err
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
	return datagram(outer), nil
}

// Ask implements [groupcomm.Group]. Devices spread their answers as a [firmware.
// StatusRequest] asks them to.
func (g *Group) Ask(ctx context.Context, req *coap.Message, wait time.Duration, each func(groupcomm.Answer)) error {
	outer, binding, err := g.protect(req, nil)
	if err != nil {
		return fmt.Errorf("asking the group: %w", err)
	}
	begun := g.fleet.Clock.Now()
	sent, heard := datagram(outer), map[*Device]bool{}
	asked, stop := context.WithCancel(ctx)
	defer stop()
	err = g.ex.Multicast(asked, GroupAddr, outer, wait, func(resp *coap.Message, _ netip.AddrPort) {
		plain, d, err := g.unprotect(resp, binding)
		if err != nil || d == nil || heard[d] {
			return
		}
		heard[d] = true
		if len(heard) == len(g.byID) {
			g.fleet.Wait(begun.Add(min(spread(req), wait)).Sub(g.fleet.Clock.Now())) // the last one answers at the end
			stop()
		}
		each(groupcomm.Answer{Device: d.ID, Resp: plain, Sent: sent, Size: datagram(resp), RTT: g.fleet.Clock.Now().Sub(begun)})
		sent = 0
	})
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// spread is what a question to a group spreads its answers over.
func spread(req *coap.Message) time.Duration {
	r, err := firmware.ParseStatusRequest(req.Payload)
	if err != nil {
		return 0
	}
	return time.Duration(r.Spread) * time.Millisecond
}

// Call implements [groupcomm.Group].
func (g *Group) Call(ctx context.Context, device string, req *coap.Message) (groupcomm.Answer, error) {
	d := g.byID[device]
	if d == nil {
		return groupcomm.Answer{}, fmt.Errorf("calling %s: %w", device, groupcomm.ErrGone)
	}
	begun := g.fleet.Clock.Now()
	a, err := g.call(ctx, d, req)
	if err == nil && a.Resp.Code == coap.Unauthorized && coap.HasOption(a.Resp, coap.OptionEcho) {
		first := a
		a, err = g.call(ctx, d, oscore.WithEcho(req, a.Resp))
		a.Sent, a.Size = a.Sent+first.Sent, a.Size+first.Size
	}
	a.Device, a.RTT = device, g.fleet.Clock.Now().Sub(begun)
	return a, err
}

func (g *Group) call(ctx context.Context, d *Device, req *coap.Message) (groupcomm.Answer, error) {
	kid := d.kid()
	outer, binding, err := g.protect(req, kid)
	if err != nil {
		return groupcomm.Answer{}, fmt.Errorf("calling %s: %w", d.ID, err)
	}
	resp, err := g.ex.Exchange(ctx, d.Addr, outer)
	if err != nil {
		return groupcomm.Answer{}, err
	}
	plain, from, err := g.unprotect(resp, binding)
	if err != nil {
		return groupcomm.Answer{}, fmt.Errorf("calling %s: %w", d.ID, err)
	}
	if from != d {
		return groupcomm.Answer{}, fmt.Errorf("calling %s: %w", d.ID, oscore.ErrVerify)
	}
	return groupcomm.Answer{Resp: plain, Sent: datagram(outer), Size: datagram(resp)}, nil
}

// Drain implements [groupcomm.Group]: what was sent has been carried.
func (g *Group) Drain(ctx context.Context) error { return ctx.Err() }

// Caller makes requests to one device, as for a block-wise transfer.
func (g *Group) Caller(device string) coap.Caller { return caller{g, device} }

type caller struct {
	g      *Group
	device string
}

// Call implements [coap.Caller].
func (c caller) Call(ctx context.Context, req *coap.Message) (*coap.Message, error) {
	a, err := c.g.Call(ctx, c.device, req)
	return a.Resp, err
}
