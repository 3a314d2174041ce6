package device

import (
	"context"
	"net/netip"
	"unicode"
	"unicode/utf8"

	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/oscore"
	"lamplighter/internal/store"
)

// Bounds of a claim.
const (
	maxName          = 120 // characters
	maxCred          = 512 // bytes
	maxCommissioners = 16
)

// claimRequest gives the device to a site.
//
//	claim = { 1: bstr, 2: tstr, 3: tstr, 4: as-or-gm, 5: as-or-gm, 6: [ + bstr ] }
type claimRequest struct {
	SiteCred      []byte   `cbor:"1,keyasint"`
	Name          string   `cbor:"2,keyasint"`
	Site          string   `cbor:"3,keyasint"`
	AS            server   `cbor:"4,keyasint"`
	GM            server   `cbor:"5,keyasint"`
	Commissioners [][]byte `cbor:"6,keyasint"`
}

// server is the Authorization Server or the Group Manager.
//
//	as-or-gm = { 1: tstr, 2: bstr }
type server struct {
	Address string `cbor:"1,keyasint"` // "127.0.0.1:5690"
	Cred    []byte `cbor:"2,keyasint"` // its authentication credential, an untagged CCS
}

// claimAnswer is the device's side of the exchange of credentials.
//
//	claimed = { 1: bstr }
type claimAnswer struct {
	Cred []byte `cbor:"1,keyasint"`
}

// check holds the fields to their forms and returns the site credential's key.
func (c *claimRequest) check() (cose.Credential, error) {
	site, err := parseCred(c.SiteCred)
	if err != nil {
		return site, refuse(errMalformed, "The site credential is not a CCS with an Ed25519 key.")
	}
	if !printable(c.Name) || !printable(c.Site) {
		return site, refuse(errMalformed, "Name and site are 1 to %d printable characters.", maxName)
	}
	for _, s := range []server{c.AS, c.GM} {
		if _, err := netip.ParseAddrPort(s.Address); err != nil {
			return site, refuse(errMalformed, "An address is not like 192.0.2.1:5683.")
		}
		if _, err := parseCred(s.Cred); err != nil {
			return site, refuse(errMalformed, "The credential of a server is not a CCS with an Ed25519 key.")
		}
	}
	if len(c.Commissioners) == 0 || len(c.Commissioners) > maxCommissioners {
		return site, refuse(errMalformed, "There are 1 to %d commissioners.", maxCommissioners)
	}
	for _, cred := range c.Commissioners {
		if _, err := parseCred(cred); err != nil {
			return site, refuse(errMalformed, "The credential of a commissioner is not a CCS with an Ed25519 key.")
		}
	}
	return site, nil
}

func parseCred(cred []byte) (cose.Credential, error) {
	if len(cred) > maxCred {
		return cose.Credential{}, cose.ErrCredential
	}
	return cose.ParseCCS(cred)
}

func printable(s string) bool {
	n := utf8.RuneCountInString(s)
	if n == 0 || n > maxName || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// postClaim claims the device. Until the owner key was first used the same site
// credential may repeat it: the answer may have been lost.
func (d *Device) postClaim(_ context.Context, req *coap.Request) *coap.Message {
	var c claimRequest
	if err := decode(req, &c); err != nil {
		return problem(err)
	}
	site, err := c.check()
	if err != nil {
		return problem(err)
	}
	ownerKey, err := cose.DerivedKey(d.cfg.LabelSecret, d.key, site.Public, c.SiteCred, d.cred)
	if err != nil {
		return problem(refuse(errMalformed, "The site credential's key is unusable."))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.claim != nil && (d.claim.Confirmed || string(d.claim.SiteCred) != string(c.SiteCred)) {
		return problem(refuse(errConflict, "The device is claimed by somebody else."))
	}
	rec := &claimRecord{
		SiteCred: c.SiteCred, Name: c.Name, Site: c.Site, AS: c.AS, GM: c.GM,
		Commissioners: c.Commissioners, OwnerKey: ownerKey,
	}
	list := firstCommissioners(c.Commissioners)
	if err := d.update(func(tx store.Tx) error { return writeClaim(tx, rec, list) }); err != nil {
		return problem(err)
	}
	d.claim, d.commissioners = rec, list
	d.setSessions()
	d.log.Info("claimed", "name", c.Name, "site", c.Site)
	return answer(coap.Created, claimAnswer{Cred: d.cred})
}

// confirm makes the first use of the owner key durable: from then on the label
// opens nothing.
func (d *Device) confirm(p coap.Peer) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.isOwner(p) || d.claim.Confirmed {
		return nil
	}
	rec := *d.claim
	rec.Confirmed = true
	if err := d.update(func(tx store.Tx) error { return put(tx, keyClaim, rec) }); err != nil {
		return err
	}
	d.claim = &rec
	d.setSessions()
	return nil
}

// deleteClaim releases the device: it leaves its groups and forgets its owner.
// With the query "force" it does so without the Group Manager.
func (d *Device) deleteClaim(ctx context.Context, req *coap.Request) *coap.Message {
	resp := d.release(ctx, req)
	if resp.Code == coap.Deleted {
		d.dropSettings()
		d.endEmergency()
	}
	return resp
}

func (d *Device) release(ctx context.Context, req *coap.Request) *coap.Message {
	_, force := coap.Query(req.Message, "force")
	d.mu.Lock()
	claim, members := d.claim, d.sortedMembers()
	d.mu.Unlock()
	for _, m := range members {
		if err := d.leave(ctx, m, force); err != nil {
			return problem(err)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	// Another try may have released it, and its owner claimed it anew: that claim
	// is none of this request's business.
	if d.claim != claim || !d.mayRelease(req.Peer) {
		return problem(refuse(errDenied, "The device was released meanwhile."))
	}
	err := d.update(func(tx store.Tx) error {
		for _, prefix := range []string{keyClaim, keyCommissioners, prefixOffer, prefixGroup, prefixWindow, prefixGone} {
			if err := deleteAll(tx, prefix); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return problem(err)
	}
	d.claim, d.commissioners = nil, nil
	for _, m := range d.members {
		d.gms.Remove(associationName(&m.rec.Association))
	}
	clear(d.members)
	clear(d.gone)
	d.setSessions()
	d.dropFirmware(ctx)
	d.log.Info("released")
	return done(coap.Deleted)
}

// session is a PSK session with what its peer carries: the credential of whom it
// belongs to, nil for the label.
type session struct {
	psk  oscore.PSK
	cred []byte
}

// setSessions opens the device to whom the claim says: the label until the owner
// key was used, the owner from the claim on, and those who are on the list of
// commissioners. Sessions that stay are not disturbed. d.mu is held, or nobody else
// has d yet.
func (d *Device) setSessions() {
	want := d.commissionerSessions()
	if d.claim == nil || !d.claim.Confirmed {
		want[peerLabel] = session{psk: oscore.NewPSK(d.cfg.ID[:], d.cfg.LabelSecret, oscore.SaltLabel)}
	}
	if d.claim != nil && d.ownerRights() != 0 {
		want[peerOwner] = session{oscore.NewPSK(d.claim.SiteCred, d.claim.OwnerKey, oscore.SaltOwner), d.claim.SiteCred}
	}
	for name := range d.sessions {
		if _, stays := want[name]; !stays {
			d.psk.Remove(name)
		}
	}
	for name, s := range want {
		var data any
		if s.cred != nil {
			data = s.cred
		}
		d.psk.Set(name, s.psk, data) // one with the same secret stays
	}
	d.sessions = want
}
