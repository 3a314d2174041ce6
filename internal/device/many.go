package device

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/join"
)

// maxRepeats is how many messages to many are remembered to drop their repetitions.
const maxRepeats = 8

// many is what a member keeps of rekeying messages that go to many.
type many struct {
	seen  [][32]byte // the latest that could be opened
	check bucket     // limits the signature checks
}

func newMany() many { return many{check: bucket{burst: 6, every: time.Second}} }

// postMany takes a rekeying message that went to all members, to the
// control_group_uri of their Join Responses: multicast, without OSCORE, signed by
// the Group Manager. Nobody answers. What cannot be opened is dropped: who lacks
// keys finds out by the next request under them, and asks. RFC 9594, Section 6.2.
func (d *Device) postMany(ctx context.Context, req *coap.Request) *coap.Message {
	if !req.Multicast {
		return coap.Problem(coap.MethodNotAllowed, "This resource is for a group's members together.")
	}
	if req.Peer.Kind == coap.PeerNone {
		d.hearMany(coap.Param(ctx, "name"), req.Payload)
	}
	return nil
}

func (d *Device) hearMany(name string, payload []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.members[name]
	if m == nil || m.rec.Membership.Tree == nil {
		return
	}
	// Without keys of the tree nobody gets as far as to a signature check.
	if err := m.rec.Membership.Tree.CheckOneToMany(m.name, payload); err != nil {
		if !errors.Is(err, ace.ErrStale) {
			d.log.Debug("a rekeying message is not for this device", "group", m.name, "err", err)
		}
		return
	}
	if !m.many.fresh(payload) || !m.many.check.take(d.cfg.Now()) {
		return
	}
	msg, err := m.rec.Membership.OpenMany(payload, join.Trusts(d.claim.GM.Cred))
	if err != nil {
		d.log.Warn("a rekeying message to many was refused", "group", m.name, "err", err)
		return
	}
	if err := d.hear(d.life, m, msg, 0); err != nil {
		d.log.Warn("a rekeying message to many had no effect", "group", m.name, "err", err)
	}
}

// fresh reports whether a message was not seen lately, and notes it.
func (m *many) fresh(payload []byte) bool {
	sum := sha256.Sum256(payload)
	if slices.Contains(m.seen, sum) {
		return false
	}
	if len(m.seen) >= maxRepeats {
		m.seen = m.seen[1:]
	}
	m.seen = append(m.seen, sum)
	return true
}
