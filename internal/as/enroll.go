package as

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/store"
)

// enrolment is the payload of POST /enroll in an invitation's session, enrolled
// its answer.
//
//	enrolment = { 1: bstr,       ; the site credential (untagged CCS)
//	              2: tstr }      ; how the installer calls itself
//	enrolled  = { 1: bstr }      ; the Authorization Server's credential
type (
	enrolment struct {
		Cred []byte `cbor:"1,keyasint"`
		Name string `cbor:"2,keyasint,omitempty"`
	}
	enrolled struct {
		Cred []byte `cbor:"1,keyasint"`
	}
)

// enroll replaces an invitation's secret by the installer key. The invitation
// stays until that key was used, for a client that missed the answer: it may
// repeat the request with the same credential and no other.
func (s *Server) enroll(ctx context.Context, req *coap.Request) *coap.Message {
	who, ok := req.Peer.Data.(invitee)
	if req.Peer.Kind != coap.PeerPSK || !ok {
		return coap.Problem(coap.Unauthorized, "Enrolling takes the session of an invitation.")
	}
	var body enrolment
	if !isCBOR(req) || cbor.Unmarshal(req.Payload, &body) != nil {
		return coap.Problem(coap.BadRequest, "The enrolment is malformed.")
	}
	cred, err := cose.ParseCCS(body.Cred)
	if err != nil || body.Name != "" && checkName(body.Name) != nil {
		return coap.Problem(coap.BadRequest, "The site credential or the name cannot be used.")
	}
	if bytes.Equal(body.Cred, s.cred) || cred.Public.Equal(cose.NewEd25519(s.cfg.Key).Public()) {
		return coap.Problem(coap.BadRequest, "That is the Authorization Server's own credential.")
	}
	if err := s.admit(ctx, who.id, cred); err != nil {
		var no *refusal
		if errors.As(err, &no) {
			return coap.Problem(no.code, no.why)
		}
		return s.broken("enroll", err)
	}
	return coap.Respond(coap.Created, ace.FormatCBOR, cbor.MustMarshal(enrolled{s.cred}))
}

// refusal is a request that is not granted, inside a transaction.
type refusal struct {
	code coap.Code
	why  string // one sentence
}

func (r *refusal) Error() string { return r.why }

// admit makes the holder of cred an installer, durably, and opens its session.
func (s *Server) admit(ctx context.Context, invitation string, cred cose.Credential) error {
	id, now := installerID(cred.Raw), s.cfg.Now()
	s.sessions.Lock()
	defer s.sessions.Unlock()
	var admitted *installerRecord
	var superseded string // an invitation whose key the new one replaces unused
	var shut []string     // accesses to the bridge that are too many
	var until uint64      // the end of what a repeated enrolment is for
	err := s.commit(ctx, "enroll", func(tx store.Tx) error {
		admitted, superseded, shut = nil, "", nil
		inv, err := load[invitationRecord](tx, prefixInvitation+invitation)
		if err != nil {
			return err
		}
		known, err := load[installerRecord](tx, prefixInstaller+id)
		if err != nil {
			return err
		}
		repeated, err := mayEnroll(invitation, inv, known, cred, seconds(now))
		if err != nil || repeated {
			if repeated {
				until = known.Policy.Until
			}
			return err
		}
		key, err := cose.DerivedKey(inv.Secret, s.cfg.Key, cred.Public, cred.Raw, s.cred)
		if err != nil {
			return &refusal{coap.BadRequest, "The site credential cannot be used."}
		}
		admitted, shut = inv.installer(invitation, known, seconds(now))
		admitted.Cred, admitted.Key = cred.Raw, key
		inv.Cred = cred.Raw
		if known != nil && known.Invitation != "" && known.Invitation != invitation {
			superseded = known.Invitation
			if err := tx.Delete(prefixInvitation + superseded); err != nil {
				return err
			}
		}
		return errors.Join(save(tx, prefixInvitation+invitation, inv), save(tx, prefixInstaller+id, admitted))
	})
	if err != nil {
		return err
	}
	if admitted == nil {
		return s.keepAccess([]string{invitation}, until, nil)
	}
	s.openInstaller(id, admitted)
	if superseded != "" {
		s.psk.Remove(sessionInvitation + superseded)
	}
	s.count(EventEnrolled)
	s.log.Info("enrolled an installer", "installer", id, "name", admitted.Name, "invitation", invitation)
	return s.keepAccess(admitted.Access, admitted.Policy.Until, shut)
}

// installer is who enrols by an invitation, perhaps not for the first time, and the
// accesses that are too many then.
func (inv *invitationRecord) installer(invitation string, known *installerRecord, now uint64) (i *installerRecord, shut []string) {
	i = &installerRecord{Name: inv.Name, Policy: inv.Policy, Invitation: invitation, Since: now}
	if known != nil {
		i.Access = known.Access
	}
	i.Access = append(i.Access, invitation)
	if more := len(i.Access) - maxAccess; more > 0 {
		shut, i.Access = i.Access[:more], i.Access[more:]
	}
	return i, shut
}

// mayEnroll decides about an enrolment. repeated is true when this very one was
// done before and changes nothing. A credential that is enrolled already gets a
// new key only by an invitation to the same name: whoever holds an invitation
// must not cut off others.
func mayEnroll(invitation string, inv *invitationRecord, known *installerRecord, cred cose.Credential, now uint64) (repeated bool, err error) {
	switch {
	case inv == nil || now >= inv.Expires:
		return false, &refusal{coap.Forbidden, "The invitation was used or has expired."}
	case inv.Cred != nil && !bytes.Equal(inv.Cred, cred.Raw):
		return false, &refusal{coap.Conflict, "Somebody else enrolled with this invitation."}
	case inv.Cred != nil && known != nil && known.Invitation == invitation:
		return true, nil
	case known != nil && known.Revoked == 0 && known.Name != inv.Name:
		return false, &refusal{coap.Conflict, "This credential is enrolled under another name."}
	}
	return false, nil
}

// client returns the installer who sent a request; nil when nobody of that kind
// did. Its first request ends the invitation that it came by.
func (s *Server) client(ctx context.Context, req *coap.Request) (id string, i *installerRecord, err error) {
	who, ok := req.Peer.Data.(installer)
	if req.Peer.Kind != coap.PeerPSK || !ok {
		return "", nil, nil
	}
	err = s.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		i, err = load[installerRecord](tx, prefixInstaller+who.id)
		return err
	})
	if err != nil || i == nil || i.Revoked != 0 || i.Policy.Until != 0 && expired(i.Policy.Until, s.cfg.Now()) {
		return "", nil, err
	}
	if i.Invitation != "" {
		if err := s.endInvitation(ctx, who.id, i.Invitation); err != nil {
			return "", nil, fmt.Errorf("ending an invitation: %w", err)
		}
	}
	return who.id, i, nil
}

// endInvitation makes an invitation open nothing any more: the installer key
// that replaces it is in use.
func (s *Server) endInvitation(ctx context.Context, id, invitation string) error {
	s.sessions.Lock()
	defer s.sessions.Unlock()
	err := s.commit(ctx, "end invitation", func(tx store.Tx) error {
		i, err := load[installerRecord](tx, prefixInstaller+id)
		if err != nil || i == nil || i.Invitation != invitation {
			return err
		}
		i.Invitation = ""
		return errors.Join(save(tx, prefixInstaller+id, i), tx.Delete(prefixInvitation+invitation))
	})
	if err != nil {
		return err
	}
	s.psk.Remove(sessionInvitation + invitation)
	s.log.Info("an invitation was used", "installer", id, "invitation", invitation)
	return nil
}

// isCBOR reports whether the payload says to be CBOR, or nothing.
func isCBOR(req *coap.Request) bool {
	format, has := coap.ContentFormat(req.Message)
	return !has || format == ace.FormatCBOR
}
