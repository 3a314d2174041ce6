package device

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"net/netip"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
)

// Bounds of what is handed over.
const (
	maxGroups = 8
	maxSSN    = 1<<40 - 1 // RFC 8613, Section 7.2.1
)

// handover is what the installer's browser obtained for the device.
//
//	membership = { 1: bstr, 2: gm-association, 3: tstr, 4: tstr }
type handover struct {
	JoinResponse cose.Secret      `cbor:"1,keyasint"` // as the Group Manager sent it; it holds the group's keys
	Association  join.Association `cbor:"2,keyasint"`
	NodePath     string           `cbor:"3,keyasint"` // "/ace-group/hall/nodes/n3"
	Multicast    string           `cbor:"4,keyasint"` // "224.0.1.187:5683"
}

// check holds the fields to their forms.
func (h *handover) check(name string, listens netip.AddrPort) error {
	switch {
	case h.Association.Check() != nil, h.Association.NextSSN > maxSSN:
		return refuse(errMalformed, "The association with the Group Manager is malformed.")
	case !join.ValidNodePath(name, h.NodePath):
		return refuse(errMalformed, "The node's path at the Group Manager is malformed.")
	}
	addr, err := netip.ParseAddrPort(h.Multicast)
	switch {
	case err != nil || !addr.Addr().IsMulticast():
		return refuse(errMalformed, "The group's address is no multicast address with a port.")
	case listens.IsValid() && addr != listens:
		return refuse(errMalformed, "This device listens to %v only.", listens)
	}
	return nil
}

// putGroup takes a membership over. An identical repetition repeats the answer,
// the first having been lost.
func (d *Device) putGroup(ctx context.Context, req *coap.Request) *coap.Message {
	name := coap.Param(ctx, "name")
	var h handover
	if err := decode(req, &h); err != nil {
		return problem(err)
	}
	if err := h.check(name, d.cfg.GroupAddr); err != nil {
		return problem(err)
	}
	sum := sha256.Sum256(req.Payload)
	d.mu.Lock()
	defer d.mu.Unlock()
	if m := d.members[name]; m != nil && bytes.Equal(m.rec.Handover, sum[:]) {
		return done(coap.Changed)
	}
	if d.rightsOf(req.Peer)&rightManage == 0 {
		return problem(refuse(errDenied, "The device was released meanwhile."))
	}
	if d.members[name] == nil && len(d.members) >= maxGroups {
		return problem(refuse(errConflict, "The device is in %d groups already.", maxGroups))
	}
	rec, err := d.accept(name, &h)
	if err != nil {
		return problem(err)
	}
	rec.Handover = sum[:]
	if err := d.adopt(name, *rec); err != nil {
		return problem(err)
	}
	d.log.Info("joined", "group", name, "num", rec.Membership.Num)
	return done(coap.Changed)
}

// accept verifies a membership: that it answers what the device offered, and
// that the Group Manager of the claim gave it. d.mu is held.
func (d *Device) accept(name string, h *handover) (*memberRecord, error) {
	offer, err := d.pendingOffer(name)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(h.Association.RecipientID, offer.ID1) {
		return nil, refuse(errConflict, "The association is not for the ID that the device offered.")
	}
	ms, err := join.AcceptWith(h.JoinResponse, join.AcceptParams{
		NC: offer.Offer.NC, Trust: join.Trusts(d.claim.GM.Cred), Key: cose.NewEd25519(d.key),
	})
	switch {
	case errors.Is(err, join.ErrVerify):
		return nil, refuse(errConflict, "The Group Manager's answer does not belong to what the device offered.")
	case errors.Is(err, join.ErrAlgorithm):
		return nil, refuse(errUnbuilt, "The group uses algorithms that this device lacks.")
	case err != nil:
		return nil, refuse(errMalformed, "The Group Manager's answer is malformed.")
	}
	ms.Group, ms.NodePath = name, h.NodePath
	return &memberRecord{
		Membership: *ms, Association: h.Association, Roles: offer.Roles, Multicast: h.Multicast,
	}, nil
}

// adopt makes a verified membership the device's, durably, in place of one that
// it has in that group. d.mu is held.
func (d *Device) adopt(name string, rec memberRecord) error {
	m := newMember(name, rec)
	var err error
	if m.epoch, err = d.prepare(name, &rec.Membership); err != nil {
		return err
	}
	key, mark := associationMark(&rec.Association), uint64(0)
	var heard *oscore.WindowState
	err = d.cfg.Store.View(d.life, func(tx store.Tx) (err error) {
		if mark, _, err = readMark(tx, key); err != nil {
			return err
		}
		heard, err = loadHeard(tx, &rec.Association)
		return err
	})
	if err != nil {
		return errStore
	}
	err = d.update(func(tx store.Tx) error {
		return cmp.Or(writeMember(tx, name, &rec), tx.Delete(prefixOffer+name), tx.Delete(prefixGone+name))
	})
	if err != nil {
		return err
	}
	if old := d.members[name]; old != nil {
		d.gms.Remove(associationName(&old.rec.Association))
	}
	m.gmSeq = d.sequenceFrom(key, mark, rec.Association.NextSSN)
	m.checked = told(&rec.Membership, d.cfg.Now())
	d.hearGM(m, heard)
	d.members[name] = m
	delete(d.gone, name)
	return nil
}

// told is when the Group Manager gave these keys: a handover can be held up for
// long. At the latest it is now, whatever the clocks say.
func told(ms *join.Membership, now time.Time) time.Time {
	if at := time.Unix(int64(ms.Expires-ms.ExpiresIn), 0); ms.Expires > ms.ExpiresIn && at.Before(now) {
		return at
	}
	return now
}

// groupAnswer is one membership in the list.
//
//	{ 1: tstr, 2: bstr, 3: bstr, 4: uint, 5: bool, ? 6: uint, ? 7: tstr, ? 8: uint }
type groupAnswer struct {
	Name     string   `cbor:"1,keyasint"`
	GID      []byte   `cbor:"2,keyasint"`
	SenderID []byte   `cbor:"3,keyasint"`
	Num      uint64   `cbor:"4,keyasint"`
	InSync   bool     `cbor:"5,keyasint"`
	Ended    GroupEnd `cbor:"6,keyasint,omitempty"` // it is no member any more, and why
	Why      string   `cbor:"7,keyasint,omitempty"` // a sentence: why it ended, or why there are no new keys
	Expires  uint64   `cbor:"8,keyasint,omitempty"` // of the association's token, seconds since 1970
}

// getGroups lists the memberships, confirmed by the Group Manager where that is
// due and it answers.
func (d *Device) getGroups(ctx context.Context, _ *coap.Request) *coap.Message {
	d.mu.Lock()
	members := d.sortedMembers()
	d.mu.Unlock()
	for _, m := range members {
		d.confirmKeys(ctx, m)
	}
	list := []groupAnswer{}
	state := d.State()
	for _, g := range state.Groups {
		list = append(list, groupAnswer{
			Name: g.Name, GID: g.GID, SenderID: g.SenderID, Num: g.Num, InSync: g.InSync, Why: g.Renew, Expires: g.Expires,
		})
	}
	for _, g := range state.Gone {
		list = append(list, groupAnswer{Name: g.Name, GID: []byte{}, SenderID: []byte{}, Num: g.Num, Ended: g.Why, Why: g.Text})
	}
	return answer(coap.Content, list)
}

// deleteGroup leaves a group. With the query "force" it does so without the
// Group Manager.
func (d *Device) deleteGroup(ctx context.Context, req *coap.Request) *coap.Message {
	name := coap.Param(ctx, "name")
	_, force := coap.Query(req.Message, "force")
	d.mu.Lock()
	m := d.members[name]
	d.mu.Unlock()
	if m != nil {
		if err := d.leave(ctx, m, force); err != nil {
			return problem(err)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, was := d.gone[name]; was {
		if err := d.update(func(tx store.Tx) error { return tx.Delete(prefixGone + name) }); err != nil {
			return problem(err)
		}
		delete(d.gone, name)
	}
	return done(coap.Deleted)
}
