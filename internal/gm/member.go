package gm

import (
	"encoding/hex"
	"errors"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
)

// names answers FETCH /ace-group: which groups have these Gids now. RFC 9594,
// Section 4.2.1; KGO, Section 9.10.
func (x *exchange) names() (*coap.Message, error) {
	ask, err := ace.Decode[ace.GroupsRequest](x.req.Payload)
	if err != nil || len(ask.GIDs) == 0 || len(ask.GIDs) > maxFilter {
		return coap.Problem(coap.BadRequest, "One or more Gids are needed."), nil
	}
	var found ace.GroupsResponse
	for _, gid := range ask.GIDs {
		if len(gid) == 0 || len(gid) > maxBin {
			continue
		}
		name, err := x.tx.Get(gidKey(gid))
		if err != nil {
			return nil, err
		}
		if name == nil {
			continue
		}
		found.GIDs = append(found.GIDs, gid)
		found.Names = append(found.Names, string(name))
		found.URIs = append(found.URIs, "/ace-group/"+string(name))
	}
	if len(found.GIDs) == 0 {
		return nothing(), nil
	}
	return groupcomm(coap.Content, found), nil
}

// keys answers GET /ace-group/GROUP: the keys without the Sender ID. KGO, Section
// 9.1.1.
func (x *exchange) keys() (*coap.Message, error) { return x.keyResponse(nil) }

// ownKeys answers GET nodes/NODE: the keys with the Sender ID. KGO, Section 9.1.2.
func (x *exchange) ownKeys() (*coap.Message, error) { return x.keyResponse(x.me.SenderID) }

// num answers GET num: the version of the keys. RFC 9594, Section 4.7.1.
func (x *exchange) num() (*coap.Message, error) { return bare(x.group.Num), nil }

// active answers GET active. KGO, Section 9.9.
func (x *exchange) active() (*coap.Message, error) { return bare(!x.group.Inactive), nil }

// groupPolicies answers GET policies. RFC 9594, Section 4.6.1.
func (x *exchange) groupPolicies() (*coap.Message, error) {
	if x.policies().IsZero() {
		return nothing(), nil
	}
	return groupcomm(coap.Content, ace.PoliciesResponse{Policies: x.policies()}), nil
}

// kdcCred answers GET kdc-cred with a proof over the N_C of the latest Join
// Request. RFC 9594, Section 4.5.1.
func (x *exchange) kdcCred() (*coap.Message, error) {
	if _, ok := x.group.eligible(x.me.Cred); !ok && !x.group.Algs.HasGroupMode() { // the group's configuration has changed
		return ace.Problem(coap.BadRequest, ace.ErrorCredential, "A credential for the group's algorithms has to be uploaded first."), nil
	}
	proof, err := x.prove(x.me.NC, x.me.Cred)
	if err != nil {
		return nil, err
	}
	return groupcomm(coap.Content, proof), nil
}

// number reads an unsigned integer and nothing else: null would pass for 0.
func number(payload []byte) (n uint64, ok bool) {
	ok = len(payload) > 0 && payload[0]>>5 == cbor.Uint && cbor.Unmarshal(payload, &n) == nil
	return n, ok
}

// staleSIDs answers FETCH stale-sids. KGO, Section 11.3.1.
func (x *exchange) staleSIDs() (*coap.Message, error) {
	v, ok := number(x.req.Payload)
	if !ok || v >= x.group.Num {
		return coap.Problem(coap.BadRequest, "An older version of the group's keys is needed."), nil
	}
	sids, ok := x.group.staleSince(v)
	if !ok {
		return coap.Respond(coap.Content, coap.NoFormat, nil), nil
	}
	return bare(sids), nil
}

// renew answers a Key Renewal Request: another Sender ID under the same keys. KGO,
// Section 9.2.
func (x *exchange) renew() (*coap.Message, error) {
	if x.group.Inactive {
		return ace.Problem(coap.ServiceUnavailable, ace.ErrorNotActive, ""), nil
	}
	if x.me.SenderID == nil {
		return ace.Problem(coap.BadRequest, ace.ErrorRoles, "A monitor has no Sender ID."), nil
	}
	sid, err := x.group.assign(x.tx)
	if errors.Is(err, errNoSenderID) {
		return ace.Problem(coap.ServiceUnavailable, ace.ErrorNoIndividualMaterial, "A rekeying frees Sender IDs."), nil
	}
	if err != nil {
		return nil, err
	}
	if err := x.group.relinquish(x.tx, x.me); err != nil {
		return nil, err
	}
	x.me.SenderID = sid
	if err := x.saveMember(x.me); err != nil {
		return nil, err
	}
	x.counts(EventRenewal)
	x.note("renewed a Sender ID", "node", x.me.Node, "sid", hex.EncodeToString(sid))
	return groupcomm(coap.Content, ace.RenewalResponse{SenderID: sid}), nil
}

// leave answers DELETE nodes/NODE: the membership ends and the others get new
// keys. KGO, Sections 9.11 and 10.
func (x *exchange) leave() (*coap.Message, error) {
	if err := x.group.forget(x.tx, x.me); err != nil {
		return nil, err
	}
	if err := x.s.rekey(x.tx, x.group, cause{reason: ReasonLeft}); err != nil {
		return nil, err
	}
	if err := x.saveGroup(); err != nil {
		return nil, err
	}
	ids, err := x.associations()
	if err != nil {
		return nil, err
	}
	name := x.group.Name
	x.after = append(x.after, func() { x.s.unobserve(name, ids) })
	x.counts(EventLeave)
	x.note("a member left", "node", x.me.Node, "sid", hex.EncodeToString(x.me.SenderID))
	return coap.Respond(coap.Deleted, coap.NoFormat, nil), nil
}
