package device

import (
	"bytes"
	"context"
	"io"
	"math"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/store"
)

// Bounds of offers and proofs.
const (
	maxOffers = 8
	id1Size   = 2 // bytes
	minNS     = 8
	maxNS     = 64
)

// popRequest asks for an offer, or for the proof over it. Which of the two its
// keys say.
//
//	pop-ask   = { 1: tstr, 2: uint }
//	pop-nonce = { 1: tstr, 3: bstr, ? 5: bstr }
type popRequest struct {
	Group string    `cbor:"1,keyasint"`
	Roles *ace.Role `cbor:"2,keyasint"`
	NS    []byte    `cbor:"3,keyasint"`
	GMDH  []byte    `cbor:"5,keyasint"` // a pairwise-only group: the Group Manager's credential for the proof
}

// popOffer is what the device is going to prove.
//
//	pop-offer = { 1: bstr, 2: bstr .size 8, 3: bstr }
type popOffer struct {
	ID1  []byte `cbor:"1,keyasint"`
	NC   []byte `cbor:"2,keyasint"`
	Cred []byte `cbor:"3,keyasint"`
}

// popProof is client_cred_verify of the Join Request.
//
//	pop-proof = { 4: bstr }
type popProof struct {
	Proof []byte `cbor:"4,keyasint"`
}

func (d *Device) postPop(_ context.Context, req *coap.Request) *coap.Message {
	var p popRequest
	if err := decode(req, &p); err != nil {
		return problem(err)
	}
	var a any
	var err error
	switch {
	case !ace.ValidGroupName(p.Group):
		err = refuse(errMalformed, "That is no group name.")
	case p.Roles != nil && p.NS == nil:
		a, err = d.offer(p.Group, *p.Roles)
	case p.NS != nil && p.Roles == nil:
		a, err = d.prove(p.Group, p.NS, p.GMDH)
	default:
		err = refuse(errMalformed, "Either roles or a challenge is needed.")
	}
	if err != nil {
		return problem(err)
	}
	return answer(coap.Changed, a)
}

// offer commits to a fresh N_C and Recipient ID for one join. It takes the place
// of an earlier offer for the group.
func (d *Device) offer(group string, roles ace.Role) (popOffer, error) {
	if !roles.Joinable() || !roles.NeedsCredential() {
		return popOffer{}, refuse(errMalformed, "A lamp joins as a requester, as a responder or as both.")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	id1, err := d.freshID1()
	if err != nil {
		return popOffer{}, err
	}
	rec := offerRecord{
		Offer: join.NewOffer(group, roles, d.cred, d.cfg.Rand), ID1: id1, Roles: roles, Made: d.cfg.Now().Unix(),
	}
	err = d.update(func(tx store.Tx) error {
		if err := dropOldestOffer(tx, group); err != nil {
			return err
		}
		return put(tx, prefixOffer+group, rec)
	})
	return popOffer{ID1: id1, NC: rec.Offer.NC, Cred: d.cred}, err
}

// dropOldestOffer makes room for one more, unless group has one already.
func dropOldestOffer(tx store.Tx, group string) error {
	count, oldest, made := 0, "", int64(math.MaxInt64)
	err := tx.Scan(prefixOffer, func(key string, value []byte) bool {
		var rec offerRecord
		if cbor.Unmarshal(value, &rec) != nil {
			rec.Made = math.MinInt64
		}
		if count++; key == prefixOffer+group {
			count = math.MinInt32
		}
		if rec.Made < made {
			oldest, made = key, rec.Made
		}
		return true
	})
	if err != nil || count < maxOffers {
		return err
	}
	return tx.Delete(oldest)
}

// freshID1 draws a Recipient ID that no other association has. d.mu is held.
func (d *Device) freshID1() ([]byte, error) {
	for {
		id := make([]byte, id1Size)
		if _, err := io.ReadFull(d.cfg.Rand, id); err != nil {
			d.log.Error("drawing an identifier failed", "err", err)
			return nil, errStore
		}
		taken := false
		for _, m := range d.members {
			taken = taken || bytes.Equal(m.rec.Association.RecipientID, id)
		}
		if !taken {
			return id, nil
		}
	}
}

// prove signs over what the device itself offered and the Group Manager's
// challenge; in a pairwise-only group the proof is a MAC that takes the Group
// Manager's credential gmDH, which has to be the claim's or endorsed by it.
func (d *Device) prove(group string, ns, gmDH []byte) (popProof, error) {
	if len(ns) < minNS || len(ns) > maxNS {
		return popProof{}, refuse(errMalformed, "A challenge has %d to %d bytes.", minNS, maxNS)
	}
	offer, err := d.pendingOffer(group)
	if err != nil {
		return popProof{}, err
	}
	if gmDH != nil && !d.trustsGM(gmDH) {
		return popProof{}, refuse(errConflict, "That is no credential of the Group Manager of the claim.")
	}
	proof, err := offer.Offer.ProveWith(cose.NewEd25519(d.key), ns, gmDH)
	if err != nil {
		return popProof{}, refuse(errUnbuilt, "The group uses algorithms that this device lacks.")
	}
	return popProof{Proof: proof}, nil
}

// trustsGM reports whether cred is the Group Manager's.
func (d *Device) trustsGM(cred []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.claim != nil && join.Trusts(d.claim.GM.Cred)(cred)
}

// pendingOffer returns what was offered for the group.
func (d *Device) pendingOffer(group string) (*offerRecord, error) {
	var rec offerRecord
	var found bool
	err := d.cfg.Store.View(d.life, func(tx store.Tx) (err error) {
		found, err = get(tx, prefixOffer+group, &rec)
		return err
	})
	switch {
	case err != nil:
		d.log.Error("reading failed", "err", err)
		return nil, errStore
	case !found:
		return nil, refuse(errConflict, "The device has made no offer for this group, or it is used up.")
	}
	return &rec, nil
}
