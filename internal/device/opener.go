package device

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/oscore"
	"lamplighter/internal/oscore/group"
	"lamplighter/internal/store"
)

// groupOpener opens what members of the device's groups send.
type groupOpener struct{ d *Device }

// Open implements [coap.Opener]. Nothing is answered to what cannot be verified
// (RFC 10021, Section 7), except an unprotected 5.03 to a single device that
// needs its Group Manager first (Section 7.2).
func (o groupOpener) Open(ctx context.Context, outer *coap.Request) (*coap.Opened, *coap.Message, error) {
	gid, hasGID := group.KIDContext(outer.Message)
	kid, hasKID := group.KID(outer.Message)
	if !hasGID || !hasKID {
		return nil, nil, coap.ErrNoContext
	}
	if err := o.d.ready(ctx, gid, kid); err != nil {
		if errors.Is(err, errNeedsGM) && !outer.Multicast {
			return nil, coap.Problem(coap.ServiceUnavailable, "The device needs its Group Manager first."), err
		}
		return nil, nil, err
	}
	return o.d.open(outer, gid)
}

// open opens a request for which everything is there. The replay window is
// durable before the request is acted upon.
func (d *Device) open(outer *coap.Request, gid []byte) (*coap.Opened, *coap.Message, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.byGID(gid)
	if m == nil || m.epoch == nil {
		return nil, nil, coap.ErrNoContext
	}
	if m.rec.Paused {
		return nil, nil, errDropped
	}
	e := m.epoch
	option, err := oscore.MessageOption(outer.Message)
	if err != nil {
		return nil, nil, fmt.Errorf("opening a group request: %w", err)
	}
	piv := oscore.PIVNumber(option.PIV)
	if e.replayed(option.KID, piv) {
		return nil, nil, oscore.ErrReplay
	}
	msg, binding, err := e.ctx.UnprotectRequest(outer.Message)
	if err != nil {
		var challenge *group.EchoError
		if errors.As(err, &challenge) {
			return nil, challenge.Challenge, err
		}
		return nil, nil, fmt.Errorf("opening a group request: %w", err)
	}
	from := binding.From
	key, window := windowKey(m.name, gid, from.KID), e.ctx.Window(from.KID)
	if err := d.update(func(tx store.Tx) error { return put(tx, key, window) }); err != nil {
		return nil, nil, err
	}
	kind := coap.PeerGroup
	if binding.Mode == group.Pairwise {
		kind = coap.PeerPairwise
	}
	return &coap.Opened{
		Message: msg,
		Peer: coap.Peer{
			Kind: kind, Name: m.name, KID: from.KID, Cred: from.Cred,
			Data: &sender{epoch: e, kid: string(from.KID), piv: piv, roles: ace.Role(from.Roles)},
		},
		Seal: func(resp *coap.Message) (*coap.Message, error) { return d.seal(m.name, resp, binding) },
	}, nil, nil
}

// seal protects a response in the Security Context that is in force when it is
// made, whichever its request came under, in a mode that the group has. RFC 10021,
// Section 7.3.
func (d *Device) seal(name string, resp *coap.Message, b *group.Binding) (*coap.Message, error) {
	mode := group.Pairwise
	if b.Mode == group.Group && d.cfg.ResponseMode != nil {
		mode = *d.cfg.ResponseMode
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.members[name]
	if m == nil || m.epoch == nil {
		return nil, fmt.Errorf("answering in a group that was left: %w", coap.ErrNoContext)
	}
	switch algs := m.epoch.ctx.Algorithms(); {
	case !algs.HasPairwiseMode():
		mode = group.Group
	case !algs.HasGroupMode():
		mode = group.Pairwise
	}
	return m.epoch.ctx.ProtectResponse(resp, b, mode)
}

// windowKey is where the replay window of one sender is.
func windowKey(group string, gid, kid []byte) string {
	return windowPrefix(group, gid) + hex.EncodeToString(kid)
}
