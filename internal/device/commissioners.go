package device

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"slices"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
)

// commissioners is who may manage the device beside its owner. The claim gives the
// first list; later ones have higher versions.
//
//	commissioners = { 1: uint, 2: [ *16 commissioner ] }
//	commissioner  = { 1: bstr, 2: uint }
type commissioners struct {
	Version uint64         `cbor:"1,keyasint"`
	List    []commissioner `cbor:"2,keyasint"`
}

type commissioner struct {
	Cred   []byte `cbor:"1,keyasint"`
	Rights uint   `cbor:"2,keyasint"`
}

// Rights of a commissioner, bits.
const (
	rightManage = 1 // everything below /ll but to release the device
	rightAdmin  = 2 // this list, and to release a device whose owner is not on it
	allRights   = rightManage | rightAdmin
)

// firstCommissioners is the list of a claim.
func firstCommissioners(creds [][]byte) *commissioners {
	c := &commissioners{Version: 1, List: []commissioner{}}
	for _, cred := range creds {
		if c.rights(cred) == 0 {
			c.List = append(c.List, commissioner{cred, allRights})
		}
	}
	return c
}

// rights returns what a credential may do, 0 for one that is not listed.
func (c *commissioners) rights(cred []byte) uint {
	if c == nil || len(cred) == 0 {
		return 0
	}
	for _, l := range c.List {
		if bytes.Equal(l.Cred, cred) {
			return l.Rights
		}
	}
	return 0
}

// hasAdmin reports whether anybody on the list may change it.
func (c *commissioners) hasAdmin() bool {
	return slices.ContainsFunc(c.List, func(l commissioner) bool { return l.Rights&rightAdmin != 0 })
}

func (c *commissioners) check() error {
	if c.Version == 0 || len(c.List) > maxCommissioners {
		return refuse(errMalformed, "A list has a version and at most %d commissioners.", maxCommissioners)
	}
	for i, l := range c.List {
		if _, err := parseCred(l.Cred); err != nil {
			return refuse(errMalformed, "The credential of a commissioner is not a CCS with an Ed25519 key.")
		}
		twice := slices.ContainsFunc(c.List[:i], func(o commissioner) bool { return bytes.Equal(o.Cred, l.Cred) })
		if twice || l.Rights&rightManage == 0 || l.Rights > allRights {
			return refuse(errMalformed, "A commissioner is listed once, with rights that there are.")
		}
	}
	return nil
}

// commissionerName is the name of a commissioner's session.
func commissionerName(cred []byte) string {
	sum := cose.Thumbprint(cred)
	return peerCommissioner + hex.EncodeToString(sum[:])
}

// commissionerSessions are the sessions of those who are listed; the owner has one
// anyway. d.mu is held, or nobody else has d yet.
func (d *Device) commissionerSessions() map[string]session {
	list := map[string]session{}
	if d.claim == nil || d.commissioners == nil {
		return list
	}
	for _, c := range d.commissioners.List {
		cred, err := parseCred(c.Cred)
		if err != nil || bytes.Equal(c.Cred, d.claim.SiteCred) {
			continue
		}
		psk, err := oscore.CommissionerPSK(d.key, cred.Public, c.Cred, d.cred)
		if err != nil {
			d.log.Warn("a commissioner's key is unusable", "err", err)
			continue
		}
		list[commissionerName(c.Cred)] = session{psk, c.Cred}
	}
	return list
}

// rightsOf is what a peer may do by the list as it is now. As a member of a group it
// is who signed the request, or whose key protects it. d.mu is held.
func (d *Device) rightsOf(p coap.Peer) uint {
	if d.claim == nil {
		return 0
	}
	switch p.Kind {
	case coap.PeerPSK:
		cred, _ := p.Data.([]byte)
		if d.isOwner(p) {
			return d.ownerRights()
		}
		if p.Name == commissionerName(cred) {
			return d.commissioners.rights(cred)
		}
	case coap.PeerGroup, coap.PeerPairwise:
		if s, ok := p.Data.(*sender); ok && s.roles.Has(ace.RoleRequester) {
			return d.commissioners.rights(p.Cred)
		}
	}
	return 0
}

// ownerRights are those of the site credential that claimed the device: all, until a
// list comes that does not name it. So who was revoked loses the devices that this
// person claimed, too. d.mu is held, or nobody else has d yet.
func (d *Device) ownerRights() uint {
	if d.commissioners.Version > 1 && d.commissioners.rights(d.claim.SiteCred) == 0 {
		return 0
	}
	return allRights
}

// mayRelease says whether a peer may release the device: its owner, or in the place of
// one who is not on the list any more whoever may change that. d.mu is held.
func (d *Device) mayRelease(p coap.Peer) bool {
	return p.Kind == coap.PeerPSK && d.rightsOf(p)&rightAdmin != 0 && (d.isOwner(p) || d.ownerRights() == 0)
}

// byManager allows the owner's session and those of commissioners. Group requests
// are not for it: what is asked and answered is for no other member's eyes.
func (d *Device) byManager(p coap.Peer) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return p.Kind == coap.PeerPSK && d.rightsOf(p)&rightManage != 0
}

// byAdmin allows who may change the list, also as a member of a group: one message
// to many takes a credential off all lists.
func (d *Device) byAdmin(p coap.Peer) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rightsOf(p)&rightAdmin != 0
}

func (d *Device) getCommissioners(context.Context, *coap.Request) *coap.Message {
	d.mu.Lock()
	defer d.mu.Unlock()
	return answer(coap.Content, d.commissioners)
}

// putCommissioners replaces the list by a newer one. Who is not on it any more can
// do nothing from then on.
func (d *Device) putCommissioners(_ context.Context, req *coap.Request) *coap.Message {
	var next commissioners
	if err := decode(req, &next); err != nil {
		return problem(err)
	}
	if err := next.check(); err != nil {
		return problem(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rightsOf(req.Peer)&rightAdmin == 0 {
		return problem(refuse(errDenied, "This is not for you to do any more."))
	}
	have := d.commissioners
	switch {
	case next.Version == have.Version && bytes.Equal(cbor.MustMarshal(next), cbor.MustMarshal(have)):
		return done(coap.Changed)
	case next.Version <= have.Version:
		return problem(refuse(errConflict, "The list that the device has is of version %d.", have.Version))
	case next.rights(d.claim.SiteCred) == 0 && !next.hasAdmin():
		return problem(refuse(errMalformed, "A list without the owner names somebody who may change it."))
	}
	claim := *d.claim
	claim.Confirmed = true // the label is not to bring back an owner who is off the list
	if err := d.update(func(tx store.Tx) error { return writeClaim(tx, &claim, &next) }); err != nil {
		return problem(err)
	}
	d.claim, d.commissioners = &claim, &next
	d.setSessions()
	d.log.Info("new commissioners", "version", next.Version, "number", len(next.List))
	return done(coap.Changed)
}

// loadCommissioners reads the list; a claim that has none yet gives it. The claim is
// loaded.
func (d *Device) loadCommissioners(tx store.Tx) error {
	if d.claim == nil {
		return nil
	}
	d.commissioners = &commissioners{}
	found, err := get(tx, keyCommissioners, d.commissioners)
	if !found {
		d.commissioners = firstCommissioners(d.claim.Commissioners)
	}
	return err
}

// writeClaim makes a claim durable together with its list.
func writeClaim(tx store.Tx, claim *claimRecord, list *commissioners) error {
	return cmp.Or(put(tx, keyClaim, claim), put(tx, keyCommissioners, list))
}
