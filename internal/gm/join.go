package gm

import (
	"encoding/hex"
	"errors"
	"strconv"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
)

// join answers a Join Request. Its checks come in this order: form, roles, the
// group's state, the credential and its proof, a Sender ID. KGO, Sections 6.2 and
// 6.3; RFC 9594, Section 4.3.1.
func (x *exchange) join() (*coap.Message, error) {
	if x.me == nil && x.entry.Roles == ace.RoleVerifier {
		return coap.Problem(coap.Forbidden, "A signature verifier joins no group."), nil
	}
	if len(x.req.Payload) == 0 { // the way to ask what the group uses
		return x.challenge()
	}
	if format, ok := coap.ContentFormat(x.req.Message); ok && format != ace.FormatACEGroupcomm {
		return x.joinHints(nil), nil
	}
	jr, err := ace.Decode[ace.JoinRequest](x.req.Payload)
	if err != nil || !validNonce(jr.CNonce) {
		return x.joinHints(nil), nil
	}
	want, err := ace.DecodeJoinScope(jr.Scope)
	if err != nil || want.Group != x.group.Name || !want.Roles.Joinable() {
		return x.joinHints(nil), nil
	}
	if !x.entry.Roles.Has(want.Roles) {
		return coap.Problem(coap.Forbidden, "The token does not grant these roles."), nil
	}
	if x.group.Inactive {
		return ace.Problem(coap.ServiceUnavailable, ace.ErrorNotActive, ""), nil
	}
	var cred []byte
	if !want.Roles.NeedsCredential() && !x.group.Algs.HasGroupMode() { // no key to make the proof with, and nothing to listen to
		return ace.Problem(coap.BadRequest, ace.ErrorSignaturesNotUsed, "A monitor needs the group mode."), nil
	}
	if want.Roles.NeedsCredential() {
		var refusal *coap.Message
		if cred, refusal, err = x.checkCredential(jr); err != nil || refusal != nil {
			return refusal, err
		}
	}
	return x.admitMember(jr, want.Roles, cred)
}

func validNonce(n []byte) bool { return len(n) >= minNonce && len(n) <= maxNonce }

// challenge refuses with a new N_S and what the group uses. KGO, Section 6.2.
func (x *exchange) challenge() (*coap.Message, error) {
	ns, err := x.renewChallenge()
	return x.joinHints(ns), err
}

// newChallenge refuses with a new N_S alone. RFC 9594, Section 4.9.1.
func (x *exchange) newChallenge() (*coap.Message, error) {
	ns, err := x.renewChallenge()
	return groupcomm(coap.BadRequest, ace.JoinHints{KDCChallenge: ns}), err
}

func (x *exchange) renewChallenge() ([]byte, error) {
	ns, err := x.s.random(challengeLen)
	if err != nil {
		return nil, err
	}
	x.assoc.NS = ns
	return ns, x.assoc.save(x.tx)
}

// admitMember makes the client a member, or gives a member another Sender ID, and
// answers. KGO, Section 6.3.
func (x *exchange) admitMember(jr *ace.JoinRequest, roles ace.Role, cred []byte) (*coap.Message, error) {
	m, code := x.me, coap.Changed
	if m == nil {
		code = coap.Created
		m = &memberRecord{Node: "n" + strconv.FormatUint(x.group.NextNode, 10), Subject: x.assoc.Subject, Joined: x.now.Unix()}
		x.group.NextNode++
	}
	var sid []byte
	if cred != nil {
		var err error
		if sid, err = x.group.assign(x.tx); errors.Is(err, errNoSenderID) {
			return ace.Problem(coap.ServiceUnavailable, ace.ErrorNoIndividualMaterial, "A rekeying frees Sender IDs."), nil
		} else if err != nil {
			return nil, err
		}
	}
	if err := x.group.relinquish(x.tx, m); err != nil {
		return nil, err
	}
	m.SenderID, m.Cred, m.Roles = sid, cred, roles
	m.NC, m.Scope, m.Actor = jr.CNonce, jr.Scope, x.assoc.Actor
	m.ControlURI = x.controlURI(jr)
	if err := x.saveJoined(m, code == coap.Created); err != nil {
		return nil, err
	}
	answer, err := x.joinResponse(m)
	if err != nil {
		return nil, err
	}
	if !jr.GetCreds.IsZero() {
		if answer.Creds, answer.PeerRoles, answer.PeerIDs, err = x.peersFor(m, jr.GetCreds); err != nil {
			return nil, err
		}
	}
	x.counts(map[bool]Event{false: EventJoin, true: EventRejoin}[code == coap.Changed])
	x.note("admitted a member", "node", m.Node, "sid", hex.EncodeToString(sid), "roles", roles.String(), "again", code == coap.Changed)
	resp := groupcomm(code, answer)
	for _, segment := range []string{"ace-group", x.group.Name, "nodes", m.Node} {
		coap.AddOption(resp, coap.OptionLocationPath, []byte(segment))
	}
	return resp, nil
}

// saveJoined writes who has just joined, or joined again: it has the group's keys
// from its answer. Where who joins must not read what was sent before, the group is
// rekeyed; only who was evicted because Gids come round again comes back without
// that. KGO, Sections 6.3, 7 and 11.
func (x *exchange) saveJoined(m *memberRecord, added bool) error {
	g := x.group
	if err := x.s.forgetNotice(x.tx, g.Name, m.Subject); err != nil {
		return err
	}
	if added && g.RekeyOnJoin {
		elder, err := isElder(x.tx, g, m.Subject)
		if err != nil {
			return err
		}
		if !elder {
			if err := x.s.rekey(x.tx, g, cause{reason: ReasonJoined, joined: m.Node}); err != nil {
				return err
			}
		}
	}
	if err := x.changeLeaf(m); err != nil {
		return err
	}
	m.Assoc, m.BirthGID = x.assoc.ID, nil
	if g.GIDs > 0 {
		m.BirthGID = g.GID
	}
	if err := x.saveMember(m); err != nil {
		return err
	}
	return g.has(x.tx, m.Node, g.Num)
}

// changeLeaf takes the leaf of who joins again out of use when somebody else
// obtained the association: the keys of the old one were seen by whoever obtained
// the former.
func (x *exchange) changeLeaf(m *memberRecord) error {
	if m.Assoc == "" || m.Assoc == x.assoc.ID || x.group.Tree == nil {
		return nil
	}
	old, err := load[associationRecord](x.tx, associationKey(m.Assoc))
	if err != nil {
		return err
	}
	if old != nil && old.Origin == x.assoc.Origin {
		return nil
	}
	return x.group.burnLeaf(x.tx, m.Node)
}

// associations are the ids of all associations of the client's subject.
func (x *exchange) associations() ([]string, error) {
	all, err := indexed(x.tx, ownerKey(x.assoc.Subject, ""))
	ids := make([]string, len(all))
	for i, a := range all {
		ids[i] = a.ID
	}
	return ids, err
}

// saveMember writes a member and its indexes, and the group. A stale set that has
// grown long ends with a rekeying: so who renews without end does not make every
// change of the group slower.
func (x *exchange) saveMember(m *memberRecord) error {
	name := x.group.Name
	if err := save(x.tx, memberKey(name, m.Node), m); err != nil {
		return err
	}
	if err := x.tx.Put(subjectKey(name, m.Subject), []byte(m.Node)); err != nil {
		return err
	}
	if m.SenderID != nil {
		if err := x.tx.Put(senderKey(name, m.SenderID), []byte(m.Node)); err != nil {
			return err
		}
	}
	if len(x.group.current().SIDs) >= maxStaleSIDs {
		if err := x.s.rekey(x.tx, x.group, cause{reason: ReasonStale}); err != nil {
			return err
		}
	}
	return x.saveGroup()
}

// controlURI is what of control_uri is kept: where rekeying messages may go one
// day. One that is not acceptable is left out as if it were not there. RFC 9594,
// Section 4.3.1.
func (x *exchange) controlURI(jr *ace.JoinRequest) string {
	if jr.ControlURI == "" {
		return ""
	}
	if accept := x.s.cfg.ControlURI; accept == nil || !accept(x.assoc.Subject, jr.ControlURI) {
		x.note("left out a control_uri that is not acceptable")
		return ""
	}
	return jr.ControlURI
}
