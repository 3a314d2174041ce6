package gm

import (
	"bytes"
	"errors"
	"strconv"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
)

// join answers a Join Request. Its checks come in this order: form, roles, the
// group's state, the credential and its proof, a Sender ID. KGO, Sections 6.2 and
// 6.3; RFC 9594, Section 4.3.1.
func (x *exchange) join() (*coap.Message, error) {
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
	if want.Roles.NeedsCredential() {
		var refusal *coap.Message
		if cred, refusal, err = x.checkCredential(jr); err != nil || refusal != nil {
			return refusal, err
		}
	}
	return x.admitMember(jr, want.Roles, cred)
}

func validNonce(n []byte) bool { return len(n) >= minNonce && len(n) <= maxNonce }

// challenge refuses with a new N_S. KGO, Section 6.2.
func (x *exchange) challenge() (*coap.Message, error) {
	ns, err := x.s.random(challengeLen)
	if err != nil {
		return nil, err
	}
	x.assoc.NS = ns
	return x.joinHints(ns), x.assoc.save(x.tx)
}

// checkCredential returns the credential that a joining node proved or proved
// before. KGO, Section 6.2.
func (x *exchange) checkCredential(jr *ace.JoinRequest) (cred []byte, refusal *coap.Message, err error) {
	if jr.ClientCredVerify == nil {
		cred, refusal = x.provenBefore(jr.ClientCred)
		return cred, refusal, nil
	}
	if jr.ClientCred == nil {
		return nil, x.joinHints(nil), nil
	}
	if x.assoc.NS == nil {
		refusal, err = x.challenge()
		return nil, refusal, err
	}
	parsed, err := cose.ParseCCS(jr.ClientCred)
	if err != nil || parsed.Alg != cose.EdDSA {
		return nil, ace.Problem(coap.BadRequest, ace.ErrorCredential, "The credential is not a CCS with an Ed25519 key that the group can use."), nil
	}
	if refusal := x.checkBound(jr.ClientCred); refusal != nil {
		return nil, refusal, nil
	}
	if !x.proven(jr, &parsed) {
		return nil, ace.Problem(coap.BadRequest, ace.ErrorPoP, "The proof does not fit the credential, the scope and the challenges."), nil
	}
	return jr.ClientCred, nil, nil
}

// checkBound holds a credential against the one that the token is bound to and
// against those of other members.
func (x *exchange) checkBound(cred []byte) *coap.Message {
	if want := x.assoc.Thumbprint; want != nil {
		if got := cose.Thumbprint(cred); !bytes.Equal(got[:], want) {
			return coap.Problem(coap.Forbidden, "The token is bound to another credential.")
		}
	}
	return nil
}

// proven checks the proof of possession. An empty one refers to an earlier proof
// under the same association's subject. KGO, Section 6.2.
func (x *exchange) proven(jr *ace.JoinRequest, cred *cose.Credential) bool {
	if len(jr.ClientCredVerify) == 0 {
		return x.me != nil && x.assoc.Actor == "" && bytes.Equal(x.me.Cred, jr.ClientCred)
	}
	return cred.Verify(ace.PoPInput(jr.Scope, x.assoc.NS, jr.CNonce), jr.ClientCredVerify)
}

// provenBefore lets a member re-join with what it proved before. Someone who acts
// for it has no such right: the member itself must have signed. KGO, Section 6.2.
func (x *exchange) provenBefore(cred []byte) ([]byte, *coap.Message) {
	switch {
	case x.me == nil || x.me.Cred == nil || cred == nil:
		return nil, x.joinHints(nil)
	case x.assoc.Actor != "":
		return nil, ace.Problem(coap.BadRequest, ace.ErrorPoP, "Whoever joins for a member brings its proof.")
	case len(cred) > 0 && !bytes.Equal(cred, x.me.Cred):
		return nil, x.joinHints(nil)
	}
	if refusal := x.checkBound(x.me.Cred); refusal != nil {
		return nil, refusal
	}
	return x.me.Cred, nil
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
	if err := x.saveMember(m); err != nil {
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
	x.note("admitted a member", "node", m.Node, "roles", roles.String(), "again", code == coap.Changed)
	resp := groupcomm(code, answer)
	for _, segment := range []string{"ace-group", x.group.Name, "nodes", m.Node} {
		coap.AddOption(resp, coap.OptionLocationPath, []byte(segment))
	}
	return resp, nil
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
		if err := x.group.rekey(x.tx, x.s.rand, x.now); err != nil {
			return err
		}
		x.note("rekeyed a group with many stale Sender IDs")
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
