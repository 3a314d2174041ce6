package as

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/cose"
	"lamplighter/internal/store"
)

// What people resources carry. Times are in seconds since 1970.
//
//	GET /people:         [* { 1: id: tstr, 2: name: tstr, 3: role: tstr, 4: since: uint, ? 5: expires: uint,
//	                          6: pending: bool, 7: revoked: bool, ? 8: credential: bstr }]
//	POST /people/invite: { 1: name: tstr, 2: role: tstr, ? 3: expires: uint (seconds from now), ? 4: [+ group: tstr] }
//	answer:              { 1: id: tstr, 2: secret: bstr, 3: expires: uint, ? 4: access code: tstr }
type (
	personEntry struct {
		ID         string `cbor:"1,keyasint"`
		Name       string `cbor:"2,keyasint"`
		Role       string `cbor:"3,keyasint"`
		Since      uint64 `cbor:"4,keyasint"`
		Expires    uint64 `cbor:"5,keyasint,omitempty"`
		Pending    bool   `cbor:"6,keyasint"`
		Revoked    bool   `cbor:"7,keyasint"`
		Credential []byte `cbor:"8,keyasint,omitempty"`
	}
	inviteRequest struct {
		Name    string   `cbor:"1,keyasint"`
		Role    string   `cbor:"2,keyasint"`
		Expires uint64   `cbor:"3,keyasint,omitempty"`
		Groups  []string `cbor:"4,keyasint,omitempty"`
	}
	inviteAnswer struct {
		ID      string      `cbor:"1,keyasint"`
		Secret  cose.Secret `cbor:"2,keyasint"`
		Expires uint64      `cbor:"3,keyasint"`
		Code    string      `cbor:"4,keyasint,omitempty"`
	}
)

// administrator finds the admin who asks; refused is the answer to anybody else.
func (s *Server) administrator(ctx context.Context, req *coap.Request) (who string, i *installerRecord, refused *coap.Message) {
	who, i, err := s.client(ctx, req)
	switch {
	case err != nil:
		refused = s.broken("people", err)
	case i == nil:
		refused = coap.Problem(coap.Unauthorized, "People are managed in an administrator's session.")
	case i.Policy.role() != RoleAdmin:
		refused = coap.Problem(coap.Forbidden, "Only administrators manage people.")
	}
	return who, i, refused
}

// listPeople answers GET /people.
func (s *Server) listPeople(ctx context.Context, req *coap.Request) *coap.Message {
	if _, _, refused := s.administrator(ctx, req); refused != nil {
		return refused
	}
	people, err := s.People(ctx)
	if err != nil {
		return s.broken("people", err)
	}
	list := []personEntry{}
	for _, p := range people {
		e := personEntry{ID: p.ID, Name: p.Name, Role: string(p.Role), Since: seconds(p.Since), Pending: p.Pending, Revoked: p.Revoked, Credential: p.Credential}
		if !p.Expires.IsZero() {
			e.Expires = seconds(p.Expires)
		}
		list = append(list, e)
	}
	return coap.Respond(coap.Content, ace.FormatCBOR, cbor.MustMarshal(list))
}

// listAdministrators answers GET /administrators to those who equip devices: whose
// credentials a device that they claim is to list, so that somebody manages it when
// they are gone. They learn of nobody else, and no ids.
//
//	[* { 2: name: tstr, 8: credential: bstr }]
func (s *Server) listAdministrators(ctx context.Context, req *coap.Request) *coap.Message {
	who, i, err := s.client(ctx, req)
	switch {
	case err != nil:
		return s.broken("administrators", err)
	case i == nil:
		return coap.Problem(coap.Unauthorized, "This is for the people of the site.")
	case i.Policy.role() != RoleAdmin && i.Policy.role() != RoleInstaller:
		return coap.Problem(coap.Forbidden, "This is for who equips devices.")
	}
	list, err := s.administratorsOf(ctx, i.site(who))
	if err != nil {
		return s.broken("administrators", err)
	}
	return coap.Respond(coap.Content, ace.FormatCBOR, cbor.MustMarshal(list))
}

type administratorEntry struct {
	Name       string `cbor:"2,keyasint"`
	Credential []byte `cbor:"8,keyasint"`
}

// administratorsOf lists the administrators of a site who have enrolled, by name.
func (s *Server) administratorsOf(ctx context.Context, site string) ([]administratorEntry, error) {
	list := []administratorEntry{}
	err := s.cfg.Store.View(ctx, func(tx store.Tx) error {
		enrolled, err := scan[installerRecord](tx, prefixInstaller)
		list = list[:0]
		for id, i := range enrolled {
			over := i.Revoked != 0 || i.Policy.Until != 0 && expired(i.Policy.Until, s.cfg.Now())
			if i.Policy.role() == RoleAdmin && !over && i.site(id) == site && len(i.Cred) > 0 {
				list = append(list, administratorEntry{i.Name, i.Cred})
			}
		}
		return err
	})
	slices.SortFunc(list, func(a, b administratorEntry) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), bytes.Compare(a.Credential, b.Credential))
	})
	return list, err
}

// postInvitation answers POST /people/invite: 2.01 with the invitation, which
// nobody is told again.
func (s *Server) postInvitation(ctx context.Context, req *coap.Request) *coap.Message {
	who, i, refused := s.administrator(ctx, req)
	if refused != nil {
		return refused
	}
	var body inviteRequest
	if !isCBOR(req) || len(req.Payload) > maxRequest || cbor.Unmarshal(req.Payload, &body) != nil || body.Role == "" ||
		body.Expires > uint64(maxInvitation/time.Second) || checkName(body.Name) != nil {
		return coap.Problem(coap.BadRequest, "An invitation has a name, a role and at most a year.")
	}
	inv, err := s.InvitePerson(ctx, InviteParams{
		Name: body.Name, Role: Role(body.Role), Expires: time.Duration(body.Expires) * time.Second, Groups: body.Groups,
		Site: i.Policy.Site, With: cmp.Or(i.Policy.With, who), By: who,
	})
	switch {
	case errors.Is(err, ErrPolicy), errors.Is(err, ErrName):
		return coap.Problem(coap.BadRequest, "There is no such role, or a group's name cannot be used.")
	case errors.Is(err, ErrFull):
		return coap.Problem(coap.TooManyRequests, "Too many invitations are open; take some back first.")
	case err != nil:
		return s.broken("people", err)
	}
	s.log.Info("an administrator invited somebody", "administrator", who, "name", body.Name, "role", body.Role, "invitation", inv.ID)
	return coap.Respond(coap.Created, ace.FormatCBOR, cbor.MustMarshal(inviteAnswer{inv.ID, inv.Secret, seconds(inv.Expires), inv.Code}))
}

// deletePerson answers DELETE /people/ID: 2.02, also for somebody who was revoked
// before; 4.04 for nobody.
func (s *Server) deletePerson(ctx context.Context, req *coap.Request) *coap.Message {
	who, _, refused := s.administrator(ctx, req)
	if refused != nil {
		return refused
	}
	id := coap.Param(ctx, "id")
	err := s.Revoke(ctx, id)
	if errors.Is(err, ErrAbsent) {
		i, lookupErr := s.lookup(ctx, id)
		switch {
		case lookupErr != nil:
			err = lookupErr
		case i == nil:
			return coap.Problem(coap.NotFound, "There is nobody of that id.")
		default:
			err = nil
		}
	}
	if err != nil {
		return s.broken("people", err)
	}
	s.log.Info("an administrator revoked somebody", "administrator", who, "id", id)
	return coap.Respond(coap.Deleted, coap.NoFormat, nil)
}
