package device

import (
	"context"
	"errors"
	"strings"

	"lamplighter/internal/coap"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
)

// The association with a Group Manager has both roles: over it the device asks,
// and over it the Group Manager tells. It lives in one [oscore.Server] under the
// name of its sequence mark, so that the same keys are never held twice.

// associationName names an association within the device.
func associationName(a *join.Association) string {
	return strings.TrimPrefix(associationMark(a), prefixMark)
}

// heardKey is where the replay window for the Group Manager's requests is. Like
// the marks it stays for ever.
func heardKey(name string) string { return prefixHeard + name }

// hearGM makes the association of a membership answer its Group Manager. heard is
// what is stored of the replay window; once there was one, the first request is
// challenged. RFC 8613, Appendix B.1.2. d.mu is held, or nobody else has d yet.
func (d *Device) hearGM(m *member, heard *oscore.WindowState) {
	if m.gmSeq == nil {
		return // nothing could be protected
	}
	ctx, err := m.rec.Association.Context(m.gmSeq, func(p *oscore.Params) { p.EchoFirst = heard != nil })
	if err != nil {
		d.log.Error("the association with the Group Manager is unusable", "group", m.name, "err", err)
		return
	}
	m.heard = nil
	if heard != nil {
		if w, err := oscore.NewWindow(0, *heard); err == nil {
			m.heard = &w
		}
	}
	d.gms.Add(associationName(&m.rec.Association), m, ctx)
}

// keepHeard makes the replay window of an association durable before a request is
// acted upon.
func (d *Device) keepHeard(name string, w oscore.WindowState) error {
	return d.cfg.Store.Update(d.life, func(tx store.Tx) error { return put(tx, heardKey(name), w) })
}

func loadHeard(tx store.Tx, a *join.Association) (*oscore.WindowState, error) {
	var w oscore.WindowState
	found, err := get(tx, heardKey(associationName(a)), &w)
	if err != nil || !found {
		return nil, err
	}
	return &w, nil
}

// gmOpener opens what the Group Managers of the device's groups send.
type gmOpener struct{ d *Device }

// Open implements [coap.Opener]. What was received before the start is not worth a
// challenge.
func (o gmOpener) Open(ctx context.Context, outer *coap.Request) (*coap.Opened, *coap.Message, error) {
	option, err := oscore.MessageOption(outer.Message)
	if err == nil && !option.Group && option.PIV != nil && o.d.heardBefore(option) {
		return nil, nil, oscore.ErrReplay
	}
	return o.d.gms.Open(ctx, outer)
}

func (d *Device) heardBefore(option oscore.Option) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range d.members {
		if string(m.rec.Association.RecipientID) == string(option.KID) && m.heard != nil {
			return errors.Is(m.heard.Check(oscore.PIVNumber(option.PIV)), oscore.ErrReplay)
		}
	}
	return false
}

// fromGM returns the membership of the group that a request names, if the request
// is from the Group Manager of exactly that membership.
func (d *Device) fromGM(ctx context.Context, req *coap.Request) *member {
	m, ok := req.Peer.Data.(*member)
	if !ok || req.Peer.Kind != coap.PeerACE || m.name != coap.Param(ctx, "name") {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.members[m.name] != m {
		return nil // of a membership that was replaced meanwhile
	}
	return m
}
