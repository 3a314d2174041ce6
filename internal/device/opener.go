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
// durable before the request is acted upon, but for blocks: see [epoch.postpone].
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
	if !isBlock(msg) || !e.postpone(from.KID) {
		if err := d.keepWindow(m, from.KID); err != nil {
			return nil, nil, err
		}
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

// maxPostponed is how many blocks of a sender the stored replay window may lack.
const maxPostponed = 64

// postpone reports whether the replay window of a sender can do without being written
// after a block, and counts it. That spares a device with thousands of blocks to come
// as many writes, each of which waits for its flash or disk: measured over a file, 1.8
// of the 1.9 ms that a request takes (BenchmarkGroupRequest).
//
// Late messages do nothing all the same. A block that is received again is the same
// bytes at the same place, and of use only in the session that it names: it is
// idempotent (RFC 7252, Section 5.1), and nothing that switches is a block. While the
// device runs the window in memory is whole, and every request that is not a block
// writes it with the blocks before. After a restart no stored window counts as
// received-or-not: all senders are challenged, and the number of the request that
// meets the challenge becomes the lower limit (RFC 10021, Section 9), above that of
// all blocks that were sent before. The stored window then only spares challenges to
// replays that it knows. What is lost with the memory while the keys stay, by another
// Sender ID or a membership that is handed over again, is written before that
// ([Device.keepWindows]).
func (e *epoch) postpone(kid []byte) bool {
	e.unwritten[string(kid)]++
	return e.unwritten[string(kid)] <= maxPostponed
}

// keepWindow makes the replay window of a sender durable. d.mu is held.
func (d *Device) keepWindow(m *member, kid []byte) error {
	key, window := windowKey(m.name, m.rec.Membership.GID, kid), m.epoch.ctx.Window(kid)
	err := d.update(func(tx store.Tx) error { return put(tx, key, window) })
	if err == nil {
		delete(m.epoch.unwritten, string(kid))
	}
	return err
}

// keepWindows makes the replay windows durable that are not yet. d.mu is held.
func (d *Device) keepWindows(m *member) error {
	if m == nil || m.epoch == nil {
		return nil
	}
	for kid := range m.epoch.unwritten {
		if err := d.keepWindow(m, []byte(kid)); err != nil {
			return err
		}
	}
	return nil
}

// windowKey is where the replay window of one sender is.
func windowKey(group string, gid, kid []byte) string {
	return windowPrefix(group, gid) + hex.EncodeToString(kid)
}
